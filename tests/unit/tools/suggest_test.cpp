// SPDX-License-Identifier: MIT
#include "cli/suggest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pcienic::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<std::string> kNames{"SCRATCH", "SCRATCH64", "STATUS", "DMA_STATUS", "ID"};

TEST(EditDistance, CountsEdits) {
    EXPECT_EQ(edit_distance("", ""), 0u);
    EXPECT_EQ(edit_distance("", "abc"), 3u);
    EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
    EXPECT_EQ(edit_distance("raed", "read"), 1u) << "neighbours swapped";
    EXPECT_EQ(edit_distance("Scratch", "SCRATCH"), 0u) << "case is ignored";
}

TEST(Suggestions, PutTheNearestFirst) {
    EXPECT_THAT(suggestions("SCRATCH6", kNames), ElementsAre("SCRATCH", "SCRATCH64"));
}

TEST(Suggestions, LeaveOutWhatIsFar) { EXPECT_THAT(suggestions("BANANA", kNames), IsEmpty()); }

TEST(DidYouMean, IsAPieceOfAMessage) {
    EXPECT_EQ(did_you_mean("SCRACH", kNames), " (did you mean SCRATCH?)");
    EXPECT_EQ(did_you_mean("BANANA", kNames), "");
}

}  // namespace
}  // namespace pcienic::cli
