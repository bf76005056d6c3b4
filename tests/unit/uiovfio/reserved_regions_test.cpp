// SPDX-License-Identifier: MIT
#include "reserved_regions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uiovfio::detail {

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Iova kTop{~std::uint64_t{0}};

}  // namespace

TEST(ReservedRegions, AreReadInTheKernelsWordsAndPutInOrder) {
    EXPECT_THAT(parse_reserved_regions("0x00000000fee00000 0x00000000feefffff msi\n"
                                       "0x0000000000001000 0x0000000000001fff direct\n"
                                       "0x000000fd00000000 0x000000ffffffffff reserved\n"
                                       "0x00000000000e0000 0x00000000000fffff direct-relaxable"),
                ElementsAre(ReservedRegion{Iova{0x1000}, Iova{0x1fff}, "direct"},
                            ReservedRegion{Iova{0xe0000}, Iova{0xfffff}, "direct-relaxable"},
                            ReservedRegion{Iova{0xfee00000}, Iova{0xfeefffff}, "msi"},
                            ReservedRegion{Iova{0xfd00000000}, Iova{0xffffffffff}, "reserved"}));
    EXPECT_THAT(parse_reserved_regions("0x0 0xffffffffffffffff reserved"),
                ElementsAre(ReservedRegion{Iova{0}, kTop, "reserved"}));
}

TEST(ReservedRegions, OfLinesThatAreNoneAreLeftOut) {
    EXPECT_THAT(parse_reserved_regions(""), IsEmpty());
    EXPECT_THAT(parse_reserved_regions("\n\n \t\n"), IsEmpty());
    EXPECT_THAT(parse_reserved_regions("0x1000 0x1fff\n"         // no type
                                       "0x1000\n"                // no end
                                       "0x2000 0x1fff direct\n"  // backwards
                                       "1000 1fff direct\n"      // not the kernel's way to write numbers
                                       "0x10000000000000000 0x1ffffffffffffffff direct\n"  // beyond 64 bits
                                       "0x1g00 0x1fff direct\n"
                                       "0x 0x direct\n"
                                       "0x8000000 0x80fffff msi\r\n"),
                ElementsAre(ReservedRegion{Iova{0x8000000}, Iova{0x80fffff}, "msi"}));
}

TEST(ReservedRegions, LeaveTheRestOfTheAperture) {
    const IovaRange aperture{Iova{0}, Iova{(std::uint64_t{1} << 39) - 1}};
    EXPECT_THAT(without_reserved(aperture, {}), ElementsAre(aperture));
    // x86: the window of its interrupts, and what the firmware uses with a device.
    EXPECT_THAT(
        without_reserved(aperture, {{Iova{0}, Iova{0xfff}, "direct"},
                                    {Iova{0xfee00000}, Iova{0xfeefffff}, "msi"},
                                    {Iova{0x7000000000}, kTop, "reserved"}}),
        ElementsAre(IovaRange{Iova{0x1000}, Iova{0xfedfffff}}, IovaRange{Iova{0xfef00000}, Iova{0x6fffffffff}}));
    // Arm's window is elsewhere.
    EXPECT_THAT(without_reserved(aperture, {{Iova{0x8000000}, Iova{0x80fffff}, "msi"}}),
                ElementsAre(IovaRange{Iova{0}, Iova{0x7ffffff}}, IovaRange{Iova{0x8100000}, aperture.last}));
    EXPECT_THAT(without_reserved(aperture, {{Iova{0}, kTop, "reserved"}}), IsEmpty());
    EXPECT_THAT(without_reserved({Iova{0}, kTop}, {{Iova{1}, kTop, "reserved"}}), ElementsAre(IovaRange{{}, {}}));
}

TEST(ReservedRegions, ThatOverlapAreTakenOutOnce) {
    EXPECT_THAT(without_reserved({Iova{0}, Iova{0xffff}}, {{Iova{0x1000}, Iova{0x2fff}, "direct"},
                                                           {Iova{0x2000}, Iova{0x3fff}, "msi"},
                                                           {Iova{0x2000}, Iova{0x20ff}, "msi"}}),
                ElementsAre(IovaRange{Iova{0}, Iova{0xfff}}, IovaRange{Iova{0x4000}, Iova{0xffff}}));
}

// The kernel maps there what a userspace driver asks for, and its own list of ranges contains it.
TEST(ReservedRegions, ThatAreRelaxableStayMappable) {
    EXPECT_THAT(without_reserved({Iova{0}, Iova{0xffffff}}, {{Iova{0xe0000}, Iova{0xfffff}, "direct-relaxable"}}),
                ElementsAre(IovaRange{Iova{0}, Iova{0xffffff}}));
}

}  // namespace uiovfio::detail
