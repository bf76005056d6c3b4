// SPDX-License-Identifier: MIT
#include "core_fixture.hpp"

#include <numeric>

namespace pcienic::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Interrupts : public CoreFixture {
  protected:
    void use_msix() { pcienic_core_set_irq_mode(core.get(), PCIENIC_IRQ_MSIX, core->vectors); }
    void use_msi(unsigned enabled) { pcienic_core_set_irq_mode(core.get(), PCIENIC_IRQ_MSI, enabled); }
    void use_intx() { pcienic_core_set_irq_mode(core.get(), PCIENIC_IRQ_INTX, 1); }
};

TEST_F(Interrupts, AMessageTakesItsCauseWithIt) {
    use_msix();
    fire(7);
    EXPECT_THAT(messages, ElementsAre(7u));
    EXPECT_EQ(cause(), 0u);
    EXPECT_FALSE(intx);
    expect_nothing_latched();
}

TEST_F(Interrupts, EveryOneOf2048VectorsFiresOnce) {
    init(PCIENIC_MAX_VECTORS);
    use_msix();
    for (unsigned vector = 0; vector < PCIENIC_MAX_VECTORS; ++vector) fire(vector);
    std::vector<unsigned> all(PCIENIC_MAX_VECTORS);
    std::iota(all.begin(), all.end(), 0u);
    EXPECT_EQ(messages, all);
}

TEST_F(Interrupts, AMaskHoldsTheMessageBackUntilItIsLifted) {
    use_msix();
    set_mask(1u << 3);
    fire(3);
    fire(3);
    fire(4);
    EXPECT_THAT(messages, ElementsAre(4u));
    EXPECT_EQ(cause(), 1u << 3);
    set_mask(0);
    EXPECT_THAT(messages, ElementsAre(4u, 3u));
    EXPECT_EQ(cause(), 0u);
    set_mask(1u << 3);
    set_mask(0);
    EXPECT_THAT(messages, ElementsAre(4u, 3u)) << "lifting a mask without a cause sent a message";
}

TEST_F(Interrupts, AClearedCauseIsNotSent) {
    use_msix();
    set_mask(1u << 3);
    fire(3);
    write32(PCIENIC_REG_IRQ_CAUSE, 1u << 3);
    set_mask(0);
    EXPECT_THAT(messages, IsEmpty());
}

TEST_F(Interrupts, ManyHeldBackLeaveInOneSweep) {
    init(100);
    use_msix();
    for (unsigned word = 0; word < 4; ++word) set_mask(word == 3 ? 0xf : 0xffffffff, word);
    for (unsigned vector : {0u, 31u, 32u, 99u}) fire(vector);
    EXPECT_THAT(messages, IsEmpty());
    for (unsigned word = 0; word < 4; ++word) set_mask(0, word);
    EXPECT_THAT(messages, ElementsAre(0u, 31u, 32u, 99u));
}

TEST_F(Interrupts, AVectorThatTheDeviceLacksIsLatched) {
    use_msix();
    fire(32);
    expect_latched(PCIENIC_ERR_CODE_CODE_BAD_VECTOR, 32);
    fire(0xffffffff);
    EXPECT_EQ(errors.back(), (ReportedError{PCIENIC_ERR_CODE_CODE_BAD_VECTOR, 0xffffffff}));
    EXPECT_THAT(messages, IsEmpty());
    for (unsigned word = 0; word < PCIENIC_REG_IRQ_CAUSE_COUNT; ++word) EXPECT_EQ(cause(word), 0u);
}

TEST_F(Interrupts, AVectorThatTheDriverHasNotEnabledIsLatched) {
    use_msi(4);
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_STATUS), PCIENIC_IRQ_STATUS_MODE_MSI | 4u << PCIENIC_IRQ_STATUS_ENABLED_SHIFT);
    fire(3);
    fire(4);
    EXPECT_THAT(messages, ElementsAre(3u));
    expect_latched(PCIENIC_ERR_CODE_CODE_BAD_VECTOR, 4);
}

TEST_F(Interrupts, NoMoreVectorsAreEnabledThanTheDeviceHas) {
    init(3);
    use_msi(32);
    EXPECT_EQ(read32(PCIENIC_REG_IRQ_STATUS) >> PCIENIC_IRQ_STATUS_ENABLED_SHIFT, 3u);
    fire(3);
    EXPECT_THAT(messages, IsEmpty());
}

TEST_F(Interrupts, WithIntxAllVectorsShareTheLine) {
    fire(5);
    EXPECT_TRUE(intx);
    fire(31);
    EXPECT_EQ(cause(), 1u << 5 | 1u << 31);
    write32(PCIENIC_REG_IRQ_CAUSE, 1u << 5);
    EXPECT_TRUE(intx) << "another cause still holds the line";
    write32(PCIENIC_REG_IRQ_CAUSE, 1u << 31);
    EXPECT_FALSE(intx);
    EXPECT_THAT(messages, IsEmpty());
    expect_nothing_latched();
}

TEST_F(Interrupts, TheLineFollowsTheMask) {
    set_mask(1u << 2);
    fire(2);
    EXPECT_FALSE(intx);
    set_mask(0);
    EXPECT_TRUE(intx);
    set_mask(1u << 2);
    EXPECT_FALSE(intx);
    EXPECT_EQ(cause(), 1u << 2);
}

TEST_F(Interrupts, GoingToMessagesLowersTheLineAndSendsWhatHeldIt) {
    fire(2);
    EXPECT_TRUE(intx);
    use_msix();
    EXPECT_FALSE(intx);
    EXPECT_THAT(messages, ElementsAre(2u));
    EXPECT_EQ(cause(), 0u);
}

TEST_F(Interrupts, GoingBackToIntxRaisesTheLineForWhatIsMasked) {
    use_msix();
    set_mask(1u);
    fire(0);
    use_intx();
    EXPECT_FALSE(intx);
    set_mask(0);
    EXPECT_TRUE(intx);
}

TEST_F(Interrupts, WithoutBusMasterMessagesWait) {
    use_msix();
    bus_master = false;
    fire(9);
    EXPECT_THAT(messages, IsEmpty());
    EXPECT_EQ(cause(), 1u << 9);
    bus_master = true;
    use_msix();  // how the embedder says that something changed
    EXPECT_THAT(messages, ElementsAre(9u));
}

TEST_F(Interrupts, EachHasASwitchInTheDriversHandsAndNoneLeaksToAnother) {
    use_msix();
    for (unsigned vector = 0; vector < 32; ++vector) {
        messages.clear();
        set_mask(~(1u << vector));
        for (unsigned v = 0; v < 32; ++v) fire(v);
        EXPECT_THAT(messages, ElementsAre(vector));
        write32(PCIENIC_REG_IRQ_CAUSE, 0xffffffff);
    }
}

// The guest may aim a message at the device's own registers.
TEST_F(Interrupts, AMessageThatRaisesItselfNeitherRecursesNorLoops) {
    use_msix();
    on_message = [this](unsigned vector) { fire(vector); };
    fire(1);
    EXPECT_EQ(messages.size(), 1u);
    EXPECT_TRUE(scheduled);
    for (unsigned run = 0; run < 3; ++run) pcienic_core_run(core.get());
    EXPECT_EQ(messages.size(), 4u) << "one message for each run";
    on_message = [](unsigned) {};
    run_all();
    EXPECT_EQ(cause(), 0u);
}

TEST_F(Interrupts, AMessageThatResetsTheDeviceStopsTheSweep) {
    use_msix();
    set_mask(0xff);
    for (unsigned vector = 0; vector < 8; ++vector) fire(vector);
    on_message = [this](unsigned) { write32(PCIENIC_REG_CTRL, PCIENIC_CTRL_RESET_MASK); };
    set_mask(0);
    EXPECT_THAT(messages, ElementsAre(0u));
    EXPECT_EQ(cause(), 0u);
}

}  // namespace
}  // namespace pcienic::test
