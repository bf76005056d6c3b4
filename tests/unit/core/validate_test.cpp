// SPDX-License-Identifier: MIT
// What a migration stream may say. A state that passes is run by the core, so each of these is a door for an attacker.
#include "core_fixture.hpp"

#include <functional>

namespace pcienic::test {
namespace {

class Validate : public CoreFixture {
  protected:
    // An engine in the middle of a host-to-host command with a source list.
    void be_busy() {
        start_engine();
        put_entry(0, kBuffer, 0x80000);
        put_entry(1, kBuffer + 0x80000, 0x80000);
        put_descriptor(
            {.source = kLists,
             .destination = kOther,
             .length = kBufferSize,
             .sg_count = 2,
             .control = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_HOST_TO_HOST | PCIENIC_DESCRIPTOR_CONTROL_SOURCE_SG_MASK});
        doorbell();
        pcienic_core_run(core.get());
        ASSERT_TRUE(core->dma.command.active);
        ASSERT_TRUE(pcienic_core_validate(core.get()));
    }
    void expect_refused(const char* what, const std::function<void(PcienicCore&)>& spoil) {
        const PcienicCore good = *core;
        spoil(*core);
        EXPECT_FALSE(pcienic_core_validate(core.get())) << what;
        *core = good;
        EXPECT_TRUE(pcienic_core_validate(core.get()));
    }
    static void set(PcienicCore& c, std::uint32_t offset, std::uint32_t value) { c.file[offset / 4] = value; }
};

TEST_F(Validate, AcceptsAFreshDevice) { EXPECT_TRUE(pcienic_core_validate(core.get())); }

TEST_F(Validate, AcceptsWhatWasLatchedRaisedAndMasked) {
    read32(0x014);
    read32(0x014);
    fire(3);
    set_mask(1);
    write32(PCIENIC_REG_SCRATCH, ~0u);
    EXPECT_TRUE(pcienic_core_validate(core.get()));
}

TEST_F(Validate, AcceptsAStoppedEngine) {
    start_engine();
    host.unmap(kRing);
    doorbell();
    run_all();
    EXPECT_TRUE(pcienic_core_validate(core.get()));
}

TEST_F(Validate, RefusesRegistersThatCannotBe) {
    using C = PcienicCore;
    expect_refused("another identity", [](C& c) { set(c, PCIENIC_REG_ID, 0); });
    expect_refused("reserved bits", [](C& c) { set(c, PCIENIC_REG_DMA_RING_SIZE, 0x10); });
    expect_refused("a reset in progress", [](C& c) { set(c, PCIENIC_REG_CTRL, 1); });
    expect_refused("an unknown error", [](C& c) { set(c, PCIENIC_REG_ERR_CODE, 200); });
    expect_refused("a cause of a vector that is not there", [](C& c) { set(c, PCIENIC_REG_IRQ_CAUSE + 4, 1); });
    expect_refused("a mask of a vector that is not there", [](C& c) { set(c, PCIENIC_REG_IRQ_MASK + 4, 1); });
    expect_refused("a value where no register is", [](C& c) { set(c, 0x014, 1); });
    expect_refused("a value in the last word", [](C& c) { set(c, 0xffc, 1); });
    expect_refused("a computed register", [](C& c) { set(c, PCIENIC_REG_DMA_STATUS, 1); });
}

TEST_F(Validate, RefusesInterruptStateThatCannotBe) {
    using C = PcienicCore;
    expect_refused("a mode that is none", [](C& c) { c.irq_mode = 3; });
    expect_refused("a mode that is none", [](C& c) { c.irq_mode = ~0u; });
    expect_refused("no vector", [](C& c) { c.irq_enabled = 0; });
    expect_refused("two vectors on one line", [](C& c) { c.irq_enabled = 2; });
    expect_refused("too many vectors", [](C& c) {
        c.irq_mode = PCIENIC_IRQ_MSIX;
        c.irq_enabled = 33;
    });
    expect_refused("a line without a cause", [](C& c) { c.intx_level = true; });
    expect_refused("a cause without a line", [](C& c) { set(c, PCIENIC_REG_IRQ_CAUSE, 1); });
    init(PCIENIC_MAX_VECTORS);
    expect_refused("too many MSI vectors", [](C& c) {
        c.irq_mode = PCIENIC_IRQ_MSI;
        c.irq_enabled = 33;
    });
}

TEST_F(Validate, RefusesADisabledEngineWithWork) {
    using C = PcienicCore;
    expect_refused("a kick", [](C& c) { c.dma.kicked = true; });
    expect_refused("a command", [](C& c) { c.dma.command.active = true; });
    expect_refused("a stop", [](C& c) { c.dma.stopped = true; });
    expect_refused("a head beyond all rings", [](C& c) { c.dma.head = 4096; });
}

TEST_F(Validate, RefusesARingThatBreaksTheRules) {
    using C = PcienicCore;
    start_engine();
    expect_refused("size 0", [](C& c) { set(c, PCIENIC_REG_DMA_RING_SIZE, 0); });
    expect_refused("size 15", [](C& c) { set(c, PCIENIC_REG_DMA_RING_SIZE, 15); });
    expect_refused("a crooked base", [](C& c) { set(c, PCIENIC_REG_DMA_RING_BASE, 8); });
    expect_refused("a head beyond the ring", [](C& c) { c.dma.head = 16; });
    expect_refused("a stopped engine with work", [](C& c) { c.dma.stopped = c.dma.kicked = true; });
}

TEST_F(Validate, RefusesACommandThatCannotBe) {
    using C = PcienicCore;
    be_busy();
    expect_refused("done beyond length", [](C& c) { c.dma.command.done = c.dma.command.length; });
    expect_refused("an index beyond the ring", [](C& c) { c.dma.command.index = 16; });
    expect_refused("an unknown opcode", [](C& c) { c.dma.command.control |= 0xff; });
    expect_refused("an opcode with nothing to move", [](C& c) { c.dma.command.control &= ~0xffu; });
    expect_refused("another opcode than its sides", [](C& c) { c.dma.command.control ^= 1; });
    expect_refused("a device side", [](C& c) { c.dma.command.destination.kind = PCIENIC_SIDE_DEVICE; });
    expect_refused("an unknown side", [](C& c) { c.dma.command.source.kind = 99; });
    expect_refused("too many segments", [](C& c) { c.dma.command.source.count = 257; });
    expect_refused("no segments", [](C& c) { c.dma.command.source.count = 0; });
    expect_refused("an index beyond the list", [](C& c) { c.dma.command.source.index = 2; });
    expect_refused("an offset beyond the segment", [](C& c) { c.dma.command.source.offset = 0x80000; });
    expect_refused("an empty segment", [](C& c) { c.dma.command.source.segments[1].length = 0; });
    expect_refused("a segment that wraps", [](C& c) { c.dma.command.source.segments[1].address = ~0ull; });
    expect_refused("segments that end too early", [](C& c) { c.dma.command.source.segments[1].length = 1; });
}

TEST_F(Validate, RefusesDeviceMemoryThatIsNotThere) {
    using C = PcienicCore;
    start_engine();
    put_descriptor({.source = 1, .length = kMemorySize, .control = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_FILL_DEVICE});
    doorbell();
    pcienic_core_run(core.get());
    ASSERT_TRUE(core->dma.command.active);
    expect_refused("beyond the end", [](C& c) { c.dma.command.destination.segments[0].address = 1; });
    expect_refused("far beyond the end",
                   [](C& c) { c.dma.command.destination.segments[0].address = ~0ull - kMemorySize; });
    expect_refused("a pattern with segments", [](C& c) { c.dma.command.source.count = 1; });
    expect_refused("a pattern with a place", [](C& c) { c.dma.command.source.offset = 1; });
}

// A command that is not there can hold anything: the next one does not see it.
TEST_F(Validate, WhatAnInactiveCommandHoldsCostsNothingAndDoesNothing) {
    constexpr unsigned kTooMany = 10'000;
    start_engine(1);
    core->dma.command.source.count = (0u - 256) / PCIENIC_SG_ENTRY_SIZE;
    core->dma.command.length = ~0u;
    core->dma.kicked = true;
    ASSERT_TRUE(pcienic_core_validate(core.get()));
    // A driver that never lets the ring run dry.
    on_dma = [this](const DmaAccess& access) {
        if (!access.write) {
            const auto index = static_cast<unsigned>((access.address - kRing) / PCIENIC_DESCRIPTOR_SIZE);
            write_descriptor(index, {.control = 0xff}, core->dma.phase);
        }
        if (accesses.size() == kTooMany) write32(PCIENIC_REG_DMA_CTRL, 0);
    };
    pcienic_core_run(core.get());
    EXPECT_LT(accesses.size(), kTooMany) << "the run did not end by itself";
    EXPECT_TRUE(scheduled);
    EXPECT_EQ(completion(0).code(), PCIENIC_COMPLETION_STATUS_CODE_BAD_OPCODE);
}

// A copy of the state is the device: it goes on where the original was.
TEST_F(Validate, ACopiedStateGoesOn) {
    be_busy();
    number(host.at(kBuffer, kBufferSize), kBufferSize);
    // What was moved before the numbers were there is not of interest.
    const auto moved = core->dma.command.done;
    auto twin = std::make_unique<PcienicCore>();
    pcienic_core_init(twin.get(), core->ops, core->opaque, core->vectors, core->memory, core->memory_size);
    std::memcpy(twin->file, core->file, sizeof twin->file);
    twin->irq_mode = core->irq_mode;
    twin->irq_enabled = core->irq_enabled;
    twin->intx_level = core->intx_level;
    twin->dma = core->dma;
    core = std::move(twin);
    ASSERT_TRUE(pcienic_core_validate(core.get()));
    run_all();
    EXPECT_EQ(completion(0).code(), PCIENIC_COMPLETION_STATUS_CODE_OK);
    EXPECT_EQ(completion(0).detail, kBufferSize);
    EXPECT_EQ(0, std::memcmp(host.at(kOther + moved, 1), host.at(kBuffer + moved, 1), kBufferSize - moved));
}

}  // namespace
}  // namespace pcienic::test
