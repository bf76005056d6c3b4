// SPDX-License-Identifier: MIT
#include "cli/number.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/exit.hpp"

namespace pcienic::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Property;
using testing::ThrowsMessage;
using namespace std::chrono_literals;

TEST(Number, ReadsEveryBase) {
    EXPECT_EQ(parse_number("42"), 42u);
    EXPECT_EQ(parse_number("0x2A"), 42u);
    EXPECT_EQ(parse_number("0b101010"), 42u);
    EXPECT_EQ(parse_number("0"), 0u);
}

TEST(Number, TakesALeadingZeroAsDecimal) { EXPECT_EQ(parse_number("010"), 10u); }

TEST(Number, TakesSeparatorsBetweenDigits) {
    EXPECT_EQ(parse_number("1_000_000"), 1'000'000u);
    EXPECT_EQ(parse_number("0xdead_beef"), 0xdeadbeefu);
    for (const char* text : {"_1", "1_", "1__0", "0x_1"}) EXPECT_THROW(parse_number(text), Failure) << text;
}

TEST(Number, TakesUnits) {
    EXPECT_EQ(parse_number("64k"), 65536u);
    EXPECT_EQ(parse_number("64K"), 65536u);
    EXPECT_EQ(parse_number("64KiB"), 65536u);
    EXPECT_EQ(parse_number("2M"), 2u << 20);
    EXPECT_EQ(parse_number("1GiB"), 1u << 30);
}

TEST(Number, HoldsTheLargestAndNoMore) {
    EXPECT_EQ(parse_number("0xffffffffffffffff"), ~std::uint64_t{0});
    EXPECT_EQ(parse_number("18446744073709551615"), ~std::uint64_t{0});
    for (const char* text : {"18446744073709551616", "0x10000000000000000", "17179869184G", "0x1ffffffffffffffffk"}) {
        EXPECT_THAT([&] { parse_number(text); }, ThrowsMessage<Failure>(HasSubstr("does not fit into 64 bits")))
            << text;
    }
}

TEST(Number, RefusesWhatIsNone) {
    for (const char* text : {"", "k", "0x", "0b", "-1", "+1", " 1", "1 ", "12x", "0b2", "1.5", "abc", "0xg"}) {
        EXPECT_THAT([&] { parse_number(text); }, ThrowsMessage<Failure>(HasSubstr("write a number as 42"))) << text;
    }
}

TEST(Number, EndsInUsage) {
    EXPECT_THAT([] { parse_number("x"); }, testing::Throws<Failure>(Property(&Failure::code, Exit::usage)));
}

TEST(Duration, ReadsEveryUnit) {
    EXPECT_EQ(parse_duration("100ns"), 100ns);
    EXPECT_EQ(parse_duration("10us"), 10us);
    EXPECT_EQ(parse_duration("500ms"), 500ms);
    EXPECT_EQ(parse_duration("2s"), 2s);
    EXPECT_EQ(parse_duration("1m"), 1min);
}

TEST(Duration, RefusesWhatIsNone) {
    for (const char* text : {"", "s", "ms", "5", "1h", "99999999999999999999s", "9223372037s"}) {
        EXPECT_THROW(parse_duration(text), Failure) << text;
    }
}

TEST(SizeText, HasTheLargestUnit) {
    EXPECT_EQ(size_text(0), "0 bytes");
    EXPECT_EQ(size_text(1023), "1023 bytes");
    EXPECT_EQ(size_text(std::uint64_t{1} << 20), "1 MiB");
    EXPECT_EQ(size_text((std::uint64_t{4} << 30) - (std::uint64_t{18} << 20)), "4.0 GiB");
    EXPECT_EQ(size_text(~std::uint64_t{0}), "16.0 EiB");
}

TEST(Ranges, ReadsListsAndRanges) {
    EXPECT_THAT(parse_ranges("3", 9), ElementsAre(3));
    EXPECT_THAT(parse_ranges("0-2,9", 9), ElementsAre(0, 1, 2, 9));
    EXPECT_THAT(parse_ranges("5,1", 9), ElementsAre(5, 1));
}

TEST(Ranges, RefusesWhatIsNone) {
    for (const char* text : {"", ",", "1,,2", "a", "1-", "-1", "1,", ",1", "0-2,"})
        EXPECT_THROW(parse_ranges(text, 9), Failure) << text;
    EXPECT_THAT([] { parse_ranges("4-2", 9); }, ThrowsMessage<Failure>(HasSubstr("write 2-4")));
    EXPECT_THAT([] { parse_ranges("0-10", 9); }, ThrowsMessage<Failure>(HasSubstr("choose from 0-9")));
}

TEST(Index, IsOneNumber) {
    EXPECT_EQ(parse_index("3", 9), 3u);
    EXPECT_THROW(parse_index("10", 9), Failure);
    for (const char* text : {"0-3", "1,2", "3,", ""}) EXPECT_THROW(parse_index(text, 9), Failure) << text;
    EXPECT_THAT([] { parse_index("1,2", 9); }, ThrowsMessage<Failure>(HasSubstr("give one number from 0-9")));
}

}  // namespace
}  // namespace pcienic::cli
