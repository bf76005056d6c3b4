// SPDX-License-Identifier: MIT
//
// A check that never fails checks nothing: here the device loses every message of vector 5.
#include "tool.hpp"

namespace pcienic::test {
namespace {

using testing::HasSubstr;

// Long enough that a healthy vector is not taken for a lost one; vector 5 costs it in full, once a check.
constexpr const char* kTimeout = "5s";

TEST(RigDrop, TheInterruptCheckGoesRedAndNamesTheVector) {
    const Outcome outcome = irqtest("--json --count 20", kTimeout);
    EXPECT_EQ(outcome.status, 5) << outcome.text;
    const auto json = parse(outcome);
    EXPECT_EQ(json["passed"], false);
    const auto& source = json["data"][0];
    ASSERT_EQ(source["problems"].size(), 1u);
    EXPECT_THAT(source["problems"][0].get<std::string>(), HasSubstr("vector 5: fired 1, received 0"));
    for (const auto& vector : source["vectors"]) EXPECT_EQ(vector["passed"], vector["vector"] != 5) << vector;
}

TEST(RigDrop, ForTheReaderItIsInTheTable) {
    const Outcome outcome = irqtest("--vectors 4-6 --count 3", kTimeout);
    EXPECT_EQ(outcome.status, 5);
    EXPECT_THAT(outcome.text, HasSubstr("problem: via device, vector 5"));
    EXPECT_THAT(outcome.text, HasSubstr("\nFAIL\n"));
}

TEST(RigDrop, EveryOtherCheckGoesRedToo) {
    const Outcome outcome = irqtest("--json --vectors 5,6 --count 2 --masked --parallel --storm", kTimeout);
    EXPECT_EQ(outcome.status, 5) << outcome.text;
    const auto json = parse(outcome);
    for (const char* check : {"masked", "parallel", "storm"}) {
        EXPECT_EQ(json["data"][0]["vectors"][0][check]["passed"], false) << check;
        EXPECT_EQ(json["data"][0]["vectors"][1][check]["passed"], true) << check;
    }
}

TEST(RigDrop, TheLoopbackStaysGreenAndSoPutsTheBlameOnTheDevice) {
    const Outcome outcome = irqtest("--json --via vfio --count 20", kTimeout);
    EXPECT_EQ(outcome.status, 0) << outcome.text;
}

}  // namespace
}  // namespace pcienic::test
