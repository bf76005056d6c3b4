// SPDX-License-Identifier: MIT
/// Those who wait on a counter learn that there is nothing to wait for, however many they are.

#include "counter_set.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace uiovfio::detail {

namespace {

constexpr std::chrono::seconds kPatience{120};

bool is_readable(int descriptor) {
    pollfd entry{.fd = descriptor, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1;
}

std::uint64_t read_from(int descriptor) {
    std::uint64_t value = 0;
    return ::read(descriptor, &value, sizeof value) == sizeof value ? value : 0;
}

}  // namespace

class Counters : public testing::Test {
  protected:
    Counters() {
        counters.restart(1);
        counters.prepare(1, "a device");
        counters.publish(1);
    }

    CounterSet counters;
};

TEST_F(Counters, WakeASecondWaiterAtTheEnd) {
    const std::uint64_t began_at = counters.generation();
    counters.end(Errc::interrupts_not_enabled);
    // The first has read what was to wake both.
    std::error_code ec;
    EXPECT_EQ(counters.resolve(0, read_from(counters.descriptor(0)), began_at, ec), 0u);
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
    EXPECT_TRUE(is_readable(counters.descriptor(0))) << "the second sleeps on";
    EXPECT_EQ(counters.try_take(0), 0u);
    EXPECT_TRUE(is_readable(counters.descriptor(0)));
}

TEST_F(Counters, WakeASecondWaiterAtAReset) {
    const std::uint64_t began_at = counters.generation();
    counters.count_one(0);
    counters.interrupt_waits(Errc::device_reset);
    std::error_code ec;
    EXPECT_EQ(counters.resolve(0, read_from(counters.descriptor(0)), began_at, ec), 0u);
    EXPECT_EQ(ec, Errc::device_reset);
    EXPECT_TRUE(is_readable(counters.descriptor(0)));
    EXPECT_EQ(counters.try_take(0), 1u) << "and the interrupt is there for the next wait";
    EXPECT_EQ(counters.wait(0, std::chrono::seconds{0}, counters.generation()).ec, Errc::timed_out);
}

TEST_F(Counters, AreKeptWhereMoreResetsComeMeanwhile) {
    const std::uint64_t began_at = counters.generation();
    counters.count_one(0);
    counters.interrupt_waits(Errc::device_reset);
    const std::uint64_t raw = read_from(counters.descriptor(0));
    for (int i = 0; i < 4; ++i)
        counters.interrupt_waits(Errc::device_reset);  // more marks than the counter has room for
    std::error_code ec;
    EXPECT_EQ(counters.resolve(0, raw, began_at, ec), 0u);
    EXPECT_EQ(counters.try_take(0), 1u);
}

TEST_F(Counters, EndAllWaits) {
    std::vector<std::thread> waiters;
    for (int i = 0; i < 4; ++i)
        waiters.emplace_back(
            [&] { EXPECT_EQ(counters.wait(0, kPatience, counters.generation()).ec, Errc::interrupts_not_enabled); });
    counters.end(Errc::interrupts_not_enabled);
    for (std::thread& waiter : waiters) waiter.join();
}

// What came between a look at the device and the wait, and whose mark somebody else has read.
TEST_F(Counters, TellALateWaiterOfWhatItMissed) {
    const std::uint64_t began_at = counters.generation();
    counters.interrupt_waits(Errc::device_gone);
    EXPECT_EQ(counters.try_take(0), 0u);
    EXPECT_EQ(counters.wait(0, std::chrono::seconds{0}, began_at).ec, Errc::device_gone);
}

}  // namespace uiovfio::detail
