// SPDX-License-Identifier: MIT
// The cases run in this order, as a user would go on: refused, told what to do, done.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "../irqtest/tool.hpp"
#include "expect.hpp"

namespace pcienic::test {
namespace {

using guest::ExpectDmarFault;
using guest::ExpectGuestError;
using testing::AllOf;
using testing::HasSubstr;

constexpr int kNotReady = 4;  // exit status: the machine is not set up for it

std::string backend() {
    const char* named = std::getenv("PCIENIC_BACKEND");
    return named != nullptr ? named : "vfio";
}

Outcome ctl(const std::string& arguments) { return shell("pcienic-ctl --backend " + backend() + " " + arguments); }

/// The command in the last pair of backquotes.
std::string last_command(const std::string& text) {
    const auto end = text.rfind('`');
    if (end == std::string::npos || end == 0) return {};
    const auto begin = text.rfind('`', end - 1);
    return begin == std::string::npos ? "" : text.substr(begin + 1, end - begin - 1);
}

nlohmann::json about_backend(const nlohmann::json& doctor) {
    for (const auto& row : doctor["data"][0]["backends"])
        if (row["subject"] == backend()) return row;
    return {};
}

TEST(NotRemapped, IsForetoldByTheDoctor) {
    const auto row = about_backend(parse(shell("pcienic-ctl --json doctor 1af4:10f2")));
    EXPECT_EQ(row["state"], "missing") << row;
    EXPECT_EQ(row["error"], "no_iommu") << row;
    EXPECT_THAT(row["what"].get<std::string>(), HasSubstr("interrupts are not remapped"));
}

TEST(NotRemapped, IsExplainedAndTheRemedyHelps) {
    const Outcome refused = ctl("info");
    EXPECT_EQ(refused.status, kNotReady) << refused.text;
    EXPECT_THAT(refused.text, AllOf(HasSubstr("interrupts are not remapped"), HasSubstr("intremap=on"),
                                    HasSubstr("allow_unsafe_interrupts"), HasSubstr("trusted")));
    const std::string command = last_command(refused.text);
    ASSERT_THAT(command, HasSubstr("allow_unsafe_interrupts"));
    const Outcome done = shell(command);
    ASSERT_EQ(done.status, 0) << command << ": " << done.text;
    const Outcome opened = ctl("info");
    EXPECT_EQ(opened.status, 0) << opened.text;
    EXPECT_EQ(about_backend(parse(shell("pcienic-ctl --json doctor 1af4:10f2")))["state"], "ok");
}

// Addresses are another matter: of those it keeps the device to its own.
TEST(NotRemapped, KeepsTheDeviceToItsMemoryAllTheSame) {
    const ExpectDmarFault fault{"fault addr 0x"};
    const ExpectGuestError error{"Invalid access to non-RAM device at addr 0x"};
    const auto isolation = parse(ctl("--json doctor --prove"))["data"][0]["isolation"];
    EXPECT_EQ(isolation["subject"], "isolated") << isolation;
    EXPECT_EQ(isolation["trials"].size(), 6u);
}

}  // namespace
}  // namespace pcienic::test
