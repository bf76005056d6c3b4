// SPDX-License-Identifier: GPL-2.0-or-later
#include "dump_file.hpp"

#include <gmock/gmock.h>

#include <sstream>
#include <string>

namespace {

using namespace pcienic::ls;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Dump read(const std::string& text) {
    std::istringstream in(text);
    return read_dump(in);
}

constexpr const char* kRow = "00: 86 80 34 12 00 00 00 00 00 00 00 00 00 00 00 00\n";

TEST(LsDumpFile, ReadsFunctionsAndRows) {
    const Dump dump = read(std::string("00:00.0 X\n") + kRow + "\n0001:02:03.4 Y\n" + kRow + "10: 01\n");
    ASSERT_THAT(dump.functions, SizeIs(2));
    EXPECT_EQ(dump.functions[0].address, Address{});
    EXPECT_EQ(dump.functions[0].config.bytes().size(), 16U);
    EXPECT_EQ(dump.functions[1].address, (Address{.domain = 1, .bus = 2, .device = 3, .function = 4}));
    EXPECT_EQ(dump.functions[1].config.bytes().size(), 17U);
    EXPECT_THAT(dump.left_out, IsEmpty());
}

TEST(LsDumpFile, ReadsDomainsOfEveryWidth) {
    for (const auto& [written, domain] : {std::pair{"0000:", 0U},
                                          {"10000:", 0x10000U},
                                          {"5d0505:", 0x5d0505U},
                                          {"1234567:", 0x1234567U},
                                          {"7fffffff:", 0x7fffffffU}}) {
        const Dump dump = read(std::string(written) + "01:00.0 X\n" + kRow);
        ASSERT_THAT(dump.functions, SizeIs(1)) << written;
        EXPECT_EQ(dump.functions[0].address.domain, domain);
    }
}

TEST(LsDumpFile, SaysWhatItLeavesOut) {
    const Dump dump = read(std::string("00:00.0 X\n") + kRow + "80000000:01:00.0 X\n00: ff ff\n00:1f.8 X\n00:20.0 X\n");
    ASSERT_THAT(dump.functions, SizeIs(1));
    EXPECT_EQ(dump.functions[0].config.u16(0), 0x8086) << "rows of a function that is left out belong to none";
    EXPECT_THAT(dump.left_out, ElementsAre("line 3: 80000000:01:00.0 is left out: domains end at 7fffffff",
                                           "line 5: 00:1f.8 is left out: devices end at 1f and functions at 7",
                                           "line 6: 00:20.0 is left out: devices end at 1f and functions at 7"));
}

TEST(LsDumpFile, ReadsPathsWithBuses) {
    const Dump dump = read(std::string("0001:00:1c.0/02:00.1 X\n") + kRow + "\n00:1c.0/00.1 X\n" + kRow);
    ASSERT_THAT(dump.functions, SizeIs(1));
    EXPECT_EQ(dump.functions[0].address, (Address{.domain = 1, .bus = 2, .device = 0, .function = 1}));
    EXPECT_THAT(dump.left_out, ElementsAre(HasSubstr("line 4: 00:1c.0/00.1 is left out: lspci -P leaves out the bus")));
}

TEST(LsDumpFile, PassesOverAllElse) {
    const Dump dump = read(
        "\xef\xbb\xbf"
        "00:00.0 X\r\n\tControl: I/O-\r\n00: 86 80 \r\nhello\r\n12:34:56.7 a time\r\n04: 01\r\n");
    ASSERT_THAT(dump.functions, SizeIs(1));
    EXPECT_THAT(dump.functions[0].config.bytes(), ElementsAre(0x86, 0x80, 0xff, 0xff, 0x01));
    EXPECT_THAT(dump.left_out, IsEmpty());
}

TEST(LsDumpFile, NeedsNoNewlineAtItsEnd) {
    EXPECT_THAT(read("00:00.0\n00: 86 80").functions, SizeIs(1));
    EXPECT_EQ(read("00:00.0\n00: 86 80").functions[0].config.bytes().size(), 2U);
}

TEST(LsDumpFile, KeepsFunctionsOfOneAddressApart) {
    const Dump dump = read("00:00.0 X\n00: 01\n00:00.0 X\n00: 02\n");
    ASSERT_THAT(dump.functions, SizeIs(2));
    EXPECT_EQ(dump.functions[0].config.u8(0), 1);
    EXPECT_EQ(dump.functions[1].config.u8(0), 2);
}

TEST(LsDumpFile, LeavesOutRowsBelowAnAddressThatItDoesNotKnow) {
    for (const char* unknown : {"123456789:00:01.0 X", "100:00.0 X", "00:01.0,X", "0000:00:01.00 X"}) {
        const Dump dump =
            read(std::string("00:00.0 X\n") + kRow + unknown + "\n00: 99 99\n10: 98\n\n00:02.0 Y\n" + kRow);
        ASSERT_THAT(dump.functions, SizeIs(2)) << unknown;
        EXPECT_EQ(dump.functions[0].config.u16(0), 0x8086) << unknown;
        EXPECT_EQ(dump.functions[0].config.bytes().size(), 16U) << unknown;
        EXPECT_THAT(dump.left_out, ElementsAre(HasSubstr("line 4: rows are left out: these bytes are there already")));
    }
}

TEST(LsDumpFile, TakesRowsInAnyOrder) {
    const Dump dump = read(std::string("00:00.0 X\n20: 07\n10: 05 06\n") + kRow);
    ASSERT_THAT(dump.functions, SizeIs(1));
    EXPECT_EQ(dump.functions[0].config.u16(0), 0x8086);
    EXPECT_EQ(dump.functions[0].config.u16(0x10), 0x0605);
    EXPECT_EQ(dump.functions[0].config.u8(0x20), 7);
    EXPECT_THAT(dump.left_out, IsEmpty());
}

TEST(LsDumpFile, TakesSpacesBehindAnOffset) {
    const Dump dump = read("00:00.0 X\n00:  86 80\n10:    05\n");
    EXPECT_EQ(dump.functions.at(0).config.u16(0), 0x8086);
    EXPECT_EQ(dump.functions.at(0).config.u8(0x10), 5);
    EXPECT_THAT(dump.left_out, IsEmpty());
}

TEST(LsDumpFile, TakesATabBehindAnAddress) {
    const Dump dump = read(std::string("00:00.0 X\n") + kRow + "00:01.0\tX\n" + kRow);
    EXPECT_THAT(dump.functions, SizeIs(2));
    EXPECT_THAT(dump.left_out, IsEmpty());
}

TEST(LsDumpFile, ReadsAFileThatWasCutAnywhere) {
    const std::string whole = std::string("00:00.0 X\n") + kRow + "10: 01 02 03\n20: 04 05";
    for (std::size_t length = std::string("00:00.0 X\n").size(); length <= whole.size(); ++length) {
        const Dump dump = read(whole.substr(0, length));
        ASSERT_THAT(dump.functions, SizeIs(1)) << length;
        EXPECT_LE(dump.left_out.size(), 1U) << length;
    }
    const Dump dump = read("00:00.0 X\n00: 86 80 3");
    EXPECT_THAT(dump.functions[0].config.bytes(), ElementsAre(0x86, 0x80));
    EXPECT_THAT(dump.left_out, ElementsAre("line 2: ends in the middle of a byte: the file was cut off"));
}

TEST(LsDumpFile, TakesNoWordForARow) {
    const Dump dump = read(std::string("00:00.0 X\nface: the text\nface: be careful\nbad: luck\n") + kRow);
    ASSERT_THAT(dump.functions, SizeIs(1));
    EXPECT_EQ(dump.functions[0].config.bytes().size(), 16U);
}

TEST(LsDumpFile, RefusesARowThatIsNone) {
    const auto complaint = [](const std::string& text) -> std::string {
        try {
            read(text);
        } catch (const DumpError& error) {
            return error.what();
        }
        return {};
    };
    EXPECT_THAT(complaint("00:00.0 X\n00: 86 8\n"),
                HasSubstr("line 2: a row of bytes has something else in it: \"86 8\""));
    EXPECT_THAT(complaint("00:00.0 X\n00: 86  80\n"), HasSubstr("line 2: "));
    EXPECT_THAT(complaint("00:00.0 X\n00: 86 zz\x1b\n"), HasSubstr("zz\\x1b"));
    EXPECT_THAT(complaint("00:00.0 X\n1000: 00\n"), HasSubstr("at most 4096 bytes"));
    EXPECT_THAT(complaint("00:00.0 X\nfff: 00 00\n"), HasSubstr("at most 4096 bytes"));
    EXPECT_EQ(complaint("00:00.0 X\nfff: 00\n"), "");
}

}  // namespace
