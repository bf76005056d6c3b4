// SPDX-License-Identifier: GPL-2.0-or-later
// Enhanced Allocation (PCI Express Base 5.0, 7.8.5): where a function's resources are, in place of BARs.
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

std::string indicator(unsigned code) {
    if (code <= 5) return fmt::format("BAR {}", code);
    if (code >= 9 && code <= 14) return fmt::format("VF-BAR {}", code - 9);
    constexpr const char* kOthers[] = {"resource behind function", "not indicated", "expansion ROM"};
    return choose(kOthers, code - 6, "reserved");
}

std::string property(unsigned code, const char* unusable) {
    constexpr const char* kFromZero[] = {"memory space, non-prefetchable",
                                         "memory space, prefetchable",
                                         "I/O space",
                                         "VF memory space, prefetchable",
                                         "VF memory space, non-prefetchable",
                                         "allocation behind bridge, non-prefetchable memory",
                                         "allocation behind bridge, prefetchable memory",
                                         "allocation behind bridge, I/O space"};
    if (code == 0xfd) return "memory space resource unavailable for use";
    if (code == 0xfe) return "I/O space resource unavailable for use";
    if (code == 0xff) return unusable;
    return choose(kFromZero, code, fmt::format("[{:02x}]", code).c_str());
}

/// A base or an offset: its low half has a flag for whether there is an upper half.
constexpr std::uint32_t kWide = 2;
constexpr std::uint32_t kReserved = 3;

void decode_entry(const ConfigImage& config, unsigned at, unsigned index, Capability& out) {
    const std::uint32_t header = config.u32(at);
    const unsigned size = header & 7;
    const unsigned end = at + 4 + 4 * size;
    Register& entry = out.add(fmt::format("Entry {}", index));
    entry.row()
        .flags(header, {{"Enable", PCI_EA_CAP_ENT_ENABLE}, {"Writable", PCI_EA_CAP_ENT_WRITABLE}})
        .decimal("EntrySize", size, " EntrySize=");
    entry.row().text("BAREquivalentIndicator", indicator(header >> 4 & 0xf), " BAR Equivalent Indicator: ");
    entry.row().text("PrimaryProperties", property(header >> 8 & 0xff, "entry unavailable for use"),
                     " PrimaryProperties: ");
    entry.row().text("SecondaryProperties",
                     property(header >> 16 & 0xff, "entry unavailable for use, PrimaryProperties should be used"),
                     " SecondaryProperties: ");
    if (size < 2) return;

    const std::uint32_t base = config.u32(at + 4);
    const std::uint32_t offset = config.u32(at + 8);
    unsigned upper = at + 12;
    const auto wide = [&](const char* key, std::uint32_t word, std::uint32_t low, const char* before) {
        // The size says less than the halves need if the entry contradicts itself: then there is no upper half.
        const bool has_upper = (word & kWide) != 0 && upper + 4 <= end;
        const std::uint64_t high = has_upper ? config.u32(upper) : 0;
        if (has_upper) upper += 4;
        entry.row().hex(key, high << 32 | low, has_upper ? 9 : 8, before);
    };
    wide("Base", base, base & ~kReserved, " Base: ");
    wide("MaxOffset", offset, offset | kReserved, " MaxOffset: ");
}

}  // namespace

void decode_enhanced_allocation(const CapabilityInput& in, Capability& out) {
    const unsigned entries = in.config.u16(out.offset + PCI_CAP_FLAGS) & 0x3f;
    out.name = "Enhanced Allocation (EA)";
    out.summary.decimal("NumEntries", entries, ": NumEntries=");
    unsigned at = out.offset + 4;
    if (in.header_type() == PCI_HEADER_TYPE_BRIDGE) {
        if (!in.config.has(at, 2)) return;
        out.summary.decimal("secondary", in.config.u8(out.offset + PCI_EA_CAP_TYPE1_SECONDARY), ", secondary=")
            .decimal("subordinate", in.config.u8(out.offset + PCI_EA_CAP_TYPE1_SUBORDINATE), ", subordinate=");
        at += 4;
    }
    for (unsigned index = 0; index < entries && in.config.has(at, 4); ++index) {
        const unsigned size = 4 + 4 * (in.config.u32(at) & 7);
        if (!in.config.has(at, size)) return;
        decode_entry(in.config, at, index, out);
        at += size;
    }
}

}  // namespace pcienic::ls
