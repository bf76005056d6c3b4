// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A way to follow one interrupt vector or device event from an event loop of one's own.

#include <chrono>
#include <cstdint>
#include <memory>
#include <system_error>

namespace uiovfio {

namespace detail {
class CounterSet;
}

/// What AsyncVector, AsyncDeviceEvent and the hybrid waits are made of; Interrupts::subscribe() and
/// DeviceEvents::subscribe() give it.
///
/// Wait until descriptor() is readable, read its 8 bytes into a std::uint64_t, and give that to resolve(). The
/// subscription stays valid after the interrupts are disabled or the device is closed: resolve() then says so.
class Subscription {
  public:
    Subscription(Subscription&& other) noexcept;
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription();

    /// Non-blocking, close-on-exec, owned by this object.
    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
    /// Gives the descriptor away; the caller closes it.
    [[nodiscard]] int release_descriptor() noexcept;

    /// Take it before a wait begins.
    [[nodiscard]] std::uint64_t generation() const noexcept;
    /// What the 8 bytes mean for a wait that began at `generation`: a count, or 0 with `ec` clear when it was a wake-up
    /// without an interrupt (wait on), or 0 with device_reset, interrupts_not_enabled, device_gone or closed. An
    /// interrupt that came together with such an error is kept for the next wait.
    std::uint64_t resolve(std::uint64_t raw, std::uint64_t generation, std::error_code& ec) const noexcept;
    /// Whether a wait may begin: interrupts_not_enabled, device_gone or closed when none of its interrupts could ever
    /// come.
    [[nodiscard]] std::error_code status() const noexcept;

    /// Takes what was counted, for a wait that began at `generation`; 0 when there is nothing, or with `ec` as
    /// resolve(). Never blocks.
    std::uint64_t try_take(std::uint64_t generation, std::error_code& ec) const noexcept;
    /// Why a wait that began at `generation` is over, if it is. No system call.
    [[nodiscard]] std::error_code interruption(std::uint64_t generation) const noexcept;
    /// The blocking wait, begun at `generation`. A negative timeout is for ever. Gives 0 with `ec` as resolve(), or
    /// with timed_out or system_error.
    std::uint64_t wait(std::chrono::nanoseconds timeout, std::uint64_t generation, std::error_code& ec) const noexcept;

  private:
    friend class Interrupts;
    friend class DeviceEvents;
    Subscription(std::shared_ptr<detail::CounterSet> counters, unsigned index, int descriptor) noexcept;

    std::shared_ptr<detail::CounterSet> counters_;
    unsigned index_ = 0;
    int descriptor_ = -1;
};

}  // namespace uiovfio
