// SPDX-License-Identifier: MIT
#include "core_fixture.hpp"

#include <array>

namespace pcienic::test {
namespace {

class Registers : public CoreFixture {};

struct Row {
    const char* name;
    std::uint32_t offset;
    unsigned width;
    unsigned count;
    std::uint64_t rw, w1c, w1s, sticky, reset;
    unsigned access;
};
#define PCIENIC_TEST_ROW(name, offset, width, count, rw, w1c, w1s, sticky, reset, access) \
    Row{#name, offset, width, count, rw, w1c, w1s, sticky, reset, access},
constexpr std::array kRows = {PCIENIC_REGISTER_TABLE(PCIENIC_TEST_ROW)};
#undef PCIENIC_TEST_ROW

TEST_F(Registers, IdentifyTheDevice) {
    EXPECT_EQ(read32(PCIENIC_REG_ID), 0x6e696370u);
    EXPECT_EQ(read32(PCIENIC_REG_VERSION), PCIENIC_REG_VERSION_RESET);
    EXPECT_EQ(read64(PCIENIC_REG_FEATURES), PCIENIC_REG_FEATURES_RESET);
    EXPECT_EQ(read32(PCIENIC_REG_VECTORS), 32u);
    EXPECT_EQ(read64(PCIENIC_REG_MEMORY_SIZE), kMemorySize);
    EXPECT_EQ(read32(PCIENIC_REG_STATUS), PCIENIC_STATUS_READY_MASK | PCIENIC_STATUS_BUS_MASTER_MASK);
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_STATUS), 1u << PCIENIC_IRQ_STATUS_ENABLED_SHIFT);
}

TEST_F(Registers, ScratchHoldsWhatWasWritten) {
    write32(PCIENIC_REG_SCRATCH, 0xdeadbeef);
    write64(PCIENIC_REG_SCRATCH64, 0x0123456789abcdef);
    EXPECT_EQ(read32(PCIENIC_REG_SCRATCH), 0xdeadbeefu);
    EXPECT_EQ(read64(PCIENIC_REG_SCRATCH64), 0x0123456789abcdefu);
    expect_nothing_latched();
}

TEST_F(Registers, HalvesOfA64BitRegisterActByThemselves) {
    write64(PCIENIC_REG_SCRATCH64, 0x0123456789abcdef);
    EXPECT_EQ(read32(PCIENIC_REG_SCRATCH64), 0x89abcdefu);
    EXPECT_EQ(read32(PCIENIC_REG_SCRATCH64 + 4), 0x01234567u);
    write32(PCIENIC_REG_SCRATCH64 + 4, 0xaaaaaaaa);
    EXPECT_EQ(read64(PCIENIC_REG_SCRATCH64), 0xaaaaaaaa89abcdefu);
    write32(PCIENIC_REG_SCRATCH64, 0xbbbbbbbb);
    EXPECT_EQ(read64(PCIENIC_REG_SCRATCH64), 0xaaaaaaaabbbbbbbbu);
}

TEST_F(Registers, EightBytesOverTwoRegistersAreTwoAccesses) {
    EXPECT_EQ(read64(PCIENIC_REG_ID), (std::uint64_t{PCIENIC_REG_VERSION_RESET} << 32) | PCIENIC_REG_ID_RESET);
    write64(PCIENIC_REG_IRQ_MASK, 0xffffffff);
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_MASK), 0xffffffffu);
    expect_nothing_latched();
}

TEST_F(Registers, EightBytesOverARegisterAndAHoleReportTheHole) {
    EXPECT_EQ(read64(PCIENIC_REG_SCRATCH), 0u);
    expect_latched(PCIENIC_ERR_CODE_CODE_BAD_OFFSET, PCIENIC_REG_SCRATCH + 4);
}

TEST_F(Registers, NarrowAndMisalignedAccessesAreRefused) {
    write32(PCIENIC_REG_SCRATCH, 0x11223344);
    for (unsigned size : {0u, 1u, 2u, 3u, 16u}) {
        EXPECT_EQ(pcienic_core_read(core.get(), PCIENIC_REG_SCRATCH, size), 0u) << size;
        pcienic_core_write(core.get(), PCIENIC_REG_SCRATCH, 0, size);
    }
    EXPECT_EQ(pcienic_core_read(core.get(), PCIENIC_REG_SCRATCH + 2, 4), 0u);
    EXPECT_EQ(pcienic_core_read(core.get(), PCIENIC_REG_SCRATCH64 + 4, 8), 0u);
    pcienic_core_write(core.get(), PCIENIC_REG_SCRATCH + 2, 0, 4);
    EXPECT_EQ(read32(PCIENIC_REG_SCRATCH), 0x11223344u);
    expect_nothing_latched();
}

TEST_F(Registers, WhatIsNotListedReadsAsZeroAndIsLatched) {
    for (std::uint64_t offset : {std::uint64_t{0x014}, std::uint64_t{0xffc}, std::uint64_t{0x1004},
                                 std::uint64_t{0xfffc}, std::uint64_t{0xffff'ffff'0000'0000}, ~std::uint64_t{3}}) {
        write32(PCIENIC_REG_ERR_STATUS, ~0u & (PCIENIC_ERR_STATUS_VALID_MASK | PCIENIC_ERR_STATUS_OVERFLOW_MASK));
        EXPECT_EQ(read32(offset), 0u);
        expect_latched(PCIENIC_ERR_CODE_CODE_BAD_OFFSET, offset);
        write32(offset, 1);
        EXPECT_EQ(errors.back(), (ReportedError{PCIENIC_ERR_CODE_CODE_BAD_OFFSET, offset}));
    }
}

// Every register of the description, element by element, against the rules that the description states.
TEST_F(Registers, EachFollowsItsAccessRules) {
    init(PCIENIC_MAX_VECTORS);  // every bit of the interrupt registers exists
    for (const auto& row : kRows) {
        for (unsigned n = 0; n < row.count; ++n) {
            const auto offset = row.offset + n * row.width / 8;
            const unsigned size = row.width / 8;
            const auto ones = row.width == 64 ? ~std::uint64_t{0} : 0xffffffffu;
            SCOPED_TRACE(std::string(row.name) + "[" + std::to_string(n) + "]");
            pcienic_core_reset(core.get(), PCIENIC_RESET_COLD);
            errors.clear();
            const auto before = pcienic_core_read(core.get(), offset, size);
            if (row.offset == PCIENIC_REG_IRQ_TEST) {
                EXPECT_EQ(before, 0u);
                continue;
            }
            const bool configured = row.offset == PCIENIC_REG_VECTORS || row.offset == PCIENIC_REG_MEMORY_SIZE;
            if (!configured && row.offset != PCIENIC_REG_STATUS) {  // STATUS depends on Bus Master, too
                EXPECT_EQ(before, row.reset);
            }
            const bool engine_control = row.offset == PCIENIC_REG_DMA_CTRL;  // refuses to be set without a ring
            pcienic_core_write(core.get(), offset, ones, size);
            const auto after = pcienic_core_read(core.get(), offset, size);
            const auto writable = row.rw | row.w1c | row.w1s;
            if (row.access == PCIENIC_ACCESS_RO) {
                EXPECT_EQ(after, before | (row.offset == PCIENIC_REG_STATUS ? PCIENIC_STATUS_ERROR_MASK : 0u) |
                                     (row.offset == PCIENIC_REG_ERR_CODE ? PCIENIC_ERR_CODE_CODE_READ_ONLY : 0u) |
                                     (row.offset == PCIENIC_REG_ERR_INFO ? offset : 0u));
                expect_latched(PCIENIC_ERR_CODE_CODE_READ_ONLY, offset);
                continue;
            }
            if (ones & ~writable && row.offset != PCIENIC_REG_CTRL) {  // a reset clears the latch, too
                EXPECT_THAT(errors, ::testing::Contains(ReportedError{PCIENIC_ERR_CODE_CODE_BAD_VALUE, offset}));
            } else if (!engine_control && row.offset != PCIENIC_REG_CTRL) {
                EXPECT_THAT(errors, ::testing::IsEmpty());
            }
            if (row.offset == PCIENIC_REG_ERR_STATUS) continue;  // the reserved bits were an error of their own
            EXPECT_EQ(after, engine_control ? 0u : row.rw);
        }
    }
}

TEST_F(Registers, ReservedBitsAreIgnoredAndLatched) {
    write32(PCIENIC_REG_DMA_RING_SIZE, 0xf4);
    EXPECT_EQ(read32(PCIENIC_REG_DMA_RING_SIZE), 4u);
    expect_latched(PCIENIC_ERR_CODE_CODE_BAD_VALUE, PCIENIC_REG_DMA_RING_SIZE);
}

TEST_F(Registers, BitsOfVectorsThatTheDeviceLacksAreReserved) {
    init(5);
    set_mask(0xffffffff);
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_MASK), 0x1fu);
    expect_latched(PCIENIC_ERR_CODE_CODE_BAD_VALUE, PCIENIC_REG_IRQ_MASK);
    set_mask(1, 1);
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_MASK + 4), 0u);
    EXPECT_EQ(errors.back(), (ReportedError{PCIENIC_ERR_CODE_CODE_BAD_VALUE, PCIENIC_REG_IRQ_MASK + 4}));
}

TEST_F(Registers, TheLatchHoldsTheFirstErrorAndSaysThatThereWereMore) {
    write32(PCIENIC_REG_ID, 1);
    EXPECT_EQ(read32(PCIENIC_REG_ERR_STATUS), PCIENIC_ERR_STATUS_VALID_MASK);
    read32(0x014);
    EXPECT_EQ(read32(PCIENIC_REG_ERR_STATUS), PCIENIC_ERR_STATUS_VALID_MASK | PCIENIC_ERR_STATUS_OVERFLOW_MASK);
    expect_latched(PCIENIC_ERR_CODE_CODE_READ_ONLY, PCIENIC_REG_ID);
    EXPECT_EQ(errors.size(), 2u);
    EXPECT_NE(read32(PCIENIC_REG_STATUS) & PCIENIC_STATUS_ERROR_MASK, 0u);
}

TEST_F(Registers, AOneFreesTheLatchAndAZeroDoesNot) {
    read32(0x014);
    read32(0x03c);
    write32(PCIENIC_REG_ERR_STATUS, 0);
    EXPECT_EQ(read32(PCIENIC_REG_ERR_STATUS), 3u);
    write32(PCIENIC_REG_ERR_STATUS, PCIENIC_ERR_STATUS_OVERFLOW_MASK);
    EXPECT_EQ(read32(PCIENIC_REG_ERR_STATUS), PCIENIC_ERR_STATUS_VALID_MASK);
    EXPECT_EQ(read32(PCIENIC_REG_ERR_CODE), PCIENIC_ERR_CODE_CODE_BAD_OFFSET);
    write32(PCIENIC_REG_ERR_STATUS, PCIENIC_ERR_STATUS_VALID_MASK);
    EXPECT_EQ(read32(PCIENIC_REG_ERR_STATUS), 0u);
    EXPECT_EQ(read32(PCIENIC_REG_ERR_CODE), PCIENIC_ERR_CODE_CODE_NONE);
    EXPECT_EQ(read64(PCIENIC_REG_ERR_INFO), 0u);
    EXPECT_EQ(read32(PCIENIC_REG_STATUS) & PCIENIC_STATUS_ERROR_MASK, 0u);
    write32(PCIENIC_REG_VERSION, 0);
    expect_latched(PCIENIC_ERR_CODE_CODE_READ_ONLY, PCIENIC_REG_VERSION);
}

TEST_F(Registers, WriteOnlyOnesReadAsZero) {
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_TEST), 0u);
    EXPECT_EQ(read32(PCIENIC_DOORBELL_DMA_DOORBELL), 0u);
    expect_nothing_latched();
}

TEST_F(Registers, StatusFollowsBusMaster) {
    bus_master = false;
    EXPECT_EQ(read32(PCIENIC_REG_STATUS), PCIENIC_STATUS_READY_MASK);
}

}  // namespace
}  // namespace pcienic::test
