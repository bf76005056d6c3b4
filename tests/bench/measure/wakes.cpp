// SPDX-License-Identifier: MIT
#include "measure/wakes.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <semaphore>
#include <thread>
#include <utility>

#include "cli/exit.hpp"
#include "measure/allocations.hpp"

namespace pcienic::bench {

bool Wakes::woken() noexcept {
    const auto at = Clock::now();
    ++seen_;
    const bool is_last = seen_ == round_.all();
    if (seen_ == round_.unmeasured) {
        allocations_ = bench::allocations();
        if (at_boundary != nullptr) at_boundary();
    } else if (is_last) {
        if (at_boundary != nullptr) at_boundary();
        allocations_ = bench::allocations() - allocations_;
    }
    const bool goes_on = !is_last && !stopped();
    on_woken(at, is_last);
    return goes_on;
}

void Wakes::failed(std::error_code why) noexcept {
    error_ = why;
    on_failed();
}

namespace {

/// The waiter sleeps in one thread, and another fires.
class HandedOver : public Wakes {
  public:
    using Wakes::Wakes;

    /// Fires each interrupt once the waiter sleeps, where it does.
    void fire_all(const std::function<void()>& fire, const Waiter& waiter, std::chrono::nanoseconds patience,
                  Recorder& recorder) {
        thread_.wait(0, std::memory_order_acquire);
        throw_failure(waiter);
        const SleepWatch watch{thread_.load(std::memory_order_relaxed)};
        for (std::size_t number = 0; number < round_.all(); ++number) {
            while (waiter.sleeps && !watch.sleeps() && !failed_.load(std::memory_order_acquire)) {
            }
            const auto fired = Clock::now();
            fire();
            if (!handed_over_.try_acquire_for(patience))
                throw cli::Failure(
                    cli::Exit::timeout,
                    fmt::format("{}: interrupt {} did not come within {} ms: see what pcienic-irqtest says",
                                waiter.name, number + 1,
                                std::chrono::duration_cast<std::chrono::milliseconds>(patience).count()));
            throw_failure(waiter);
            if (number >= round_.unmeasured) recorder.add(nanoseconds(at_ - fired));
        }
        recorder.add_allocations(allocations_);
    }

    void stop() noexcept { stop_.store(true, std::memory_order_relaxed); }

  private:
    void on_ready() noexcept override { publish_thread(); }
    void on_woken(Clock::time_point at, bool /*is_last*/) noexcept override {
        at_ = at;
        handed_over_.release();
    }
    void on_failed() noexcept override {
        failed_.store(true, std::memory_order_release);
        publish_thread();
        handed_over_.release();
    }
    void publish_thread() noexcept {
        thread_.store(::gettid(), std::memory_order_release);
        thread_.notify_one();
    }
    void throw_failure(const Waiter& waiter) const {
        if (failed_.load(std::memory_order_acquire)) throw std::system_error{error_, std::string{waiter.name}};
    }

    Clock::time_point at_;
    std::atomic<pid_t> thread_{0};
    std::atomic<bool> failed_{false};
    std::counting_semaphore<> handed_over_{0};
};

/// The waiter's thread fires by itself, as the last thing before it waits.
class SelfFired : public Wakes {
  public:
    SelfFired(const Round& round, const std::function<void()>& fire, Recorder& recorder) noexcept
        : Wakes{round}, fire_{fire}, recorder_{recorder} {}

    void finish(const Waiter& waiter) const {
        if (error_) throw std::system_error{error_, std::string{waiter.name}};
        recorder_.add_allocations(allocations_);
    }

  private:
    void on_ready() noexcept override { fire(); }
    void on_woken(Clock::time_point at, bool is_last) noexcept override {
        if (seen_ > round_.unmeasured) recorder_.add(nanoseconds(at - fired_));
        if (!is_last) fire();
    }
    void on_failed() noexcept override {}
    void fire() noexcept {
        fired_ = Clock::now();
        fire_();
    }

    const std::function<void()>& fire_;
    Recorder& recorder_;
    Clock::time_point fired_;
};

}  // namespace

void Rig::wake(const Waiter& waiter, const Round& round, Recorder& recorder) {
    const Pinned pinned{processors_.firing};
    HandedOver wakes{round};
    wakes.at_boundary = at_boundary;
    std::thread thread{[&] {
        const Pinned here{processors_.waiting};
        if (at_start != nullptr) at_start();
        try {
            waiter.wait(target_, wakes);
        } catch (const std::system_error& error) {
            wakes.failed(error.code());
        }
    }};
    try {
        wakes.fire_all(fire_, waiter, patience, recorder);
    } catch (...) {
        // A wait ends when the vectors go.
        wakes.stop();
        target_.interrupts.disable();
        if (waiter.abandon) waiter.abandon();
        thread.join();
        throw;
    }
    thread.join();
}

void Rig::find(const Waiter& waiter, const Round& round, Recorder& recorder) {
    const Pinned pinned{processors_.waiting};
    // What the warm-up leaves reserved is enough for the rounds; in the warm-up itself nothing is counted.
    recorder.reserve(round.measured);
    SelfFired wakes{round, fire_, recorder};
    waiter.wait(target_, wakes);
    wakes.finish(waiter);
}

}  // namespace pcienic::bench
