// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "backend.hpp"
#include "counter_set.hpp"
#include "uiovfio/device_events.hpp"

namespace uiovfio::detail {

/// The eventfds of a device's events, armed from construction to close().
class EventState {
  public:
    /// Throws what arming throws.
    explicit EventState(std::shared_ptr<Backend> backend);

    [[nodiscard]] Backend& backend() const noexcept { return *backend_; }
    /// Those of the events that the device has; indexed by event. May be used after close().
    [[nodiscard]] CounterSet& counters() noexcept { return counters_; }
    [[nodiscard]] const CounterSet& counters() const noexcept { return counters_; }

    /// Throws closed, device_gone, unsupported.
    void require(DeviceEvent event) const;
    [[nodiscard]] std::error_code status(DeviceEvent event) const noexcept;

    /// Ends the waits in progress with device_gone.
    void lost() noexcept { counters_.interrupt_waits(Errc::device_gone); }
    void close() noexcept;

  private:
    std::shared_ptr<Backend> backend_;
    CounterSet counters_;
};

}  // namespace uiovfio::detail
