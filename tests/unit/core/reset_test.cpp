// SPDX-License-Identifier: MIT
#include "core_fixture.hpp"

namespace pcienic::test {
namespace {

using ::testing::IsEmpty;

class Reset : public CoreFixture {
  protected:
    // Leaves a trace in everything that a reset could forget.
    void disturb() {
        write32(PCIENIC_REG_SCRATCH, 0xdeadbeef);
        write64(PCIENIC_REG_SCRATCH64, 0x0123456789abcdef);
        start_engine();
        set_mask(2);
        fire(0);
        fire(1);
        read32(0x014);
        put_descriptor({.source = kBuffer,
                        .destination = kOther,
                        .length = kBufferSize,
                        .control = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_HOST_TO_HOST});
        doorbell();
        pcienic_core_run(core.get());
        ASSERT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_BUSY);
        ASSERT_TRUE(intx);
    }
    void expect_everything_but_sticky_reset() {
        EXPECT_FALSE(intx);
        EXPECT_EQ(read32(PCIENIC_REG_STATUS), PCIENIC_STATUS_READY_MASK | PCIENIC_STATUS_BUS_MASTER_MASK);
        for (auto offset :
             {PCIENIC_REG_ERR_STATUS, PCIENIC_REG_ERR_CODE, PCIENIC_REG_IRQ_CAUSE, PCIENIC_REG_IRQ_MASK,
              PCIENIC_REG_DMA_CTRL, PCIENIC_REG_DMA_STATUS, PCIENIC_REG_DMA_RING_SIZE, PCIENIC_REG_CTRL}) {
            EXPECT_EQ(read32(offset), 0u) << "register at " << offset;
        }
        for (auto offset : {PCIENIC_REG_ERR_INFO, PCIENIC_REG_DMA_RING_BASE, PCIENIC_REG_DMA_COMPLETION_BASE,
                            PCIENIC_REG_DMA_COMPLETED}) {
            EXPECT_EQ(read64(offset), 0u) << "register at " << offset;
        }
        EXPECT_TRUE(pcienic_core_validate(core.get()));
        accesses.clear();
        run_all();
        EXPECT_THAT(accesses, IsEmpty()) << "work in flight outlived the reset";
        EXPECT_EQ(completion(0).status, 0u);
    }
};

TEST_F(Reset, ColdForgetsEverything) {
    disturb();
    pcienic_core_reset(core.get(), PCIENIC_RESET_COLD);
    EXPECT_EQ(read32(PCIENIC_REG_SCRATCH), 0u);
    EXPECT_EQ(read64(PCIENIC_REG_SCRATCH64), 0u);
    expect_everything_but_sticky_reset();
}

TEST_F(Reset, FunctionLevelKeepsWhatIsSticky) {
    disturb();
    pcienic_core_set_irq_mode(core.get(), PCIENIC_IRQ_MSIX, 32);
    pcienic_core_reset(core.get(), PCIENIC_RESET_FUNCTION_LEVEL);
    EXPECT_EQ(read32(PCIENIC_REG_SCRATCH), 0xdeadbeefu);
    EXPECT_EQ(read64(PCIENIC_REG_SCRATCH64), 0x0123456789abcdefu);
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_STATUS), 1u << PCIENIC_IRQ_STATUS_ENABLED_SHIFT)
        << "configuration space was reset";
    expect_everything_but_sticky_reset();
}

TEST_F(Reset, SoftwareKeepsWhatIsStickyAndTheInterruptMode) {
    disturb();
    pcienic_core_set_irq_mode(core.get(), PCIENIC_IRQ_MSIX, 32);
    write32(PCIENIC_REG_CTRL, PCIENIC_CTRL_RESET_MASK);
    EXPECT_EQ(read32(PCIENIC_REG_CTRL), 0u);
    EXPECT_EQ(read32(PCIENIC_REG_SCRATCH), 0xdeadbeefu);
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_STATUS), PCIENIC_IRQ_STATUS_MODE_MSIX | 32u << PCIENIC_IRQ_STATUS_ENABLED_SHIFT);
    expect_everything_but_sticky_reset();
}

// What a migration stream left in the core, and nothing has checked, is gone.
TEST_F(Reset, ColdLeavesAGoodStateWhateverItWas) {
    map_everything();
    for (auto& word : core->file) word = 0xa5a5a5a5;
    core->irq_mode = 77;
    core->irq_enabled = ~0u;
    core->intx_level = intx = true;
    core->dma.kicked = core->dma.stopped = core->dma.phase = true;
    core->dma.head = ~0u;
    core->dma.completed = ~0ull;
    core->dma.command.active = true;
    core->dma.command.source.kind = 99;
    core->dma.command.source.count = core->dma.command.source.index = core->dma.command.source.offset = ~0u;
    pcienic_core_reset(core.get(), PCIENIC_RESET_COLD);
    expect_everything_but_sticky_reset();
    EXPECT_EQ(read32(PCIENIC_REG_SCRATCH), 0u);
    start_engine();
    EXPECT_EQ(execute({.tag = 5, .control = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_NOP}).code(),
              PCIENIC_COMPLETION_STATUS_CODE_OK);
}

// A message may take the device out of its slot: its embedder then resets the core, and has nothing left to be asked.
TEST_F(Reset, InsideAMessageEndsTheRunWithoutAnotherQuestion) {
    start_engine();
    pcienic_core_set_irq_mode(core.get(), PCIENIC_IRQ_MSIX, 32);
    bus_master = false;
    for (unsigned vector = 0; vector < 8; ++vector) fire(vector);
    bus_master = true;
    for (unsigned i = 0; i < 15; ++i)
        put_descriptor({.control = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_NOP | PCIENIC_DESCRIPTOR_CONTROL_INTERRUPT_MASK});
    doorbell();
    scheduled = false;
    on_message = [this](unsigned) {
        pcienic_core_reset(core.get(), PCIENIC_RESET_COLD);
        bus_master_asked = 0;
    };
    pcienic_core_run(core.get());
    EXPECT_EQ(messages.size(), 1u);
    EXPECT_EQ(bus_master_asked, 0u);
    EXPECT_THAT(accesses, IsEmpty());
    EXPECT_FALSE(scheduled);
    EXPECT_TRUE(pcienic_core_validate(core.get()));
}

TEST_F(Reset, WritingZeroToControlResetsNothing) {
    read32(0x014);
    write32(PCIENIC_REG_CTRL, 0);
    EXPECT_NE(read32(PCIENIC_REG_ERR_STATUS), 0u);
}

TEST_F(Reset, TheEngineWorksAfterwards) {
    disturb();
    write32(PCIENIC_REG_CTRL, PCIENIC_CTRL_RESET_MASK);
    configure_ring(4);
    enable();
    host.map(kRing, 4096);
    EXPECT_EQ(execute({.tag = 5, .control = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_NOP}).code(),
              PCIENIC_COMPLETION_STATUS_CODE_OK);
}

// A reset at each moment at which the engine talks to the machine: nothing of the old work may show up afterwards.
TEST_F(Reset, AtAnyDmaAccessDropsTheWork) {
    for (unsigned moment = 0;; ++moment) {
        init(32);
        host = HostMemory{};
        on_dma = [](const DmaAccess&) {};
        start_engine();
        put_entry(0, kBuffer, 0x3000);
        put_entry(1, kBuffer + 0x5000, 0x3000);
        put_descriptor({.source = kLists,
                        .destination = kOther,
                        .length = 0x6000,
                        .sg_count = 2,
                        .control = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_HOST_TO_HOST |
                                   PCIENIC_DESCRIPTOR_CONTROL_SOURCE_SG_MASK |
                                   PCIENIC_DESCRIPTOR_CONTROL_INTERRUPT_MASK});
        doorbell();
        unsigned seen = 0;
        bool happened = false;
        on_dma = [&](const DmaAccess&) {
            if (seen++ == moment) {
                happened = true;
                write32(PCIENIC_REG_CTRL, PCIENIC_CTRL_RESET_MASK);
                configure_ring(4);
                enable();
                doorbell();  // finds the descriptor again
            }
        };
        run_all();
        if (!happened) {
            EXPECT_GT(moment, 10u) << "the command took fewer accesses than it should have";
            break;
        }
        EXPECT_TRUE(pcienic_core_validate(core.get())) << moment;
        EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETED), 1u) << moment;
        EXPECT_EQ(completion(0).code(), PCIENIC_COMPLETION_STATUS_CODE_OK) << moment;
        EXPECT_EQ(completion(0).detail, 0x6000u) << moment;
    }
}

}  // namespace
}  // namespace pcienic::test
