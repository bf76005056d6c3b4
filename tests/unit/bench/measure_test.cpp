// SPDX-License-Identifier: MIT
//
// That the ways to measure work and count right, on the simulated device. What they took is not looked at.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <ostream>
#include <pcienic/driver.hpp>
#include <thread>
#include <uiovfio/sim.hpp>

#include "cli/exit.hpp"
#include "measure/allocations.hpp"
#include "measure/contest.hpp"
#include "measure/system_calls.hpp"
#include "measure/wakes.hpp"

namespace pcienic::bench {

/// For GoogleTest.
static void PrintTo(const Waiter& waiter, std::ostream* out) { *out << waiter.name; }

namespace {

using testing::Each;
using testing::HasSubstr;

constexpr Round kRound{.unmeasured = 3, .measured = 7};

TEST(BenchAllocations, AreCountedWhoeverAsks) {
    const std::size_t before = allocations();
    delete[] new char[100];
    void* volatile memory = std::malloc(8);
    memory = std::realloc(memory, 4096);
    std::free(memory);
    memory = std::aligned_alloc(64, 64);  // as Asio does
    std::free(memory);
    EXPECT_GE(allocations() - before, 3u);
    std::thread{[] { EXPECT_LT(allocations(), 100u); }}.join();
}

TEST(BenchContest, EverybodyTakesPartInEachRound) {
    std::vector<int> rounds(3);
    Contest contest{"g", "t", "o"};
    for (int& count : rounds)
        contest.enter({.name = std::to_string(&count - rounds.data()), .baseline = "0"}, [&](Recorder& recorder) {
            ++count;
            recorder.time(2, [] {});
        });
    Recorder& passive = contest.enter({.name = "passive"});
    contest.skip("other", "why");
    contest.run(5);
    passive.add(3);
    EXPECT_THAT(rounds, Each(6));  // and the warm-up
    const Group group = contest.group();
    ASSERT_EQ(group.series.size(), 4u);
    EXPECT_EQ(group.series[0].time.count, 5u);
    EXPECT_EQ(group.series[0].allocations, 0u);
    EXPECT_EQ(group.series[3].time.p50, 3);
    EXPECT_FALSE(group.series[3].allocations);
    EXPECT_EQ(group.skipped, (std::vector<Skipped>{{"other", "why"}}));
}

TEST(BenchContest, AllocationsOfTheActionAreItsOwn) {
    Contest contest{"g", "t", "o"};
    contest.enter({.name = "allocates"}, [](Recorder& recorder) {
        recorder.time(1, [] { std::free(std::malloc(10)); });
        delete[] new char[10];  // outside of what is timed
    });
    contest.run(4);
    EXPECT_EQ(contest.group().series[0].allocations, 4u);
}

class BenchWakes : public testing::Test {
  protected:
    void make(uiovfio::SimOptions options = {}) {
        device = uiovfio::open_sim(options);
        driver.emplace(device);
        driver->enable_interrupts(uiovfio::InterruptMode::msix, 2);
    }
    Rig rig() {
        return {{device.interrupts(), 1}, choose_processors(), [this] { driver->fire(1); }};
    }

    uiovfio::Device device;
    std::optional<Driver> driver;
};

std::vector<Waiter> all_waiters() {
    std::vector<Waiter> waiters{kBlockingRead};
    waiters.insert(waiters.end(), kOtherWaiters.begin(), kOtherWaiters.end());
    return waiters;
}

class BenchWaiters : public BenchWakes, public testing::WithParamInterface<Waiter> {};

TEST_P(BenchWaiters, SeeEachInterruptAndAllocateNothing) {
    make();
    Contest contest{"g", "t", "o"};
    contest.enter({.name = "wake"}, [&](Recorder& recorder) { rig().wake(GetParam(), kRound, recorder); });
    contest.enter({.name = "find"}, [&](Recorder& recorder) { rig().find(GetParam(), kRound, recorder); });
    contest.run(2);
    for (const Series& series : contest.group().series) {
        EXPECT_EQ(series.time.count, 2 * kRound.measured) << series.name;
        EXPECT_EQ(series.allocations, 0u) << series.name;
    }
    EXPECT_EQ(device.interrupts().try_take(1), 0u);
}

TEST_P(BenchWaiters, AnInterruptThatIsLostEndsInAMessage) {
    make({.drop_vector = 1});
    Rig impatient = rig();
    impatient.patience = std::chrono::milliseconds{50};
    Recorder recorder;
    try {
        impatient.wake(GetParam(), kRound, recorder);
        FAIL();
    } catch (const cli::Failure& failure) {
        EXPECT_EQ(failure.code(), cli::Exit::timeout);
        EXPECT_THAT(failure.what(), HasSubstr("interrupt 1 did not come within 50 ms"));
    }
}

TEST_P(BenchWaiters, AWaitThatFailsEndsInItsError) {
    make();
    Rig failing{{device.interrupts(), 1}, choose_processors(), [this] { device.interrupts().disable(); }};
    Recorder recorder;
    if (GetParam().name == "blocking read" || GetParam().name == "busy poll") GTEST_SKIP() << "it knows no errors";
    try {
        failing.wake(GetParam(), kRound, recorder);
        FAIL();
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), uiovfio::Errc::interrupts_not_enabled);
        EXPECT_THAT(error.what(), HasSubstr(std::string{GetParam().name}));
    }
}

// What a wake-up costs in the kernel: the figure behind the latency, and one that no machine changes.
TEST_P(BenchWaiters, MakeAsFewSystemCallsAsTheirWayNeeds) {
    const std::map<std::string_view, std::map<std::string, std::uint64_t>> kExpected{
        {"blocking read", {{"read", 1}}},
        {"Interrupts::wait", {{"read", 2}, {"ppoll", 1}}},
        {"epoll loop", {{"read", 1}, {"epoll_wait", 1}}},
        {"Asio callback", {{"read", 2}, {"epoll_wait", 1}}},
        {"Asio coroutine", {{"read", 2}, {"epoll_wait", 1}}},
        {"Asio coroutine, io_context{1}", {{"read", 2}, {"epoll_wait", 1}}},
    };
    const auto expected = kExpected.find(GetParam().name);
    if (expected == kExpected.end()) GTEST_SKIP() << "it reads for as long as it takes";
    const auto calls = count_system_calls([&] {
        make();
        Rig traced = rig();
        traced.at_start = &trace_this_thread;
        traced.at_boundary = &mark;
        Recorder ignored;
        traced.wake(GetParam(), kRound, ignored);
    });
    std::map<std::string, std::uint64_t> all;
    for (const auto& [name, count] : expected->second) all[name] = count * kRound.measured;
    EXPECT_EQ(calls, all);
}

std::string name_of(const testing::TestParamInfo<Waiter>& info) {
    std::string name;
    for (const char character : info.param.name)
        if (std::isalnum(static_cast<unsigned char>(character)) != 0) name += character;
    return name;
}
INSTANTIATE_TEST_SUITE_P(All, BenchWaiters, testing::ValuesIn(all_waiters()), name_of);

TEST(BenchSystemCalls, AreThoseBetweenTheMarks) {
    const auto calls = count_system_calls([] {
        trace_this_thread();
        std::uint64_t ignored = 0;
        ::close(::dup(0));
        mark();
        for (int i = 0; i < 3; ++i) [[maybe_unused]]
            const auto failed = ::read(-1, &ignored, sizeof ignored);
        ::close(-1);
        mark();
        ::close(-1);
    });
    EXPECT_EQ(calls, (std::map<std::string, std::uint64_t>{{"read", 3}, {"system call 3", 1}}));
}

TEST(BenchSystemCalls, AChildThatFailsOrMarksNothingIsAnError) {
    EXPECT_THROW(count_system_calls([] { throw std::runtime_error("broken"); }), cli::Failure);
    EXPECT_THROW(count_system_calls([] {}), cli::Failure);
}

}  // namespace
}  // namespace pcienic::bench
