// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/exit.hpp"
#include "policy.hpp"

namespace pcienic::ctl {
namespace {

using cli::Failure;
using testing::AllOf;
using testing::HasSubstr;

const Scope kPcienic{.device = "1af4:10f2", .bar_size = [](unsigned) -> std::uint64_t { return 0x10000; }};
const Scope kForeign{
    .is_pcienic = false, .device = "1234:11e8", .bar_size = [](unsigned) -> std::uint64_t { return 0x10000; }};

WritePlan plan(const char* text, Verb verb = Verb::write, const Scope& scope = kPcienic,
               const WriteOptions& options = {}) {
    return plan_write(verb, Assignment::parse(text), scope, options);
}

std::string refusal(const char* text, Verb verb = Verb::write, const WriteOptions& options = {}) {
    try {
        plan(text, verb, kPcienic, options);
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), cli::Exit::usage);
        return failure.what();
    }
    ADD_FAILURE() << text << " was accepted";
    return {};
}

TEST(WritePolicy, WritesAWholeRegisterWithoutReadingFirst) {
    const WritePlan write = plan("SCRATCH=0x12", Verb::write, kPcienic, {.read_back = false});
    EXPECT_FALSE(write.needs_old());
    EXPECT_FALSE(write.read_before || write.read_after);
    EXPECT_EQ(write.result(0xffffffff), 0x12u);
}

TEST(WritePolicy, ShowsTheTransitionWhereReadingDoesNoHarm) {
    EXPECT_TRUE(plan("SCRATCH=1").read_before && plan("SCRATCH=1").read_after);
    EXPECT_FALSE(plan("IRQ_TEST=1").read_before || plan("IRQ_TEST=1").read_after) << "write-only";
    EXPECT_FALSE(plan("0x10=1", Verb::write, kForeign).read_before) << "nobody knows what reading does";
    EXPECT_TRUE(plan("0x10=1", Verb::write, kForeign, {.verify = true}).read_after);
}

TEST(WritePolicy, RefusesReadOnly) {
    EXPECT_THAT(refusal("ID=1"), AllOf(HasSubstr("ID: is read-only"), HasSubstr("--force")));
    EXPECT_THAT(refusal("STATUS.READY=0"), HasSubstr("STATUS.READY: is read-only"));
    EXPECT_THAT(refusal("0x0=1"), HasSubstr("is read-only")) << "by offset as well";
    EXPECT_EQ(plan("ID=1", Verb::write, kPcienic, {.force = true}).result(0), 1u);
}

TEST(WritePolicy, ChangesOneFieldAndKeepsTheOthers) {
    const WritePlan write = plan("DMA_RING_SIZE.LOG2=5");
    EXPECT_TRUE(write.needs_old());
    EXPECT_EQ(write.result(0xabcdef03), 0xabcdef05u) << "reserved bits are preserved";
}

TEST(WritePolicy, WritesOnlyTheOnesOfAWriteOneField) {
    const WritePlan clear = plan("ERR_STATUS.OVERFLOW=1");
    EXPECT_FALSE(clear.needs_old()) << "never what was read";
    EXPECT_EQ(clear.result(0x1), 0x2u) << "VALID is not cleared by the way";
    const WritePlan reset = plan("CTRL.RESET=1");
    EXPECT_FALSE(reset.needs_old());
    EXPECT_EQ(reset.result(0xffffffff), 1u);
}

TEST(WritePolicy, TakesAMask) {
    const WritePlan write = plan("SCRATCH=0x0f/0x0f");
    EXPECT_EQ(write.result(0x12345678), 0x1234567fu);
    EXPECT_EQ(plan("SCRATCH=0/0xff").result(0x12345678), 0x12345600u);
    EXPECT_EQ(plan("BAR4:0x10.h=0xab00/0xff00", Verb::write, kForeign).result(0x1234), 0xab34u);
    EXPECT_THAT(refusal("DMA_RING_SIZE.LOG2=1/1"), HasSubstr("a field needs no mask"));
    EXPECT_THAT(refusal("SCRATCH=1/0x100000000"), HasSubstr("does not fit"));
}

TEST(WritePolicy, RefusesBitsOutsideTheMask) {
    EXPECT_THAT(refusal("SCRATCH=0x101/0xff"),
                AllOf(HasSubstr("SCRATCH: the value has the bits 0x100, which the mask 0xff leaves out"),
                      HasSubstr("write SCRATCH=0x1/0xff, or SCRATCH=0x101/0x1ff")));
    EXPECT_EQ(plan("SCRATCH=0x1/0xff").result(0), 0x1u);
    EXPECT_EQ(plan("SCRATCH=0x101/0x1ff").result(0), 0x101u);
    EXPECT_THAT(refusal("SCRATCH=0x100/0xff", Verb::write, {.force = true}), HasSubstr("leaves out"))
        << "no rule of the device's";
}

TEST(WritePolicy, RefusesToChangeNoBits) {
    EXPECT_THAT(refusal("SCRATCH=1/0"), AllOf(HasSubstr("SCRATCH: the mask names no bits"),
                                              HasSubstr("write SCRATCH=1, or give the bits that are meant as MASK")));
    for (const Verb verb : {Verb::set, Verb::clear, Verb::toggle})
        EXPECT_THAT(refusal("SCRATCH=0", verb),
                    AllOf(HasSubstr("SCRATCH: 0 names no bits"), HasSubstr("SCRATCH=BITS")));
    EXPECT_THAT(refusal("DMA_CTRL.ENABLE=0", Verb::set, {.force = true}),
                HasSubstr("DMA_CTRL.ENABLE: 0 names no bits"));
}

TEST(WritePolicy, WarnsOfReservedBits) {
    EXPECT_THAT(plan("DMA_RING_SIZE=0x100").warning, HasSubstr("reserved bits (0x100)"));
    EXPECT_EQ(plan("DMA_RING_SIZE=0xf").warning, "");
}

TEST(WritePolicy, NeedsAValue) {
    EXPECT_THAT(refusal("SCRATCH"), HasSubstr("write SCRATCH=VALUE"));
    EXPECT_THAT(refusal("SCRATCH="), HasSubstr("no digits"));
    EXPECT_THAT(refusal("SCRATCH=x"), HasSubstr("is not a number"));
    EXPECT_THAT(refusal("SCRATCH=0x1ffffffff"), HasSubstr("does not fit into SCRATCH"));
}

TEST(SetPolicy, SetsAField) {
    EXPECT_EQ(plan("DMA_CTRL.ENABLE", Verb::set).result(0), 1u);
    EXPECT_EQ(plan("CTRL.RESET", Verb::set).result(0), 1u);
    EXPECT_EQ(plan("IRQ_MASK0=0x8", Verb::set).result(0x1), 0x9u);
    EXPECT_THAT(refusal("IRQ_MASK0", Verb::set), HasSubstr("IRQ_MASK0=BITS"));
    EXPECT_THAT(refusal("ERR_STATUS.VALID", Verb::set),
                AllOf(HasSubstr("only the device sets"), HasSubstr("use clear")));
    EXPECT_THAT(refusal("SCRATCH=1/1", Verb::set), HasSubstr("a mask is for write only"));
}

TEST(ClearPolicy, ClearsAField) {
    EXPECT_EQ(plan("DMA_CTRL.ENABLE", Verb::clear).result(0x1), 0u);
    EXPECT_EQ(plan("IRQ_MASK0=0x8", Verb::clear).result(0x9), 0x1u);
}

TEST(ClearPolicy, WritesOnesWhereThatClears) {
    const WritePlan clear = plan("ERR_STATUS.VALID", Verb::clear);
    EXPECT_FALSE(clear.needs_old());
    EXPECT_EQ(clear.result(0x3), 0x1u);
    EXPECT_EQ(plan("IRQ_CAUSE0=0x10", Verb::clear).result(0xff), 0x10u);
    EXPECT_THAT(refusal("CTRL.RESET", Verb::clear), HasSubstr("only the device clears"));
}

TEST(TogglePolicy, TurnsBitsAround) {
    const WritePlan toggle = plan("SCRATCH=0xf0", Verb::toggle);
    EXPECT_TRUE(toggle.needs_old());
    EXPECT_EQ(toggle.result(0xff), 0x0fu);
    EXPECT_EQ(plan("DMA_CTRL.ENABLE", Verb::toggle).result(1), 0u);
    EXPECT_THAT(refusal("ERR_STATUS.VALID", Verb::toggle), HasSubstr("keep what is written"));
    EXPECT_THAT(refusal("IRQ_TEST=1", Verb::set), HasSubstr("write-only"));
}

TEST(VerifyPolicy, LooksOnlyAtBitsThatKeepWhatIsWritten) {
    EXPECT_EQ(plan("SCRATCH=1").verify_mask, 0xffffffffu);
    EXPECT_EQ(plan("ERR_STATUS.VALID=1").verify_mask, 0u);
    EXPECT_EQ(plan("DMA_RING_SIZE.LOG2=1").verify_mask, 0xfu);
}

// --force writes what a device does not take, and whether it has is the question then.
TEST(VerifyPolicy, LooksAtReadOnlyBitsThatAreForced) {
    const WriteOptions forced{.force = true, .verify = true};
    EXPECT_EQ(plan("ID=1", Verb::write, kPcienic, forced).verify_mask, 0xffffffffu);
    EXPECT_EQ(plan("STATUS.READY=0", Verb::write, kPcienic, forced).verify_mask, 1u);
    EXPECT_EQ(plan("0x50=1", Verb::write, {.device = "1af4:10f2", .bar_size = kPcienic.bar_size, .force = true}, forced)
                  .verify_mask,
              0xffffffffu)
        << "no register is there";
}

TEST(VerifyPolicy, LooksAtReservedBitsThatAreSet) {
    EXPECT_EQ(plan("DMA_RING_SIZE=0x105", Verb::write, kPcienic, {.verify = true}).verify_mask, 0x10fu);
}

TEST(VerifyPolicy, RefusesIfNoBitCanBeVerified) {
    const WriteOptions verify{.verify = true};
    for (const char* text : {"IRQ_TEST=3", "ERR_STATUS.VALID=1", "CTRL.RESET=1"})
        EXPECT_THAT(
            refusal(text, Verb::write, verify),
            AllOf(HasSubstr("none of these bits reads back as it is written"), HasSubstr("leave out --verify")));
    EXPECT_THAT(refusal("IRQ_TEST=3", Verb::write, {.force = true, .verify = true}), HasSubstr("leave out --verify"));
    EXPECT_THAT(refusal("ERR_STATUS.VALID", Verb::clear, verify), HasSubstr("leave out --verify"));
}

TEST(ReadPolicy, RefusesWriteOnly) {
    EXPECT_THAT([] { check_read(parse_place("IRQ_TEST", kPcienic), false); },
                testing::ThrowsMessage<Failure>(AllOf(HasSubstr("IRQ_TEST: is write-only"), HasSubstr("--force"))));
    EXPECT_NO_THROW(check_read(parse_place("IRQ_TEST", kPcienic), true));
    EXPECT_NO_THROW(check_read(parse_place("ID", kPcienic), false));
}

/// The description has no rc register; the rule must hold all the same for the day when it has.
TEST(ReadPolicy, KnowsThatReadingMayClear) {
    Place place = parse_place("SCRATCH", kPcienic);
    place.bits = Bits{.rc = 0xffffffff, .defined = 0xffffffff};
    EXPECT_FALSE(is_harmless_to_read(place));
}

}  // namespace
}  // namespace pcienic::ctl
