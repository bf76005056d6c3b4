// SPDX-License-Identifier: MIT
/// What only a simulated device can be made to do.

#include <uiovfio/sim.hpp>

#include <algorithm>
#include <bit>
#include <fstream>
#include <thread>

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

TEST(Sim, HasAtMostAsMuchMemoryAsTheDeviceInQemu) {
    EXPECT_EQ(errc_of([] { (void)open_sim({.memory_size = std::size_t{8} << 30}); }), Errc::invalid_argument);
    EXPECT_EQ(errc_of([] { (void)open_sim({.memory_size = std::size_t{1} << 62}); }), Errc::invalid_argument);
}

/// Of this process, in bytes.
std::size_t resident() {
    std::ifstream statm{"/proc/self/statm"};
    std::size_t size = 0;
    std::size_t pages = 0;
    statm >> size >> pages;
    return pages * kPage;
}

TEST(Sim, TakesNoMemoryBeforeItIsWrittenTo) {
    const std::size_t before = resident();
    constexpr std::size_t kSize = std::size_t{4} << 30;
    const auto device = open_sim({.memory_size = kSize});
    const Bar& memory = device.bar(pcienic::kBarMemory);
    memory.write<std::uint64_t>(kSize - 8, 42);
    EXPECT_EQ(memory.read<std::uint64_t>(kSize - 8), 42u);
    EXPECT_EQ(memory.read<std::uint64_t>(kSize / 2), 0u);
    EXPECT_LT(resident(), before + (std::size_t{256} << 20));
}

constexpr std::uint16_t kPowerState = 0x44;
constexpr std::uint16_t kDeviceControl = 0x88;

TEST(Sim, SleepsInD3hot) {
    auto device = open_sim();
    auto& interrupts = device.interrupts();
    const auto window = device.bar(0).window();
    interrupts.enable(InterruptMode::msix, 2);
    regs::Scratch::write(window, 42);
    device.config().write16(kPowerState, 3);
    EXPECT_EQ(device.config().vendor_id(), pcienic::kVendorId);
    for (const unsigned bar : {0u, 2u, 4u})
        EXPECT_EQ(mmio_guard(device.bar(bar).window(),
                             [&] { EXPECT_EQ(device.bar(bar).window().load<std::uint32_t>(0), ~0U) << bar; }),
                  Errc::device_gone);
    regs::Scratch::write(window, 43);
    regs::IrqTest::write(window, 1);
    device.config().write16(kPowerState, 0);
    EXPECT_EQ(regs::Scratch::read(window).raw(), 42u);
    EXPECT_EQ(interrupts.try_take(1), 0u) << "what was stored was lost";
    regs::IrqTest::write(window, 1);
    EXPECT_EQ(interrupts.wait(1, kPatience), 1u);
}

TEST(Sim, LowersItsLineInD3hot) {
    auto device = open_sim();
    auto& interrupts = device.interrupts();
    const auto window = device.bar(0).window();
    interrupts.enable(InterruptMode::intx, 1);
    regs::IrqTest::write(window, 0);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
    device.config().write16(kPowerState, 3);
    interrupts.unmask();
    EXPECT_EQ(interrupts.try_take(0), 0u);
    device.config().write16(kPowerState, 0);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u) << "the cause is still there";
}

TEST(Sim, IsResetByDeviceControl) {
    auto device = open_sim();
    const auto window = device.bar(0).window();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2);
    regs::IrqTest::write(window, 1);
    EXPECT_EQ(interrupts.wait(1, kPatience), 1u);
    device.config().write32(0x160 + 16, 0x1234);
    const auto command = device.config().command();
    regs::IrqTest::write(window, 2047);  // latches an error
    EXPECT_NE(device.bar(0).read<std::uint32_t>(regs::ErrCode::kOffset), 0u);
    const auto control = device.config().read16(kDeviceControl);
    device.config().write16(kDeviceControl, static_cast<std::uint16_t>(control | 0x8000));
    EXPECT_EQ(device.bar(0).read<std::uint32_t>(regs::ErrCode::kOffset), 0u);
    EXPECT_EQ(device.config().read16(kDeviceControl), control) << "the bit reads 0";
    EXPECT_EQ(device.config().command(), command);
    EXPECT_EQ(device.config().read32(0x160 + 16), 0x1234u);
    regs::IrqTest::write(window, 1);
    EXPECT_EQ(interrupts.wait(1, kPatience), 1u) << "as armed as before";

    auto other = open_sim({.can_reset = false});
    other.bar(0).write<std::uint32_t>(regs::IrqTest::kOffset, 2047);
    other.config().write16(kDeviceControl, 0x8000);
    EXPECT_NE(other.bar(0).read<std::uint32_t>(regs::ErrCode::kOffset), 0u);
}

TEST(Sim, KeepsTheMasksOfItsErrorReportingOverAReset) {
    auto device = open_sim();
    const ConfigSpace& space = device.config();
    EXPECT_EQ(space.read32(0x10c), 0x00462030u) << "what is fatal";
    EXPECT_EQ(space.read32(0x114), 0x0000e000u);
    space.write32(0x108, 0xffffffff);
    space.write32(0x10c, 0xffffffff);
    space.write32(0x114, 0);
    EXPECT_EQ(space.read32(0x108), 0x03fff030u);
    EXPECT_EQ(space.read32(0x10c), 0x03fff030u);
    EXPECT_EQ(space.read32(0x114), 0u);
    device.reset();
    EXPECT_EQ(space.read32(0x108), 0x03fff030u) << "sticky";
    EXPECT_EQ(space.read32(0x114), 0u);
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

// As a real one that was not: see OpenOptions::bus_master.
TEST(Sim, IsNoBusMasterWhereItCannotBeReset) {
    EXPECT_TRUE(open_sim().was_reset());
    EXPECT_TRUE(open_sim().config().bus_master());
    auto device = open_sim({.can_reset = false});
    EXPECT_FALSE(device.was_reset());
    EXPECT_FALSE(device.config().bus_master());
    device.config().set_bus_master(true);
    EXPECT_TRUE(device.config().bus_master());
    device.close();
    EXPECT_FALSE(device.was_reset());
    EXPECT_FALSE(Device{}.was_reset());
}

// A reset puts bus mastering back as it was. What is turned off meanwhile stays off.
TEST(Sim, StaysNoBusMasterWhenTurnedOffDuringAReset) {
    auto device = open_sim();
    for (int round = 0; round < 200; ++round) {
        device.config().set_bus_master(true);
        std::thread resetting{[&] { device.reset(); }};
        device.config().set_bus_master(false);
        resetting.join();
        ASSERT_FALSE(device.config().bus_master()) << "round " << round;
    }
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
