// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Eventfds as counters, and how those who wait on them learn of what is no interrupt.
///
/// An eventfd's counter holds 64 bits, of which interrupts never need the two highest. To wake those who wait for
/// another reason (reset, disabling, loss, closing), kMark is added to every counter and the generation goes up. A
/// reader strips the marks; when the generation is not the one that its wait began with, the wait is over. A mark that
/// nobody waited for is a wake-up without an interrupt. A reader whose wait is over puts back what it took, the count
/// of interrupts and the mark.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include "file_descriptor.hpp"
#include "fork_guard.hpp"
#include "trace_sink.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/subscription.hpp"

namespace uiovfio::detail {

inline constexpr std::uint64_t kMark = std::uint64_t{1} << 62;

/// How a wait ended. It holds no text: a time that is up is no more than a turn of many a caller's loop, and must not
/// allocate.
struct Waited {
    std::uint64_t count = 0;
    std::error_code ec = {};
    int system_errno = 0;
};

/// The functions after restart() may be called from any thread and take no lock; those that change the set have one
/// caller at a time.
class CounterSet final : public ForkGuarded {
  public:
    CounterSet() noexcept { ForkList::the().join(*this); }
    ~CounterSet() override { ForkList::the().leave(*this); }

    /// Where counts that are taken are reported; null for nowhere. Before the first use.
    void set_trace(TraceSink* trace) noexcept { trace_ = trace; }
    /// Empty, with room for `capacity` counters, and in force. Only while nobody else uses it.
    void restart(unsigned capacity);

    /// Makes the eventfds from size() to count - 1, which nobody sees before publish(). Throws system_error, and then
    /// has made none; `object` is for its text.
    void prepare(unsigned count, const std::string& object);
    void publish(unsigned count) noexcept { size_.store(count); }

    /// Closes those that are prepared and not published.
    void drop_prepared() noexcept;

    /// Counts one, as an interrupt does.
    void count_one(unsigned index) noexcept;
    /// Ends the waits in progress with `why`. Those that begin later are not told.
    void interrupt_waits(Errc why) noexcept;
    /// Ends all waits with `why`, also those to come.
    void end(Errc why) noexcept;
    /// Closes the eventfds. Only while nobody else uses them.
    void clear() noexcept { restart(0); }

    [[nodiscard]] unsigned size() const noexcept { return size_.load(); }
    /// Below size(), or of one that is prepared.
    [[nodiscard]] int descriptor(unsigned index) const noexcept { return event_fds_[index].get(); }
    [[nodiscard]] std::uint64_t generation() const noexcept { return generation_.load(); }
    /// What end() was told, if it was called.
    [[nodiscard]] std::error_code status() const noexcept;
    /// See Subscription::resolve.
    std::uint64_t resolve(unsigned index, std::uint64_t raw, std::uint64_t generation,
                          std::error_code& ec) const noexcept;
    /// What was counted since the last time; marks are dropped.
    [[nodiscard]] std::uint64_t try_take(unsigned index) const noexcept;
    /// The blocking wait; a negative timeout is for ever. `began_at` is the generation from before the caller saw that
    /// there is something to wait for: what comes after that look, and ends waits, also ends this one.
    [[nodiscard]] Waited wait(unsigned index, std::chrono::nanoseconds timeout, std::uint64_t began_at) const noexcept;
    /// As resolve(), of what is there.
    std::uint64_t try_take(unsigned index, std::uint64_t generation, std::error_code& ec) const noexcept;
    /// Why a wait that began at `generation` is over, if it is.
    [[nodiscard]] std::error_code interruption(std::uint64_t generation) const noexcept;

    /// A duplicate of the descriptor, because an event loop closes what it is given: the eventfd itself must outlive
    /// that. Throws system_error.
    [[nodiscard]] int duplicate(unsigned index, const std::string& object) const;

  private:
    /// The counters are the parent's: waits of the child fail, and take nothing.
    void give_up_to_parent() noexcept override;
    [[nodiscard]] bool is_parents() const noexcept { return end_.load() == static_cast<int>(Errc::forked); }
    void wake() noexcept;
    /// The count, of which the trace has been told.
    std::uint64_t told(unsigned index, std::uint64_t count) const noexcept;

    TraceSink* trace_ = nullptr;
    unsigned capacity_ = 0;
    std::unique_ptr<FileDescriptor[]> event_fds_;
    // All in one order: who sees a counter and the old generation is seen by who counts the generation up.
    std::atomic<unsigned> size_{0};
    std::atomic<std::uint64_t> generation_{0};
    std::atomic<int> interruption_{0};  // the Errc that goes with the newest generation
    std::atomic<int> end_{0};           // an Errc, or 0
};

}  // namespace uiovfio::detail
