// SPDX-License-Identifier: MIT
#include <atomic>
#include <thread>

#include "conformance.hpp"

namespace uiovfio::conformance {

namespace regs = pcienic::regs;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;

class ConformanceConfig : public Conformance {};

TEST_F(ConformanceConfig, IdentifiesThePcienic) {
    const auto& config = device.config();
    EXPECT_EQ(config.vendor_id(), pcienic::kVendorId);
    EXPECT_EQ(config.device_id(), pcienic::kDeviceId);
    EXPECT_EQ(config.subsystem_vendor_id(), pcienic::kSubsystemVendorId);
    EXPECT_EQ(config.subsystem_id(), pcienic::kSubsystemId);
    EXPECT_EQ(config.class_code(), pcienic::kClassCode);
    EXPECT_EQ(config.revision(), pcienic::kRevision);
    EXPECT_EQ(config.header_type(), 0);
    EXPECT_EQ(config.size(), 4096);
}

TEST_F(ConformanceConfig, WalksTheCapabilityList) {
    EXPECT_THAT(device.config().capabilities(),
                ElementsAre(Capability{capability::kMsix, 0x68}, Capability{capability::kPciExpress, 0x80},
                            Capability{capability::kMsi, 0x50}, Capability{capability::kVendorSpecific, 0xc0},
                            Capability{capability::kPowerManagement, 0x40}));
}

// Kernels differ in which extended capabilities they show through VFIO: those that it does not know are left out.
TEST_F(ConformanceConfig, WalksTheExtendedCapabilityList) {
    const auto list = device.config().extended_capabilities();
    EXPECT_THAT(list, Contains(Capability{extended_capability::kAdvancedErrorReporting, 0x100, 2, true}));
    EXPECT_THAT(list, Contains(Capability{extended_capability::kSerialNumber, 0x150, 1, true}));
}

TEST_F(ConformanceConfig, FindsACapabilityByItsIdentifier) {
    const auto& config = device.config();
    EXPECT_EQ(config.find(capability::kMsix), (Capability{capability::kMsix, 0x68}));
    EXPECT_EQ(config.find(0x7f), std::nullopt);
    ASSERT_TRUE(config.find_extended(extended_capability::kSerialNumber));
    EXPECT_EQ(config.find_extended(0x7fff), std::nullopt);
}

TEST_F(ConformanceConfig, HoldsTheVendorCapabilityThatDescribesTheRegisterBar) {
    namespace cap = pcienic::vendor_capability;
    const auto found = device.config().find(capability::kVendorSpecific);
    ASSERT_TRUE(found);
    const auto byte = [&](unsigned offset) {
        return device.config().read8(static_cast<std::uint16_t>(found->offset + offset));
    };
    EXPECT_EQ(byte(cap::kLengthOffset), cap::kSize);
    EXPECT_EQ(byte(cap::kRegisterBarOffset), pcienic::kBarRegisters);
    EXPECT_EQ(byte(cap::kMsixBarOffset), pcienic::kBarMsix);
    EXPECT_EQ(byte(cap::kMemoryBarOffset), pcienic::kBarMemory);
    EXPECT_EQ(byte(cap::kVectorsOffset), kVectors);
}

TEST_F(ConformanceConfig, ReadsTheSameInEveryWidth) {
    const auto& config = device.config();
    for (std::uint16_t offset = 0x28; offset < 0x40; offset = static_cast<std::uint16_t>(offset + 4)) {
        const std::uint32_t whole = config.read32(offset);
        for (unsigned i = 0; i < 4; ++i)
            EXPECT_EQ(config.read8(static_cast<std::uint16_t>(offset + i)), whole >> (8 * i) & 0xff);
        EXPECT_EQ(config.read16(offset), whole & 0xffff);
    }
}

TEST_F(ConformanceConfig, RefusesWhatLiesOutsideOrAskew) {
    const auto& config = device.config();
    EXPECT_EQ(errc_of([&] { (void)config.read8(4096); }), Errc::out_of_bounds);
    EXPECT_EQ(errc_of([&] { (void)config.read32(4096 - 2); }), Errc::out_of_bounds);
    EXPECT_EQ(errc_of([&] { (void)config.read32(2); }), Errc::misaligned);
    EXPECT_EQ(errc_of([&] { config.write16(1, 0); }), Errc::misaligned);
    std::error_code ec;
    EXPECT_EQ(config.read16(3, ec), 0);
    EXPECT_EQ(ec, Errc::misaligned);
    config.read16(2, ec);
    EXPECT_FALSE(ec);
}

TEST_F(ConformanceConfig, SwitchesBusMastering) {
    const auto& config = device.config();
    // A message is a memory write of the device's, as DMA is.
    EXPECT_EQ(config.bus_master(), device.can(Feature::dma) || device.can(Feature::msix))
        << "set where something needs it";
    config.set_bus_master(false);
    EXPECT_FALSE(config.bus_master());
    const auto window = registers();
    EXPECT_FALSE(regs::Status::BusMaster::read(window));
    config.set_bus_master(true);
    EXPECT_TRUE(config.bus_master());
    EXPECT_TRUE(regs::Status::BusMaster::read(window));
}

TEST_F(ConformanceConfig, OpensWithoutBusMasteringWhenAsked) {
    device.close();
    device = open_device(false);
    EXPECT_FALSE(device.config().bus_master());
    EXPECT_EQ(device.config().command() & config::kCommandMemory, config::kCommandMemory);
}

TEST_F(ConformanceBars, AreWhatTheDeviceHas) {
    const auto bars = device.bars();
    ASSERT_EQ(bars.size(), 3u);
    EXPECT_EQ(bars[0].index(), pcienic::kBarRegisters);
    EXPECT_EQ(bars[0].size(), pcienic::kBarRegistersBytes);
    EXPECT_FALSE(bars[0].is_64bit());
    EXPECT_FALSE(bars[0].is_prefetchable());
    EXPECT_EQ(bars[1].index(), pcienic::kBarMsix);
    EXPECT_EQ(bars[1].size(), kPage);
    EXPECT_EQ(bars[2].index(), pcienic::kBarMemory);
    EXPECT_EQ(bars[2].size(), 16u << 20);
    EXPECT_TRUE(bars[2].is_64bit());
    EXPECT_TRUE(bars[2].is_prefetchable());
    for (const Bar& bar : bars) EXPECT_FALSE(bar.is_io());
}

TEST_F(ConformanceBars, ThatAreMissingAreAnError) {
    EXPECT_EQ(errc_of([&] { (void)device.bar(1); }), Errc::no_such_bar);
    EXPECT_EQ(errc_of([&] { (void)device.bar(5); }), Errc::no_such_bar);
    EXPECT_EQ(errc_of([&] { (void)device.bar(6); }), Errc::no_such_bar);
    std::error_code ec;
    EXPECT_EQ(device.bar(3, ec), nullptr);
    EXPECT_EQ(ec, Errc::no_such_bar);
    EXPECT_NE(device.bar(0, ec), nullptr);
    EXPECT_FALSE(ec);
}

TEST_F(ConformanceBars, ReadTheIdentityInEveryWay) {
    const auto window = registers();
    EXPECT_EQ(regs::Id::read(window).raw(), 0x6e696370u);
    const Bar& bar = device.bar(pcienic::kBarRegisters);
    EXPECT_EQ(bar.read<std::uint32_t>(regs::Id::kOffset), 0x6e696370u);
    if (bar.is_mappable()) {
        const auto mapped = bar.map();
        EXPECT_TRUE(window.is_mapped());
        EXPECT_EQ(regs::Id::read(mapped).raw(), 0x6e696370u);
    } else {
        EXPECT_FALSE(window.is_mapped());
        EXPECT_EQ(errc_of([&] { (void)bar.map(); }), Errc::not_mappable);
    }
}

TEST_F(ConformanceBars, HoldRegistersOf32And64Bits) {
    const auto window = registers();
    regs::Scratch::write(window, 0xdeadbeefu);
    regs::Scratch64::write(window, 0x0123456789abcdefu);
    EXPECT_EQ(regs::Scratch::read(window).raw(), 0xdeadbeefu);
    EXPECT_EQ(regs::Scratch64::read(window).raw(), 0x0123456789abcdefu);
    EXPECT_EQ(window.load<std::uint32_t>(regs::Scratch64::kOffset), 0x89abcdefu);
    EXPECT_EQ(window.load<std::uint32_t>(regs::Scratch64::kOffset + 4), 0x01234567u);
    const Bar& bar = device.bar(pcienic::kBarRegisters);
    bar.write<std::uint64_t>(regs::Scratch64::kOffset, 7);
    EXPECT_EQ(bar.read<std::uint64_t>(regs::Scratch64::kOffset), 7u);
}

TEST_F(ConformanceBars, HoldMemoryInEveryWidth) {
    const auto memory = device.bar(pcienic::kBarMemory).window();
    memory.store<std::uint64_t>(0, 0x8877665544332211u);
    for (unsigned i = 0; i < 8; ++i) EXPECT_EQ(memory.load<std::uint8_t>(i), 0x11 * (i + 1));
    EXPECT_EQ(memory.load<std::uint16_t>(2), 0x4433);
    EXPECT_EQ(memory.load<std::uint32_t>(4), 0x88776655u);
    memory.store<std::uint8_t>(1, 0xaa);
    memory.store<std::uint16_t>(4, 0xbbcc);
    EXPECT_EQ(memory.load<std::uint64_t>(0), 0x8877bbcc4433aa11u);
    memory.store<std::uint32_t>(memory.size() - 4, 0x12345678u);
    EXPECT_EQ(memory.load<std::uint32_t>(memory.size() - 4), 0x12345678u);
}

TEST_F(ConformanceBars, GiveWindowsOnTheirParts) {
    const Bar& bar = device.bar(pcienic::kBarMemory);
    const auto part = bar.window(0x2000, 0x1000);
    EXPECT_EQ(part.size(), 0x1000u);
    part.store<std::uint32_t>(8, 0x600dd00du);
    EXPECT_EQ(bar.read<std::uint32_t>(0x2008), 0x600dd00du);
}

TEST_F(ConformanceBars, RefuseWhatLiesOutsideOrAskew) {
    const Bar& bar = device.bar(pcienic::kBarRegisters);
    EXPECT_EQ(errc_of([&] { (void)bar.read<std::uint32_t>(bar.size()); }), Errc::out_of_bounds);
    EXPECT_EQ(errc_of([&] { (void)bar.read<std::uint64_t>(bar.size() - 4); }), Errc::out_of_bounds);
    EXPECT_EQ(errc_of([&] { (void)bar.read<std::uint32_t>(2); }), Errc::misaligned);
    EXPECT_EQ(errc_of([&] { bar.write<std::uint64_t>(4, 0); }), Errc::misaligned);
    EXPECT_EQ(errc_of([&] { (void)bar.window(0, bar.size() + 8); }), Errc::out_of_bounds);
    EXPECT_EQ(errc_of([&] { (void)bar.window(bar.size()); }), Errc::out_of_bounds);
    EXPECT_EQ(errc_of([&] { (void)bar.window(0, 0); }), Errc::out_of_bounds);
    EXPECT_EQ(errc_of([&] { (void)bar.window(4); }), Errc::misaligned);
    EXPECT_EQ(errc_of([&] { (void)bar.map(~std::uint64_t{0} - 7, 16); }), Errc::out_of_bounds);
    std::error_code ec;
    EXPECT_FALSE(bar.window(4, 8, ec));
    EXPECT_EQ(ec, Errc::misaligned);
    EXPECT_EQ(bar.read<std::uint32_t>(2, ec), 0u);
    EXPECT_EQ(ec, Errc::misaligned);
}

class ConformanceDevice : public Conformance {};

TEST_F(ConformanceDevice, ResetsRegistersAndKeepsStickyOnes) {
    ASSERT_TRUE(device.can_reset());
    const auto window = registers();
    regs::Scratch::write(window, 0x5eed5eedu);
    regs::IrqMask::write(window, 0, 0xffu);
    const std::uint16_t command = device.config().command();
    device.reset();
    EXPECT_EQ(regs::Scratch::read(window).raw(), 0x5eed5eedu);
    EXPECT_EQ(regs::IrqMask::read(window, 0).raw(), 0u);
    EXPECT_EQ(device.config().command(), command);
}

TEST_F(ConformanceDevice, ModifiesOnlyTheFieldThatIsNamed) {
    const auto window = registers();
    regs::Scratch::write(window, 0x0000ffffu);
    regs::Scratch::modify(window, [](auto& value) { value = value.raw() | 0x10000u; });
    EXPECT_EQ(regs::Scratch::read(window).raw(), 0x1ffffu);
    regs::Ctrl::Reset::trigger(window);
    EXPECT_FALSE(regs::Ctrl::Reset::read(window));
}

TEST_F(ConformanceDevice, RefusesWhatItsBackendCannotDo) {
    auto& interrupts = device.interrupts();
    if (!device.can(Feature::dma)) {
        EXPECT_EQ(errc_of([&] { (void)device.dma().allocate(kPage); }), Errc::unsupported);
        EXPECT_EQ(errc_of([&] { (void)device.dma().map({}); }), Errc::unsupported);
        EXPECT_EQ(errc_of([&] { (void)device.dma().ranges(); }), Errc::unsupported);
        EXPECT_EQ(errc_of([&] { (void)device.dma().mappings_left(); }), Errc::unsupported);
    }
    for (const InterruptMode mode : {InterruptMode::intx, InterruptMode::msi, InterruptMode::msix}) {
        if (device.can(feature_of(mode))) {
            EXPECT_GT(interrupts.available(mode), 0u);
            continue;
        }
        EXPECT_EQ(interrupts.available(mode), 0u);
        try {
            interrupts.enable(mode, 1);
            ADD_FAILURE() << to_string(mode) << " was enabled";
        } catch (const Error& error) {
            EXPECT_EQ(error.errc(), Errc::unsupported);
            EXPECT_THAT(error.what(), testing::HasSubstr(device.backend()));
            EXPECT_THAT(error.what(), testing::HasSubstr("vfio, iommufd"));
        }
    }
}

TEST_F(ConformanceDevice, EndsEverythingWhenClosed) {
    NEEDS(dma);
    const auto window = registers();
    const Bar bar = device.bar(0);
    const ConfigSpace& config = device.config();
    Interrupts& interrupts = device.interrupts();
    DmaSpace& dma = device.dma();
    auto buffer = dma.allocate(kPage);
    interrupts.enable(InterruptMode::msix, 2);

    device.close();
    device.close();
    EXPECT_FALSE(device.is_open());
    EXPECT_EQ(regs::Id::read(window).raw(), 0xffffffffu);
    regs::Scratch::write(window, 1u);
    EXPECT_EQ(errc_of([&] { (void)bar.read<std::uint32_t>(0); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { (void)bar.window(); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { (void)config.read8(0); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { interrupts.wait(0, kAtOnce); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { interrupts.enable(InterruptMode::msi, 1); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { interrupts.trigger(0); }), Errc::closed);
    EXPECT_EQ(interrupts.try_take(0), 0u);
    EXPECT_EQ(interrupts.count(), 0u);
    EXPECT_EQ(errc_of([&] { (void)dma.allocate(kPage); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { (void)dma.ranges(); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { device.reset(); }), Errc::closed);
    buffer.bytes()[0] = std::byte{1};  // the memory is still the process's
    buffer.unmap();
}

TEST_F(ConformanceDevice, OpensAgainAfterItWasClosed) {
    device.close();
    device = open_device();
    const auto window = registers();
    EXPECT_EQ(regs::Id::read(window).raw(), 0x6e696370u);
}

TEST_F(ConformanceDevice, MovesWithEverythingThatBelongsToIt) {
    const auto window = registers();
    Interrupts& interrupts = device.interrupts();
    Device moved = std::move(device);
    EXPECT_FALSE(device.is_open());
    EXPECT_EQ(errc_of([&] { (void)device.config(); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { (void)device.bar(0); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { device.reset(); }), Errc::closed);
    EXPECT_EQ(&interrupts, &moved.interrupts());
    EXPECT_EQ(regs::Id::read(window).raw(), 0x6e696370u);
}

TEST_F(ConformanceDevice, LetsThreadsUseRegistersAtATime) {
    const auto memory = device.bar(pcienic::kBarMemory).window();
    std::vector<std::thread> threads;
    std::atomic<unsigned> wrong{0};
    for (std::size_t thread = 0; thread < 4; ++thread)
        threads.emplace_back([&, thread] {
            for (std::uint32_t i = 0; i < 200; ++i) {
                memory.store<std::uint32_t>(thread * 4, i);
                if (memory.load<std::uint32_t>(thread * 4) != i) ++wrong;
            }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0u);
}

}  // namespace uiovfio::conformance
