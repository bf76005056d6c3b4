// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <uiovfio/bdf.hpp>
#include <uiovfio/error.hpp>
#include <unordered_set>

namespace uiovfio {

TEST(Bdf, ReadsTheLongForm) {
    EXPECT_EQ(Bdf::parse("0000:01:00.0"), (Bdf{0, 1, 0, 0}));
    EXPECT_EQ(Bdf::parse("0001:Ff:1f.7"), (Bdf{1, 0xff, 0x1f, 7}));
    EXPECT_EQ(Bdf::parse("10000:e1:00.0"), (Bdf{0x10000, 0xe1, 0, 0}));
}

TEST(Bdf, ReadsTheShortForm) { EXPECT_EQ(Bdf::parse("3:a.1"), (Bdf{0, 3, 10, 1})); }

TEST(Bdf, WritesWhatItReads) {
    for (const char* text : {"0000:00:00.0", "0000:01:1f.7", "ffff:ff:00.0", "10000:e1:00.0", "ffffffff:00:00.0"}) {
        EXPECT_EQ(to_string(Bdf::parse(text)), text);
        std::ostringstream out;
        out << Bdf::parse(text);
        EXPECT_EQ(out.str(), text);
    }
}

class BadBdf : public testing::TestWithParam<const char*> {};

TEST_P(BadBdf, IsRefusedWithItsText) {
    EXPECT_FALSE(Bdf::try_parse(GetParam()));
    std::error_code ec;
    EXPECT_EQ(Bdf::parse(GetParam(), ec), Bdf{});
    EXPECT_EQ(ec, Errc::invalid_bdf);
    try {
        Bdf::parse(GetParam());
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr(std::string{"\""} + GetParam() + "\""));
        EXPECT_THAT(error.what(), testing::HasSubstr("0000:01:00.0"));
    }
}

INSTANTIATE_TEST_SUITE_P(Texts, BadBdf,
                         testing::Values("", "nonsense", "01:00", "01:00.", "01:00.8", "01:20.0", "100:00.0",
                                         "0000:01:00.0 ", " 0000:01:00.0", "0000:01:00.00", "1:0:0:0.0", "-1:00.0",
                                         "0x0:01:00.0", "0000:01:00-0", "100000000:01:00.0", ":01:00.0", "::.",
                                         "0000:01:00.0x", "01.00.0"));

TEST(Bdf, IsOrderedAndHashed) {
    const std::set<Bdf> ordered{Bdf{0, 1, 0, 1}, Bdf{0, 0, 31, 7}, Bdf{1, 0, 0, 0}, Bdf{0, 1, 0, 0}};
    EXPECT_THAT(ordered, testing::ElementsAre(Bdf{0, 0, 31, 7}, Bdf{0, 1, 0, 0}, Bdf{0, 1, 0, 1}, Bdf{1, 0, 0, 0}));
    std::unordered_set<Bdf> hashed{ordered.begin(), ordered.end()};
    EXPECT_EQ(hashed.size(), 4u);
    EXPECT_TRUE(hashed.contains(Bdf{1, 0, 0, 0}));
}

}  // namespace uiovfio
