// SPDX-License-Identifier: MIT
// The device twice: behind a root port, as a card in a slot is, and on the root bus, where PCI Express calls it an
// integrated endpoint.
#include <gmock/gmock.h>

#include <algorithm>

#include "expect.hpp"
#include "steps.hpp"

namespace {

using namespace steps;
using pcienic::guest::ExpectGuestError;
using testing::ContainsRegex;
using testing::HasSubstr;

/// The vendor-specific capability as the device's head comment lays it out: all that a driver knows beforehand.
struct Layout {
    explicit Layout(const uiovfio::ConfigSpace& config) {
        const auto capability = config.find(uiovfio::capability::kVendorSpecific);
        if (!capability) {
            ADD_FAILURE() << "no vendor-specific capability";
            return;
        }
        const auto at = [&](unsigned offset) { return static_cast<std::uint16_t>(capability->offset + offset); };
        length = config.read8(at(2));
        version = config.read8(at(3));
        bar = config.read8(at(4));
        vectors = config.read8(at(5));
        doorbell = config.read32(at(8));
        dma = config.read32(at(12));
        max_length = config.read32(at(16));
    }

    std::uint8_t length = 0, version = 0, bar = 0xff, vectors = 0;
    std::uint32_t doorbell = 0, dma = 0, max_length = 0;
};

/// Through sysfs: VFIO shows a driver the vendor-specific capability, but Linux 6.1 hides a DVSEC from it.
std::string setpci(const std::string& what) {
    return output_of("setpci -s " + to_string(bdf(Step::caps)) + " " + what);
}

TEST(Step06Caps, IsDecodedByLspci) {
    const auto text = lspci(Step::caps, "-vvv");
    EXPECT_THAT(text, ContainsRegex("Ethernet controller \\[0200\\]: .*\\[1af4:10f1\\] \\(rev 03\\)\n"));
    EXPECT_THAT(text, HasSubstr("Capabilities: [40] Power Management version 3"));
    EXPECT_THAT(text, HasSubstr("Status: D0 NoSoftRst+"));
    EXPECT_THAT(text, HasSubstr("Capabilities: [48] MSI-X: Enable- Count=4 Masked-"));
    EXPECT_THAT(text, HasSubstr("Capabilities: [58] Vendor Specific Information: Len=14"));
    EXPECT_THAT(text, HasSubstr("Capabilities: [70] Express (v2) Endpoint"));
    EXPECT_THAT(text, HasSubstr("FLReset+"));
    EXPECT_THAT(text, HasSubstr("Capabilities: [100 v1] Designated Vendor-Specific: Vendor=1af4 ID=0006 Rev=1 Len=16"));
}

TEST(Step06Caps, IsAnIntegratedEndpointOnTheRootBus) {
    EXPECT_THAT(lspci(Step::caps_on_root_bus, "-vv"), HasSubstr("[70] Express (v2) Root Complex Integrated Endpoint"));
    VfioDevice device(Step::caps_on_root_bus);
    device->interrupts().enable(uiovfio::InterruptMode::msix, kVectors);
    device.registers().store<std::uint32_t>(Layout(device->config()).doorbell, 1);
    device.expect_only(1);
}

TEST(Step06Caps, DescribesItsLayoutInTheVendorCapability) {
    VfioDevice device(Step::caps);
    const Layout layout(device->config());
    EXPECT_EQ(layout.length, 20);
    EXPECT_EQ(layout.version, 1);
    EXPECT_EQ(layout.bar, 0);
    EXPECT_EQ(layout.vectors, kVectors);
    EXPECT_EQ(layout.doorbell, 0x800U);
    EXPECT_EQ(layout.dma, 0xc00U);
    EXPECT_EQ(layout.max_length, 4096U);
}

TEST(Step06Caps, IsDrivenByWhatTheCapabilitySays) {
    VfioDevice device(Step::caps);
    const Layout layout(device->config());
    device->interrupts().enable(uiovfio::InterruptMode::msix, layout.vectors);
    for (unsigned vector = 0; vector < layout.vectors; ++vector) {
        device.registers().store<std::uint32_t>(layout.doorbell, vector);
        device.expect_only(vector);
    }
    auto source = device->dma().allocate(layout.max_length);
    auto destination = device->dma().allocate(layout.max_length);
    std::ranges::fill(source.bytes(), std::byte{0xc3});
    DmaCommand dma(device.registers(), layout.dma);
    dma.go(source.iova(), destination.iova(), layout.max_length, 2);
    device.expect_only(2);
    EXPECT_EQ(dma.status(), DmaCommand::done);
    EXPECT_TRUE(std::ranges::equal(source.bytes(), destination.bytes()));
    dma.go(source.iova(), destination.iova(), layout.max_length + 1, 3);
    device.expect_only(3);
    EXPECT_EQ(dma.status(), DmaCommand::bad_command);
}

TEST(Step06Caps, IgnoresAVectorThatIsNotThere) {
    const ExpectGuestError error{"pcienic-caps: vector 4 to be fired, but 4 are enabled"};
    VfioDevice device(Step::caps);
    const Layout layout(device->config());
    device->interrupts().enable(uiovfio::InterruptMode::msix, layout.vectors);
    device.registers().store<std::uint32_t>(layout.doorbell, layout.vectors);
    device.registers().store<std::uint32_t>(layout.doorbell, 0);
    device.expect_only(0);
}

TEST(Step06Caps, KeepsTheDriversNoteUntilAReset) {
    VfioDevice device(Step::caps);
    EXPECT_EQ(setpci("ECAP_DVSEC+c.l"), "00000000\n") << "opening the device reset it";
    setpci("ECAP_DVSEC+c.l=cafe0001");
    EXPECT_EQ(setpci("ECAP_DVSEC+c.l"), "cafe0001\n");
    device->reset();
    EXPECT_EQ(setpci("ECAP_DVSEC+c.l"), "00000000\n");
}

TEST(Step06Caps, StartsAfreshAfterAFunctionLevelReset) {
    VfioDevice device(Step::caps);
    const Layout layout(device->config());
    auto buffer = device->dma().allocate(4096);
    DmaCommand dma(device.registers(), layout.dma);
    dma.go(buffer.iova(), buffer.iova_at(2048), 64);
    EXPECT_EQ(dma.finish(), DmaCommand::done);
    EXPECT_TRUE(device->can_reset());
    device->reset();
    EXPECT_EQ(dma.status(), DmaCommand::idle);
    EXPECT_EQ(device.registers().load<std::uint32_t>(layout.dma), 0U) << "source";
    dma.go(buffer.iova(), buffer.iova_at(2048), 64);
    EXPECT_EQ(dma.finish(), DmaCommand::done);
}

TEST(Step06Caps, DoesNotLetTheDriverWriteTheDescription) {
    setpci("CAP_VNDR+4.l=ffffffff CAP_VNDR+8.l=ffffffff ECAP_DVSEC+4.l=ffffffff");
    EXPECT_EQ(setpci("CAP_VNDR+4.b CAP_VNDR+8.l"), "00\n00000800\n");
    EXPECT_EQ(setpci("ECAP_DVSEC+4.l"), "01011af4\n") << "length 16, revision 1, vendor 1af4";
}

TEST(Step06Caps, IsSilentInD3hot) {
    VfioDevice device(Step::caps);
    const auto source = Layout(device->config()).dma;
    device.registers().store<std::uint32_t>(source, 0x12345678);
    setpci("CAP_PM+4.w=3:3");
    EXPECT_THAT(lspci(Step::caps, "-vv"), HasSubstr("Status: D3 NoSoftRst+"));
    EXPECT_NE(device.registers().load<std::uint32_t>(source), 0x12345678U);
    setpci("CAP_PM+4.w=0:3");
    EXPECT_THAT(lspci(Step::caps, "-vv"), HasSubstr("Status: D0 NoSoftRst+"));
    EXPECT_EQ(device.registers().load<std::uint32_t>(source), 0x12345678U) << "D3hot loses nothing";
}

}  // namespace
