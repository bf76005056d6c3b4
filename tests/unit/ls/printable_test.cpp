// SPDX-License-Identifier: GPL-2.0-or-later
#include "printable.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using pcienic::ls::printable;

TEST(LsPrintable, LeavesOrdinaryTextAlone) {
    for (const char* text : {"", "Onboard LAN", "Zürich Ω 漢字 🙂", "a\\b \"c\"", "~"})
        EXPECT_EQ(printable(text), text);
}

TEST(LsPrintable, TakesAwayTheNewlineThatEndsAValue) {
    EXPECT_EQ(printable("Onboard LAN\n"), "Onboard LAN");
    EXPECT_EQ(printable("\n"), "");
}

TEST(LsPrintable, WritesControlCharactersAsInC) {
    EXPECT_EQ(printable("a\nb\tc\rd"), "a\\nb\\tc\\rd");
    EXPECT_EQ(printable("\x1b[31m\x7f\a"), "\\x1b[31m\\x7f\\x07");
    EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
    EXPECT_EQ(printable("\n\n"), "\\n");
}

TEST(LsPrintable, WritesControlCharactersBeyondAscii) {
    EXPECT_EQ(printable("\xc2\x9b"
                        "31m"),
              "\\u009b31m");                          // CSI in one character
    EXPECT_EQ(printable("\xe2\x80\xa8"), "\\u2028");  // a line separator
    EXPECT_EQ(printable("\xe2\x80\xae"
                        "abc"),
              "\\u202eabc");
    EXPECT_EQ(printable("\xe2\x81\xa6"
                        "\xd8\x9c"),
              "\\u2066\\u061c");
    EXPECT_EQ(printable("\xef\xbb\xbf"
                        "a"),
              "\\ufeffa");
}

TEST(LsPrintable, WritesBytesThatAreNoUtf8) {
    EXPECT_EQ(printable("\xff"), "\\xff");
    EXPECT_EQ(printable("caf\xe9!"), "caf\\xe9!");                     // Latin-1
    EXPECT_EQ(printable("\xc3"), "\\xc3");                             // cut
    EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");                    // not the shortest form
    EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // half a surrogate
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
    EXPECT_EQ(printable("\x80 a"), "\\x80 a");
}

}  // namespace
