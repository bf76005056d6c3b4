// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Interrupts as counts: every vector has an eventfd on which the kernel adds up what has fired.
///
///     auto& interrupts = device.interrupts();
///     interrupts.enable(uiovfio::InterruptMode::msix, 4);       // first this, then let the device raise them
///     std::uint64_t fired = interrupts.wait(2, std::chrono::seconds{1});
///
/// Counts are never lost: what fires while nobody waits is in the next wait's count. Several firings may come as one
/// count, and hardware merges a message with one that is still pending, so look at all work after each wake-up.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

namespace uiovfio {

namespace detail {
class Backend;
class InterruptState;
struct VectorSet;
}  // namespace detail

/// How a device interrupts: by a line, by one message with a few numbers, or by a table of messages.
enum class InterruptMode { intx, msi, msix };

/// "INTx", "MSI", "MSI-X".
std::string_view to_string(InterruptMode mode) noexcept;

/// A way to follow one vector from an event loop of one's own; what AsyncVector is made of.
///
/// Wait until descriptor() is readable, read its 8 bytes into a std::uint64_t, and give that to resolve(). The
/// subscription stays valid after the interrupts are disabled or the device is closed: resolve() then says so.
class VectorSubscription {
  public:
    VectorSubscription(VectorSubscription&& other) noexcept;
    VectorSubscription& operator=(VectorSubscription&& other) noexcept;
    ~VectorSubscription();

    /// Non-blocking, close-on-exec, owned by this object.
    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
    /// Gives the descriptor away; the caller closes it.
    [[nodiscard]] int release_descriptor() noexcept;

    /// Take it before a wait begins.
    [[nodiscard]] std::uint64_t generation() const noexcept;
    /// What the 8 bytes mean for a wait that began at `generation`: a count, or 0 with `ec` clear when it was a wake-up
    /// without an interrupt (wait on), or 0 with device_reset, interrupts_not_enabled or closed. An interrupt that came
    /// together with such an error is kept for the next wait.
    std::uint64_t resolve(std::uint64_t raw, std::uint64_t generation, std::error_code& ec) const noexcept;
    /// Whether a wait may begin: interrupts_not_enabled or closed when none of its interrupts could ever come.
    [[nodiscard]] std::error_code status() const noexcept;

  private:
    friend class Interrupts;
    VectorSubscription(std::shared_ptr<detail::InterruptState> state, std::shared_ptr<detail::VectorSet> vectors,
                       unsigned vector, int descriptor) noexcept;

    std::shared_ptr<detail::InterruptState> state_;
    std::shared_ptr<detail::VectorSet> vectors_;
    unsigned vector_ = 0;
    int descriptor_ = -1;
};

/// The interrupts of an open device; Device::interrupts() gives it. All functions may be called from any thread. At
/// most one wait per vector at a time (sync or async): with more, which of them gets a count is open.
class Interrupts {
  public:
    /// Vectors that the device has in a mode: 0 or 1 for INTx, up to 32 for MSI, up to 2048 for MSI-X.
    [[nodiscard]] unsigned available(InterruptMode mode) const;
    unsigned available(InterruptMode mode, std::error_code& ec) const noexcept;

    /// Enables vectors 0 to count - 1, all at once. Do this before the device is told to raise any, then look at the
    /// device's state once: an interrupt that it raised earlier is gone.
    /// Throws interrupt_mode_busy (disable() first; that also goes for more vectors of the same mode),
    /// interrupt_capacity with the number that could be had, unsupported, invalid_argument for 0, closed.
    void enable(InterruptMode mode, unsigned count);
    void enable(InterruptMode mode, unsigned count, std::error_code& ec) noexcept;

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
    /// closed. The second form allocates nothing, however it ends.
    std::uint64_t wait(unsigned vector, std::chrono::nanoseconds timeout);
    std::uint64_t wait(unsigned vector, std::chrono::nanoseconds timeout, std::error_code& ec) noexcept;

    /// Has the kernel fire the vector as if the device had: the whole path to the waiter, without the device's logic.
    /// Throws interrupts_not_enabled, no_such_vector, unsupported where the backend cannot (Feature::trigger).
    void trigger(unsigned vector);
    void trigger(unsigned vector, std::error_code& ec) noexcept;

    /// Masks the INTx line. The kernel masks it by itself with every interrupt: INTx fires once, then stays silent
    /// until unmask(). Throws unsupported in the other modes, where masking is the device's business.
    void mask();
    void mask(std::error_code& ec) noexcept;
    /// Unmasks the INTx line, once the device no longer drives it; while it does, the interrupt fires again at once.
    void unmask();
    void unmask(std::error_code& ec) noexcept;

    /// See VectorSubscription. Throws interrupts_not_enabled, no_such_vector, closed, and system_error when the process
    /// has no file descriptor left.
    [[nodiscard]] VectorSubscription subscribe(unsigned vector) const;
    std::optional<VectorSubscription> subscribe(unsigned vector, std::error_code& ec) const noexcept;

    Interrupts(const Interrupts&) = delete;
    Interrupts& operator=(const Interrupts&) = delete;
    ~Interrupts();

  private:
    friend class Device;
    explicit Interrupts(std::shared_ptr<detail::Backend> backend);
    /// Disarms, calls `reset`, arms again (also when that throws), and tells those who wait.
    void reset_around(const std::function<void()>& reset);
    void close() noexcept;

    std::shared_ptr<detail::InterruptState> state_;
};

}  // namespace uiovfio
