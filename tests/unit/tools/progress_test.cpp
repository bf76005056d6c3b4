// SPDX-License-Identifier: MIT
#include "cli/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <optional>
#include <sstream>

#include "cli/interruption.hpp"

namespace pcienic::cli {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;

TEST(Progress, IsDrawnAfterTwoSecondsAndTenTimesASecond) {
    std::ostringstream out;
    std::optional<Progress> progress{std::in_place, "tool", out, true};
    const auto later = Progress::Clock::now() + hours{1};
    progress->at(1, 4);
    EXPECT_EQ(out.str(), "");
    progress->at(2, 4, later);
    EXPECT_THAT(out.str(), EndsWith("tool: 2 of 4, 50 %"));
    progress->at(3, 4, later + milliseconds{99});
    EXPECT_THAT(out.str(), EndsWith("50 %"));
    progress->at(3, 4, later + milliseconds{100});
    EXPECT_THAT(out.str(), EndsWith("tool: 3 of 4, 75 %"));
    progress.reset();
    EXPECT_THAT(out.str(), EndsWith("75 %\r\x1b[K")) << "the line is cleared";
}

TEST(Progress, IsForTerminals) {
    std::ostringstream out;
    Progress{"tool", out, false}.at(1, 2, Progress::Clock::now() + hours{1});
    Progress{"tool", out, true}.at(0, 0, Progress::Clock::now() + hours{1});
    EXPECT_EQ(out.str(), "");
}

TEST(Interruption, TakesTheFirstSignalAndLeavesTheSecondToWhomItWas) {
    static int before;
    before = 0;
    const auto previous = std::signal(SIGINT, [](int) { ++before; });
    {
        const Interruption interruption;
        EXPECT_FALSE(Interruption::came());
        std::raise(SIGINT);
        EXPECT_TRUE(Interruption::came());
        EXPECT_EQ(before, 0);
        std::raise(SIGINT);
        EXPECT_EQ(before, 1);
    }
    std::raise(SIGINT);
    EXPECT_EQ(before, 2);
    {
        const Interruption another;
        EXPECT_FALSE(Interruption::came());
    }
    std::signal(SIGINT, previous);
}

}  // namespace
}  // namespace pcienic::cli
