// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Interrupts as counts: every vector has an eventfd on which the kernel adds up what has fired.
///
///     auto& interrupts = device.interrupts();
///     interrupts.enable(uiovfio::InterruptMode::msix, 4);       // first this, then let the device raise them
///     std::uint64_t fired = interrupts.wait(2, std::chrono::seconds{1});
///
/// MSI and MSI-X are writes to memory: they arrive only while the device is a bus master, which it need not be after
/// Device::open (see OpenOptions::bus_master). INTx is a line, and needs nothing.
///
/// Counts are never lost: what fires while no thread waits is in the next wait's count. Several firings may come as one
/// count, and hardware merges a message with one that is still pending, so look at all work after each wake-up.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include "uiovfio/subscription.hpp"

namespace uiovfio {

namespace detail {
class InterruptState;
}

/// How a device interrupts: by a line, by one message with a few numbers, or by a table of messages.
enum class InterruptMode { intx, msi, msix };

/// "INTx", "MSI", "MSI-X".
std::string_view to_string(InterruptMode mode) noexcept;

/// How Interrupts::grow() made room.
enum class Growth {
    in_place,    ///< the vectors that were enabled have not noticed: no interrupt of theirs was lost
    armed_anew,  ///< all were disabled for a moment; each that was enabled was fired once, so that its waiter looks
};

/// The interrupts of an open device; Device::interrupts() gives it. All functions may be called from any thread. At
/// most one wait per vector at a time (sync or async): with more, which of them gets a count is open, and which of
/// them a reset or the loss of the device ends; disable() and Device::close() end all.
///
/// Waiting and try_take() take no lock and allocate nothing. Every function throws closed after Device::close(), and
/// device_gone once the device is known to be gone (see Device::is_present()), which also ends the waits in progress.
///
/// Growing. Kernels from 6.5 on add MSI-X vectors to those in use, where the platform lets them: grow() is then in
/// place up to available(). Others, and MSI on all of them, fix the number when the mode is enabled. There, enable()
/// can be given room: vectors that the kernel sets aside, silent and masked, which grow() connects in place. Without
/// room enough, grow() disables the mode and enables it again. What the device raises meanwhile is lost, or goes out
/// as INTx; so each vector that was enabled is fired once by software, and its waiter gets a count of at least 1, for
/// which there may be no work. A driver that scans all work after each wake-up, as is the rule, misses nothing.
class Interrupts {
  public:
    /// Vectors that the device has in a mode: 0 or 1 for INTx, up to 32 for MSI, up to 2048 for MSI-X.
    [[nodiscard]] unsigned available(InterruptMode mode) const;
    unsigned available(InterruptMode mode, std::error_code& ec) const noexcept;

    /// Enables vectors 0 to count - 1, all at once. Do this before the device is told to raise any, then look at the
    /// device's state once: an interrupt that it raised earlier is gone.
    ///
    /// `room`, where it is more than `count`, is how many vectors grow() shall be able to reach in place. It is a wish:
    /// the kernel may have fewer, capacity() tells, and what is set aside is missing to other devices. With MSI the
    /// device sees all of `room` as its own, and does not fold the vectors beyond `count` into them.
    ///
    /// Throws interrupt_mode_busy (disable() first, or grow()), interrupt_capacity with the number that could be had,
    /// unsupported, invalid_argument for 0, system_error when the process has no file descriptor left.
    void enable(InterruptMode mode, unsigned count, unsigned room = 0);
    void enable(InterruptMode mode, unsigned count, std::error_code& ec) noexcept;
    void enable(InterruptMode mode, unsigned count, unsigned room, std::error_code& ec) noexcept;

    /// Enables more vectors of the mode in force: afterwards there are `count`; nothing happens when there are as many
    /// already. See Growth for what it means to those that were enabled. When it fails, they are as before, unless
    /// arming them again fails as well: then none are enabled, and waits end with interrupts_not_enabled.
    /// Throws interrupts_not_enabled, interrupt_capacity, system_error.
    Growth grow(unsigned count);
    Growth grow(unsigned count, std::error_code& ec) noexcept;
    /// How many vectors grow() can reach in place; 0 when none are enabled.
    [[nodiscard]] unsigned capacity() const noexcept;

    /// Disables the mode in force; nothing happens when there is none. Waits in progress end with
    /// interrupts_not_enabled. Stop the device from raising interrupts first.
    void disable();
    void disable(std::error_code& ec) noexcept;

    /// Throws interrupts_not_enabled.
    [[nodiscard]] InterruptMode mode() const;
    InterruptMode mode(std::error_code& ec) const noexcept;
    /// Vectors enabled; 0 when none are.
    [[nodiscard]] unsigned count() const noexcept;

    /// The vector's eventfd, for poll() and the like; it stays this object's. It may be readable without an interrupt:
    /// take the count with try_take(), not with read(). Throws interrupts_not_enabled, no_such_vector.
    [[nodiscard]] int event_fd(unsigned vector) const;
    int event_fd(unsigned vector, std::error_code& ec) const noexcept;

    /// Takes what has fired since the last time; 0 when nothing has or the vector is not enabled. Never blocks.
    std::uint64_t try_take(unsigned vector) noexcept;

    /// Waits until the vector has fired and takes the count, at least 1. A timeout of 0 looks once; a negative one
    /// waits for ever. Throws timed_out, device_reset (Device::reset() ran after this wait began; vectors are armed
    /// again and counts from before are kept), interrupts_not_enabled (never, or disabled meanwhile), no_such_vector,
    /// system_error. The second form allocates nothing, however it ends.
    std::uint64_t wait(unsigned vector, std::chrono::nanoseconds timeout);
    std::uint64_t wait(unsigned vector, std::chrono::nanoseconds timeout, std::error_code& ec) noexcept;

    /// Silences one vector until arm(): the kernel takes its handler away, which masks it in the MSI-X table. What the
    /// device raises meanwhile stays pending in it and is delivered, as one, by arm(). With MSI that holds only for
    /// devices that can mask single vectors; those that cannot lose it. Counts that are there can still be taken.
    /// Throws interrupts_not_enabled, no_such_vector, unsupported for INTx, which mask() is for.
    void disarm(unsigned vector);
    void disarm(unsigned vector, std::error_code& ec) noexcept;
    void arm(unsigned vector);
    void arm(unsigned vector, std::error_code& ec) noexcept;

    /// Has the kernel fire the vector as if the device had: the whole path to the waiter, without the device's logic.
    /// The second form fires several in one call. A vector that is disarmed stays silent.
    /// Throws interrupts_not_enabled, no_such_vector, unsupported where the backend cannot (Feature::trigger).
    void trigger(unsigned vector);
    void trigger(unsigned vector, std::error_code& ec) noexcept;
    void trigger(std::span<const unsigned> vectors);
    void trigger(std::span<const unsigned> vectors, std::error_code& ec) noexcept;

    /// Masks the INTx line, over resets as well. The kernel masks it by itself with every interrupt: INTx fires once,
    /// then stays silent until unmask(). Throws unsupported in the other modes, where masking is the device's business.
    void mask();
    void mask(std::error_code& ec) noexcept;
    /// Unmasks the INTx line, once the device no longer drives it; while it does, the interrupt fires again at once.
    void unmask();
    void unmask(std::error_code& ec) noexcept;

    /// See Subscription. Throws interrupts_not_enabled, no_such_vector, and system_error when the process has no file
    /// descriptor left.
    [[nodiscard]] Subscription subscribe(unsigned vector) const;
    std::optional<Subscription> subscribe(unsigned vector, std::error_code& ec) const noexcept;

    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;
    ~Interrupts();

  private:
    friend class Device;
    explicit Interrupts(std::shared_ptr<detail::InterruptState> state) noexcept;

    std::shared_ptr<detail::InterruptState> state_;
};

}  // namespace uiovfio
