// SPDX-License-Identifier: MIT
/// What only a simulated device can be made to do.

#include <uiovfio/sim.hpp>

#include <algorithm>
#include <bit>

#include "conformance.hpp"
#include "device_dma.hpp"

namespace uiovfio {

namespace regs = pcienic::regs;
using conformance::errc_of;
using conformance::kAtOnce;
using conformance::kPage;
using conformance::kPatience;

TEST(Sim, OpensByNameAsAnyBackendDoes) {
    const auto device = Device::open(Bdf::parse("0000:05:00.0"), {.backend = "sim"});
    EXPECT_EQ(device.backend(), "sim");
    EXPECT_EQ(to_string(device.bdf()), "0000:05:00.0");
    EXPECT_EQ(device.config().vendor_id(), pcienic::kVendorId);
}

TEST(Sim, TellsWhatItCanDo) {
    const auto device = open_sim();
    EXPECT_TRUE(device.can(Feature::dma));
    EXPECT_TRUE(device.can(Feature::msix));
    EXPECT_FALSE(device.can(Feature::mmap));
    EXPECT_FALSE(Device{}.can(Feature::dma));
}

TEST(Sim, RefusesOptionsThatNoDeviceCouldHave) {
    EXPECT_EQ(errc_of([] { (void)open_sim({.vectors = 0}); }), Errc::invalid_argument);
    EXPECT_EQ(errc_of([] { (void)open_sim({.vectors = 2049}); }), Errc::invalid_argument);
    EXPECT_EQ(errc_of([] { (void)open_sim({.memory_size = 5000}); }), Errc::invalid_argument);
    EXPECT_EQ(errc_of([] { (void)open_sim({.memory_size = 2048}); }), Errc::invalid_argument);
    EXPECT_EQ(errc_of([] { (void)open_sim({.address_width = 40}); }), Errc::invalid_argument);
    std::error_code ec;
    EXPECT_FALSE(open_sim({.vectors = 0}, ec));
    EXPECT_EQ(ec, Errc::invalid_argument);
    EXPECT_TRUE(open_sim({}, ec));
    EXPECT_FALSE(ec);
}

TEST(Sim, HasAsManyVectorsAsAskedFor) {
    for (const unsigned vectors : {1u, 3u, 32u, 129u, 2048u}) {
        auto device = open_sim({.vectors = vectors});
        auto& interrupts = device.interrupts();
        EXPECT_EQ(interrupts.available(InterruptMode::msix), vectors);
        EXPECT_EQ(interrupts.available(InterruptMode::msi), std::min(std::bit_floor(vectors), 32u));
        EXPECT_EQ(regs::Vectors::Count::read(*std::make_unique<Window>(device.bar(0).window())), vectors);
        EXPECT_GE(device.bar(pcienic::kBarMsix).size(), vectors * 16 + (vectors + 7) / 8);
    }
}

TEST(Sim, LosesTheMessagesOfAVectorWhenTold) {
    auto device = open_sim({.drop_vector = 5});
    const auto window = device.bar(0).window();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 8);
    regs::IrqTest::write(window, 5);
    regs::IrqTest::write(window, 6);
    EXPECT_EQ(interrupts.wait(6, kPatience), 1u);
    EXPECT_EQ(interrupts.try_take(5), 0u);
}

TEST(Sim, EndsItsAddressesWhereItsIommuDoes) {
    auto narrow = open_sim({.address_width = 39});
    EXPECT_EQ(narrow.dma().ranges().back().last, Iova{(std::uint64_t{1} << 39) - 1});
    EXPECT_EQ(narrow.dma().ranges().front(), (IovaRange{Iova{0}, Iova{0xfedfffff}}));
    EXPECT_EQ(narrow.dma().ranges().back().first, Iova{0xfef00000});
}

TEST(Sim, LimitsMappings) {
    auto device = open_sim({.max_mappings = 2});
    const auto first = device.dma().allocate(kPage);
    auto second = device.dma().allocate(kPage);
    EXPECT_EQ(errc_of([&] { (void)device.dma().allocate(kPage); }), Errc::mapping_limit);
    second.unmap();
    (void)device.dma().allocate(kPage);
}

TEST(Sim, LimitsLockedMemory) {
    auto device = open_sim({.memory_lock_limit = 3 * kPage});
    const auto first = device.dma().allocate(2 * kPage);
    try {
        (void)device.dma().allocate(2 * kPage);
        ADD_FAILURE() << "mapped beyond the limit";
    } catch (const Error& error) {
        EXPECT_EQ(error.errc(), Errc::memory_lock_limit);
        EXPECT_THAT(error.what(), testing::HasSubstr("limit is 12 KiB, 8 KiB are mapped and this mapping needs 8 KiB"));
        EXPECT_THAT(error.what(), testing::HasSubstr("ulimit -l"));
    }
    (void)device.dma().allocate(kPage);
}

TEST(Sim, RunsOutOfAddresses) {
    auto device = open_sim({.address_width = 39});
    // More than all the addresses there are; nothing touches the memory.
    EXPECT_EQ(errc_of([&] { (void)device.dma().map({reinterpret_cast<std::byte*>(kPage), std::size_t{1} << 40}); }),
              Errc::iova_exhausted);
}

TEST(Sim, HasNoMoreHugePagesThanTheMachine) {
    auto device = open_sim();
    EXPECT_EQ(errc_of([&] { (void)device.dma().allocate(std::size_t{1} << 42, {.huge_pages = HugePages::require}); }),
              Errc::hugepages_unavailable);
}

TEST(Sim, TellsOfAnUnmapThatUnmappedNothing) {
    auto device = open_sim();
    auto buffer = device.dma().allocate(kPage);
    sim::fail_next_unmap(device);
    EXPECT_EQ(errc_of([&] { buffer.unmap(); }), Errc::short_unmap);
    auto mapping_memory = device.dma().allocate(kPage);
    sim::fail_next_unmap(device);
    std::error_code ec;
    mapping_memory.unmap(ec);
    EXPECT_EQ(ec, Errc::short_unmap);
}

TEST(Sim, CannotAlwaysBeReset) {
    auto device = open_sim({.can_reset = false});
    EXPECT_FALSE(device.can_reset());
    EXPECT_EQ(errc_of([&] { device.reset(); }), Errc::unsupported);
}

TEST(Sim, AnswersWithAllOnesOnceRemoved) {
    auto device = open_sim();
    const auto window = device.bar(0).window();
    device.interrupts().enable(InterruptMode::msix, 1);
    sim::surprise_remove(device);
    EXPECT_EQ(regs::Id::read(window).raw(), 0xffffffffu);
    EXPECT_EQ(device.config().vendor_id(), 0xffff);
    EXPECT_EQ(device.config().read32(0), 0xffffffffu);
    EXPECT_TRUE(device.config().capabilities().empty());
    EXPECT_TRUE(device.config().extended_capabilities().empty());
    EXPECT_EQ(errc_of([&] { (void)device.dma().allocate(kPage); }), Errc::device_gone);
    EXPECT_EQ(errc_of([&] { device.interrupts().trigger(0); }), Errc::device_gone);
    EXPECT_EQ(errc_of([&] { device.reset(); }), Errc::device_gone);
    // The re-arming failed as well: nobody may wait for what cannot come.
    EXPECT_EQ(errc_of([&] { device.interrupts().wait(0, kAtOnce); }), Errc::interrupts_not_enabled);
    device.close();
}

// As QEMU's: what a kernel enables there, a trace of a real run expects to be kept.
TEST(Sim, KeepsTheCommandBitsThatTheDeviceHas) {
    const Device device = open_sim();
    device.config().write16(config::kCommand, 0xffff);
    EXPECT_EQ(device.config().command(), 0x0507);
}

TEST(Sim, DoesNotAnswerWithoutMemorySpace) {
    auto device = open_sim();
    const auto window = device.bar(0).window();
    device.config().write16(config::kCommand, 0);
    EXPECT_EQ(regs::Id::read(window).raw(), 0xffffffffu);
    device.config().write16(config::kCommand, config::kCommandMemory);
    EXPECT_EQ(regs::Id::read(window).raw(), 0x6e696370u);
}

TEST(Sim, KeepsTheStickyNoteOfItsConfigurationSpaceOverAReset) {
    auto device = open_sim();
    const auto dvsec = device.config().find_extended(extended_capability::kDesignatedVendorSpecific);
    ASSERT_TRUE(dvsec);
    const auto note = static_cast<std::uint16_t>(dvsec->offset + pcienic::dvsec::kNoteOffset);
    device.config().write32(note, 0xcafef00du);
    device.reset();
    EXPECT_EQ(device.config().read32(note), 0xcafef00du);
}

TEST(Sim, HoldsMsiBackBehindItsMaskBits) {
    auto device = open_sim();
    const auto window = device.bar(0).window();
    const auto msi = device.config().find(capability::kMsi);
    ASSERT_TRUE(msi);
    const auto mask = static_cast<std::uint16_t>(msi->offset + 16);
    const auto pending = static_cast<std::uint16_t>(msi->offset + 20);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msi, 4);
    device.config().write32(mask, 1u << 2);
    regs::IrqTest::write(window, 2);
    EXPECT_EQ(device.config().read32(pending), 1u << 2);
    EXPECT_EQ(interrupts.try_take(2), 0u);
    device.config().write32(mask, 0);
    EXPECT_EQ(interrupts.wait(2, kPatience), 1u);
    EXPECT_EQ(device.config().read32(pending), 0u);
}

class SimDma : public testing::Test {
  protected:
    unsigned fill(Iova destination, std::uint32_t length) { return dma.fill(destination, length); }

    Device device = open_sim();
    conformance::DeviceDma dma{device};
};

TEST_F(SimDma, ReachesMappedMemoryAcrossTwoMappings) {
    auto pages = device.dma().allocate(2 * kPage, {.huge_pages = HugePages::never});
    const std::span<std::byte> bytes = pages.bytes();
    EXPECT_EQ(fill(pages.iova_at(kPage - 8), 16), 0u);
    EXPECT_EQ(bytes[kPage - 9], std::byte{0});
    EXPECT_EQ(bytes[kPage - 8], std::byte{0x5a});
    EXPECT_EQ(bytes[kPage + 7], std::byte{0x5a});
    EXPECT_EQ(bytes[kPage + 8], std::byte{0});
    EXPECT_EQ(sim::iommu_faults(device), 0u);
}

TEST_F(SimDma, FaultsOutsideOfMappings) {
    EXPECT_NE(fill(Iova{0x7000000}, 16), 0u);
    EXPECT_GT(sim::iommu_faults(device), 0u);
}

TEST_F(SimDma, FaultsWhereTheDirectionForbidsIt) {
    auto memory = device.dma().allocate(kPage, {.direction = DmaDirection::to_device});
    EXPECT_NE(fill(memory.iova(), 16), 0u);
    EXPECT_EQ(memory.bytes()[0], std::byte{0});
    EXPECT_GT(sim::iommu_faults(device), 0u);
}

}  // namespace uiovfio
