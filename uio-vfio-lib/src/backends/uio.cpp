// SPDX-License-Identifier: MIT
/// uio_pci_generic: the device through sysfs, and INTx through /dev/uioN.
///
/// The driver masks the line with each interrupt (the Interrupt Disable bit of the command register) and counts; a read
/// of its file gives the count, and poll() tells of a new one. So there is one interrupt for each unmask_intx(), and
/// one request of asynchronous I/O carries it from the file to the vector's eventfd.

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <optional>

#include "aio_poll.hpp"
#include "backend_list.hpp"
#include "backends/sysfs.hpp"
#include "backends/sysfs_device.hpp"
#include "guarded.hpp"
#include "obstacles.hpp"
#include "uiovfio/config_space.hpp"

namespace uiovfio::detail {

namespace {

class UioBackend final : public SysfsDevice {
  public:
    UioBackend(const Bdf& bdf, const OpenOptions& options, System& system, PciFunction function)
        : SysfsDevice{bdf, options, system, std::move(function)},
          node_{open_file(uio_node(bdf, options.root))},
          has_intx_{config_read(config::kInterruptPin, 1) != 0} {}
    ~UioBackend() override { close(); }
    UioBackend(const UioBackend&) = delete;
    UioBackend& operator=(const UioBackend&) = delete;

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_of("uio"); }

    [[nodiscard]] unsigned interrupt_capacity(InterruptMode mode) override {
        return mode == InterruptMode::intx && has_intx_ ? 1 : 0;
    }

    void arm(InterruptMode /*mode*/, std::span<const int> event_fds) override {
        const std::scoped_lock lock{command_mutex(), mutex_};
        poll_.reset();  // what it still signals is an eventfd of before, on which nobody waits any more
        event_fd_ = event_fds.front();
        set_masked(true);
        seen_ = take_count();
        start();
        set_masked(false);
    }

    // The request stays: ending it would signal the eventfd, while there may still be somebody who waits.
    void disarm(InterruptMode /*mode*/) override {
        const std::scoped_lock lock{command_mutex(), mutex_};
        event_fd_ = -1;
        set_masked(true);
    }

    void mask_intx() override {
        const std::scoped_lock lock{command_mutex(), mutex_};
        set_masked(true);
    }

    void unmask_intx() override {
        const std::scoped_lock lock{command_mutex(), mutex_};
        unmask_locked();
    }

    // The registration is the driver's, and lasts.
    [[nodiscard]] bool keeps_interrupts_over_reset() const noexcept override { return true; }

    void reset() override {
        const std::lock_guard lock{mutex_};
        SysfsDevice::reset();
        if (event_fd_ >= 0) unmask_locked();
    }

  protected:
    void do_close() noexcept override {
        poll_.reset();
        node_.close();
        close_files();
    }
    void give_up_to_parent() noexcept override {
        SysfsDevice::give_up_to_parent();
        node_.close();
    }
    [[nodiscard]] std::string_view why_not(Feature feature) const noexcept override {
        switch (feature) {
            case Feature::msi:
            case Feature::msix:
                return "uio_pci_generic has INTx only";
            case Feature::dma:
                return "no IOMMU would keep the device to its memory, and physical addresses are not given out";
            default:
                return {};
        }
    }

  private:
    // The whole register, although the bit's byte has none that anybody else changes: QEMU looks at the line only when
    // the lower byte is written, too (hw/pci/pci.c, pci_default_write_config).
    void set_masked(bool masked) {
        const std::uint32_t command = config_read(config::kCommand, 2);
        const std::uint32_t others = command & ~std::uint32_t{config::kCommandIntxDisable};
        config_write(config::kCommand, 2, masked ? others | config::kCommandIntxDisable : others);
    }

    /// Interrupts since the driver has the device; nothing before the first one that this open file was told of.
    std::optional<std::uint32_t> take_count() {
        pollfd entry{.fd = node_.get(), .events = POLLIN, .revents = 0};
        if (::poll(&entry, 1, 0) != 1) return seen_;  // the driver makes those wait who have read it already
        std::uint32_t count = 0;
        if (::read(node_.get(), &count, sizeof count) != sizeof count)
            throw Error{errno == EIO ? Errc::unsupported : Errc::device_gone, object() + " interrupts",
                        "the interrupt count cannot be read", errno,
                        "see in `dmesg` whether the device got an interrupt line"};
        return count;
    }

    void start() {
        const int error = poll_.start(node_.get(), event_fd_);
        if (error != 0)
            throw Error{error == ENOSYS ? Errc::unsupported : Errc::system_error, object() + " interrupts",
                        "the kernel's asynchronous I/O does not take the uio file", error,
                        "use a kernel with CONFIG_AIO, or the backend vfio"};
    }

    void unmask_locked() {
        if (event_fd_ >= 0 && !poll_.is_pending()) {
            // One was delivered by the request that has ended; what came besides (somebody cleared the bit) goes along.
            const auto count = take_count();
            const std::uint32_t came = seen_ && count ? *count - *seen_ : 1;
            seen_ = count;
            if (came > 1) add_to(event_fd_, came - 1);
            start();
        }
        set_masked(false);
    }

    static void add_to(int event_fd, std::uint64_t count) noexcept {
        [[maybe_unused]] const auto written = ::write(event_fd, &count, sizeof count);
    }

    File node_;
    const bool has_intx_;
    std::mutex mutex_;  // guards what follows
    AioPoll poll_;
    int event_fd_ = -1;
    std::optional<std::uint32_t> seen_;
};

}  // namespace

std::shared_ptr<Backend> open_uio(const Bdf& bdf, const OpenOptions& options, System& system) {
    PciFunction function = describe(bdf, options.root);
    if (const auto obstacle = uiovfio::why_not(function, "uio", options.root)) throw_obstacle(*obstacle);
    return make_fork_guarded<UioBackend>(bdf, options, system, std::move(function));
}

std::shared_ptr<Backend> open_uio(const Bdf& bdf, const OpenOptions& options) {
    return open_uio(bdf, options, real_system());
}

}  // namespace uiovfio::detail
