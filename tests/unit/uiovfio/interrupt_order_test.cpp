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

/// Growing in place, as a kernel does it that adds vectors, and as one does it that sets them aside.
class InterruptGrowth : public testing::TestWithParam<bool> {};

TEST_P(InterruptGrowth, CountsAreNotLostToIt) {
    auto device = open_sim({.vectors = 64, .adds_vectors = GetParam()});
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 1, 64);
    constexpr std::uint64_t kFirings = 5000;
    std::thread firing{[&] {
        for (std::uint64_t i = 0; i < kFirings; ++i) interrupts.trigger(0);
    }};
    std::thread growing{[&] {
        for (unsigned count = 2; count <= 64; ++count) EXPECT_EQ(interrupts.grow(count), Growth::in_place);
    }};
    std::uint64_t received = 0;
    while (received < kFirings) received += interrupts.wait(0, kPatience);
    firing.join();
    growing.join();
    EXPECT_EQ(received, kFirings);
    EXPECT_EQ(interrupts.count(), 64u);
    EXPECT_EQ(interrupts.try_take(0), 0u);
}

TEST_P(InterruptGrowth, EndsWhereTheKernelHasNoMore) {
    auto device = open_sim({.vectors = 64, .adds_vectors = GetParam(), .kernel_vectors = 10});
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2, 64);
    EXPECT_EQ(interrupts.grow(10), Growth::in_place);
    EXPECT_EQ(errc_of([&] { interrupts.grow(11); }), Errc::interrupt_capacity);
    EXPECT_EQ(interrupts.count(), 10u);
    interrupts.trigger(9);
    EXPECT_EQ(interrupts.wait(9, kPatience), 1u);
}

INSTANTIATE_TEST_SUITE_P(Kernels, InterruptGrowth, testing::Bool(), [](const testing::TestParamInfo<bool>& kernel) {
    return kernel.param ? "AddVectors" : "SetThemAside";
});

// Waits find the vectors without a lock: they must neither use one that is gone nor keep it for ever.
TEST(InterruptOrder, WaitsGoOnWhileModesComeAndGo) {
    auto device = open_sim();
    auto& interrupts = device.interrupts();
    std::atomic<bool> done{false};
    std::vector<std::thread> waiting;
    for (unsigned vector = 0; vector < 3; ++vector)
        waiting.emplace_back([&, vector] {
            while (!done) {
                std::error_code ec;
                interrupts.wait(vector, kAtOnce, ec);
                EXPECT_TRUE(!ec || ec == Errc::timed_out || ec == Errc::interrupts_not_enabled) << ec.message();
                interrupts.try_take(vector);
                (void)interrupts.count();
            }
        });
    for (int round = 0; round < 300; ++round) {
        interrupts.enable(InterruptMode::msix, 3);
        interrupts.trigger(2);
        interrupts.disable();
        interrupts.enable(InterruptMode::msi, 4);
        interrupts.disable();
    }
    done = true;
    for (std::thread& thread : waiting) thread.join();
}

TEST(InterruptOrder, EnablingAnewLeavesNoDescriptorsBehind) {
    auto device = open_sim();
    auto& interrupts = device.interrupts();
    const auto next_descriptor = [] {
        const int descriptor = ::dup(0);
        ::close(descriptor);
        return descriptor;
    };
    const int before = next_descriptor();
    for (int round = 0; round < 3; ++round) {
        interrupts.enable(InterruptMode::msix, 8);
        {
            const auto held = interrupts.subscribe(7);  // keeps its vectors beyond their end
            interrupts.disable();
            EXPECT_EQ(held.status(), Errc::interrupts_not_enabled);
        }
        interrupts.enable(InterruptMode::msi, 1);
        interrupts.disable();
        EXPECT_EQ(next_descriptor(), before);
    }
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

class Subscriptions : public testing::Test {
  protected:
    Subscriptions() { interrupts.enable(InterruptMode::msix, 2); }

    static std::uint64_t read(const Subscription& from) {
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

TEST_F(Subscriptions, GivesTheCount) {
    const auto subscription = interrupts.subscribe(1);
    const auto generation = subscription.generation();
    EXPECT_FALSE(subscription.status());
    interrupts.trigger(1);
    EXPECT_EQ(subscription.resolve(read(subscription), generation, ec), 1u);
    EXPECT_FALSE(ec);
}

TEST_F(Subscriptions, TellsOfAResetAndKeepsTheCount) {
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

TEST_F(Subscriptions, WakesWithoutAnInterruptWhenAResetWasNotAwaited) {
    const auto subscription = interrupts.subscribe(1);
    device.reset();
    EXPECT_EQ(subscription.resolve(read(subscription), subscription.generation(), ec), 0u);
    EXPECT_FALSE(ec);
}

TEST_F(Subscriptions, EndsWithTheModeItBelongsTo) {
    const auto subscription = interrupts.subscribe(0);
    const auto before = subscription.generation();
    interrupts.disable();
    EXPECT_EQ(subscription.status(), Errc::interrupts_not_enabled);
    interrupts.enable(InterruptMode::msix, 2);
    EXPECT_EQ(subscription.status(), Errc::interrupts_not_enabled);
    EXPECT_EQ(subscription.resolve(read(subscription), before, ec), 0u);
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
}

TEST_F(Subscriptions, OutlivesTheDevice) {
    auto subscription = interrupts.subscribe(0);
    const auto before = subscription.generation();
    device = Device{};
    EXPECT_EQ(subscription.status(), Errc::closed);
    EXPECT_EQ(subscription.resolve(read(subscription), before, ec), 0u);
    EXPECT_EQ(ec, Errc::closed);
    Subscription moved = std::move(subscription);
    EXPECT_EQ(subscription.descriptor(), -1);
    EXPECT_GE(moved.descriptor(), 0);
}

}  // namespace uiovfio
