// SPDX-License-Identifier: MIT
#include "backends/sysfs.hpp"

#include <cerrno>

#include "backend_list.hpp"
#include "backends/sysfs_device.hpp"
#include "guarded.hpp"
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
        const int error = write_text(directory() / "enable", "1");
        if (error == EACCES || error == EPERM)
            throw Error{Errc::permission_denied, object(), "this process may not enable the device", error,
                        "run as root"};
        if (error != 0)
            throw Error{Errc::system_error, object(), "the kernel could not enable the device", error,
                        "see the end of `dmesg` for the reason"};
        is_enabled_ = true;
    }
    SysfsBackend(const SysfsBackend&) = delete;
    SysfsBackend& operator=(const SysfsBackend&) = delete;
    ~SysfsBackend() override { close(); }

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("sysfs"); }

  protected:
    void do_close() noexcept override {
        std::error_code lost;
        guarded(lost, [&] { config_write(config::kCommand, 2, command_before_); });
        close_files();
        if (is_enabled_) write_text(directory() / "enable", "0");
    }
    [[nodiscard]] std::string_view why_not(Feature feature) const noexcept override {
        return feature == Feature::dma ? "no IOMMU would keep the device to its memory" : "";
    }

  private:
    std::uint32_t command_before_ = config_read(config::kCommand, 2);
    bool is_enabled_ = false;
};

}  // namespace

std::shared_ptr<Backend> open_sysfs(const Bdf& bdf, const OpenOptions& options, System& system) {
    PciFunction function = describe(bdf, options.root);
    auto obstacle = uiovfio::why_not(function, "sysfs", options.root);
    const bool is_driver = obstacle && obstacle->errc == Errc::not_bound;
    if (obstacle && !(is_driver && options.share_with_driver)) throw_obstacle(*obstacle);
    return std::make_shared<SysfsBackend>(bdf, options, system, std::move(function));
}

std::shared_ptr<Backend> open_sysfs(const Bdf& bdf, const OpenOptions& options) {
    return open_sysfs(bdf, options, real_system());
}

}  // namespace uiovfio::detail
