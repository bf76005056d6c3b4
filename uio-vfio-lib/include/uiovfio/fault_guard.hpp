// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Whether the device answered: accesses to a BAR as something that can fail.
///
///     std::uint32_t status = 0;
///     if (std::error_code ec = uiovfio::mmio_guard(window, [&] { status = window.load<std::uint32_t>(0x14); }))
///         return ec;   // device_gone: `status` is no answer of the device's
///
/// A mapped BAR that the kernel cannot serve (memory space is disabled, or the device sleeps in D3hot) answers with
/// SIGBUS. This library turns that into what a bus gives for an access that goes unanswered: loads read all ones and
/// stores go nowhere, for every BAR that it maps, with or without a guard, and the access itself costs no more. A guard
/// only looks at the count of such accesses before and after. Once the device answers again (ConfigSpace enabled its
/// memory space or woke it, or it was reset), so does its BAR; what was stored in between is lost. Until then, a store
/// may be read back from the memory that stands in for the device: a value that one stored is no sign of life.
///
/// A device that was pulled out need not fault: what is read is then all ones, or what else the bus gives. The second
/// opinion is Device::is_present(), which asks configuration space; from then on, guards know as well.
///
/// The handler for SIGBUS is installed when the first BAR of the process is mapped, and passes on to the one before it
/// what is not its own. A program that installs one of its own later passes on likewise, or loses this protection; and
/// a thread that blocks SIGBUS has none. That concerns accesses after close() as well, beyond the first 32 MiB of a
/// BAR.

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

#include "uiovfio/error.hpp"
#include "uiovfio/window.hpp"

namespace uiovfio {

namespace detail {
struct FaultSlot;
}

/// Watches the accesses to one BAR, by all threads, for as long as it lives. Guards may be nested, in any order; each
/// knows of everything since its own beginning. Allocates nothing and throws nothing. Not for several threads at once.
class FaultGuard {
  public:
    /// The window is one of Bar::map() or Bar::window(), of a Device that lives at least as long as this object. Memory
    /// of the caller's own is never gone.
    explicit FaultGuard(const MappedWindow& window) noexcept;
    explicit FaultGuard(const Window& window) noexcept;

    /// device_gone when an access since the beginning was not answered, or when it is known that none would be; closed
    /// after Device::close(); unsupported or misaligned when an access could not be made as it was asked for, which a
    /// Window that is not mapped leaves undone. All that was read since then is to be thrown away.
    [[nodiscard]] std::error_code status() const noexcept;

  private:
    void watch(const volatile void* mapped) noexcept;

    const detail::FaultSlot* slot_ = nullptr;  // of a mapped window
    detail::Backend* backend_ = nullptr;       // of one that is not
    std::uint64_t before_ = 0;
    std::uint64_t refused_before_ = 0;
};

/// Runs `action` and tells whether the device answered all of its accesses to the window's BAR. What the action throws
/// goes through.
template <class AnyWindow, std::invocable Action>
    requires std::constructible_from<FaultGuard, const AnyWindow&>
[[nodiscard]] std::error_code mmio_guard(const AnyWindow& window, Action&& action) {
    const FaultGuard guard{window};
    std::invoke(std::forward<Action>(action));
    return guard.status();
}

}  // namespace uiovfio
