// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <uiovfio/error.hpp>

#include "guarded.hpp"
#include "text.hpp"

namespace uiovfio {

constexpr int kFirst = static_cast<int>(Errc::invalid_bdf);
constexpr int kLast = static_cast<int>(Errc::system_error);

TEST(Errors, EachHasANameAMessageAndARemedyOfItsOwn) {
    std::set<std::string_view> names;
    std::set<std::string> messages;
    std::set<std::string_view> remedies;
    for (int value = kFirst; value <= kLast; ++value) {
        const auto errc = static_cast<Errc>(value);
        EXPECT_FALSE(remedy(errc).empty());
        EXPECT_NE(remedy(errc).back(), '.');
        names.insert(name(errc));
        messages.insert(make_error_code(errc).message());
        remedies.insert(remedy(errc));
    }
    EXPECT_EQ(names.size(), kLast);
    EXPECT_EQ(messages.size(), kLast);
    EXPECT_EQ(remedies.size(), kLast);
}

TEST(Errors, NamesAreTheEnumerators) {
    EXPECT_EQ(name(Errc::invalid_bdf), "invalid_bdf");
    EXPECT_EQ(name(Errc::group_not_viable), "group_not_viable");
    EXPECT_EQ(name(Errc::short_unmap), "short_unmap");
    EXPECT_EQ(name(Errc::timed_out), "timed_out");
    EXPECT_EQ(name(Errc::system_error), "system_error");
}

TEST(Errors, AreErrorCodes) {
    const std::error_code code = Errc::timed_out;
    EXPECT_EQ(code, Errc::timed_out);
    EXPECT_STREQ(code.category().name(), "uiovfio");
    EXPECT_EQ(&code.category(), &category());
    EXPECT_EQ(category().message(999), "unknown error 999");
    EXPECT_EQ(name(static_cast<Errc>(0)), "unknown");
    EXPECT_FALSE(remedy(static_cast<Errc>(0)).empty());
}

TEST(Errors, SayWhatWasWrongWithWhichObjectAndTheRemedy) {
    const Error error{Errc::not_bound, "0000:01:00.0", "the driver e1000e has the device", 0, "bind it"};
    EXPECT_STREQ(error.what(), "0000:01:00.0: the driver e1000e has the device: bind it");
    EXPECT_EQ(error.object(), "0000:01:00.0");
    EXPECT_EQ(error.what_was_wrong(), "the driver e1000e has the device");
    EXPECT_EQ(error.remedy(), "bind it");
    EXPECT_EQ(error.errc(), Errc::not_bound);
    EXPECT_EQ(error.code(), Errc::not_bound);
    EXPECT_EQ(error.system_errno(), 0);
}

TEST(Errors, FallBackOnTheCategorysWords) {
    const Error error{Errc::timed_out, "vector 3"};
    EXPECT_EQ(error.what_was_wrong(), make_error_code(Errc::timed_out).message());
    EXPECT_EQ(error.remedy(), remedy(Errc::timed_out));
}

TEST(Errors, KeepTheSystemsNumber) {
    const Error error{Errc::system_error, "ioctl", "failed", EACCES};
    EXPECT_EQ(error.system_errno(), EACCES);
    EXPECT_THAT(error.what(), testing::HasSubstr("failed (Permission denied)"));
}

TEST(Errors, AreCopiedWithoutThrowing) {
    static_assert(std::is_nothrow_copy_constructible_v<Error>);
    const Error first{Errc::timed_out, "vector 3"};
    const Error second = first;
    EXPECT_STREQ(first.what(), second.what());
}

TEST(Errors, BecomeCodesInTheTwins) {
    std::error_code ec = Errc::closed;
    EXPECT_EQ(detail::guarded(ec, [] { return 7; }), 7);
    EXPECT_FALSE(ec);
    EXPECT_EQ(detail::guarded(ec, []() -> int { throw Error{Errc::timed_out, "x"}; }), 0);
    EXPECT_EQ(ec, Errc::timed_out);
    detail::guarded(ec, [] { throw std::bad_alloc{}; });
    EXPECT_EQ(ec, Errc::system_error);
}

TEST(Errors, WriteSizesInTheLargestUnitThatFits) {
    EXPECT_EQ(detail::bytes_text(0), "0 bytes");
    EXPECT_EQ(detail::bytes_text(1000), "1000 bytes");
    EXPECT_EQ(detail::bytes_text(64 << 10), "64 KiB");
    EXPECT_EQ(detail::bytes_text(2 << 20), "2 MiB");
    EXPECT_EQ(detail::bytes_text(std::uint64_t{3} << 30), "3 GiB");
}

}  // namespace uiovfio
