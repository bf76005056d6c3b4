// SPDX-License-Identifier: GPL-2.0-or-later
#include "capability_families.hpp"

#include <algorithm>

#include "image.hpp"

namespace pcienic::test {

CapabilityBytes CapabilityBytes::standard(std::uint8_t id, std::size_t size, std::uint8_t fill) {
    CapabilityBytes made;
    made.bytes.assign(size, fill);
    return made.put(0, {id, 0});
}

CapabilityBytes CapabilityBytes::extended(std::uint16_t id, unsigned version, std::size_t size, std::uint8_t fill) {
    CapabilityBytes made;
    made.bytes.assign(size, fill);
    return made.put32(0, id | version << 16);
}

CapabilityBytes& CapabilityBytes::put(std::size_t at, std::initializer_list<unsigned> values) {
    for (const unsigned value : values) bytes.at(at++) = static_cast<std::uint8_t>(value);
    return *this;
}

CapabilityBytes& CapabilityBytes::put32(std::size_t at, std::uint32_t word) {
    return put(at, {word & 0xff, word >> 8 & 0xff, word >> 16 & 0xff, word >> 24});
}

CapabilityBytes& CapabilityBytes::keep(std::size_t at, std::uint8_t mask) {
    bytes.at(at) = static_cast<std::uint8_t>(bytes.at(at) & mask);
    return *this;
}

std::uint32_t CapabilityBytes::u32(std::size_t at) const {
    return bytes.at(at) | static_cast<std::uint32_t>(bytes.at(at + 1)) << 8 |
           static_cast<std::uint32_t>(bytes.at(at + 2)) << 16 | static_cast<std::uint32_t>(bytes.at(at + 3)) << 24;
}

namespace {

using Seeds = std::vector<CapabilityBytes>;

/// Zeros and ones: with each of their bits turned over, each field is seen with one bit set and with one cleared.
Seeds standard(std::uint8_t id, std::size_t size) {
    return {CapabilityBytes::standard(id, size), CapabilityBytes::standard(id, size, 0xff)};
}

Seeds extended(std::uint16_t id, std::size_t size, unsigned version = 1) {
    return {CapabilityBytes::extended(id, version, size), CapabilityBytes::extended(id, version, size, 0xff)};
}

/// One block of HyperTransport: `type` is the high byte of its command register.
Seeds hypertransport(unsigned type, std::size_t size) {
    Seeds seeds = standard(0x08, size);
    for (CapabilityBytes& seed : seeds) seed.put(3, {type});
    seeds.back().put(3, {type | 0x07});
    return seeds;
}

/// A slave's or a host's interface, in each of the three ages that a revision ID can mean.
Seeds hypertransport_interface(unsigned type, std::size_t size, std::size_t revision_at) {
    Seeds seeds;
    for (const unsigned revision : {0x11U, 0x21U, 0x22U, 0x45U})
        for (CapabilityBytes seed : standard(0x08, size)) {
            seed.put(3, {seed.bytes[3] == 0 ? type : type | 0x1f});
            seeds.push_back(seed.put(revision_at, {revision}));
        }
    return seeds;
}

/// Two entries behind `begin`: one of two words, one with both upper halves.
CapabilityBytes enhanced_allocation(std::size_t begin) {
    CapabilityBytes seed = CapabilityBytes::standard(0x14, begin + 12 + 20);
    seed.put(2, {2});
    seed.put32(begin, 0x80ff0002).put32(begin + 4, 0x00100000).put32(begin + 8, 0x000ffffc);
    return seed.put32(begin + 12, 0xc0040374)
        .put32(begin + 16, 0x00200002)
        .put32(begin + 20, 0x003ffffe)
        .put32(begin + 24, 0x12)
        .put32(begin + 28, 0x345);
}

/// Entries whose size has no room for the words that they say they have: lspci stops at them.
std::function<void(CapabilityBytes&)> whole_entries(std::size_t begin) {
    return [begin](CapabilityBytes& capability) {
        for (std::size_t at = begin; at + 12 <= capability.bytes.size();) {
            capability.bytes[at] = static_cast<std::uint8_t>((capability.bytes[at] & 0xf8) | (at == begin ? 2 : 4));
            if (at == begin) capability.keep(at + 4, 0xfd).keep(at + 8, 0xfd);
            at += 4U + 4U * (capability.bytes[at] & 7U);
        }
        if (capability.bytes.size() < begin + 32) return;
        capability.keep(2, 0xc3);
        if ((capability.bytes[2] & 0x3f) > 2) capability.keep(2, 0xc2);
    };
}

/// A link to configuration space and one to memory.
CapabilityBytes root_complex_link() {
    CapabilityBytes seed = CapabilityBytes::extended(0x05, 1, 0x30);
    seed.put(4, {0x02, 0x02, 0x05, 0x07}).put(0x10, {0x03, 0x00, 0x09, 0x08});
    seed.put32(0x18, 0x00a53213).put32(0x1c, 0x87654321);
    return seed.put(0x20, {0x05, 0x00, 0x02, 0x03}).put32(0x28, 0xfed19000).put32(0x2c, 0x1);
}

/// `bars` entries; the sizes and the count of the first are what a device would say.
CapabilityBytes resizable_bars(std::uint16_t id, unsigned bars) {
    CapabilityBytes seed = CapabilityBytes::extended(id, 1, 4 + 8 * std::size_t{bars});
    for (unsigned index = 0; index < bars; ++index) {
        seed.put32(4 + 8 * std::size_t{index}, 0x00fffff0U << index);
        seed.put32(8 + 8 * std::size_t{index}, index | bars << 5 | (8 + index) << 8 | (index == 1 ? 0xf000U << 16 : 0));
    }
    return seed;
}

/// One of CXL's: two seeds, whose length and revision stay.
Seeds cxl(unsigned id, unsigned revision, std::size_t length) {
    Seeds seeds = extended(0x23, length);
    for (CapabilityBytes& seed : seeds)
        seed.put32(4, 0x1e98U | revision << 16 | static_cast<std::uint32_t>(length) << 20).put(8, {id, 0});
    return seeds;
}

// --- what lspci 3.9 gets wrong, left out: docs/reference/pcienic-ls.md has a line for each -------------------------

using Avoid = std::function<void(CapabilityBytes&)>;

/// The upper halves of HyperTransport's link frequencies, in either kind of interface.
void link_frequencies(CapabilityBytes& capability) {
    for (const std::size_t at : {std::size_t{11}, std::size_t{15}, std::size_t{19}})
        if (at < capability.bytes.size()) capability.keep(at, 0);
}

void latency_scales(CapabilityBytes& capability) {
    for (const std::size_t at : {std::size_t{5}, std::size_t{7}})
        if ((capability.bytes[at] >> 2 & 7) > 5) capability.keep(at, 0xef);
}

/// Types of memory that are reserved, and 64 bits anywhere but in the first.
void virtual_bars(CapabilityBytes& capability) {
    constexpr std::size_t kLast = 0x38;
    if (kLast < capability.bytes.size()) capability.keep(kLast, 0xfb);
}

void last_device(CapabilityBytes& capability) { capability.keep(7, 0x7f); }
void overlay_above_1gib(CapabilityBytes& capability) { capability.keep(0x28, 0xde); }
void upper_lanes(CapabilityBytes& capability) { capability.keep(10, 0).keep(11, 0); }

/// The error of Data Object Exchange together with what lspci takes for it.
void object_error(CapabilityBytes& capability) {
    const unsigned status = capability.bytes[12];
    capability.put(12, {(status & 0xf8U) | ((status & 3U) != 0 ? 7U : 0U)});
}

/// CXL's ID, revision and length stay, since lspci reads as much of a structure as it would have if it were whole.
Avoid cxl_contents(unsigned id, unsigned revision, Avoid more = {}) {
    return [=](CapabilityBytes& capability) {
        const auto length = static_cast<std::uint32_t>(capability.bytes.size());
        capability.put32(4, 0x1e98U | revision << 16 | length << 20).put(8, {id, 0});
        if (more) more(capability);
    };
}

/// lspci reads its tables beyond their ends for a type, class or interleave that they have no word for.
void cxl_ranges(CapabilityBytes& capability) {
    for (const std::size_t at : {std::size_t{0x1c}, std::size_t{0x2c}}) {
        std::uint32_t word = capability.u32(at);
        for (const unsigned shift : {2U, 5U})
            if ((word >> shift & 7U) > 2) word &= ~(6U << shift);
        capability.put32(at, word & ~(0x18U << 8));
    }
}

void cxl_function_maps(CapabilityBytes& capability) {
    for (std::size_t at = 0x0c; at < 0x2c; at += 4) capability.keep(at + 2, 0).keep(at + 3, 0);
}

void cxl_port_status(CapabilityBytes& capability) {
    capability.put(10, {(capability.bytes[10] & 1U) != 0 ? 0xffU : 0U});
}

void cxl_tens_of_seconds(CapabilityBytes& capability) {
    for (const std::size_t at : {std::size_t{11}, std::size_t{13}, std::size_t{15}})
        if ((capability.bytes[at] & 0x0f) == 7) capability.keep(at, 0xf6);
}

}  // namespace

const std::vector<Family>& capability_families() {
    static const std::vector<Family> kFamilies = {
        {.name = "Null", .seeds = standard(0x00, 4)},
        {.name = "PowerManagement", .seeds = standard(0x01, 8)},
        {.name = "Agp", .seeds = standard(0x02, 12)},
        {.name = "VitalProductData", .seeds = standard(0x03, 8)},
        {.name = "SlotId", .seeds = standard(0x04, 4)},
        {.name = "Msi", .seeds = standard(0x05, 24)},
        {.name = "CompactPciHotSwap", .seeds = standard(0x06, 4)},
        {.name = "PciX", .seeds = standard(0x07, 8)},
        {.name = "PciXBridge", .seeds = standard(0x07, 16), .header_type = 1},
        {.name = "HyperTransportSlave", .seeds = hypertransport_interface(0x00, 28, 12), .avoid = link_frequencies},
        {.name = "HyperTransportHost", .seeds = hypertransport_interface(0x20, 24, 8), .avoid = link_frequencies},
        {.name = "HyperTransportSwitch", .seeds = hypertransport(0x40, 24), .avoid = link_frequencies},
        {.name = "HyperTransportInterrupts", .seeds = hypertransport(0x80, 8), .avoid = link_frequencies},
        {.name = "HyperTransportRevision", .seeds = hypertransport(0x88, 4), .avoid = link_frequencies},
        {.name = "HyperTransportClumping", .seeds = hypertransport(0x90, 12), .avoid = link_frequencies},
        {.name = "HyperTransportConfiguration", .seeds = hypertransport(0x98, 12), .avoid = link_frequencies},
        {.name = "HyperTransportAddresses", .seeds = hypertransport(0xa0, 16), .avoid = link_frequencies},
        {.name = "HyperTransportMsi", .seeds = hypertransport(0xa8, 12), .avoid = link_frequencies},
        {.name = "HyperTransportDirectRoute", .seeds = hypertransport(0xb0, 12), .avoid = link_frequencies},
        {.name = "HyperTransportVcSet", .seeds = hypertransport(0xb8, 16), .avoid = link_frequencies},
        {.name = "HyperTransportRetry", .seeds = hypertransport(0xc0, 12), .avoid = link_frequencies},
        {.name = "HyperTransportReserved", .seeds = hypertransport(0xc8, 12), .avoid = link_frequencies},
        {.name = "HyperTransportUnknown", .seeds = hypertransport(0x48, 12), .avoid = link_frequencies},
        {.name = "Vendor", .seeds = standard(0x09, 20)},
        {.name = "DebugPort", .seeds = standard(0x0a, 4)},
        {.name = "CompactPciCentral", .seeds = standard(0x0b, 4)},
        {.name = "HotPlug", .seeds = standard(0x0c, 4)},
        {.name = "Subsystem", .seeds = standard(0x0d, 8), .cut = false},
        {.name = "Agp3", .seeds = standard(0x0e, 12)},
        {.name = "SecureDevice", .seeds = standard(0x0f, 4)},
        {.name = "MsiX", .seeds = standard(0x11, 12)},
        {.name = "Sata", .seeds = standard(0x12, 12)},
        {.name = "AdvancedFeatures", .seeds = standard(0x13, 8)},
        {.name = "EnhancedAllocation", .seeds = {enhanced_allocation(4)}, .avoid = whole_entries(4)},
        {.name = "EnhancedAllocationBridge",
         .seeds = {enhanced_allocation(8)},
         .avoid = whole_entries(8),
         .header_type = 1},
        {.name = "UnknownStandard", .seeds = standard(0x15, 8)},
        {.name = "ExtendedNull", .extended = true, .seeds = extended(0x00, 8)},
        {.name = "AdvancedErrorReporting", .extended = true, .seeds = extended(0x01, 0x38)},
        {.name = "AdvancedErrorReportingOfRootPort",
         .extended = true,
         .seeds = extended(0x01, 0x38),
         .express_type = 4},
        {.name = "VirtualChannel", .extended = true, .seeds = extended(0x02, 0x40)},
        {.name = "SerialNumber", .extended = true, .seeds = extended(0x03, 12), .cut = false},
        {.name = "PowerBudgeting", .extended = true, .seeds = extended(0x04, 16)},
        {.name = "RootComplexLink", .extended = true, .seeds = extended(0x05, 0x40)},
        {.name = "RootComplexLinks", .extended = true, .seeds = {root_complex_link()}},
        {.name = "RootComplexInternalLink", .extended = true, .seeds = extended(0x06, 12)},
        {.name = "EventCollector",
         .extended = true,
         .seeds = {CapabilityBytes::extended(0x07, 2, 12), CapabilityBytes::extended(0x07, 1, 12),
                   CapabilityBytes::extended(0x07, 2, 12).put32(4, 0x7ff0fff5).put32(8, 0x00ff00ff),
                   CapabilityBytes::extended(0x07, 2, 12).put32(8, 0x0000ff00)},
         .avoid = last_device},
        {.name = "MultiFunctionVirtualChannel", .extended = true, .seeds = extended(0x08, 0x30)},
        {.name = "VirtualChannel9", .extended = true, .seeds = extended(0x09, 0x30)},
        {.name = "RootComplexRegisterBlock", .extended = true, .seeds = extended(0x0a, 0x14)},
        {.name = "ExtendedVendor", .extended = true, .seeds = extended(0x0b, 12)},
        {.name = "ConfigurationAccess", .extended = true, .seeds = extended(0x0c, 12)},
        {.name = "AccessControl", .extended = true, .seeds = extended(0x0d, 8)},
        {.name = "AlternativeRouting", .extended = true, .seeds = extended(0x0e, 8)},
        {.name = "AddressTranslation", .extended = true, .seeds = extended(0x0f, 8)},
        {.name = "SingleRootIov", .extended = true, .seeds = extended(0x10, 0x40), .avoid = virtual_bars},
        {.name = "MultiRootIov", .extended = true, .seeds = extended(0x11, 0x40)},
        {.name = "MulticastRootPort",
         .extended = true,
         .seeds = extended(0x12, 0x30),
         .avoid = overlay_above_1gib,
         .express_type = 4},
        {.name = "MulticastUpstream",
         .extended = true,
         .seeds = extended(0x12, 0x30),
         .avoid = overlay_above_1gib,
         .express_type = 5},
        {.name = "MulticastDownstream",
         .extended = true,
         .seeds = extended(0x12, 0x30),
         .avoid = overlay_above_1gib,
         .express_type = 6},
        {.name = "PageRequest", .extended = true, .seeds = extended(0x13, 16)},
        {.name = "Reserved14", .extended = true, .seeds = extended(0x14, 16)},
        {.name = "ResizableBar", .extended = true, .seeds = extended(0x15, 0x34)},
        {.name = "ResizableBars",
         .extended = true,
         .seeds = {resizable_bars(0x15, 1), resizable_bars(0x15, 3), resizable_bars(0x15, 6)}},
        {.name = "DynamicPower", .extended = true, .seeds = extended(0x16, 16)},
        {.name = "ProcessingHints", .extended = true, .seeds = extended(0x17, 16)},
        {.name = "LatencyTolerance", .extended = true, .seeds = extended(0x18, 8), .avoid = latency_scales},
        {.name = "SecondaryExpress", .extended = true, .seeds = extended(0x19, 0x1c), .avoid = upper_lanes},
        {.name = "ProtocolMultiplexing", .extended = true, .seeds = extended(0x1a, 16)},
        {.name = "ProcessAddressSpace", .extended = true, .seeds = extended(0x1b, 8)},
        {.name = "LightweightNotification", .extended = true, .seeds = extended(0x1c, 8)},
        {.name = "PortContainment", .extended = true, .seeds = extended(0x1d, 12)},
        {.name = "L1Substates", .extended = true, .seeds = extended(0x1e, 16)},
        {.name = "TimeMeasurement", .extended = true, .seeds = extended(0x1f, 12)},
        {.name = "MPhy", .extended = true, .seeds = extended(0x20, 12)},
        {.name = "FunctionReadiness", .extended = true, .seeds = extended(0x21, 12)},
        {.name = "ReadinessTime", .extended = true, .seeds = extended(0x22, 12)},
        {.name = "DesignatedVendor", .extended = true, .seeds = extended(0x23, 16)},
        {.name = "CxlDevice", .extended = true, .seeds = cxl(0, 1, 0x38), .avoid = cxl_contents(0, 1, cxl_ranges)},
        {.name = "CxlDevice1", .extended = true, .seeds = cxl(0, 0, 0x38), .avoid = cxl_contents(0, 0)},
        {.name = "CxlFunctionMap",
         .extended = true,
         .seeds = cxl(2, 0, 0x2c),
         .avoid = cxl_contents(2, 0, cxl_function_maps)},
        {.name = "CxlPort", .extended = true, .seeds = cxl(3, 0, 0x28), .avoid = cxl_contents(3, 0, cxl_port_status)},
        {.name = "CxlFlushOfPort",
         .extended = true,
         .seeds = cxl(4, 0, 0x10),
         .avoid = cxl_contents(4, 0, cxl_tens_of_seconds)},
        {.name = "CxlFlushOfDevice",
         .extended = true,
         .seeds = cxl(5, 0, 0x10),
         .avoid = cxl_contents(5, 0, cxl_tens_of_seconds)},
        {.name = "CxlFlexBus0", .extended = true, .seeds = cxl(7, 0, 0x20), .avoid = cxl_contents(7, 0)},
        {.name = "CxlFlexBus1", .extended = true, .seeds = cxl(7, 1, 0x20), .avoid = cxl_contents(7, 1)},
        {.name = "CxlFlexBus2", .extended = true, .seeds = cxl(7, 2, 0x20), .avoid = cxl_contents(7, 2)},
        {.name = "CxlRegisterLocator", .extended = true, .seeds = cxl(8, 0, 0x24), .avoid = cxl_contents(8, 0)},
        {.name = "CxlLogicalDevices", .extended = true, .seeds = cxl(9, 0, 0x10), .avoid = cxl_contents(9, 0)},
        {.name = "CxlUnknown", .extended = true, .seeds = cxl(10, 0, 0x10), .avoid = cxl_contents(10, 0)},
        {.name = "VirtualResizableBar", .extended = true, .seeds = {resizable_bars(0x24, 2)}},
        {.name = "DataLinkFeature", .extended = true, .seeds = extended(0x25, 12)},
        {.name = "PhysicalLayer16", .extended = true, .seeds = extended(0x26, 0x30)},
        {.name = "LaneMargining", .extended = true, .seeds = extended(0x27, 16)},
        {.name = "HierarchyId", .extended = true, .seeds = extended(0x28, 16)},
        {.name = "EnclosureManagement", .extended = true, .seeds = extended(0x29, 16)},
        {.name = "PhysicalLayer32", .extended = true, .seeds = extended(0x2a, 16)},
        {.name = "AlternateProtocol", .extended = true, .seeds = extended(0x2b, 16)},
        {.name = "FirmwareIntermediary", .extended = true, .seeds = extended(0x2c, 16)},
        {.name = "DataObjectExchange", .extended = true, .seeds = extended(0x2e, 0x18), .avoid = object_error},
        {.name = "Device3", .extended = true, .seeds = extended(0x2f, 16)},
        {.name = "UnknownExtended", .extended = true, .seeds = extended(0x345, 8)},
    };
    return kFamilies;
}

std::vector<std::uint8_t> space_with(const Family& family, const CapabilityBytes& capability) {
    const std::size_t at = family.extended ? kExtendedAt : kStandardAt;
    Image image(at + capability.bytes.size() + kMargin);
    image.put(0x0e, {family.header_type});
    if (family.header_type == 1) image.put(0x0a, {0x04, 0x06});
    if (family.extended)
        image.first(0x40).express(0x40, 0, family.express_type);
    else
        image.first(kStandardAt);
    std::vector<std::uint8_t> bytes = image.bytes();
    std::copy(capability.bytes.begin(), capability.bytes.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    return bytes;
}

}  // namespace pcienic::test
