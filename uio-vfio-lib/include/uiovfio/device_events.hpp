// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the kernel has to tell about a device, besides its interrupts: that its link broke, and that it is wanted back.
///
///     std::error_code ec;
///     if (device.events().wait(uiovfio::DeviceEvent::removal_request, std::chrono::hours{1}, ec) > 0) {
///         engine.stop();     // nothing of the device's runs any more
///         device.close();    // this is what whoever unbinds or unplugs it has been waiting for
///     }
///
/// The life of a device that can be taken away:
///
///     running --> removal requested --> drained --> released
///        |                                ^
///        +-------- device gone -----------+
///
/// - running: until removal_request comes. The kernel asks when vfio-pci is being unbound, when the device is being
///   removed, and when it was pulled out: then the request comes together with the loss, and what is read is all ones
///   (Device::is_present() tells). It asks again every ten seconds, for as long as the device is held.
/// - removal requested: the driver takes no new work, and ends what runs: stops its queues, or finds that they are
/// gone.
///   There is no deadline but the patience of whoever asked, who waits in the kernel, often with locks held.
/// - drained: nothing of the device's is in flight, and its buffers may be unmapped.
/// - released: Device::close(). It disarms the interrupts, ends the mappings and closes the device's file: only now the
///   kernel goes on. Everything made from the Device fails with closed from here on.
///
/// Never touch the device's files in sysfs (unbind, remove, reset, config, driver_override) between the request and
/// close(), nor call bind(), unbind(), restore() or describe() for it: whoever asked holds the device's lock, waits for
/// close(), and close() would never be reached. Do not wait for another thread or process that does so, either.
///
/// `error` is an uncorrectable error that the link reported (PCI Express AER): what was in flight may be corrupt, and
/// the kernel may reset the link without asking. Stop, reset the device, begin again.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include "uiovfio/subscription.hpp"

namespace uiovfio {

namespace detail {
class EventState;
}

/// What VFIO tells of a device beside its interrupts.
enum class DeviceEvent { error, removal_request };

/// "error", "removal request".
std::string_view to_string(DeviceEvent event) noexcept;

/// The events of an open device; Device::events() gives it. They are armed from open to close, also over resets, of
/// which those who wait for an event are not told. All functions may be called from any thread, with at most one wait
/// per event at a time. Counts are never lost: what came while no thread waited is in the next wait's count.
///
/// Waiting takes no lock and allocates nothing. Every function throws closed after Device::close(), device_gone once
/// the device is known to be gone, and unsupported for an event that the device or the backend does not have.
class DeviceEvents {
  public:
    /// Whether the event can come: VFIO has `removal_request` for every device and `error` for PCI Express ones, sim
    /// has both.
    [[nodiscard]] bool available(DeviceEvent event) const noexcept;

    /// The event's eventfd, for poll() and the like; it stays this object's. It may be readable without an event: take
    /// the count with try_take(), not with read().
    [[nodiscard]] int event_fd(DeviceEvent event) const;
    int event_fd(DeviceEvent event, std::error_code& ec) const noexcept;

    /// Takes how often it has come since the last time; 0 when it has not. Never blocks.
    std::uint64_t try_take(DeviceEvent event) noexcept;

    /// Waits until the event has come and takes the count, at least 1. A timeout of 0 looks once; a negative one waits
    /// for ever. Throws timed_out, system_error. The second form allocates nothing, however it ends.
    std::uint64_t wait(DeviceEvent event, std::chrono::nanoseconds timeout);
    std::uint64_t wait(DeviceEvent event, std::chrono::nanoseconds timeout, std::error_code& ec) noexcept;

    /// Has the kernel raise the event as if it had happened, so that a driver's answer to it can be tested.
    void trigger(DeviceEvent event);
    void trigger(DeviceEvent event, std::error_code& ec) noexcept;

    /// See Subscription. Throws system_error when the process has no file descriptor left.
    [[nodiscard]] Subscription subscribe(DeviceEvent event) const;
    std::optional<Subscription> subscribe(DeviceEvent event, std::error_code& ec) const noexcept;

    DeviceEvents(const DeviceEvents&) = delete;
    DeviceEvents& operator=(const DeviceEvents&) = delete;
    ~DeviceEvents();

  private:
    friend class Device;
    explicit DeviceEvents(std::shared_ptr<detail::EventState> state) noexcept;

    std::shared_ptr<detail::EventState> state_;
};

}  // namespace uiovfio
