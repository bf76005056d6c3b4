// SPDX-License-Identifier: MIT
#include "report/statistics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace pcienic::bench {
namespace {

TEST(BenchStatistics, PercentilesAreByNearestRank) {
    std::vector<double> samples(1000);
    std::iota(samples.rbegin(), samples.rend(), 1.0);
    const Summary summary = summarise(samples);
    EXPECT_EQ(summary.count, 1000u);
    EXPECT_EQ(summary.min, 1);
    EXPECT_EQ(summary.p50, 500);
    EXPECT_EQ(summary.p90, 900);
    EXPECT_EQ(summary.p99, 990);
    EXPECT_EQ(summary.p999, 999);
    EXPECT_EQ(summary.max, 1000);
}

TEST(BenchStatistics, OneSampleIsEveryPercentile) {
    const Summary summary = summarise({42.5});
    EXPECT_EQ(summary.p50, 42.5);
    EXPECT_EQ(summary.p999, 42.5);
    ASSERT_EQ(summary.histogram.size(), 1u);
    EXPECT_EQ(summary.histogram[0].count, 1u);
}

TEST(BenchStatistics, NothingIsAllZero) { EXPECT_EQ(summarise({}), Summary{}); }

TEST(BenchStatistics, AClockThatWasSetBackGivesNoNegativeTime) {
    const Summary summary = summarise({-5, 10});
    EXPECT_EQ(summary.min, 0);
    EXPECT_EQ(summary.histogram.front().from, 1);
}

TEST(BenchStatistics, HistogramHasEverySampleInItsBucketAndNoGap) {
    std::vector<double> samples;
    for (double sample = 1; sample < 1e7; sample *= 1.37) samples.push_back(sample);
    const Summary summary = summarise(samples);
    std::size_t total = 0;
    for (std::size_t i = 0; i < summary.histogram.size(); ++i) {
        const Bucket& bucket = summary.histogram[i];
        const auto inside = [&](double sample) { return sample >= bucket.from && sample < bucket.to; };
        EXPECT_EQ(bucket.count, static_cast<std::size_t>(std::ranges::count_if(samples, inside)));
        total += bucket.count;
        if (i > 0) {
            EXPECT_EQ(bucket.from, summary.histogram[i - 1].to);
        }
    }
    EXPECT_EQ(total, samples.size());
    EXPECT_GT(summary.histogram.front().count, 0u);
    EXPECT_GT(summary.histogram.back().count, 0u);
}

TEST(BenchStatistics, BoundariesBelongToTheUpperBucketAndDoubleEveryEight) {
    for (const double boundary : {1.0, 2.0, 1024.0, 1048576.0}) {
        const Summary summary = summarise({boundary});
        EXPECT_EQ(summary.histogram[0].from, boundary);
    }
    const Summary summary = summarise({1, 1.999});
    EXPECT_EQ(summary.histogram.size(), 8u);
    EXPECT_EQ(summary.histogram.back().to, 2);
}

}  // namespace
}  // namespace pcienic::bench
