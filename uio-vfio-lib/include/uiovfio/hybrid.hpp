// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Polling and interrupts in one wait: look for a while, then sleep until the interrupt.
///
///     uiovfio::HybridWait wait{device.interrupts().subscribe(3), uiovfio::AdaptiveSpin{}};
///     std::error_code ec;
///     if (wait.until([&]() noexcept { return ring.is_done(); }, std::chrono::seconds{1}, ec)) take(ring);
///
/// Sleeping and being woken costs some microseconds, which is more than a fast device takes to answer. Looking costs a
/// processor. How long to look is a policy's to say: AlwaysInterrupt, AlwaysPoll, AdaptiveSpin, or one of your own.
///
/// The device goes on raising interrupts while somebody looks. Where they cost more than they are worth, mask them in
/// the device, and unmask them in a predicate that is about to be false for long.

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <system_error>
#include <utility>

#include "uiovfio/error.hpp"
#include "uiovfio/subscription.hpp"

namespace uiovfio {

/// Says before each wait how long to look, and is told afterwards how long it took. Used by one thread at a time.
template <class Policy>
concept SpinPolicy = std::movable<Policy> && requires(Policy& policy, std::chrono::nanoseconds waited, bool came) {
    /// How long to look before sleeping; 0 sleeps at once, nanoseconds::max() never does.
    { policy.budget() } noexcept -> std::same_as<std::chrono::nanoseconds>;
    /// `came` is false for a wait whose time was up.
    { policy.learn(waited, came) } noexcept;
};

/// Sleeps at once: the least load, and the latency of being woken.
struct AlwaysInterrupt {
    /// See SpinPolicy.
    [[nodiscard]] static constexpr std::chrono::nanoseconds budget() noexcept { return {}; }
    /// See SpinPolicy.
    static constexpr void learn(std::chrono::nanoseconds /*waited*/, bool /*came*/) noexcept {}
};

/// Never sleeps: the least latency, and a processor to itself.
struct AlwaysPoll {
    /// See SpinPolicy.
    [[nodiscard]] static constexpr std::chrono::nanoseconds budget() noexcept {
        return std::chrono::nanoseconds::max();
    }
    /// See SpinPolicy.
    static constexpr void learn(std::chrono::nanoseconds /*waited*/, bool /*came*/) noexcept {}
};

/// Looks while what is awaited comes soon on average, and sleeps at once while it does not.
class AdaptiveSpin {
  public:
    /// What to adapt by.
    struct Options {
        /// How long to look, and the average wait up to which looking is worth it.
        std::chrono::nanoseconds longest{std::chrono::microseconds{50}};
        /// What a wait counts for in the moving average: one part of so many. At least 1.
        unsigned inertia = 8;
        /// While sleeping at once, look all the same every so many waits: what was slept through seems to take long
        /// because of the sleeping. At least 1.
        unsigned probe_every = 64;
    };

    AdaptiveSpin() noexcept : AdaptiveSpin{Options{}} {}
    /// Begins by looking.
    explicit AdaptiveSpin(const Options& options) noexcept : options_{options} {}

    /// See SpinPolicy.
    [[nodiscard]] std::chrono::nanoseconds budget() noexcept {
        if (average_ <= options_.longest) return options_.longest;
        if (++slept_ < options_.probe_every) return {};
        slept_ = 0;
        return options_.longest;
    }

    /// See SpinPolicy.
    void learn(std::chrono::nanoseconds waited, bool came) noexcept {
        // Time that was up says only that it takes longer than that.
        if (!came && waited < average_) return;
        // One long silence is no more than that: it must not be remembered for a hundred waits.
        waited = std::min(waited, kMostOfOne * options_.longest);
        average_ += (waited - average_) / static_cast<std::int64_t>(options_.inertia);
    }

    /// How long a wait takes, of late.
    [[nodiscard]] std::chrono::nanoseconds average() const noexcept { return average_; }

  private:
    static constexpr int kMostOfOne = 4;

    Options options_;
    std::chrono::nanoseconds average_{0};
    unsigned slept_ = 0;
};

namespace detail {

/// Tells the processor that somebody spins.
[[gnu::always_inline]] inline void spin_pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace detail

/// Waits on a vector or a device event, looking first. Move-only. Allocates nothing and takes no lock; one thread at a
/// time. Clock is for tests.
template <SpinPolicy Policy = AdaptiveSpin, class Clock = std::chrono::steady_clock>
class HybridWait {
  public:
    /// Waits for what the subscription follows.
    explicit HybridWait(Subscription subscription, Policy policy = {}) noexcept
        : subscription_{std::move(subscription)}, policy_{std::move(policy)} {}

    /// Waits for the interrupt itself and takes the count, at least 1. Each look is a system call. A negative timeout
    /// is for ever. Ends with 0 and `ec` as Interrupts::wait() does.
    std::uint64_t wait(std::chrono::nanoseconds timeout, std::error_code& ec) noexcept {
        const Attempt attempt = begin(timeout);
        std::uint64_t count = 0;
        ec.clear();
        if (attempt.budget > kNothing) {
            do {
                count = subscription_.try_take(attempt.generation, ec);
            } while (count == 0 && !ec && goes_on(attempt));
        }
        if (count == 0 && !ec) count = subscription_.wait(left(attempt), attempt.generation, ec);
        policy_.learn(Clock::now() - attempt.began, count != 0);
        return count;
    }

    /// Waits until `ready` holds, which has to come with an interrupt: a flag in memory that the device sets before it
    /// raises one. Looks at no more than that while it spins. Gives false with `ec` when the wait ended before: by
    /// time, by a reset, because the device is gone, and so on. Counts of the vector are taken as they come.
    template <class Ready>
        requires std::is_nothrow_invocable_r_v<bool, Ready&>
    bool until(Ready&& ready, std::chrono::nanoseconds timeout, std::error_code& ec) noexcept {
        const Attempt attempt = begin(timeout);
        ec.clear();
        bool is_ready = ready();
        if (attempt.budget > kNothing)
            while (!is_ready && !(ec = subscription_.interruption(attempt.generation)) && goes_on(attempt))
                is_ready = ready();
        // What is raised after this look is in the count, and ends the sleep.
        while (!is_ready && !ec) {
            subscription_.wait(left(attempt), attempt.generation, ec);
            is_ready = ready();
        }
        if (is_ready) ec.clear();
        policy_.learn(Clock::now() - attempt.began, is_ready);
        return is_ready;
    }

    /// With what it has learnt.
    [[nodiscard]] const Policy& policy() const noexcept { return policy_; }

  private:
    static constexpr std::chrono::nanoseconds kNothing{0};

    struct Attempt {
        typename Clock::time_point began;
        std::chrono::nanoseconds timeout;
        std::chrono::nanoseconds budget;
        std::uint64_t generation;
    };

    Attempt begin(std::chrono::nanoseconds timeout) noexcept {
        std::chrono::nanoseconds budget = policy_.budget();
        if (timeout >= kNothing) budget = std::min(budget, timeout);
        return {Clock::now(), timeout, budget, subscription_.generation()};
    }

    static bool goes_on(const Attempt& attempt) noexcept {
        detail::spin_pause();
        return Clock::now() - attempt.began < attempt.budget;
    }

    static std::chrono::nanoseconds left(const Attempt& attempt) noexcept {
        if (attempt.timeout < kNothing) return attempt.timeout;
        return std::max<std::chrono::nanoseconds>(attempt.timeout - (Clock::now() - attempt.began), kNothing);
    }

    Subscription subscription_;
    Policy policy_;
};

}  // namespace uiovfio
