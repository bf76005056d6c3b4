// SPDX-License-Identifier: MIT
#include <uiovfio/config_space.hpp>

#include "fixture.hpp"

namespace pcienic::test {
namespace {

using uiovfio::InterruptMode;
using Latched = regs::ErrCode::CodeValue;

class DriverOnSim : public OnSim {
  protected:
    std::uint64_t wait(unsigned vector) { return device.interrupts().wait(vector, kPatience); }
    std::uint64_t take(unsigned vector) { return device.interrupts().try_take(vector); }
};

TEST_F(DriverOnSim, IdentifiesTheDevice) {
    const Identity identity = driver.identify();
    EXPECT_EQ(to_string(identity.version), "1.0.0");
    EXPECT_TRUE(identity.dma && identity.fill && identity.scatter_gather && identity.memory);
    EXPECT_EQ(identity.vectors, 32u);
    EXPECT_EQ(identity.memory_size, 16u * 1024 * 1024);
}

TEST_F(DriverOnSim, FindsItsWayByTheVendorCapability) {
    EXPECT_EQ(driver.layout().register_bar, kBarRegisters);
    EXPECT_EQ(driver.layout().memory_bar, kBarMemory);
    EXPECT_EQ(driver.layout().msix_bar, kBarMsix);
    EXPECT_EQ(driver.layout().doorbells, 1u);
    EXPECT_EQ(driver.layout().doorbell_offset, regs::DmaDoorbell::kOffset);
    EXPECT_EQ(driver.memory().size(), driver.identity().memory_size);
}

TEST_F(DriverOnSim, RefusesADeviceThatIsGone) {
    uiovfio::sim::surprise_remove(device);
    expect_error(Errc::not_a_pcienic, [&] { driver.identify(); });
}

TEST_F(DriverOnSim, ResetsKeepTheScratchRegistersOnly) {
    driver.set_scratch(0x12345678);
    driver.set_scratch64(0x0123456789abcdef);
    for (const bool function_level : {false, true}) {
        driver.mask(3);
        function_level ? driver.reset_function() : driver.reset();
        EXPECT_EQ(regs::IrqMask::read(driver.registers(), 0).raw(), 0u);
        EXPECT_EQ(driver.scratch(), 0x12345678u);
        EXPECT_EQ(driver.scratch64(), 0x0123456789abcdefu);
    }
}

TEST_F(DriverOnSim, LatchHoldsTheFirstErrorUntilItIsTaken) {
    EXPECT_FALSE(driver.take_error());
    driver.registers().store<std::uint32_t>(regs::Id::kOffset, 1);
    driver.registers().store<std::uint32_t>(0x0fc, 1);
    const auto peeked = driver.peek_error();
    ASSERT_TRUE(peeked);
    EXPECT_EQ(peeked->code, Latched::kReadOnly);
    const auto error = driver.take_error();
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, Latched::kReadOnly);
    EXPECT_EQ(error->info, regs::Id::kOffset);
    EXPECT_TRUE(error->overflow);
    EXPECT_FALSE(driver.take_error());
}

TEST_F(DriverOnSim, EveryVectorArrivesAloneAndOnce) {
    ASSERT_EQ(driver.enable_interrupts(InterruptMode::msix), 32u);
    for (unsigned vector = 0; vector < 32; ++vector) {
        driver.fire(vector);
        EXPECT_EQ(wait(vector), 1u);
        for (unsigned other = 0; other < 32; ++other) EXPECT_EQ(take(other), 0u) << vector << " -> " << other;
        EXPECT_FALSE(driver.cause(vector));
    }
}

TEST_F(DriverOnSim, EnablesAsManyAsAskedFor) {
    EXPECT_EQ(driver.enable_interrupts(InterruptMode::msix, 4), 4u);
    driver.disable_interrupts();
    EXPECT_EQ(driver.enable_interrupts(InterruptMode::msi, 2), 2u);
    driver.fire(1);
    EXPECT_EQ(wait(1), 1u);
}

TEST_F(DriverOnSim, WhatWasFiredBeforeInterruptsWereEnabledIsForgotten) {
    driver.fire(3);
    EXPECT_TRUE(driver.cause(3));
    driver.enable_interrupts(InterruptMode::msix);
    driver.fire(4);
    EXPECT_EQ(wait(4), 1u);
    EXPECT_EQ(take(3), 0u);
}

TEST_F(DriverOnSim, AMaskedVectorIsPendingAndThenSentOnce) {
    driver.enable_interrupts(InterruptMode::msix);
    driver.mask(7);
    driver.fire(7);
    driver.fire(7);
    EXPECT_TRUE(driver.cause(7));
    driver.fire(8);  // what comes later on another vector shows that nothing is still on its way
    EXPECT_EQ(wait(8), 1u);
    EXPECT_EQ(take(7), 0u);
    driver.unmask(7);
    EXPECT_EQ(wait(7), 1u);
    EXPECT_FALSE(driver.cause(7));
}

TEST_F(DriverOnSim, AClearedCauseIsNotSent) {
    driver.enable_interrupts(InterruptMode::msix);
    driver.mask(31);
    driver.fire(31);
    driver.clear_cause(31);
    driver.unmask(31);
    driver.fire(0);
    EXPECT_EQ(wait(0), 1u);
    EXPECT_EQ(take(31), 0u);
}

TEST_F(DriverOnSim, AllVectorsShareTheLine) {
    ASSERT_EQ(driver.enable_interrupts(InterruptMode::intx), 1u);
    driver.fire(9);
    driver.fire(20);
    EXPECT_EQ(wait(0), 1u);
    EXPECT_TRUE(driver.cause(9));
    EXPECT_TRUE(driver.cause(20));
    driver.clear_cause(9);
    device.interrupts().unmask();  // the line is still held by 20
    EXPECT_EQ(wait(0), 1u);
    driver.clear_cause(20);
    device.interrupts().unmask();
    EXPECT_EQ(take(0), 0u);
}

TEST_F(DriverOnSim, AVectorThatTheDeviceLacksIsRefused) {
    driver.enable_interrupts(InterruptMode::msix, 4);
    expect_error(Errc::no_such_vector, [&] { driver.mask(32); });
    expect_error(Errc::no_such_vector, [&] { driver.cause(2048); });
    driver.fire(32);
    const auto error = driver.take_error();
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, Latched::kBadVector);
    EXPECT_EQ(error->info, 32u);
}

TEST_F(DriverOnSim, InterruptsGoOnAfterAFunctionLevelReset) {
    driver.enable_interrupts(InterruptMode::msix);
    driver.reset_function();
    for (unsigned vector : {0u, 17u, 31u}) {
        driver.fire(vector);
        EXPECT_EQ(wait(vector), 1u);
    }
}

class ManyVectors : public OnSim {
  protected:
    ManyVectors() : OnSim({.vectors = 2048}) {}
};

TEST_F(ManyVectors, TheLastOfTheTableWorks) {
    EXPECT_EQ(driver.identity().vectors, 2048u);
    ASSERT_EQ(driver.enable_interrupts(uiovfio::InterruptMode::msix), 2048u);
    for (unsigned vector : {0u, 31u, 32u, 1023u, 2047u}) {
        driver.fire(vector);
        EXPECT_EQ(device.interrupts().wait(vector, kPatience), 1u);
    }
}

}  // namespace
}  // namespace pcienic::test
