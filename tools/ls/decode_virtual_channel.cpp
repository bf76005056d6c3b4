// SPDX-License-Identifier: GPL-2.0-or-later
// Virtual Channel (PCI Express Base 5.0, 7.9.1), under its two IDs.
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

constexpr const char* kPortArbitration[8] = {"Fixed", "WRR32", "WRR64", "WRR128", "??4", "??5", "??6", "??7"};
constexpr const char* kChannelArbitration[8] = {"Fixed", "WRR32", "WRR64", "WRR128", "TWRR128", "WRR256", "??6", "??7"};
constexpr unsigned kChannelSize = 12;

/// Kinds of arbitration as flags; reserved ones are named only if a device claims them.
void arbitrations(Row& row, const char* const (&names)[8], std::uint32_t word, const char* lead) {
    for (unsigned bit = 0; bit < 8; ++bit) {
        const std::string name = names[bit];
        const bool set = (word & 1U << bit) != 0;
        const std::string before = (bit == 0 ? lead : " ") + name;
        if (name.front() == '?')
            row.add(fmt::format("Reserved{}", bit), Mark{set}, before + "+");
        else
            row.add(name, set, before);
    }
}

void channel(const ConfigImage& config, unsigned at, unsigned index, Capability& out) {
    if (!config.has(at, kChannelSize)) return out.remark(fmt::format("VC{}:\t<unreadable>", index));
    const std::uint32_t capability = config.u32(at);
    const std::uint32_t control = config.u32(at + PCI_VC_RES_CTRL - PCI_VC_RES_CAP);
    const unsigned status = config.u16(at + PCI_VC_RES_STATUS - PCI_VC_RES_CAP);
    const unsigned table = capability >> 24;
    Register& vc = out.add(fmt::format("VC{}", index), Gap::tab);
    vc.row()
        .hex("PATOffset", table, 2, "Caps:\tPATOffset=")
        .decimal("MaxTimeSlots", (capability >> 16 & 0x7f) + 1, " MaxTimeSlots=")
        .flags(capability, {{"RejSnoopTrans", 1U << 15}});
    arbitrations(vc.row(), kChannelArbitration, capability, "Arb:\t");
    vc.row()
        .add("Enable", (control & 1U << 31) != 0, "Ctrl:\tEnable")
        .decimal("ID", control >> 24 & 7, " ID=")
        .text("ArbSelect", kChannelArbitration[control >> 17 & 7], " ArbSelect=")
        .hex("TC/VC", control & 0xff, 2, " TC/VC=");
    vc.row().add("NegoPending", (status & 2) != 0, "Status:\tNegoPending").flags(status, {{"InProgress", 1}});
    if (table != 0) vc.row().add("PortArbitrationTable", Mark{true}, "Port Arbitration Table <?>");
}

}  // namespace

void decode_virtual_channel(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    out.name = "Virtual Channel";
    if (!in.config.has(at + PCI_VC_PORT_REG1, 0x1c - PCI_VC_PORT_REG1)) return;
    const std::uint32_t first = in.config.u32(at + PCI_VC_PORT_REG1);
    const std::uint32_t second = in.config.u32(at + PCI_VC_PORT_REG2);
    constexpr const char* kClocks[] = {"100ns", "??1", "??2", "??3"};
    out.add("Caps", Gap::tab)
        .row()
        .decimal("LPEVC", first >> 4 & 7, " LPEVC=")
        .text("RefClk", kClocks[first >> 8 & 3], " RefClk=")
        .decimal("PATEntryBits", 1U << (first >> 10 & 3), " PATEntryBits=")
        .silent("EVC", Number{first & 7});
    arbitrations(out.add("Arb", Gap::tab).row(), kPortArbitration, second, "");
    out.add("Ctrl", Gap::tab)
        .row()
        .text("ArbSelect", kPortArbitration[in.config.u16(at + PCI_VC_PORT_CTRL) >> 1 & 7], " ArbSelect=");
    out.add("Status", Gap::tab).row().flags(in.config.u16(at + PCI_VC_PORT_STATUS), {{"InProgress", 1}});
    if (const unsigned table = second >> 24; table != 0) {
        // lspci calls it the ports' table; it is the channels' (7.9.1.9).
        out.line(fmt::format("Port Arbitration Table [{:x}] <?>", at + 16 * table));
        out.fields("VC Arbitration Table").row().hex("offset", at + 16 * table, 3, " ");
    }
    for (unsigned index = 0; index <= (first & 7); ++index)
        channel(in.config, at + PCI_VC_RES_CAP + kChannelSize * index, index, out);
}

}  // namespace pcienic::ls
