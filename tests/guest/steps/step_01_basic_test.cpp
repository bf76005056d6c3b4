// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "steps.hpp"

namespace {

using namespace steps;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST(Step01Basic, IsListedAsAnEthernetController) {
    const auto text = lspci(Step::basic, "");
    EXPECT_THAT(text, ContainsRegex("Ethernet controller \\[0200\\]: .*\\[1234:11e8\\]"));
    EXPECT_THAT(text, Not(HasSubstr("(rev"))) << "lspci does not print revision 00";
    EXPECT_THAT(lspci(Step::basic, "-v"), ContainsRegex("Subsystem: .*\\[1af4:1100\\]"));
}

TEST(Step01Basic, HasNoFlagsButFastDevsel) {
    EXPECT_THAT(lspci(Step::basic, "-v"), ContainsRegex("Flags: fast devsel(, IOMMU group [0-9]+)?\n"));
}

TEST(Step01Basic, HasZerosInEveryBar) {
    const auto dump = lspci(Step::basic, "-x");
    EXPECT_THAT(dump, HasSubstr("\n10: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00\n20: 00 00 00 00 00 00 00 00 "));
    EXPECT_THAT(lspci(Step::basic, "-vv"), Not(HasSubstr("Region")));
}

TEST(Step01Basic, HasNeitherCapabilityNorInterrupt) {
    const auto text = lspci(Step::basic, "-vv");
    EXPECT_THAT(text, HasSubstr("Status: Cap-"));
    EXPECT_THAT(text, Not(HasSubstr("Capabilities:")));
    EXPECT_THAT(text, Not(HasSubstr("Interrupt:")));
}

}  // namespace
