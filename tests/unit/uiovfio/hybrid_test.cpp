// SPDX-License-Identifier: MIT
/// The hybrid of polling and interrupts, by a clock that goes as the tests want it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <uiovfio/hybrid.hpp>
#include <uiovfio/sim.hpp>

#include "fake_clock.hpp"

namespace uiovfio {

using std::chrono::microseconds;
using std::chrono::nanoseconds;
using test::FakeClock;
using test::Scripted;

namespace {

constexpr nanoseconds kForEver{-1};

static_assert(SpinPolicy<AlwaysInterrupt> && SpinPolicy<AlwaysPoll> && SpinPolicy<AdaptiveSpin> &&
              SpinPolicy<Scripted>);

class Hybrid : public testing::Test {
  protected:
    Hybrid() { interrupts.enable(InterruptMode::msix, 2); }

    template <class Policy>
    auto waiter(Policy policy) {
        return HybridWait<Policy, FakeClock>{interrupts.subscribe(0), policy};
    }

    Device device = open_sim();
    Interrupts& interrupts = device.interrupts();
    std::error_code ec;
};

}  // namespace

TEST_F(Hybrid, TakesWhatHasFiredUnderEveryPolicy) {
    auto sleeping = waiter(AlwaysInterrupt{});
    auto polling = waiter(AlwaysPoll{});
    auto adapting = waiter(AdaptiveSpin{});
    for (int i = 0; i < 2; ++i) interrupts.trigger(0);
    EXPECT_EQ(sleeping.wait(kForEver, ec), 2U);
    interrupts.trigger(0);
    EXPECT_EQ(polling.wait(kForEver, ec), 1U);
    interrupts.trigger(0);
    EXPECT_EQ(adapting.wait(kForEver, ec), 1U);
    EXPECT_FALSE(ec);
}

TEST_F(Hybrid, SleepsWithoutLookingWhereThePolicySaysSo) {
    auto wait = waiter(AlwaysInterrupt{});
    int looks = 0;
    interrupts.trigger(0);
    EXPECT_TRUE(wait.until([&]() noexcept { return ++looks == 2; }, kForEver, ec));
    EXPECT_EQ(looks, 2) << "once before it sleeps, once when it is woken";
}

TEST_F(Hybrid, NeedsNoInterruptWhileItLooks) {
    auto wait = waiter(AlwaysPoll{});
    int looks = 0;
    EXPECT_TRUE(wait.until([&]() noexcept { return ++looks == 1000; }, kForEver, ec));
    EXPECT_FALSE(ec);
}

TEST_F(Hybrid, LooksForItsBudgetAndThenSleeps) {
    auto wait = waiter(Scripted{.to_look = microseconds{100}, .came = true});
    int looks = 0;
    EXPECT_FALSE(wait.until(
        [&]() noexcept {
            ++looks;
            return false;
        },
        microseconds{200}, ec));
    EXPECT_EQ(ec, Errc::timed_out);
    EXPECT_GE(looks, 99);
    EXPECT_LE(looks, 103);
    EXPECT_EQ(wait.policy().learnt, 1);
    EXPECT_FALSE(wait.policy().came);
}

// The interrupt between the last look and the sleep is in the count: the sleep ends at once.
TEST_F(Hybrid, LosesNothingBetweenLookingAndSleeping) {
    auto wait = waiter(Scripted{});
    int looks = 0;
    EXPECT_TRUE(wait.until(
        [&]() noexcept {
            if (++looks == 1) {
                interrupts.trigger(0, ec);
                return false;
            }
            return true;
        },
        kForEver, ec));
    EXPECT_EQ(looks, 2);
}

TEST_F(Hybrid, EndsWithAResetWhileItLooks) {
    auto wait = waiter(AlwaysPoll{});
    EXPECT_FALSE(wait.until(
        [&]() noexcept {
            std::error_code ignored;
            device.reset(ignored);
            return false;
        },
        kForEver, ec));
    EXPECT_EQ(ec, Errc::device_reset);
    interrupts.trigger(0);
    EXPECT_EQ(wait.wait(kForEver, ec), 1U);
}

TEST_F(Hybrid, EndsWithTheModeAndTheDevice) {
    auto polling = waiter(AlwaysPoll{});
    auto sleeping = waiter(AlwaysInterrupt{});
    interrupts.disable();
    EXPECT_EQ(polling.wait(kForEver, ec), 0U);
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
    EXPECT_FALSE(polling.until([]() noexcept { return false; }, kForEver, ec));
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
    device.close();
    EXPECT_EQ(sleeping.wait(kForEver, ec), 0U);
    EXPECT_EQ(ec, Errc::closed);
}

TEST_F(Hybrid, TimesOutUnderEveryPolicy) {
    for (const nanoseconds timeout : {nanoseconds{0}, nanoseconds{microseconds{10}}}) {
        EXPECT_EQ(waiter(AlwaysPoll{}).wait(timeout, ec), 0U);
        EXPECT_EQ(ec, Errc::timed_out);
        EXPECT_EQ(waiter(AlwaysInterrupt{}).wait(timeout, ec), 0U);
        EXPECT_EQ(ec, Errc::timed_out);
    }
}

TEST_F(Hybrid, WaitsForDeviceEventsAsWell) {
    HybridWait<AlwaysPoll, FakeClock> wait{device.events().subscribe(DeviceEvent::removal_request)};
    sim::request_removal(device);
    EXPECT_EQ(wait.wait(kForEver, ec), 1U);
}

TEST(AdaptiveSpin, LooksWhileThingsComeSoon) {
    AdaptiveSpin spin{{.longest = microseconds{50}, .inertia = 8, .probe_every = 4}};
    EXPECT_EQ(spin.budget(), microseconds{50});
    for (int i = 0; i < 100; ++i) spin.learn(microseconds{10}, true);
    EXPECT_EQ(spin.budget(), microseconds{50});
    EXPECT_NEAR(static_cast<double>(spin.average().count()), 10000, 100);
}

TEST(AdaptiveSpin, SleepsWhileTheyDoNotAndProbesNowAndThen) {
    AdaptiveSpin spin{{.longest = microseconds{50}, .inertia = 8, .probe_every = 4}};
    for (int i = 0; i < 100; ++i) spin.learn(std::chrono::seconds{1}, true);
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 3; ++i) EXPECT_EQ(spin.budget(), nanoseconds{0});
        EXPECT_EQ(spin.budget(), microseconds{50});
    }
}

TEST(AdaptiveSpin, FindsBackSoonAfterALongSilence) {
    AdaptiveSpin spin{{.longest = microseconds{50}, .inertia = 8, .probe_every = 64}};
    for (int i = 0; i < 100; ++i) spin.learn(std::chrono::hours{1}, true);
    int waits = 0;
    while (spin.average() > microseconds{50}) {
        spin.learn(microseconds{1}, true);
        ++waits;
    }
    EXPECT_LE(waits, 12);
}

TEST(AdaptiveSpin, LearnsFromTimeThatWasUpOnlyThatItTakesLonger) {
    AdaptiveSpin spin{{.longest = microseconds{50}, .inertia = 1, .probe_every = 64}};
    spin.learn(microseconds{40}, true);
    spin.learn(microseconds{1}, false);
    EXPECT_EQ(spin.average(), microseconds{40});
    spin.learn(microseconds{80}, false);
    EXPECT_EQ(spin.average(), microseconds{80});
}

}  // namespace uiovfio
