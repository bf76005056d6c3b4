// SPDX-License-Identifier: MIT
#include "report/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reports.hpp"

namespace pcienic::bench {
namespace {

using test::sample_report;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(BenchText, TimesHaveThreeDigitsAndTheUnitThatFits) {
    EXPECT_EQ(format_time(0), "0.00 ns");
    EXPECT_EQ(format_time(93.24), "93.2 ns");
    EXPECT_EQ(format_time(999.4), "999 ns");
    EXPECT_EQ(format_time(999.6), "1.00 us");
    EXPECT_EQ(format_time(12345), "12.3 us");
    EXPECT_EQ(format_time(1.5e6), "1.50 ms");
    EXPECT_EQ(format_time(2e9), "2.00 s");
    EXPECT_EQ(format_time(2000e9), "2000 s");
}

TEST(BenchText, RatiosTellSmallDifferencesAndNotLargeOnes) {
    EXPECT_EQ(format_ratio(1.0034), "1.003");
    EXPECT_EQ(format_ratio(2.345), "2.35");
    EXPECT_EQ(format_ratio(12.34), "12.3");
    EXPECT_EQ(format_ratio(153.2), "153");
}

TEST(BenchText, SizesAreWholeUnits) {
    EXPECT_EQ(format_size(100), "100 B");
    EXPECT_EQ(format_size(4096), "4 KiB");
    EXPECT_EQ(format_size(3 << 19), "1536 KiB");
    EXPECT_EQ(format_size(64 << 20), "64 MiB");
}

TEST(BenchText, TableHasWhatWasMeasuredAndWhatWasNot) {
    const std::string text = to_text(sample_report().runs[0], false);
    EXPECT_THAT(text, HasSubstr("kernel       6.1.0\n"));
    EXPECT_THAT(text, HasSubstr("registers.read  Reading a register: one load\n"));
    EXPECT_THAT(text, HasSubstr("  raw pointer     100 ns  1.00 us  1.00 us  1.00 us  1.00 us      1     0\n"));
    EXPECT_THAT(text, HasSubstr("  typed register  101 ns  1.01 us  1.01 us  1.01 us  1.01 us  1.010     0\n"));
    EXPECT_THAT(text, HasSubstr("  libpciaccess: not measured: it needs a second device\n"));
    EXPECT_THAT(text, HasSubstr("1.500  epoll_wait 1, read 2.50\n"));
    EXPECT_THAT(text, HasSubstr("  1 MiB  memcpy      1.00 ms"));
    EXPECT_THAT(text, HasSubstr("         the device  2.00 ms  20.0 ms  20.0 ms  20.0 ms  20.0 ms    500   2.00\n"));
    EXPECT_THAT(text, Not(HasSubstr("\033")));
    EXPECT_THAT(to_text(sample_report().runs[0], true), HasSubstr("\033"));
}

TEST(BenchText, ClaimsSayWhetherTheyHold) {
    const std::string text = claims_text(sample_report(), false);
    EXPECT_THAT(text,
                HasSubstr("  holds: reading a typed register takes at most 1.02 times a raw load: 1.010, on 6.1.0"));
    EXPECT_THAT(text, HasSubstr("  does not hold: a coroutine's wait"));
    EXPECT_THAT(text, Not(HasSubstr("writing")));  // it was not measured
    EXPECT_EQ(claims_text({}, false), "");
    Report quick = sample_report();
    quick.runs[0].environment.emplace_back("rounds", "few (--quick)");
    EXPECT_EQ(claims_text(quick, false), "") << "too few to judge by";
}

TEST(BenchText, ComparisonIsOfRatiosNotOfTimes) {
    const Report then = sample_report();
    Report now = then;
    for (Group& group : now.runs[0].groups)
        for (Series& series : group.series) series.time.p50 *= 5;  // a slower machine
    now.runs[0].groups[0].series[1].time.p50 *= 2;
    now.runs[0].groups[0].series.push_back(test::series("another", 500, "raw pointer"));
    const std::string text = comparison_text(then, now);
    EXPECT_THAT(text, HasSubstr("6.1.0, now against 6.1.0, 2026-01-01\n"));
    EXPECT_THAT(text, HasSubstr("typed register     1.010   2.02   x 2.00\n"));
    EXPECT_THAT(text, HasSubstr("Asio coroutine     1.500  1.500  x 1.000\n"));
    EXPECT_THAT(text, AllOf(HasSubstr("another"), HasSubstr("new\n")));
    EXPECT_THAT(text, Not(HasSubstr("us")));
}

TEST(BenchText, RunsAreComparedByKernelAndAnOnlyOneWithWhateverThereIs) {
    Report then = sample_report();
    Report now = sample_report();
    now.runs[0].environment[1].second = "6.12";
    EXPECT_THAT(comparison_text(then, now), HasSubstr("6.12, now against 6.1.0"));
    then.runs.push_back(then.runs[0]);
    then.runs[1].environment[1].second = "7.0";
    EXPECT_THAT(comparison_text(then, now), HasSubstr("6.12: the earlier report has no run on this kernel\n"));
}

}  // namespace
}  // namespace pcienic::bench
