// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pcienic/error.hpp>
#include <set>

namespace pcienic {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr Errc kAll[] = {
    Errc::bad_opcode,       Errc::zero_length,    Errc::device_range,   Errc::source_fault,   Errc::destination_fault,
    Errc::sg_fault,         Errc::bad_sg,         Errc::bad_flags,      Errc::bad_vector,     Errc::descriptor_fault,
    Errc::completion_fault, Errc::queue_stopped,  Errc::bad_completion, Errc::not_a_pcienic,  Errc::unsupported_version,
    Errc::bad_layout,       Errc::reset_failed,   Errc::bad_ring_size,  Errc::engine_refused, Errc::engine_stuck,
    Errc::engine_disabled,  Errc::ring_full,      Errc::stale_ticket,   Errc::cancelled,      Errc::list_too_long,
    Errc::buffer_in_use,    Errc::no_such_vector,
};

TEST(DriverErrors, EachHasItsOwnTextAndARemedy) {
    std::set<std::string> texts;
    for (const Errc errc : kAll) {
        EXPECT_TRUE(texts.insert(make_error_code(errc).message()).second) << make_error_code(errc).message();
        EXPECT_FALSE(remedy(errc).empty());
        EXPECT_NE(remedy(errc).back(), '.');
    }
}

TEST(DriverErrors, TextSaysObjectCauseAndRemedy) {
    const Error error(Errc::ring_full, "DMA ring of 8 entries");
    EXPECT_THAT(error.what(), StartsWith("DMA ring of 8 entries: every descriptor of the ring is outstanding: poll()"));
    EXPECT_EQ(error.code().category().name(), std::string_view("pcienic"));
}

TEST(DriverErrors, TextNamesWhatTheDeviceLatched) {
    const LatchedError latched{.code = regs::ErrCode::CodeValue::kBadConfig, .info = 0x408, .overflow = true};
    const Error error(Errc::engine_refused, "DMA engine", latched);
    EXPECT_THAT(error.what(), HasSubstr("BAD_CONFIG 0x408, then further errors"));
    ASSERT_TRUE(error.latched());
    EXPECT_EQ(error.latched()->info, 0x408u);
}

TEST(DriverErrors, CompletionCodesThatNobodyKnowsAreNamedByNumber) {
    EXPECT_THAT(make_error_code(static_cast<Errc>(33)).message(), HasSubstr("33"));
    EXPECT_FALSE(remedy(static_cast<Errc>(33)).empty());
}

TEST(DriverErrors, ResultGivesTheBytesOrThrows) {
    EXPECT_EQ((Result{{}, 42}.value()), 42u);
    try {
        (void)Result{Errc::source_fault, 0xdead000}.value();
        FAIL();
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code(), Errc::source_fault);
        EXPECT_THAT(error.what(), HasSubstr("0xdead000"));
    }
}

}  // namespace
}  // namespace pcienic
