// SPDX-License-Identifier: MIT
#include "report/model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/exit.hpp"
#include "reports.hpp"

namespace pcienic::bench {
namespace {

using test::sample_report;
using test::series;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(BenchModel, RatioIsMedianByMedianOfTheBaselineWithTheSameParameter) {
    const Report report = sample_report();
    const Group& reads = report.runs[0].groups[0];
    EXPECT_DOUBLE_EQ(*ratio(reads, reads.series[1]), 1.01);
    EXPECT_FALSE(ratio(reads, reads.series[0]));
    Group sizes{"g", "", "", {series("a", 10, "", "1"), series("a", 20, "", "2"), series("b", 30, "a", "2")}, {}};
    EXPECT_DOUBLE_EQ(*ratio(sizes, sizes.series[2]), 1.5);
}

TEST(BenchModel, WithoutItsBaselineThereIsNoRatio) {
    Group group{"g", "", "", {series("b", 30, "a"), series("zero", 0), series("c", 1, "zero")}, {}};
    EXPECT_FALSE(ratio(group, group.series[0]));
    EXPECT_FALSE(ratio(group, group.series[2]));
}

TEST(BenchModel, JsonComesBackAsItWas) {
    const Report report = sample_report();
    const Json json = to_json(report);
    EXPECT_EQ(json["schema"], "pcienic.bench/1");
    EXPECT_THAT(json["tool"].get<std::string>(), HasSubstr("pcienic-bench "));
    const Json& typed = json["runs"][0]["groups"][0]["series"][1];
    EXPECT_EQ(typed["ratio"], 1.01);
    EXPECT_EQ(typed["ns"]["p99.9"], 1010);
    EXPECT_EQ(typed["allocations"], 0);
    EXPECT_EQ(json["runs"][0]["groups"][0]["skipped"][0]["reason"], "it needs a second device");
    // Once rounded to what the document has, it loses nothing more.
    const Report read = parse_report(json.dump(), "text");
    EXPECT_EQ(to_json(read), json);
    EXPECT_EQ(parse_report(to_json(read).dump(2), "text"), read);
    EXPECT_EQ(read.runs[0].environment, report.runs[0].environment);
    EXPECT_EQ(read.runs[0].groups[1].series[1].system_calls, report.runs[0].groups[1].series[1].system_calls);
}

TEST(BenchModel, WhatIsNoResultIsRefusedByName) {
    for (const char* text :
         {"", "[]", "{", R"({"schema":"pcienic.ls/1"})", R"({"schema":"pcienic.bench/2","runs":[]})",
          R"({"schema":"pcienic.bench/1"})", R"({"schema":"pcienic.bench/1","runs":[{}]})", R"({"schema":7})"}) {
        try {
            parse_report(text, "old.json");
            ADD_FAILURE() << text;
        } catch (const cli::Failure& failure) {
            EXPECT_EQ(failure.code(), cli::Exit::usage) << text;
            EXPECT_THAT(failure.what(), HasSubstr("old.json: no result of pcienic-bench")) << text;
        }
    }
}

TEST(BenchModel, AllocationsAreForbiddenWhereTheSeriesSaysSo) {
    Report report = sample_report();
    EXPECT_TRUE(forbidden_allocations(report).empty());
    report.runs[0].groups[1].series[0].allocations = 7;  // counted, and nobody minds
    EXPECT_TRUE(forbidden_allocations(report).empty());
    report.runs[0].groups[0].series[1].allocations = 3;
    EXPECT_THAT(forbidden_allocations(report),
                ElementsAre("registers.read, typed register: 3 allocations in 4 samples"));
}

TEST(BenchModel, ClaimsAreOfSeriesThatAreMeasured) {
    for (const Claim& claim : claims()) EXPECT_GT(claim.limit, 1.0) << claim.sentence;
}

}  // namespace
}  // namespace pcienic::bench
