// SPDX-License-Identifier: GPL-2.0-or-later
// What a root complex says about itself (PCI Express Base 5.0, 7.9.8 and 7.9.10).
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

constexpr unsigned kToConfiguration = 2;  ///< a link's type: to configuration space, else to a register block in memory

void link(const ConfigImage& config, unsigned at, unsigned index, Capability& out) {
    const std::uint32_t description = config.u32(at + PCI_RCLINK_LINK_DESC);
    const std::uint32_t low = config.u32(at + PCI_RCLINK_LINK_ADDR);
    const std::uint32_t high = config.u32(at + PCI_RCLINK_LINK_ADDR + 4);
    const bool to_configuration = (description & kToConfiguration) != 0;
    Register& line = out.add(fmt::format("Link{}", index), Gap::tab);
    line.row()
        .hex("TargetPort", description >> 24, 2, "Desc:\tTargetPort=")
        .hex("TargetComponent", description >> 16 & 0xff, 2, " TargetComponent=")
        .flags(description, {{"AssocRCRB", 4}})
        .text("LinkType", to_configuration ? "Config" : "MemMapped", " LinkType=")
        .flags(description, {{"LinkValid", 1}});
    const std::uint64_t address = std::uint64_t{high} << 32 | low;
    if (!to_configuration) {
        line.row().hex("Addr", address, 16, "Addr:\t");
        return;
    }
    // The low three bits say how many bits a bus number has there; 0 stands for all 8.
    const unsigned bits = (low & 7) == 0 ? 8 : low & 7;
    line.row()
        .hex("bus", low >> 20 & ((1U << bits) - 1), 2, "Addr:\t")
        .hex("device", low >> 15 & 0x1f, 2, ":")
        .decimal("function", low >> 12 & 7, ".")
        .hex("CfgSpace", address, 16, "  CfgSpace=");
}

/// "0, 2, 8-10".
std::string ranges(std::uint32_t bits) {
    std::string text;
    for (unsigned first = 0; first < 32; ++first) {
        if ((bits & 1U << first) == 0) continue;
        unsigned last = first;
        while (last + 1 < 32 && (bits & 1U << (last + 1)) != 0) ++last;
        text += fmt::format("{}{}", text.empty() ? "" : ", ", first);
        if (last > first) text += fmt::format("-{}", last);
        first = last;
    }
    return text;
}

}  // namespace

void decode_root_complex_link(const CapabilityInput& in, Capability& out) {
    out.name = "Root Complex Link";
    if (!in.config.has(out.offset + PCI_RCLINK_ESD, PCI_RCLINK_LINK1 - PCI_RCLINK_ESD)) return;
    const std::uint32_t element = in.config.u32(out.offset + PCI_RCLINK_ESD);
    constexpr const char* kTypes[] = {"Config", "Egress", "Internal"};
    out.add("Desc", Gap::tab)
        .row()
        .hex("PortNumber", element >> 24, 2, " PortNumber=")
        .hex("ComponentID", element >> 16 & 0xff, 2, " ComponentID=")
        .text("EltType", choose(kTypes, element & 0xff, fmt::format("??{}", element & 0xff).c_str()), " EltType=")
        .silent("NumberOfLinks", Number{element >> 8 & 0xff});
    for (unsigned index = 0; index < (element >> 8 & 0xff); ++index) {
        const unsigned at = out.offset + PCI_RCLINK_LINK1 + PCI_RCLINK_LINK_SIZE * index;
        if (!in.config.has(at, PCI_RCLINK_LINK_SIZE)) return out.remark(fmt::format("Link{}:\t<unreadable>", index));
        link(in.config, at, index, out);
    }
}

void decode_event_collector(const CapabilityInput& in, Capability& out) {
    out.name = "Root Complex Event Collector Endpoint Association";
    if (!in.config.has(out.offset, 12)) return;
    constexpr int kInFull = 3;
    const std::uint32_t devices = in.config.u32(out.offset + PCI_RCEC_RCIEP_BMAP);
    Row& bitmap = out.add("RCiEPBitmap").row();
    if (devices == 0) {
        bitmap.add("Bitmap", Number{0, 8}, " ", "", kInFull).add("None", Mark{true}, " [none]");
    } else {
        bitmap.silent("Bitmap", Number{devices, 8})
            .add("None", Mark{false}, "")
            .text("Devices", ranges(devices), " RCiEP at Device(s): ");
    }
    if (out.version < PCI_RCEC_BUSN_REG_VER) return;
    const std::uint32_t buses = in.config.u32(out.offset + PCI_RCEC_BUSN_REG);
    const unsigned first = buses >> 8 & 0xff;
    const unsigned last = buses >> 16 & 0xff;
    const bool none = first == 0xff && last == 0;
    out.add("AssociatedBusNumbers")
        .row()
        .add("First", Number{first, 2}, " ", "", none ? kInFull : 0)
        .add("Last", Number{last, 2}, "-", "", none ? kInFull : 0)
        .add("None", Mark{none}, " [none]");
}

}  // namespace pcienic::ls
