// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "expect.hpp"
#include "steps.hpp"

namespace {

using namespace steps;
using pcienic::guest::ExpectGuestError;
using testing::ContainsRegex;
using testing::HasSubstr;
using uiovfio::InterruptMode;

TEST(Step03Msi, IsListedWithFourMaskableVectors) {
    const auto text = lspci(Step::msi, "-vv");
    EXPECT_THAT(text, ContainsRegex("Ethernet controller \\[0200\\]: .*\\[1af4:10f1\\] \\(rev 01\\)\n"));
    EXPECT_THAT(text, HasSubstr("Capabilities: [40] MSI: Enable- Count=1/4 Maskable+ 64bit-"));
}

TEST(Step03Msi, FiresEachVectorOnItsOwnEventfd) {
    VfioDevice device(Step::msi);
    device->interrupts().enable(InterruptMode::msi, kVectors);
    EXPECT_THAT(lspci(Step::msi, "-vv"), HasSubstr("[40] MSI: Enable+ Count=4/4 Maskable+ 64bit-"));
    for (int round = 0; round < 3; ++round) {
        for (unsigned vector = 0; vector < kVectors; ++vector) {
            device.registers().store<std::uint32_t>(kDoorbell, vector);
            device.expect_only(vector);
        }
    }
}

TEST(Step03Msi, IgnoresAVectorThatIsNotThere) {
    const ExpectGuestError four{"pcienic-msi: doorbell for vector 4, but 4 are enabled"};
    const ExpectGuestError many{"pcienic-msi: doorbell for vector 4294967295, but 4 are enabled"};
    VfioDevice device(Step::msi);
    device->interrupts().enable(InterruptMode::msi, kVectors);
    device.registers().store<std::uint32_t>(kDoorbell, kVectors);
    device.registers().store<std::uint32_t>(kDoorbell, 0xffffffff);
    device.registers().store<std::uint32_t>(kDoorbell, 0);
    device.expect_only(0);
}

TEST(Step03Msi, IgnoresAVectorThatTheDriverDidNotEnable) {
    const ExpectGuestError error{"pcienic-msi: doorbell for vector 3, but 2 are enabled"};
    VfioDevice device(Step::msi);
    device->interrupts().enable(InterruptMode::msi, 2);
    device.registers().store<std::uint32_t>(kDoorbell, 3);
    device.registers().store<std::uint32_t>(kDoorbell, 1);
    device.expect_only(1);
}

TEST(Step03Msi, IgnoresTheDoorbellWhileMsiIsOff) {
    const ExpectGuestError error{"pcienic-msi: doorbell for vector 0, but 0 are enabled"};
    const SysfsRegisters registers(Step::msi);
    registers.store(kDoorbell, 0U);
    registers.store(4, 0x5aU);
    EXPECT_EQ(registers.load(4), 0x5aU) << "the device lives on";
    registers.store(4, 0U);
}

TEST(Step03Msi, DoesNotStoreInTheDoorbellButInTheOtherRegisters) {
    VfioDevice device(Step::msi);
    device->interrupts().enable(InterruptMode::msi, kVectors);
    device.registers().store<std::uint32_t>(kDoorbell, 2);
    device.expect_only(2);
    EXPECT_EQ(device.registers().load<std::uint32_t>(kDoorbell), 0U);
    for (std::uint32_t i = 1; i < kRegisters; ++i) {
        device.registers().store<std::uint32_t>(4 * i, i);
    }
    for (std::uint32_t i = 1; i < kRegisters; ++i) {
        EXPECT_EQ(device.registers().load<std::uint32_t>(4 * i), i);
    }
    device.expect_silence();
}

}  // namespace
