// SPDX-License-Identifier: MIT
#include "cli/shell.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pcienic::cli {
namespace {

TEST(ShellWord, IsPlainIfThatDoes) {
    EXPECT_EQ(shell_word("SCRATCH=0x1/0xff"), "SCRATCH=0x1/0xff");
    EXPECT_EQ(shell_word("/my disk"), "'/my disk'");
    EXPECT_EQ(shell_word("IRQ_*"), "'IRQ_*'");
    EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
    EXPECT_EQ(shell_word(""), "''");
}

TEST(ShellWord, SeveralHaveSpacesBetween) {
    EXPECT_EQ(shell_words(std::vector<std::string>{"sh", "-c", "exit 3"}), "sh -c 'exit 3'");
    EXPECT_EQ(shell_words({}), "");
}

}  // namespace
}  // namespace pcienic::cli
