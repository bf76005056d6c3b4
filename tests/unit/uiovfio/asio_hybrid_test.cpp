// SPDX-License-Identifier: MIT
/// The hybrid of polling and interrupts as an Asio operation, by a clock that goes as the tests want it.

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <uiovfio/asio_hybrid.hpp>
#include <uiovfio/sim.hpp>

#include "fake_clock.hpp"

namespace uiovfio {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::microseconds;
using std::chrono::nanoseconds;
using test::FakeClock;
using test::Scripted;

namespace {

constexpr std::chrono::seconds kPatience{120};

struct Outcome {
    error_code ec;
    std::uint64_t count = 0;
};

}  // namespace

class AsyncHybrid : public testing::Test {
  protected:
    AsyncHybrid() { interrupts.enable(InterruptMode::msix, 2); }
    ~AsyncHybrid() override { FakeClock::at_look = nullptr; }

    template <class Policy>
    auto waiter(Policy policy, unsigned vector = 0) {
        return AsyncHybridWait<Policy, FakeClock>{io.get_executor(), interrupts.subscribe(vector), policy};
    }

    /// Starts a wait whose outcome lands in the returned place.
    static auto start(auto& waiter) {
        auto outcome = std::make_shared<std::optional<Outcome>>();
        waiter.async_wait([outcome](error_code ec, std::uint64_t count) { *outcome = Outcome{ec, count}; });
        return outcome;
    }
    template <class Ready>
    static auto start_until(auto& waiter, Ready ready) {
        auto outcome = std::make_shared<std::optional<error_code>>();
        waiter.async_until(std::move(ready), [outcome](error_code ec) { *outcome = ec; });
        return outcome;
    }

    /// Runs until nothing is left to do.
    void run() {
        io.restart();
        io.run_for(kPatience);
    }
    /// A few turns of the loop: of one that looks, there are always more.
    void turn(int times = 8) {
        io.restart();
        for (int i = 0; i < times; ++i) io.poll_one();
    }

    Device device = open_sim();
    Interrupts& interrupts = device.interrupts();
    asio::io_context io;
};

TEST_F(AsyncHybrid, TakesWhatHasFiredUnderEveryPolicy) {
    const auto takes = [this](auto policy) {
        auto wait = waiter(policy);
        for (int i = 0; i < 2; ++i) interrupts.trigger(0);
        const auto outcome = start(wait);
        EXPECT_FALSE(*outcome) << "completed within the initiating function";
        run();
        return *outcome && !(*outcome)->ec && (*outcome)->count == 2;
    };
    EXPECT_TRUE(takes(AlwaysInterrupt{}));
    EXPECT_TRUE(takes(AlwaysPoll{}));
    EXPECT_TRUE(takes(AdaptiveSpin{}));
}

TEST_F(AsyncHybrid, LooksInTurnsWithWhateverElseIsReady) {
    auto wait = waiter(AlwaysPoll{});
    const auto outcome = start(wait);
    turn();
    EXPECT_FALSE(*outcome);
    bool others_ran = false;
    asio::post(io, [&] {
        others_ran = true;
        interrupts.trigger(0);
    });
    run();
    EXPECT_TRUE(others_ran);
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->count, 1u);
}

TEST_F(AsyncHybrid, LooksForItsBudgetAndThenSleeps) {
    auto wait = waiter(Scripted{microseconds{100}});
    int looks = 0;
    const auto outcome = start_until(wait, [&]() noexcept { return ++looks > 102; });
    io.poll();
    EXPECT_GE(looks, 99);
    EXPECT_LE(looks, 102);
    EXPECT_FALSE(*outcome) << "it sleeps";
    EXPECT_EQ(wait.policy().learnt, 0);
    looks = 1000;
    interrupts.trigger(0);
    run();
    EXPECT_EQ(*outcome, error_code{});
    EXPECT_EQ(wait.policy().learnt, 1);
    EXPECT_TRUE(wait.policy().came);
}

TEST_F(AsyncHybrid, SleepsAtOnceWhereThePolicySaysSo) {
    auto wait = waiter(AlwaysInterrupt{});
    const auto outcome = start(wait);
    io.poll();
    interrupts.trigger(0);
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->count, 1u);
}

// Its interrupt may have been taken before: nobody would wake a sleep.
TEST_F(AsyncHybrid, LooksAtAConditionBeforeItSleeps) {
    auto wait = waiter(AlwaysInterrupt{});
    const auto outcome = start_until(wait, []() noexcept { return true; });
    EXPECT_FALSE(*outcome) << "completed within the initiating function";
    run();
    EXPECT_EQ(*outcome, error_code{});
}

TEST_F(AsyncHybrid, SleepsOnWhenWokenTooEarly) {
    auto wait = waiter(AlwaysInterrupt{});
    bool ready = false;
    const auto outcome = start_until(wait, [&]() noexcept { return ready; });
    for (int i = 0; i < 3; ++i) {
        interrupts.trigger(0);
        io.restart();
        io.poll();
        EXPECT_FALSE(*outcome);
    }
    ready = true;
    interrupts.trigger(0);
    run();
    EXPECT_EQ(*outcome, error_code{});
}

// The interrupt between the last look and the sleep is in the count: the sleep ends at once.
TEST_F(AsyncHybrid, LosesNothingBetweenLookingAndSleeping) {
    auto wait = waiter(Scripted{});
    int looks = 0;
    const auto outcome = start_until(wait, [&]() noexcept {
        if (++looks > 1) return true;
        std::error_code ignored;
        interrupts.trigger(0, ignored);
        return false;
    });
    run();
    EXPECT_EQ(*outcome, error_code{});
    EXPECT_EQ(looks, 2);
}

TEST_F(AsyncHybrid, EndsWithAResetWhileItLooksAndWhileItSleeps) {
    auto looking = waiter(AlwaysPoll{});
    auto sleeping = waiter(AlwaysInterrupt{}, 1);
    const auto first = start(looking);
    const auto second = start_until(sleeping, []() noexcept { return false; });
    turn();
    device.reset();
    run();
    ASSERT_TRUE(*first && *second);
    EXPECT_EQ((*first)->ec, Errc::device_reset);
    EXPECT_EQ(**second, Errc::device_reset);
}

TEST_F(AsyncHybrid, EndsWithAResetBetweenLookingAndSleeping) {
    auto wait = waiter(Scripted{nanoseconds{1}});
    int looks = 0;
    const auto outcome = start(wait);
    FakeClock::at_look = [&] {
        if (++looks == 1) device.reset();
    };
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, Errc::device_reset);
    EXPECT_FALSE(wait.policy().came);
}

TEST_F(AsyncHybrid, EndsWithTheModeAndTheDevice) {
    auto polling = waiter(AlwaysPoll{});
    auto sleeping = waiter(AlwaysInterrupt{}, 1);
    const auto first = start(polling);
    turn();
    interrupts.disable();
    run();
    ASSERT_TRUE(*first);
    EXPECT_EQ((*first)->ec, Errc::interrupts_not_enabled);
    device.close();
    const auto second = start(sleeping);
    const auto third = start_until(polling, []() noexcept { return false; });
    run();
    ASSERT_TRUE(*second && *third);
    EXPECT_EQ((*second)->ec, Errc::closed);
    EXPECT_EQ(**third, Errc::closed);
}

TEST_F(AsyncHybrid, IsCancelledWhileItLooksAndWhileItSleeps) {
    for (const nanoseconds budget : {nanoseconds{0}, nanoseconds::max()}) {
        auto wait = waiter(Scripted{budget});
        const auto outcome = start(wait);
        turn();
        wait.cancel();
        run();
        ASSERT_TRUE(*outcome);
        EXPECT_EQ((*outcome)->ec, asio::error::operation_aborted);
    }
}

TEST_F(AsyncHybrid, IsCancelledThroughItsSlotWhileItLooksAndWhileItSleeps) {
    for (const nanoseconds budget : {nanoseconds{0}, nanoseconds::max()}) {
        auto wait = waiter(Scripted{budget});
        asio::cancellation_signal signal;
        std::optional<Outcome> outcome;
        wait.async_wait(asio::bind_cancellation_slot(
            signal.slot(), [&](error_code ec, std::uint64_t count) { outcome = Outcome{ec, count}; }));
        turn();
        signal.emit(asio::cancellation_type::total);
        run();
        ASSERT_TRUE(outcome);
        EXPECT_EQ(outcome->ec, asio::error::operation_aborted);
    }
}

TEST_F(AsyncHybrid, IsCancelledByItsDestruction) {
    std::shared_ptr<std::optional<Outcome>> outcome;
    {
        auto wait = waiter(AlwaysPoll{});
        outcome = start(wait);
        turn();
    }
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, asio::error::operation_aborted);
}

TEST_F(AsyncHybrid, IsCancelledBetweenTwoReads) {
    for (const bool by_destruction : {false, true}) {
        std::optional wait{waiter(AlwaysInterrupt{})};
        device.reset();
        const auto outcome = start(*wait);
        if (by_destruction)
            wait.reset();
        else
            wait->cancel();
        run();
        ASSERT_TRUE(*outcome);
        EXPECT_EQ((*outcome)->ec, asio::error::operation_aborted);
    }
}

// The predicate may refer to what owned the wait.
TEST_F(AsyncHybrid, DoesNotAskTheConditionAfterACancellation) {
    for (const bool by_destruction : {false, true}) {
        for (const nanoseconds budget : {nanoseconds{0}, nanoseconds::max()}) {
            std::optional wait{waiter(Scripted{budget})};
            int looks = 0;
            const auto outcome = start_until(*wait, [&]() noexcept { return ++looks < 0; });
            turn();
            const int looks_before = looks;
            if (by_destruction)
                wait.reset();
            else
                wait->cancel();
            run();
            EXPECT_EQ(*outcome, error_code{asio::error::operation_aborted});
            EXPECT_EQ(looks, looks_before);
        }
    }
}

TEST_F(AsyncHybrid, KeepsItsWaitWhenMoved) {
    auto wait = waiter(AlwaysPoll{});
    const auto outcome = start(wait);
    turn();
    auto moved = std::move(wait);
    turn();
    interrupts.trigger(0);
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->count, 1u);
    EXPECT_EQ(start(moved)->has_value(), false);
}

TEST_F(AsyncHybrid, BeginsWhenADeferredOperationIsStarted) {
    auto wait = waiter(AlwaysPoll{});
    const auto operation = wait.async_wait(asio::deferred);
    for (int start = 0; start < 2; ++start) {
        device.reset();
        auto copy = operation;
        std::optional<Outcome> outcome;
        std::move(copy)([&](error_code ec, std::uint64_t count) { outcome = Outcome{ec, count}; });
        interrupts.trigger(0);
        run();
        ASSERT_TRUE(outcome);
        EXPECT_FALSE(outcome->ec) << outcome->ec.message();
    }
}

TEST_F(AsyncHybrid, ServesACoroutineWithTheRealClock) {
    std::uint64_t received = 0;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            AsyncHybridWait wait{co_await asio::this_coro::executor, interrupts.subscribe(1)};
            for (int i = 0; i < 100; ++i) {
                interrupts.trigger(1);
                received += co_await wait.async_wait(asio::use_awaitable);
            }
        },
        asio::detached);
    run();
    EXPECT_EQ(received, 100u);
}

TEST_F(AsyncHybrid, WaitsForDeviceEventsAsWell) {
    AsyncHybridWait wait{io.get_executor(), device.events().subscribe(DeviceEvent::removal_request)};
    const auto outcome = start(wait);
    sim::request_removal(device);
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->count, 1u);
}

}  // namespace uiovfio
