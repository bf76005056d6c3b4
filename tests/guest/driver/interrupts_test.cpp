// SPDX-License-Identifier: MIT
#include <poll.h>

#include <vector>

#include "fixture.hpp"

namespace pcienic::test {
namespace {

using uiovfio::InterruptMode;

class GuestInterrupts : public OnVfio {
  protected:
    std::uint64_t wait(unsigned vector) { return interrupts.wait(vector, kPatience); }

    // What has come by now, taken: the vectors, each as often as it fired. An eventfd may be readable without an
    // interrupt, so only the count that is taken from it tells.
    std::vector<unsigned> strays(int timeout_ms = 0) {
        std::vector<pollfd> fds(interrupts.count());
        for (unsigned v = 0; v < fds.size(); ++v) fds[v] = {interrupts.event_fd(v), POLLIN, 0};
        std::vector<unsigned> vectors;
        while (::poll(fds.data(), fds.size(), timeout_ms) > 0)
            for (unsigned v = 0; v < fds.size(); ++v)
                if (fds[v].revents != 0) vectors.insert(vectors.end(), interrupts.try_take(v), v);
        return vectors;
    }

    void each_vector_arrives_once_and_alone() {
        for (unsigned vector = 0; vector < interrupts.count(); ++vector) {
            driver.fire(vector);
            EXPECT_EQ(wait(vector), 1u) << "vector " << vector;
            EXPECT_THAT(strays(), testing::IsEmpty()) << "after vector " << vector;
        }
        EXPECT_FALSE(driver.take_error());
    }

    uiovfio::Interrupts& interrupts = device.interrupts();
};

TEST_F(GuestInterrupts, MsixFiresEachVectorOnce) {
    ASSERT_EQ(driver.enable_interrupts(InterruptMode::msix), 32u);
    each_vector_arrives_once_and_alone();
}

TEST_F(GuestInterrupts, MsixFiresTheVectorsThatAreEnabled) {
    ASSERT_EQ(driver.enable_interrupts(InterruptMode::msix, 5), 5u);
    each_vector_arrives_once_and_alone();
}

TEST_F(GuestInterrupts, MsiFiresEachVectorThatTheKernelGrants) {
    const unsigned granted = driver.enable_interrupts(InterruptMode::msi);
    RecordProperty("granted", static_cast<int>(granted));
    ASSERT_GE(granted, 1u);
    EXPECT_EQ(regs::IrqStatus::Mode::read(driver.registers()), regs::IrqStatus::ModeValue::kMsi);
    each_vector_arrives_once_and_alone();
}

TEST_F(GuestInterrupts, TheLineInterruptsOnceUntilItIsServed) {
    ASSERT_EQ(driver.enable_interrupts(InterruptMode::intx), 1u);
    for (unsigned vector : {3u, 31u, 0u}) {
        driver.fire(vector);
        EXPECT_EQ(wait(0), 1u);
        EXPECT_TRUE(driver.cause(vector));
        driver.fire(vector);
        EXPECT_THAT(strays(20), testing::IsEmpty()) << "the kernel masks the line until it is told";
        driver.clear_cause(vector);
        interrupts.unmask();
    }
    EXPECT_THAT(strays(20), testing::IsEmpty());
}

TEST_F(GuestInterrupts, TheLineInterruptsAgainWhileACauseIsLeft) {
    driver.enable_interrupts(InterruptMode::intx);
    driver.fire(1);
    driver.fire(2);
    EXPECT_EQ(wait(0), 1u);
    driver.clear_cause(1);
    interrupts.unmask();
    EXPECT_EQ(wait(0), 1u);
    driver.clear_cause(2);
    interrupts.unmask();
    EXPECT_THAT(strays(20), testing::IsEmpty());
}

TEST_F(GuestInterrupts, AMaskedLineIsPendingUntilItIsUnmasked) {
    driver.enable_interrupts(InterruptMode::intx);
    interrupts.mask();
    driver.fire(6);
    EXPECT_THAT(strays(20), testing::IsEmpty());
    interrupts.unmask();
    EXPECT_EQ(wait(0), 1u);
    driver.clear_cause(6);
    interrupts.unmask();
}

TEST_F(GuestInterrupts, TenThousandAreReceivedAsFired) {
    ASSERT_EQ(driver.enable_interrupts(InterruptMode::msix), 32u);
    constexpr unsigned kInterrupts = 10000;
    std::vector<std::uint64_t> fired(32), received(32);
    for (unsigned i = 0; i < kInterrupts; ++i) {
        const unsigned vector = i * 7 % 32;
        driver.fire(vector);
        ++fired[vector];
        received[vector] += wait(vector);
    }
    for (unsigned vector : strays(50)) ++received[vector];
    EXPECT_EQ(received, fired);
}

TEST_F(GuestInterrupts, AStormBringsNoMoreThanWereFiredAndLosesNoLastOne) {
    ASSERT_EQ(driver.enable_interrupts(InterruptMode::msix), 32u);
    constexpr std::uint64_t kRounds = 300;
    std::vector<std::uint64_t> received(32);
    for (std::uint64_t round = 0; round < kRounds; ++round)
        for (unsigned vector = 0; vector < 32; ++vector) driver.fire(vector);
    // Until nothing comes any more: what is still on its way would be taken for the last firing.
    for (auto late = strays(250); !late.empty(); late = strays(250))
        for (unsigned vector : late) ++received[vector];
    for (unsigned vector = 0; vector < 32; ++vector) {
        EXPECT_GE(received[vector], 1u) << vector;
        EXPECT_LE(received[vector], kRounds) << vector;
        driver.fire(vector);
        EXPECT_EQ(wait(vector), 1u) << "the last firing of vector " << vector;
    }
}

TEST_F(GuestInterrupts, AMaskedVectorIsPendingAndThenSentOnce) {
    driver.enable_interrupts(InterruptMode::msix);
    for (unsigned vector : {0u, 17u, 31u}) {
        driver.mask(vector);
        driver.fire(vector);
        driver.fire(vector);
        EXPECT_THAT(strays(20), testing::IsEmpty());
        EXPECT_TRUE(driver.cause(vector));
        driver.unmask(vector);
        EXPECT_EQ(wait(vector), 1u);
        EXPECT_FALSE(driver.cause(vector));
    }
}

TEST_F(GuestInterrupts, FunctionLevelResetLeavesThemArmed) {
    driver.enable_interrupts(InterruptMode::msix);
    each_vector_arrives_once_and_alone();
    driver.reset_function();
    each_vector_arrives_once_and_alone();
}

TEST_F(GuestInterrupts, SoftwareResetLeavesThemArmed) {
    driver.enable_interrupts(InterruptMode::msix);
    driver.mask(4);
    driver.fire(4);
    driver.reset();
    EXPECT_FALSE(driver.cause(4));
    each_vector_arrives_once_and_alone();
}

TEST_F(GuestInterrupts, ModesFollowEachOther) {
    for (const auto mode : {InterruptMode::msix, InterruptMode::intx, InterruptMode::msi, InterruptMode::msix}) {
        driver.enable_interrupts(mode);
        driver.fire(0);
        EXPECT_EQ(wait(0), 1u) << to_string(mode);
        driver.clear_cause(0);
        driver.disable_interrupts();
    }
}

TEST_F(GuestInterrupts, WithoutBusMasteringTheMessageWaits) {
    driver.enable_interrupts(InterruptMode::msix);
    device.config().set_bus_master(false);
    driver.fire(2);
    EXPECT_THAT(strays(20), testing::IsEmpty());
    EXPECT_TRUE(driver.cause(2));
    device.config().set_bus_master(true);
    EXPECT_EQ(wait(2), 1u);
}

TEST_F(GuestInterrupts, TheLoopbackReachesEachVector) {
    driver.enable_interrupts(InterruptMode::msix);
    for (unsigned vector = 0; vector < interrupts.count(); ++vector) {
        interrupts.trigger(vector);
        EXPECT_EQ(wait(vector), 1u);
        EXPECT_THAT(strays(), testing::IsEmpty());
    }
}

TEST_F(GuestInterrupts, AVectorThatTheDeviceLacksIsLatched) {
    const guest::ExpectGuestError announced{"pcienic: a vector that the device lacks.*0x63"};
    driver.enable_interrupts(InterruptMode::msix);
    driver.fire(99);
    const auto error = driver.take_error();
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, regs::ErrCode::CodeValue::kBadVector);
    EXPECT_EQ(error->info, 99u);
    EXPECT_THAT(strays(20), testing::IsEmpty());
}

}  // namespace
}  // namespace pcienic::test
