// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An interrupt is fired and somebody waits for it: the time in between, and what the waiter does meanwhile.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>
#include <system_error>
#include <uiovfio/interrupts.hpp>

#include "measure/contest.hpp"
#include "measure/placement.hpp"

namespace pcienic::bench {

/// What is waited for.
struct Target {
    uiovfio::Interrupts& interrupts;
    unsigned vector = 0;
};

/// How many interrupts a round has: first those in which whatever is made on first use is made.
struct Round {
    std::size_t unmeasured = 5;
    std::size_t measured = 20;

    [[nodiscard]] std::size_t all() const noexcept { return unmeasured + measured; }
};

/// Where a waiter tells what happens to it.
class Wakes {
  public:
    explicit Wakes(const Round& round) noexcept : round_{round} {}
    virtual ~Wakes() = default;
    Wakes(const Wakes&) = delete;
    Wakes& operator=(const Wakes&) = delete;

    /// All is made; the first wait comes next.
    void ready() noexcept { on_ready(); }
    /// An interrupt came. False when it was the last one, or nobody wants more: do not wait again.
    [[nodiscard]] bool woken() noexcept;
    /// A wait failed. Do not wait again.
    void failed(std::error_code why) noexcept;
    /// Nobody wants more. For waiters that spin; others learn it from their wait.
    [[nodiscard]] bool stopped() const noexcept { return stop_.load(std::memory_order_relaxed); }

    /// Called in the waiter's thread before its first measured wait, and after its last one.
    void (*at_boundary)() = nullptr;

  protected:
    virtual void on_ready() noexcept = 0;
    virtual void on_woken(Clock::time_point at, bool is_last) noexcept = 0;
    virtual void on_failed() noexcept = 0;

    Round round_;
    std::size_t seen_ = 0;
    /// Of the waiter's thread in its measured waits; valid after the last.
    std::size_t allocations_ = 0;
    std::error_code error_;
    std::atomic<bool> stop_{false};
};

/// A way to wait: calls Wakes::ready() once, and then waits for as long as Wakes::woken() says so.
struct Waiter {
    std::string_view name;
    std::function<void(const Target& target, Wakes& wakes)> wait;
    /// False for one that spins.
    bool sleeps = true;
    /// Ends a wait that goes on when the target's interrupts are disabled.
    std::function<void()> abandon = {};
};

/// What the others are compared with: read() of the vector's eventfd, which blocks.
extern const Waiter kBlockingRead;
extern const std::array<Waiter, 8> kOtherWaiters;

/// Fires a target's vector and takes the times.
class Rig {
  public:
    /// `fire` raises what the waiters wait for.
    Rig(const Target& target, Processors processors, std::function<void()> fire)
        : target_{target}, processors_{processors}, fire_{std::move(fire)} {}

    /// The waiter has a thread and a processor of its own, and each interrupt is fired once it sleeps. Throws
    /// cli::Failure(timeout) where one does not come, and std::system_error with what a wait failed with; the
    /// interrupts are disabled then.
    void wake(const Waiter& waiter, const Round& round, Recorder& recorder);

    /// The waiter's own thread fires each interrupt before it waits, so that it is there already: what the way to wait
    /// costs by itself. Throws as wake(), but waits for ever for an interrupt that does not come.
    void find(const Waiter& waiter, const Round& round, Recorder& recorder);

    /// Called by the waiter's thread as it starts, and as Wakes::at_boundary; for wake().
    void (*at_start)() = nullptr;
    void (*at_boundary)() = nullptr;
    /// How long an interrupt may take: a watchdog, far beyond what any machine needs.
    std::chrono::nanoseconds patience = std::chrono::seconds{60};

  private:
    Target target_;
    Processors processors_;
    std::function<void()> fire_;
};

}  // namespace pcienic::bench
