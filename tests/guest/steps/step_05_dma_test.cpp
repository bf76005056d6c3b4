// SPDX-License-Identifier: MIT
#include <fmt/core.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "expect.hpp"
#include "steps.hpp"

namespace {

using namespace steps;
using pcienic::guest::ExpectDmarFault;
using pcienic::guest::ExpectGuestError;
using testing::ContainsRegex;
using testing::HasSubstr;
using uiovfio::Iova;

constexpr std::size_t kDmaBlock = 0x40;
constexpr std::size_t kCopied = 0x60;

/// What the kernel says of an access that the IOMMU refused.
std::string dmar_fault(const char* access, Iova iova) {
    return fmt::format("DMA {}.*fault addr {:#x} ", access, uiovfio::to_integer(iova));
}

/// QEMU's own word for a bus address behind which there is no memory; it comes with each refused access.
std::string no_memory(Iova iova) {
    return fmt::format("Invalid access to non-RAM device at addr {:#x}, ", uiovfio::to_integer(iova));
}

void fill(std::span<std::byte> bytes, unsigned seed) {
    for (std::byte& byte : bytes) {
        seed = seed * 1664525 + 1013904223;
        byte = static_cast<std::byte>(seed >> 24);
    }
}

TEST(Step05Dma, IsListedAsRevision02) {
    const auto text = lspci(Step::dma, "-vv");
    EXPECT_THAT(text, ContainsRegex("Ethernet controller \\[0200\\]: .*\\[1af4:10f1\\] \\(rev 02\\)\n"));
    EXPECT_THAT(text, HasSubstr("MSI-X: Enable- Count=4 Masked-"));
}

TEST(Step05Dma, CopiesABufferAndFiresTheVectorThatWasAskedFor) {
    VfioDevice device(Step::dma);
    device->interrupts().enable(uiovfio::InterruptMode::msix, kVectors);
    auto source = device->dma().allocate(8192);
    auto destination = device->dma().allocate(8192);
    fill(source.bytes(), 1);
    DmaCommand dma(device.registers(), kDmaBlock);
    for (unsigned vector = 0; vector < kVectors; ++vector) {
        std::ranges::fill(destination.bytes(), std::byte{0});
        dma.go(source.iova_at(3), destination.iova_at(5), 5000, vector);
        device.expect_only(vector);
        EXPECT_EQ(dma.status(), DmaCommand::done) << "the status is there before the interrupt";
        EXPECT_EQ(std::memcmp(destination.bytes().data() + 5, source.bytes().data() + 3, 5000), 0);
        EXPECT_EQ(destination.bytes()[4], std::byte{0});
        EXPECT_EQ(destination.bytes()[5005], std::byte{0});
    }
}

TEST(Step05Dma, CopiesMoreThanItMovesAtATime) {
    VfioDevice device(Step::dma);
    constexpr std::uint32_t kLength = 2 * 1024 * 1024;
    auto source = device->dma().allocate(kLength);
    auto destination = device->dma().allocate(kLength);
    fill(source.bytes(), 2);
    DmaCommand dma(device.registers(), kDmaBlock);
    dma.go(source.iova(), destination.iova(), kLength);
    EXPECT_EQ(dma.finish(), DmaCommand::done);
    EXPECT_EQ(device.registers().load<std::uint32_t>(kCopied), kLength);
    EXPECT_TRUE(std::ranges::equal(source.bytes(), destination.bytes()));
}

TEST(Step05Dma, RefusesASourceOutsideTheMapping) {
    VfioDevice device(Step::dma);
    auto source = device->dma().allocate(4096);
    auto destination = device->dma().allocate(4096);
    std::ranges::fill(destination.bytes(), std::byte{0x5a});
    const Iova gone = source.iova();
    source.unmap();
    const ExpectDmarFault fault{dmar_fault("Read", gone)};
    const ExpectGuestError error{no_memory(gone)};
    DmaCommand dma(device.registers(), kDmaBlock);
    dma.go(gone, destination.iova(), 4096);
    EXPECT_EQ(dma.finish(), DmaCommand::source_refused);
    EXPECT_EQ(device.registers().load<std::uint32_t>(kCopied), 0U);
    EXPECT_TRUE(std::ranges::all_of(destination.bytes(), [](std::byte b) { return b == std::byte{0x5a}; }))
        << "nothing may arrive of what the device was not allowed to read";
}

TEST(Step05Dma, RefusesADestinationOutsideTheMappingAndStillWorks) {
    VfioDevice device(Step::dma);
    auto source = device->dma().allocate(4096);
    auto destination = device->dma().allocate(4096);
    auto other = device->dma().allocate(4096);
    fill(source.bytes(), 3);
    const Iova gone = destination.iova();
    destination.unmap();
    DmaCommand dma(device.registers(), kDmaBlock);
    {
        const ExpectDmarFault fault{dmar_fault("Write", gone)};
        const ExpectGuestError error{no_memory(gone)};
        dma.go(source.iova(), gone, 4096);
        EXPECT_EQ(dma.finish(), DmaCommand::destination_refused);
    }
    dma.go(source.iova(), other.iova(), 4096);
    EXPECT_EQ(dma.finish(), DmaCommand::done);
    EXPECT_TRUE(std::ranges::equal(source.bytes(), other.bytes()));
}

TEST(Step05Dma, RefusesToWriteWhatItMayOnlyRead) {
    VfioDevice device(Step::dma);
    auto source = device->dma().allocate(4096);
    auto read_only = device->dma().allocate(4096, {.direction = uiovfio::DmaDirection::to_device});
    const ExpectDmarFault fault{dmar_fault("Write", read_only.iova())};
    const ExpectGuestError error{no_memory(read_only.iova())};
    DmaCommand dma(device.registers(), kDmaBlock);
    dma.go(source.iova(), read_only.iova(), 4096);
    EXPECT_EQ(dma.finish(), DmaCommand::destination_refused);
}

TEST(Step05Dma, RefusesACommandThatCannotBe) {
    VfioDevice device(Step::dma);
    auto buffer = device->dma().allocate(4096);
    DmaCommand dma(device.registers(), kDmaBlock);
    dma.go(buffer.iova(), buffer.iova(), 0);
    EXPECT_EQ(dma.finish(), DmaCommand::bad_command);
    dma.go(Iova{0xfffffffffffffff0}, buffer.iova(), 32);
    EXPECT_EQ(dma.finish(), DmaCommand::bad_command);
    dma.go(buffer.iova(), Iova{0xffffffffffffffff}, 2);
    EXPECT_EQ(dma.finish(), DmaCommand::bad_command);
}

TEST(Step05Dma, RefusesToCopyWhileItIsNoBusMaster) {
    VfioDevice device(Step::dma);
    auto buffer = device->dma().allocate(4096);
    const auto command = device->config().command();
    const ExpectGuestError error{no_memory(buffer.iova())};
    DmaCommand dma(device.registers(), kDmaBlock);
    device->config().write16(uiovfio::config::kCommand,
                             static_cast<std::uint16_t>(command & ~uiovfio::config::kCommandBusMaster));
    dma.go(buffer.iova(), buffer.iova_at(2048), 64);
    EXPECT_EQ(dma.finish(), DmaCommand::source_refused);
    device->config().write16(uiovfio::config::kCommand, command);
    dma.go(buffer.iova(), buffer.iova_at(2048), 64);
    EXPECT_EQ(dma.finish(), DmaCommand::done);
}

}  // namespace
