// SPDX-License-Identifier: MIT
// The tools on a machine whose IOMMU is off or missing, which is how most machines come: they say so, and what to do.
#include "../irqtest/tool.hpp"

namespace pcienic::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int kNotReady = 4;  // exit status: the machine is not set up for it

// What a tool writes on standard error is the user's; its standard output is for programs.
void expect_no_iommu(const std::string& command) {
    SCOPED_TRACE(command);
    const Outcome said = shell("(" + command + " >/dev/null)");
    EXPECT_EQ(said.status, kNotReady) << said.text;
    EXPECT_THAT(said.text, AllOf(HasSubstr("IOMMU"), HasSubstr("intel_iommu=on"), HasSubstr("-device intel-iommu")));
    EXPECT_EQ(shell("(" + command + " 2>/dev/null)").text, "");
}

TEST(NoIommu, CtlNamesTheRemedy) { expect_no_iommu("pcienic-ctl info"); }

TEST(NoIommu, IrqtestNamesTheRemedy) { expect_no_iommu("pcienic-irqtest"); }

TEST(NoIommu, ListingNeedsNone) { EXPECT_EQ(shell("pcienic-ls").status, 0); }

}  // namespace
}  // namespace pcienic::test
