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

using std::chrono::milliseconds;
using testing::EndsWith;

constexpr Progress::Clock::time_point kStart{};

TEST(Progress, IsDrawnAfterTwoSecondsAndTenTimesASecond) {
    std::ostringstream out;
    std::optional<Progress> progress{std::in_place, "tool", out, true, kStart};
    progress->at(1, 8, "steps", kStart + milliseconds{1999});
    EXPECT_EQ(out.str(), "");
    progress->at(4, 8, "steps", kStart + milliseconds{2000});
    EXPECT_THAT(out.str(), EndsWith("tool: 4 of 8 steps, 50 %"));
    progress->at(6, 8, "steps", kStart + milliseconds{2099});
    EXPECT_THAT(out.str(), EndsWith("50 %"));
    progress->at(6, 8, "steps", kStart + milliseconds{2100});
    EXPECT_THAT(out.str(), EndsWith("tool: 6 of 8 steps, 75 %"));
    progress.reset();
    EXPECT_THAT(out.str(), EndsWith("75 %\r\x1b[K")) << "the line is cleared";
}

TEST(Progress, IsNotDoneBeforeItIs) {
    std::ostringstream out;
    Progress progress{"tool", out, true, kStart};
    progress.at(999, 1000, "steps", kStart + milliseconds{3000});
    EXPECT_THAT(out.str(), EndsWith(" 99 %"));
}

TEST(Progress, IsForTerminals) {
    std::ostringstream out;
    Progress{"tool", out, false, kStart}.at(1, 2, "steps", kStart + milliseconds{3000});
    Progress{"tool", out, true, kStart}.at(0, 0, "steps", kStart + milliseconds{3000});
    EXPECT_EQ(out.str(), "");
}

class InterruptionTest : public testing::Test {
  protected:
    void SetUp() override {
        before_ = 0;
        previous_ = std::signal(SIGINT, [](int) { before_ = before_ + 1; });
    }
    void TearDown() override { std::signal(SIGINT, previous_); }

    static inline volatile std::sig_atomic_t before_ = 0;

  private:
    void (*previous_)(int) = SIG_DFL;
};

TEST_F(InterruptionTest, TakesTheFirstSignalAndLeavesTheSecondToWhomItWas) {
    {
        const Interruption interruption;
        EXPECT_FALSE(Interruption::came());
        std::raise(SIGINT);
        EXPECT_TRUE(Interruption::came());
        EXPECT_EQ(before_, 0);
        std::raise(SIGINT);
        EXPECT_EQ(before_, 1);
    }
    std::raise(SIGINT);
    EXPECT_EQ(before_, 2);
    const Interruption another;
    EXPECT_FALSE(Interruption::came());
}

TEST_F(InterruptionTest, LeavesAnIgnoredSignalAlone) {
    std::signal(SIGINT, SIG_IGN);
    const Interruption interruption;
    std::raise(SIGINT);
    EXPECT_FALSE(Interruption::came());
}

}  // namespace
}  // namespace pcienic::cli
