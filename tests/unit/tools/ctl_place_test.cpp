// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/exit.hpp"
#include "pcienic/registers.hpp"
#include "place.hpp"

namespace pcienic::ctl {
namespace {

using cli::Failure;
using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

const Scope kPcienic{.device = "1af4:10f2", .bar_size = [](unsigned bar) -> std::uint64_t {
                         return bar == 0 ? 0x10000 : bar == 4 ? 0x100000 : 0;
                     }};
const Scope kForeign{.is_pcienic = false, .device = "1234:11e8", .bar_size = [](unsigned bar) -> std::uint64_t {
                         return bar == 0 ? 0x100000 : 0;
                     }};

std::string refusal(const char* text, const Scope& scope = kPcienic) {
    try {
        parse_places(text, scope);
    } catch (const Failure& failure) {
        EXPECT_EQ(failure.code(), cli::Exit::usage);
        return failure.what();
    }
    ADD_FAILURE() << text << " was accepted";
    return {};
}

TEST(PlaceByName, IsTheRegisterAtItsOwnWidth) {
    const Place place = parse_place("SCRATCH64", kPcienic);
    EXPECT_EQ(place.bar, kBarRegisters);
    EXPECT_EQ(place.offset, regs::Scratch64::kOffset);
    EXPECT_EQ(place.width, 64u);
    EXPECT_EQ(place.mask(), ~std::uint64_t{0});
}

TEST(PlaceByName, IgnoresCase) { EXPECT_EQ(parse_place("scratch", kPcienic).name, "SCRATCH"); }

TEST(PlaceByName, TakesItsOwnWidthAsASuffix) { EXPECT_EQ(parse_place("SCRATCH.w", kPcienic).width, 32u); }

TEST(PlaceByName, RefusesAnotherWidth) {
    EXPECT_THAT(refusal("SCRATCH.q"), AllOf(HasSubstr("SCRATCH is 32 bits wide, not 64"), HasSubstr("0x10.q")));
    EXPECT_THAT(refusal("SCRATCH64.w"), HasSubstr("64 bits wide, not 32"));
}

TEST(PlaceByName, IsAField) {
    const Place place = parse_place("IRQ_STATUS.ENABLED", kPcienic);
    EXPECT_EQ(place.name, "IRQ_STATUS.ENABLED");
    EXPECT_EQ(place.mask(), 0x0fff0000u);
    EXPECT_EQ(place.shift(), 16u);
}

TEST(PlaceByName, IsAnElementOfAnArray) {
    for (const char* text : {"IRQ_MASK3", "irq_mask[3]"}) {
        EXPECT_EQ(parse_place(text, kPcienic).offset, regs::IrqMask::offset(3)) << text;
        EXPECT_EQ(parse_place(text, kPcienic).name, "IRQ_MASK3") << text;
    }
}

TEST(PlaceByName, IsAWholeArray) { EXPECT_THAT(parse_places("IRQ_MASK", kPcienic), SizeIs(64)); }

TEST(PlaceByName, RefusesAnArrayWhereOneIsMeant) {
    EXPECT_THAT([] { parse_place("IRQ_MASK", kPcienic); },
                testing::ThrowsMessage<Failure>(HasSubstr("names 64 places: name one, IRQ_MASK0 to IRQ_MASK63")));
}

TEST(PlaceByName, SuggestsWhatWasMeant) {
    EXPECT_THAT(refusal("SCRACH"),
                AllOf(HasSubstr("unknown register (did you mean SCRATCH?)"), HasSubstr("pcienic-ctl regs")));
    EXPECT_THAT(refusal("STATUS.REDY"),
                AllOf(HasSubstr("STATUS has no field REDY (did you mean READY?)"), HasSubstr("BUS_MASTER")));
    EXPECT_THAT(refusal("SCRATCH.X"), HasSubstr("SCRATCH has no fields"));
    EXPECT_THAT(refusal("IRQ_MASK64"), HasSubstr("write IRQ_MASK0 to IRQ_MASK63"));
    EXPECT_THAT(refusal("IRQ_MASK[64]"), HasSubstr("has 64 elements"));
    EXPECT_THAT(refusal(""), HasSubstr("NAME.FIELD"));
}

TEST(PlaceByName, NeedsAPcienic) {
    EXPECT_THAT(refusal("SCRATCH", kForeign), AllOf(HasSubstr("1234:11e8"), HasSubstr("BARn:OFFSET")));
}

TEST(PlaceByOffset, HasTheWidthOfTheRegisterThere) {
    EXPECT_EQ(parse_place("0x10", kPcienic).width, 32u);
    EXPECT_EQ(parse_place("0x18", kPcienic).width, 64u);
    EXPECT_EQ(parse_place("0x18", kPcienic).name, "SCRATCH64");
    EXPECT_EQ(parse_place("0x18", kForeign).width, 32u);
}

TEST(PlaceByOffset, TakesEverySuffix) {
    for (const auto& [suffix, width] : std::initializer_list<std::pair<const char*, unsigned>>{{".b", 8},
                                                                                               {".h", 16},
                                                                                               {".w", 32},
                                                                                               {".q", 64},
                                                                                               {".8", 8},
                                                                                               {".16", 16},
                                                                                               {".32", 32},
                                                                                               {".64", 64},
                                                                                               {".Q", 64}}) {
        EXPECT_EQ(parse_place(("BAR4:0x40" + std::string{suffix}).c_str(), kPcienic).width, width) << suffix;
    }
    EXPECT_THAT(refusal("0x10.x"), HasSubstr(".b, .h, .w or .q"));
}

TEST(PlaceByOffset, TakesTheBar) {
    EXPECT_EQ(parse_place("BAR4:0x40", kPcienic).bar, 4u);
    EXPECT_EQ(parse_place("bar4:64", kPcienic).offset, 64u);
    Scope scope = kPcienic;
    scope.bar = 4;
    EXPECT_EQ(parse_place("0x40", scope).bar, 4u);
    EXPECT_THAT(refusal("BAR6:0"), HasSubstr("BAR0 to BAR5"));
    EXPECT_THAT(refusal("BAR:0"), HasSubstr("BAR0 to BAR5"));
    EXPECT_THAT(refusal("BAR1:0"), HasSubstr("has no BAR1"));
}

TEST(PlaceByOffset, IsHalfOfARegister) {
    const Place place = parse_place("0x1c.w", kPcienic);
    EXPECT_EQ(place.bits->rw, 0xffffffffu);
    EXPECT_FALSE(place.element);
}

TEST(PlaceByOffset, CoversTwoRegisters) {
    const Place place = parse_place("0x20.q", kPcienic);  // CTRL and STATUS
    EXPECT_EQ(place.bits->w1s, 1u);
    EXPECT_EQ(place.bits->ro, std::uint64_t{0xf} << 32);
}

TEST(PlaceByOffset, IsARange) {
    const std::vector<Place> places = parse_places("0+16", kPcienic);
    ASSERT_THAT(places, SizeIs(4));
    EXPECT_EQ(places[0].name, "ID");
    EXPECT_EQ(places[3].offset, 12u);
    EXPECT_THAT(parse_places("BAR4:0.q+16", kPcienic), SizeIs(2));
    EXPECT_THAT(refusal("0+6"), HasSubstr("not a multiple of 4"));
    EXPECT_THAT(refusal("0+0"), HasSubstr("not a multiple"));
    EXPECT_THAT(refusal("0x0-0x10"), HasSubstr("START+BYTES"));
}

TEST(PlaceByOffset, IsAlignedAndWithinTheBar) {
    EXPECT_THAT(refusal("0x12"), AllOf(HasSubstr("0x12 is not aligned to 4 bytes"), HasSubstr("use 0x10")));
    EXPECT_THAT(refusal("BAR4:4.q"), HasSubstr("not aligned to 8"));
    EXPECT_THAT(refusal("BAR4:0x100000"), HasSubstr("beyond the end of BAR4, which has 0x100000 bytes"));
    EXPECT_THAT(refusal("BAR4:0xffffc+8"), HasSubstr("beyond the end"));
    EXPECT_THAT(refusal("BAR4:0xfffffffffffffffc"), HasSubstr("beyond the end"));
    EXPECT_EQ(parse_place("BAR4:0xffff8.q", kPcienic).offset, 0xffff8u);
}

TEST(PlaceByOffset, KnowsWhatTheDeviceRefuses) {
    EXPECT_THAT(refusal("0x10.b"), HasSubstr("4 and 8 bytes"));
    EXPECT_THAT(refusal("0x10.h"), HasSubstr("--force"));
    EXPECT_THAT(refusal("0x50"), AllOf(HasSubstr("no register at 0x50"), HasSubstr("--force")));
    Scope forced = kPcienic;
    forced.force = true;
    EXPECT_EQ(parse_place("0x10.b", forced).width, 8u);
    EXPECT_TRUE(parse_place("0x50", forced).bits->unmapped);
    EXPECT_EQ(parse_place("0x10.b", kForeign).width, 8u) << "another device may take it";
}

TEST(Value, IsANumberOrAName) {
    const Place mode = parse_place("IRQ_STATUS.MODE", kPcienic);
    EXPECT_EQ(parse_value("2", mode), 2u);
    EXPECT_EQ(parse_value("msix", mode), 2u);
    EXPECT_THAT(
        [&] { parse_value("MSIY", mode); },
        testing::ThrowsMessage<Failure>(AllOf(HasSubstr("did you mean MSI or MSIX?"), HasSubstr("INTX, MSI, MSIX"))));
}

TEST(Value, FitsThePlace) {
    EXPECT_THAT([] { parse_value("4", parse_place("IRQ_STATUS.MODE", kPcienic)); },
                testing::ThrowsMessage<Failure>(
                    HasSubstr("does not fit into IRQ_STATUS.MODE, which has 2 bits: the most is 0x3")));
    EXPECT_THROW(parse_value("0x100000000", parse_place("SCRATCH", kPcienic)), Failure);
    EXPECT_EQ(parse_value("0xffffffffffffffff", parse_place("SCRATCH64", kPcienic)), ~std::uint64_t{0});
}

TEST(Elements, MatchPatterns) {
    EXPECT_THAT(elements_matching("DMA_*"), SizeIs(7));
    EXPECT_THAT(elements_matching("irq_mask1?"), SizeIs(10));
    EXPECT_THAT(elements_matching("IRQ_MASK"), SizeIs(64));
    EXPECT_THAT(elements_matching("NOTHING*"), SizeIs(0));
}

}  // namespace
}  // namespace pcienic::ctl
