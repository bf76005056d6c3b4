// SPDX-License-Identifier: MIT
#include "report/svg.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reports.hpp"

namespace pcienic::bench {
namespace {

using test::sample_report;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// Tags that open and close, in order. command_line.py gives whole pictures to an XML parser.
bool is_balanced(const std::string& svg) {
    std::vector<std::string> open;
    for (std::size_t at = svg.find('<'); at != std::string::npos; at = svg.find('<', at + 1)) {
        const std::size_t end = svg.find('>', at);
        if (end == std::string::npos) return false;
        const std::string tag = svg.substr(at + 1, end - at - 1);
        if (tag.starts_with("!--") || tag.ends_with("/")) continue;
        if (tag.starts_with("/")) {
            if (open.empty() || open.back() != tag.substr(1)) return false;
            open.pop_back();
        } else {
            open.push_back(tag.substr(0, tag.find(' ')));
        }
    }
    return open.empty();
}

TEST(BenchSvg, DrawsALaneForEachSeries) {
    const bench::Run run = sample_report().runs[0];
    const std::string svg = to_svg(run, run.groups[1]);
    EXPECT_THAT(svg, StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    EXPECT_TRUE(is_balanced(svg)) << svg;
    EXPECT_THAT(svg, HasSubstr(">blocking read</text>"));
    EXPECT_THAT(svg, HasSubstr(">p50 75.0 us, p99 750 us, x 1.500</text>"));
    EXPECT_THAT(svg, HasSubstr("<title>blocking read: 4 samples, min 50.0 us"));
    EXPECT_THAT(svg, HasSubstr(">100 us</text>"));  // a tick
    EXPECT_THAT(svg, HasSubstr("6.1.0, TCG, 2026-01-01"));
    EXPECT_EQ(std::ranges::count(svg, '\n'), std::ranges::count(to_svg(run, run.groups[1]), '\n'));
}

TEST(BenchSvg, EscapesWhatXmlWouldTakeForMarkup) {
    const bench::Run run = sample_report().runs[0];
    const std::string svg = to_svg(run, run.groups[2]);
    EXPECT_THAT(svg, HasSubstr("one &lt;command&gt; &amp; its &quot;end&quot;"));
    EXPECT_THAT(svg, HasSubstr(">1 MiB, the device</text>"));
    EXPECT_TRUE(is_balanced(svg));
}

TEST(BenchSvg, SaysWhereThereIsNothing) {
    const bench::Run run = sample_report().runs[0];
    const std::string svg = to_svg(run, {"g", "Nothing", "", {}, {}});
    EXPECT_THAT(svg, HasSubstr("nothing was measured"));
    EXPECT_TRUE(is_balanced(svg));
    EXPECT_TRUE(is_balanced(to_svg(run, {"g", "No samples", "", {Series{}}, {}})));
}

TEST(BenchSvg, StaysInsideItsFrameWhateverTheTimes) {
    Group group{"g", "", "", {}, {}};
    group.series = {test::series("short", 0), test::series("long", 1e12)};
    const std::string svg = to_svg(sample_report().runs[0], group);
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
    EXPECT_THAT(svg, Not(HasSubstr("=\"-")));
}

TEST(BenchSvg, PicturesAreNamedByGroupAndWhereNeededByKernel) {
    Report report = sample_report();
    ASSERT_EQ(pictures(report).size(), 3u);
    EXPECT_EQ(pictures(report)[0].name, "registers.read.svg");
    report.runs.push_back(report.runs[0]);
    report.runs[1].environment[1].second = "7.0";
    EXPECT_EQ(pictures(report)[3].name, "registers.read.7.0.svg");
}

}  // namespace
}  // namespace pcienic::bench
