// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pcienic/driver.hpp>
#include <uiovfio/sim.hpp>

#include "checks.hpp"
#include "latency.hpp"
#include "report.hpp"

namespace irqtest {
namespace {

using std::chrono::nanoseconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using uiovfio::InterruptMode;

// --- latencies ---

TEST(IrqtestLatency, PercentilesAreNearestRank) {
    Latencies latencies;
    for (int i = 100; i >= 1; --i) latencies.add(nanoseconds(i));
    EXPECT_EQ(latencies.min(), 1u);
    EXPECT_EQ(latencies.percentile(50), 50u);
    EXPECT_EQ(latencies.percentile(99), 99u);
    EXPECT_EQ(latencies.max(), 100u);
    EXPECT_EQ(Latencies().percentile(50), 0u);
}

TEST(IrqtestLatency, BucketsDoubleAndLeaveNoGap) {
    Latencies latencies;
    for (const int ns : {0, 1, 5, 7, 1000}) latencies.add(nanoseconds(ns));
    const auto buckets = latencies.histogram();
    ASSERT_EQ(buckets.size(), 11u);
    std::size_t total = 0;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
        total += buckets[i].count;
        if (i > 0) {
            EXPECT_EQ(buckets[i].from_ns, buckets[i - 1].to_ns);
        }
    }
    EXPECT_EQ(total, 5u);
    EXPECT_EQ(buckets[3].from_ns, 4u);
    EXPECT_EQ(buckets[3].count, 2u);
}

TEST(IrqtestLatency, ExtremesNeitherWrapNorVanish) {
    Latencies latencies;
    latencies.add(std::chrono::hours(1));
    latencies.add(nanoseconds(-5));
    EXPECT_EQ(latencies.max(), 0xffffffffu);
    EXPECT_EQ(latencies.min(), 0u);
}

TEST(IrqtestLatency, TimesAndBarsAreReadable) {
    EXPECT_EQ(format_ns(870), "870 ns");
    EXPECT_EQ(format_ns(12345), "12.3 us");
    EXPECT_EQ(format_ns(1500000), "1.50 ms");
    EXPECT_EQ(bar(1.0, 4), "████");
    EXPECT_EQ(bar(0.5, 4), "██");
    EXPECT_EQ(bar(0.0001, 4), "▏");
    EXPECT_EQ(bar(0, 4), "");
}

// --- checks on the simulated device ---

class IrqtestOnSim : public testing::TestWithParam<InterruptMode> {
  protected:
    SourceReport check(const uiovfio::SimOptions& options, Via via, Plan plan) {
        uiovfio::Device device = uiovfio::open_sim(options);
        pcienic::Driver driver(device);
        driver.enable_interrupts(GetParam());
        if (plan.vectors.empty())
            for (unsigned v = 0; v < (is_line() ? options.vectors : device.interrupts().count()); ++v)
                plan.vectors.push_back(v);
        return run(device, &driver, via, plan);
    }
    bool is_line() const { return GetParam() == InterruptMode::intx; }
    static Plan everything(std::uint64_t count) {
        return {.vectors = {},
                .count = count,
                .masked = true,
                .parallel = true,
                .storm = true,
                .timeout = std::chrono::seconds(30)};
    }
};

// Only a message can be dropped; the line is a level.
class IrqtestOnMessages : public IrqtestOnSim {};

std::string mode_name(const testing::TestParamInfo<InterruptMode>& mode) {
    return mode.param == InterruptMode::msix ? "Msix" : mode.param == InterruptMode::msi ? "Msi" : "Intx";
}
INSTANTIATE_TEST_SUITE_P(, IrqtestOnSim, testing::Values(InterruptMode::msix, InterruptMode::msi, InterruptMode::intx),
                         mode_name);
INSTANTIATE_TEST_SUITE_P(, IrqtestOnMessages, testing::Values(InterruptMode::msix, InterruptMode::msi), mode_name);

TEST_P(IrqtestOnSim, AHealthyDevicePassesEverything) {
    const SourceReport report = check({}, Via::device, everything(20));
    EXPECT_THAT(report.problems, ElementsAre());
    for (const VectorReport& vector : report.vectors) {
        EXPECT_TRUE(vector.passed()) << vector.vector;
        EXPECT_EQ(vector.fired, 20u);
        EXPECT_EQ(vector.received, 20u);
        EXPECT_EQ(vector.latencies.count(), 20u);
        EXPECT_EQ(vector.masked->received, 1u);
        EXPECT_EQ(vector.parallel->received, 20u);
    }
}

TEST_P(IrqtestOnSim, SaysHowFarItIsUntilAllIsDone) {
    Plan plan = everything(5);
    std::uint64_t last = 0;
    std::uint64_t whole = 0;
    plan.go_on = [&](std::uint64_t done, std::uint64_t total) {
        EXPECT_TRUE(done == last || done == last + 1) << done << " after " << last;
        last = done;
        whole = total;
        return true;
    };
    EXPECT_TRUE(check({}, Via::device, plan).passed());
    EXPECT_EQ(last, whole);
}

TEST_P(IrqtestOnSim, CountsAsManyFiringsAsCanBeSaid) {
    Plan plan{.vectors = {0, 1}, .count = ~std::uint64_t{0} / 2, .storm = true};
    plan.go_on = [](std::uint64_t /*done*/, std::uint64_t total) {
        EXPECT_EQ(total, ~std::uint64_t{0});
        return false;
    };
    EXPECT_FALSE(check({}, Via::device, plan).complete);
}

// Ctrl-C is pressed where interrupts are lost: the time that each may take is not waited for.
TEST_P(IrqtestOnMessages, EndsWhileItWaitsForWhatNeverComes) {
    Plan plan{.vectors = {5}, .count = 1, .timeout = std::chrono::hours(24)};
    unsigned looks = 0;
    plan.go_on = [&](auto... /*done, total*/) { return ++looks < 3; };
    const SourceReport report = check({.drop_vector = 5}, Via::device, plan);
    EXPECT_FALSE(report.complete);
    EXPECT_THAT(report.problems, ElementsAre()) << "not known to be lost";
    EXPECT_EQ(report.vectors[0].fired, 0u) << "of that firing nothing is known";
}

// Wherever it is stopped: what was found is told, and nothing that was not looked for is a problem.
TEST_P(IrqtestOnSim, EndsWhereItIsTold) {
    std::uint64_t whole = 1;
    for (std::uint64_t last = 0; last <= whole; ++last) {
        Plan plan = everything(2);
        plan.vectors = {0, 1, 2};
        plan.go_on = [&](std::uint64_t done, std::uint64_t total) {
            whole = total;
            return done < last;
        };
        const SourceReport report = check({}, Via::device, plan);
        EXPECT_FALSE(report.complete) << "the end of the storm asks as well";
        EXPECT_FALSE(report.passed());
        EXPECT_THAT(report.problems, ElementsAre()) << "stopped at " << last;
        for (const VectorReport& vector : report.vectors) EXPECT_TRUE(vector.passed()) << "stopped at " << last;
    }
    EXPECT_EQ(whole, 3u * (2 + 1 + 2 + 2));
}

TEST_P(IrqtestOnSim, TheLoopbackPassesEverything) {
    const SourceReport report = check({}, Via::vfio, everything(20));
    EXPECT_THAT(report.problems, ElementsAre());
    for (const VectorReport& vector : report.vectors) EXPECT_FALSE(vector.masked) << "the kernel cannot mask a vector";
}

TEST_P(IrqtestOnMessages, ADroppedVectorIsNamedAndTheOthersPass) {
    Plan plan{.vectors = {}, .count = 3, .timeout = std::chrono::milliseconds(100)};
    const SourceReport report = check({.drop_vector = 5}, Via::device, plan);
    EXPECT_THAT(report.problems,
                ElementsAre(AllOf(HasSubstr("vector 5: fired 1, received 0"), HasSubstr("lost on its way"))));
    for (const VectorReport& vector : report.vectors) EXPECT_EQ(vector.passed(), vector.vector != 5) << vector.vector;
}

TEST_P(IrqtestOnSim, TheLoopbackDoesNotSeeADeviceThatDrops) {
    const SourceReport report = check({.drop_vector = 5}, Via::vfio, everything(3));
    EXPECT_THAT(report.problems, ElementsAre());
}

TEST_P(IrqtestOnMessages, EveryCheckNoticesADroppedVector) {
    Plan plan = everything(2);
    plan.vectors = {4, 5};
    plan.timeout = std::chrono::milliseconds(50);
    const SourceReport report = check({.drop_vector = 5}, Via::device, plan);
    const VectorReport& dropped = report.vectors[1];
    EXPECT_FALSE(dropped.masked->passed || dropped.parallel->passed || dropped.storm->passed);
    const VectorReport& healthy = report.vectors[0];
    EXPECT_TRUE(healthy.masked->passed && healthy.parallel->passed && healthy.storm->passed);
    EXPECT_TRUE(healthy.passed());
}

// The library's error, with its remedy and the exit code that belongs to it.
TEST(IrqtestErrors, AWaitThatFailsForAnotherReasonThanTheTimeEndsTheTest) {
    uiovfio::Device device = uiovfio::open_sim();
    pcienic::Driver driver(device);
    driver.enable_interrupts(InterruptMode::msix, 1);
    const Plan plan{.vectors = {1}, .count = 1};
    try {
        run(device, &driver, Via::device, plan);
        ADD_FAILURE() << "there is no vector 1";
    } catch (const uiovfio::Error& error) {
        EXPECT_EQ(error.errc(), uiovfio::Errc::no_such_vector) << error.what();
    }
}

TEST(IrqtestReport, JsonSaysAllThatTheTableDoes) {
    uiovfio::Device device = uiovfio::open_sim({.drop_vector = 1});
    pcienic::Driver driver(device);
    driver.enable_interrupts(InterruptMode::msix, 2);
    const Plan plan{.vectors = {0, 1}, .count = 2, .masked = true, .timeout = std::chrono::milliseconds(50)};
    const SourceReport source = run(device, &driver, Via::device, plan);
    const auto json = to_json({source});
    ASSERT_EQ(json.size(), 1u);
    EXPECT_EQ(json[0]["via"], "device");
    EXPECT_EQ(json[0]["passed"], false);
    EXPECT_EQ(json[0]["vectors"][0]["fired"], 2);
    EXPECT_EQ(json[0]["vectors"][0]["masked"]["passed"], true);
    EXPECT_EQ(json[0]["vectors"][1]["passed"], false);
    EXPECT_EQ(json[0]["problems"].size(), 2u);
    EXPECT_EQ(json[0]["latency_ns"]["count"], 2);
    const std::string tap = to_tap({source});
    EXPECT_THAT(tap, AllOf(HasSubstr("TAP version 13\n1..2\n"), HasSubstr("ok 1 - device: vector 0"),
                           HasSubstr("not ok 2 - device: vector 1")));
    const std::string table = to_table({source}, true, false);
    EXPECT_THAT(table, AllOf(HasSubstr("via device"), HasSubstr("masked"), HasSubstr("FAIL")));
}

TEST(IrqtestReport, WhatWasInterruptedHasNotPassed) {
    SourceReport source;
    source.vectors.resize(2);
    source.vectors[0].fired = source.vectors[0].received = 1;
    source.complete = false;
    EXPECT_THAT(to_table({source}, false, false), AllOf(HasSubstr("INTERRUPTED"), Not(HasSubstr("PASS"))));
    const std::string tap = to_tap({source});
    EXPECT_THAT(tap, AllOf(HasSubstr("ok 1 - device: vector 0"), Not(HasSubstr("ok 2")),
                           EndsWith("\nBail out! interrupted\n")));
    const auto json = to_json({source})[0];
    EXPECT_EQ(json["complete"], false);
    EXPECT_EQ(json["passed"], false);
    EXPECT_EQ(json["vectors"][0]["passed"], true);
    EXPECT_TRUE(json["vectors"][1]["passed"].is_null()) << "never fired";
    source.problems.emplace_back("vector 0: lost");
    EXPECT_THAT(to_table({source}, false, false), HasSubstr("FAIL, and interrupted"));
}

TEST(IrqtestPba, ReadsThePendingBits) {
    uiovfio::Device device = uiovfio::open_sim();
    EXPECT_EQ(pending_bit(device, 0), false);
    EXPECT_EQ(pending_bit(device, 1000000), std::nullopt);
}

}  // namespace
}  // namespace irqtest
