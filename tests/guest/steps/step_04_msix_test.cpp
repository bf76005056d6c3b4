// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include <array>
#include <fstream>
#include <sstream>

#include "expect.hpp"
#include "steps.hpp"

namespace {

using namespace steps;
using pcienic::guest::ExpectGuestError;
using testing::ContainsRegex;
using testing::HasSubstr;
using uiovfio::InterruptMode;

/// How often each vector came, over all processors, as /proc/interrupts has it: "27: 3 0 ... vfio-msix[2](0000:...)".
std::array<std::uint64_t, kVectors> counts_of_the_kernel(const uiovfio::Bdf& bdf) {
    std::array<std::uint64_t, kVectors> counts{};
    std::ifstream file("/proc/interrupts");
    for (std::string line; std::getline(file, line);) {
        for (unsigned vector = 0; vector < kVectors; ++vector) {
            if (line.find("vfio-msix[" + std::to_string(vector) + "](" + to_string(bdf) + ")") != std::string::npos) {
                std::istringstream words(line.substr(line.find(':') + 1));
                for (std::uint64_t count = 0; words >> count;) {
                    counts[vector] += count;
                }
            }
        }
    }
    return counts;
}

TEST(Step04Msix, IsListedWithItsTableAndPbaInBar1) {
    const auto text = lspci(Step::msix, "-vv");
    EXPECT_THAT(text, ContainsRegex("Ethernet controller \\[0200\\]: .*\\[1af4:10f1\\] \\(rev 01\\)\n"));
    EXPECT_THAT(text, ContainsRegex("Region 1: Memory at [0-9a-f]+ \\(32-bit, non-prefetchable\\).* \\[size=4K\\]"));
    EXPECT_THAT(text, HasSubstr("MSI-X: Enable- Count=4 Masked-"));
    EXPECT_THAT(text, HasSubstr("Vector table: BAR=1 offset=00000000"));
    EXPECT_THAT(text, HasSubstr("PBA: BAR=1 offset=00000800"));
}

TEST(Step04Msix, FiresEachVectorOnItsOwnEventfd) {
    VfioDevice device(Step::msix);
    device->interrupts().enable(InterruptMode::msix, kVectors);
    EXPECT_THAT(lspci(Step::msix, "-vv"), HasSubstr("MSI-X: Enable+ Count=4 Masked-"));
    for (int round = 0; round < 3; ++round) {
        for (unsigned vector = 0; vector < kVectors; ++vector) {
            device.registers().store<std::uint32_t>(kDoorbell, vector);
            device.expect_only(vector);
        }
    }
}

TEST(Step04Msix, IsCountedByTheKernelVectorByVector) {
    VfioDevice device(Step::msix);
    device->interrupts().enable(InterruptMode::msix, kVectors);
    auto expected = counts_of_the_kernel(bdf(Step::msix));
    for (unsigned vector = 0; vector < kVectors; ++vector) {
        for (unsigned time = 0; time <= vector; ++time) {
            device.registers().store<std::uint32_t>(kDoorbell, vector);
            device.expect_only(vector);
            ++expected[vector];
        }
    }
    EXPECT_EQ(counts_of_the_kernel(bdf(Step::msix)), expected);
}

TEST(Step04Msix, IgnoresAVectorThatIsNotThere) {
    const ExpectGuestError four{"pcienic-msix: doorbell for vector 4, but 4 are enabled"};
    const ExpectGuestError many{"pcienic-msix: doorbell for vector 4294967295, but 4 are enabled"};
    VfioDevice device(Step::msix);
    device->interrupts().enable(InterruptMode::msix, kVectors);
    device.registers().store<std::uint32_t>(kDoorbell, kVectors);
    device.registers().store<std::uint32_t>(kDoorbell, 0xffffffff);
    device.registers().store<std::uint32_t>(kDoorbell, 3);
    device.expect_only(3);
}

TEST(Step04Msix, IgnoresTheDoorbellWhileMsixIsOff) {
    const ExpectGuestError error{"pcienic-msix: doorbell for vector 1, but 0 are enabled"};
    const SysfsRegisters registers(Step::msix);
    registers.store(kDoorbell, 1U);
    registers.store(0x3c, 0x5aU);
    EXPECT_EQ(registers.load(0x3c), 0x5aU) << "the device lives on";
    registers.store(0x3c, 0U);
}

}  // namespace
