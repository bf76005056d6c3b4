// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An open PCI device.
///
///     auto device = uiovfio::Device::open(uiovfio::Bdf::parse("0000:01:00.0"));
///     auto registers = device.bar(0).window();
///     auto id = registers.load<std::uint32_t>(0);
///
/// A driver of a device that may not have been reset, which is any driver of devices that are not all alike, first
/// stops what the device is at, then lets it reach memory:
///
///     registers.store<std::uint32_t>(kControl, 0);          // in the device's own words; wait until it has stopped
///     device.config().set_bus_master(true);                 // from here on it can use DMA, and send MSI and MSI-X

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "uiovfio/backends.hpp"
#include "uiovfio/bar.hpp"
#include "uiovfio/bdf.hpp"
#include "uiovfio/config_space.hpp"
#include "uiovfio/device_events.hpp"
#include "uiovfio/dma.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/interrupts.hpp"
#include "uiovfio/sysfs.hpp"
#include "uiovfio/trace_options.hpp"

namespace uiovfio {

namespace detail {
struct DeviceState;
}

/// How a device is opened.
struct OpenOptions {
    /// One of backends(), or "auto": the one that fits what the device is bound to and what the kernel has.
    std::string backend = "auto";
    /// Whether the Bus Master bit is set where opening the device has reset it (Device::was_reset()). Without the bit
    /// the device can neither use DMA nor send MSI or MSI-X, which are writes to memory as well.
    ///
    /// A device that was not reset may still be at work for the program that had it before, and the bus addresses that
    /// it was given then may be those of this program's memory now. So the bit is off after open(), whatever is asked
    /// for here: stop the device, then turn it on with ConfigSpace::set_bus_master(true).
    ///
    /// A backend that can use neither DMA nor messages (uio, sysfs) never sets the bit; sysfs leaves it as it is where
    /// the device is somebody else's, too: a driver has it, or it was enabled before.
    bool bus_master = true;
    /// How long to try again while the IOMMU group or the device is still held elsewhere: a process that just ended may
    /// take a moment.
    std::chrono::milliseconds busy_timeout{1000};
    /// Lets sysfs have a device that a kernel driver has, too. They know nothing of each other; closing leaves the
    /// command register to the driver.
    bool share_with_driver = false;
    /// Where the kernel's trees are.
    SysfsRoot root = {};
    /// What is recorded of the device's use: nothing, at no cost, unless it names a file. See trace.hpp.
    TraceOptions trace = {};
};

/// A device that this process has to itself. Move-only; closes when destroyed.
///
/// What the accessors return stays valid until the Device is destroyed (moving it is fine); after close(), every
/// operation on them fails with Errc::closed. VFIO resets the device when it is opened and when it is closed, if the
/// device can be reset by itself: see was_reset().
/// Unbinding vfio-pci, or unplugging the device, waits until this object closes; events() says that it is wanted.
/// All functions may be called from any thread, except that nothing may race with the destructor, close() or a move.
class Device {
  public:
    /// An empty one: every operation fails with Errc::closed.
    Device() noexcept;
    Device(Device&& other) noexcept;
    Device& operator=(Device&& other) noexcept;
    ~Device();

    /// Opens the function at `bdf` and enables its memory space. Bus mastering is on afterwards if opening has reset
    /// the device (was_reset()) and OpenOptions::bus_master allows it; otherwise it is off, and the driver turns it on
    /// with ConfigSpace::set_bus_master(true) once the device is quiet. Throws no_such_device, not_bound,
    /// group_not_viable, group_busy, device_busy, no_iommu, no_vfio, permission_denied, unknown_backend, unsupported,
    /// device_gone, system_error.
    static Device open(const Bdf& bdf, const OpenOptions& options = {});
    static Device open(const Bdf& bdf, const OpenOptions& options, std::error_code& ec) noexcept;

    /// Stops the device (bus master off), disables its interrupts, ends its mappings and closes it. Twice is fine.
    void close() noexcept;
    /// False for an empty Device, and after close().
    [[nodiscard]] bool is_open() const noexcept;
    explicit operator bool() const noexcept { return is_open(); }

    /// Where it is; all zeros for an empty Device.
    [[nodiscard]] const Bdf& bdf() const noexcept;
    /// The name of the one in backends() through which it is open; empty for an empty Device.
    [[nodiscard]] std::string_view backend() const noexcept;
    /// Whether that backend can do it: BackendTraits::can(). False for an empty Device.
    [[nodiscard]] bool can(Feature feature) const noexcept;

    /// These throw Errc::closed for an empty Device.
    [[nodiscard]] const ConfigSpace& config() const;
    [[nodiscard]] Interrupts& interrupts() const;
    [[nodiscard]] DeviceEvents& events() const;
    [[nodiscard]] DmaSpace& dma() const;

    /// BAR 0 to 5. Throws no_such_bar when the device does not implement it, closed.
    [[nodiscard]] const Bar& bar(unsigned index) const;
    /// Null instead of an exception.
    const Bar* bar(unsigned index, std::error_code& ec) const noexcept;
    /// Those that the device implements, in order.
    [[nodiscard]] std::vector<Bar> bars() const;

    /// Whether the device is in its slot: asks configuration space, as a register of a BAR may hold all ones, and one
    /// of a device that is gone need not. False also when closed. Once this was false, waits in progress end with
    /// device_gone, every function of the device throws it, and BARs read all ones, until the device answers again.
    /// Nobody asks by himself, except where an access fails or reads all ones (Bar::read).
    [[nodiscard]] bool is_present() const noexcept;

    /// Whether opening has reset the device, so that it does nothing of what an earlier program told it. VFIO does that
    /// where it can; it is not taken for done where it was no more than a change of the power state (the method "pm" in
    /// sysfs's reset_method), after which devices have been seen to go on. False with uio and sysfs, and when closed.
    [[nodiscard]] bool was_reset() const noexcept;

    /// Whether reset() can work: function-level reset, or another that touches no other device.
    [[nodiscard]] bool can_reset() const noexcept;
    /// Resets the function. Afterwards memory space and bus mastering are as before and interrupts are armed again, in
    /// the same mode on the same eventfds; waits in progress end with device_reset. Mappings for DMA stay; the device's
    /// registers are as after a reset. Throws unsupported, closed, system_error.
    void reset();
    void reset(std::error_code& ec) noexcept;

  private:
    friend class DeviceFactory;
    explicit Device(std::shared_ptr<detail::DeviceState> state) noexcept;
    static std::shared_ptr<detail::DeviceState> make_state(const Bdf& bdf,
                                                           const std::shared_ptr<detail::Backend>& backend,
                                                           bool bus_master);
    const detail::DeviceState& state() const;

    std::shared_ptr<detail::DeviceState> state_;
};

}  // namespace uiovfio
