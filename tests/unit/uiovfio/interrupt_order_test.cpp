// SPDX-License-Identifier: MIT
/// Interrupts, waits, resets and disabling from several threads at once: nothing is lost, nobody hangs.

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <uiovfio/sim.hpp>

#include "conformance.hpp"

namespace uiovfio {

using conformance::errc_of;
using conformance::kAtOnce;
using conformance::kPatience;

TEST(InterruptOrder, CountsAreNeverLostBetweenWaits) {
    auto device = open_sim();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 1);
    constexpr std::uint64_t kFirings = 20000;
    std::thread firing{[&] {
        for (std::uint64_t i = 0; i < kFirings; ++i) interrupts.trigger(0);
    }};
    std::uint64_t received = 0;
    while (received < kFirings) received += interrupts.wait(0, kPatience);
    firing.join();
    EXPECT_EQ(received, kFirings);
    EXPECT_EQ(interrupts.try_take(0), 0u);
}

TEST(InterruptOrder, CountsAreNotLostToResets) {
    auto device = open_sim();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 1);
    constexpr std::uint64_t kFirings = 2000;
    std::atomic<bool> done{false};
    std::thread firing{[&] {
        for (std::uint64_t i = 0; i < kFirings; ++i) interrupts.trigger(0);
        done = true;
    }};
    std::thread resetting{[&] {
        while (!done) device.reset();
    }};
    std::uint64_t received = 0;
    while (received < kFirings) {
        std::error_code ec;
        received += interrupts.wait(0, kPatience, ec);
        ASSERT_TRUE(!ec || ec == Errc::device_reset) << ec.message();
    }
    firing.join();
    resetting.join();
    EXPECT_EQ(received, kFirings);
}

// A reset while nobody waits leaves a wake-up behind, which is no interrupt.
TEST(InterruptOrder, AWaitThatBeginsAfterAResetIsNotToldOfIt) {
    auto device = open_sim();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 1);
    for (int i = 0; i < 5; ++i) device.reset();  // more than marks fit into a counter
    EXPECT_EQ(errc_of([&] { interrupts.wait(0, kAtOnce); }), Errc::timed_out);
    interrupts.trigger(0);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
}

TEST(InterruptOrder, TryTakeSeesOnlyInterrupts) {
    auto device = open_sim();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 1);
    interrupts.trigger(0);
    device.reset();
    interrupts.trigger(0);
    EXPECT_EQ(interrupts.try_take(0), 2u);
    device.reset();
    EXPECT_EQ(interrupts.try_take(0), 0u);
}

class Subscription : public testing::Test {
  protected:
    Subscription() { interrupts.enable(InterruptMode::msix, 2); }

    static std::uint64_t read(const VectorSubscription& from) {
        std::uint64_t raw = 0;
        pollfd entry{.fd = from.descriptor(), .events = POLLIN, .revents = 0};
        EXPECT_EQ(::poll(&entry, 1, -1), 1);
        EXPECT_EQ(::read(from.descriptor(), &raw, sizeof raw), 8);
        return raw;
    }

    Device device = open_sim();
    Interrupts& interrupts = device.interrupts();
    std::error_code ec;
};

TEST_F(Subscription, GivesTheCount) {
    const auto subscription = interrupts.subscribe(1);
    const auto generation = subscription.generation();
    EXPECT_FALSE(subscription.status());
    interrupts.trigger(1);
    EXPECT_EQ(subscription.resolve(read(subscription), generation, ec), 1u);
    EXPECT_FALSE(ec);
}

TEST_F(Subscription, TellsOfAResetAndKeepsTheCount) {
    const auto subscription = interrupts.subscribe(1);
    const auto before = subscription.generation();
    interrupts.trigger(1);
    device.reset();
    EXPECT_EQ(subscription.resolve(read(subscription), before, ec), 0u);
    EXPECT_EQ(ec, Errc::device_reset);
    EXPECT_FALSE(subscription.status());
    EXPECT_EQ(subscription.resolve(read(subscription), subscription.generation(), ec), 1u);
    EXPECT_FALSE(ec);
}

TEST_F(Subscription, WakesWithoutAnInterruptWhenAResetWasNotAwaited) {
    const auto subscription = interrupts.subscribe(1);
    device.reset();
    EXPECT_EQ(subscription.resolve(read(subscription), subscription.generation(), ec), 0u);
    EXPECT_FALSE(ec);
}

TEST_F(Subscription, EndsWithTheModeItBelongsTo) {
    const auto subscription = interrupts.subscribe(0);
    const auto before = subscription.generation();
    interrupts.disable();
    EXPECT_EQ(subscription.status(), Errc::interrupts_not_enabled);
    interrupts.enable(InterruptMode::msix, 2);
    EXPECT_EQ(subscription.status(), Errc::interrupts_not_enabled);
    EXPECT_EQ(subscription.resolve(read(subscription), before, ec), 0u);
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
}

TEST_F(Subscription, OutlivesTheDevice) {
    auto subscription = interrupts.subscribe(0);
    const auto before = subscription.generation();
    device = Device{};
    EXPECT_EQ(subscription.status(), Errc::closed);
    EXPECT_EQ(subscription.resolve(read(subscription), before, ec), 0u);
    EXPECT_EQ(ec, Errc::closed);
    VectorSubscription moved = std::move(subscription);
    EXPECT_EQ(subscription.descriptor(), -1);
    EXPECT_GE(moved.descriptor(), 0);
}

}  // namespace uiovfio
