// SPDX-License-Identifier: MIT
#include "backends/sysfs.hpp"

#include <cerrno>
#include <mutex>

#include "backend_list.hpp"
#include "backends/sysfs_device.hpp"
#include "guarded.hpp"
#include "kernel_text.hpp"
#include "obstacles.hpp"
#include "sysfs_files.hpp"
#include "uiovfio/config_space.hpp"

namespace uiovfio::detail {

namespace {

class SysfsBackend final : public SysfsDevice {
  public:
    SysfsBackend(const Bdf& bdf, const OpenOptions& options, System& system, PciFunction function)
        : SysfsDevice{bdf, options, system, std::move(function)} {
        // Without a driver nobody has powered the device up or given its BARs their addresses. The kernel counts.
        if (!this->function().driver.empty()) return;
        is_shared_ = to_number(read_text(directory() / "enable").value_or(""), 10).value_or(0) != 0;
        const std::uint32_t before = command();
        const int error = write_text(directory() / "enable", "1");
        if (error == EACCES || error == EPERM)
            throw Error{Errc::permission_denied, object(), "this process may not enable the device", error,
                        "run as root"};
        if (error != 0)
            throw Error{Errc::system_error, object(), "the kernel could not enable the device", error,
                        "see the end of `dmesg` for the reason"};
        is_enabled_ = true;
        try {
            command_.note(before, command());
        } catch (...) {
            write_text(directory() / "enable", "0");
            throw;
        }
    }
    SysfsBackend(const SysfsBackend&) = delete;
    SysfsBackend& operator=(const SysfsBackend&) = delete;
    ~SysfsBackend() override { close(); }

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("sysfs"); }

    void config_write(std::uint16_t offset, unsigned width, std::uint32_t value) override {
        const std::lock_guard lock{mutex_};
        const bool is_command = offset < config::kCommand + 2 && offset + width > config::kCommand;
        const std::uint32_t before = is_command ? command() : 0;
        SysfsDevice::config_write(offset, width, value);
        if (is_command)
            command_.note(before, offset > config::kCommand ? (before & 0xff) | (value & 0xff) << 8
                                  : width == 1              ? (before & 0xff00) | (value & 0xff)
                                                            : value & 0xffff);
    }
    // A driver has it, or a part of the kernel that is no driver of its: the AMD IOMMU is such a function.
    [[nodiscard]] bool is_shared() const noexcept override { return is_shared_ || has_driver(); }

  protected:
    void do_close() noexcept override {
        std::error_code lost;
        guarded(lost, [&] { undo_command(); });
        close_files();
        if (is_enabled_) write_text(directory() / "enable", "0");
    }
    [[nodiscard]] std::string_view why_not(Feature feature) const noexcept override {
        return feature == Feature::dma ? "no IOMMU would keep the device to its memory" : "";
    }

  private:
    /// What has been changed in the command register for this object.
    struct Changed {
        std::uint32_t bits = 0;
        std::uint32_t before = 0;  ///< of those bits
        std::uint32_t after = 0;

        void note(std::uint32_t old_value, std::uint32_t new_value) noexcept {
            before |= (old_value ^ new_value) & ~bits & old_value;
            bits |= old_value ^ new_value;
            after = new_value;
        }
    };

    /// One may have come while this object had the device.
    [[nodiscard]] bool has_driver() const noexcept {
        bool has = true;
        std::error_code lost;
        guarded(lost, [&] { has = !link_name(directory() / "driver").empty(); });
        return has;
    }

    std::uint32_t command() { return config_read(config::kCommand, 2); }

    /// What the kernel, or a driver of its, has changed since is theirs; and where a driver has the device now, so is
    /// all of it.
    void undo_command() {
        if (has_driver()) return;
        const std::uint32_t now = command();
        const std::uint32_t ours = command_.bits & ~(now ^ command_.after);
        std::uint32_t then = (now & ~ours) | (command_.before & ours);
        // Whose device it was is gone: it is not to go on when this process is done with it, either.
        if (!is_shared_) then &= ~std::uint32_t{config::kCommandBusMaster};
        if (then != now) SysfsDevice::config_write(config::kCommand, 2, then);
    }

    std::mutex mutex_;  // guards what follows
    Changed command_;
    bool is_enabled_ = false;
    bool is_shared_ = true;
};

}  // namespace

std::shared_ptr<Backend> open_sysfs(const Bdf& bdf, const OpenOptions& options, System& system) {
    PciFunction function = describe(bdf, options.root);
    auto obstacle = uiovfio::why_not(function, "sysfs", options.root);
    const bool is_driver = obstacle && obstacle->errc == Errc::not_bound;
    if (obstacle && !(is_driver && options.share_with_driver)) throw_obstacle(*obstacle);
    return make_fork_guarded<SysfsBackend>(bdf, options, system, std::move(function));
}

std::shared_ptr<Backend> open_sysfs(const Bdf& bdf, const OpenOptions& options) {
    return open_sysfs(bdf, options, real_system());
}

}  // namespace uiovfio::detail
