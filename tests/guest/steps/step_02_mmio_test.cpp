// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "expect.hpp"
#include "steps.hpp"

namespace {

using namespace steps;
using pcienic::guest::ExpectGuestError;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

TEST(Step02Mmio, IsListedWithOneBarOf4KiB) {
    const auto text = lspci(Step::mmio, "-vv");
    EXPECT_THAT(text, ContainsRegex("Ethernet controller \\[0200\\]: .*\\[1af4:10f1\\]\n"));
    EXPECT_THAT(text, ContainsRegex("Subsystem: .*\\[1af4:1100\\]"));
    EXPECT_THAT(text, ContainsRegex("Region 0: Memory at [0-9a-f]+ \\(32-bit, non-prefetchable\\).* \\[size=4K\\]"));
    EXPECT_THAT(text, Not(HasSubstr("Region 1")));
    EXPECT_THAT(text, Not(HasSubstr("Capabilities:")));
}

TEST(Step02Mmio, HoldsWhatIsWrittenToEachRegister) {
    const SysfsRegisters registers(Step::mmio);
    for (std::uint32_t i = 0; i < kRegisters; ++i) {
        EXPECT_EQ(registers.load(4 * i), 0U) << "register " << i << " before anything was written";
    }
    for (std::uint32_t i = 0; i < kRegisters; ++i) {
        registers.store(4 * i, 0xdeadbeef + i);
    }
    for (std::uint32_t i = 0; i < kRegisters; ++i) {
        EXPECT_EQ(registers.load(4 * i), 0xdeadbeef + i) << "register " << i;
        registers.store(4 * i, 0U);
    }
}

TEST(Step02Mmio, AnswersDevmem) {
    const SysfsRegisters registers(Step::mmio);  // for its memory decoding
    const auto address =
        output_of("sed -n '1s/ .*//p' /sys/bus/pci/devices/" + to_string(bdf(Step::mmio)) + "/resource");
    const auto devmem = "devmem " + address.substr(0, address.find('\n'));
    output_of(devmem + " 32 0xdeadbeef");
    EXPECT_EQ(output_of(devmem), "0xDEADBEEF\n");
    output_of(devmem + " 32 0");
    EXPECT_EQ(output_of(devmem), "0x00000000\n");
}

TEST(Step02Mmio, ReadsZeroAndIgnoresWritesAboveTheRegisters) {
    const ExpectGuestError error{"pcienic-mmio: write to 0x40, where no register is"};
    const ExpectGuestError last{"pcienic-mmio: write to 0xffc, where no register is"};
    const SysfsRegisters registers(Step::mmio);
    for (const std::size_t offset : {std::size_t{4 * kRegisters}, std::size_t{0xffc}}) {
        registers.store(offset, 0x12345678U);
        EXPECT_EQ(registers.load(offset), 0U) << "offset " << offset;
    }
    EXPECT_EQ(registers.load(0x3c), 0U);
}

TEST(Step02Mmio, TakesEightBytesAsTwoRegisters) {
    const SysfsRegisters registers(Step::mmio);
    registers.store<std::uint64_t>(8, 0x1122334455667788);
    EXPECT_EQ(registers.load(8), 0x55667788U);
    EXPECT_EQ(registers.load(12), 0x11223344U);
    EXPECT_EQ(registers.load<std::uint64_t>(8), 0x1122334455667788U);
    registers.store<std::uint64_t>(8, 0);
}

TEST(Step02Mmio, RefusesLessThanFourBytes) {
    const ExpectGuestError byte{"Invalid write at addr 0x0, size 1, region 'pcienic-mmio-bar0'"};
    const ExpectGuestError read{"Invalid read at addr 0x0, size 2, region 'pcienic-mmio-bar0'"};
    const SysfsRegisters registers(Step::mmio);
    registers.store(0, 0x11223344U);
    registers.store<std::uint8_t>(0, 0xff);
    EXPECT_EQ(registers.load<std::uint16_t>(0), 0U);
    EXPECT_EQ(registers.load(0), 0x11223344U);
    registers.store(0, 0U);
}

}  // namespace
