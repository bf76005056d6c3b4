// SPDX-License-Identifier: GPL-2.0-or-later
// Multicast (PCI Express Base 5.0, 7.9.11).
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {

void decode_multicast(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    out.name = "Multicast";
    if (!in.config.has(at + PCI_MCAST_CAP, 0x30)) return;
    const auto u64 = [&](unsigned offset) {
        return std::uint64_t{in.config.u32(at + offset + 4)} << 32 | in.config.u32(at + offset);
    };
    const bool endpoint = in.express_type == PCI_EXP_TYPE_ENDPOINT || in.express_type == PCI_EXP_TYPE_ROOT_INT_EP;
    const bool port = in.express_type == PCI_EXP_TYPE_ROOT_PORT || in.express_type == PCI_EXP_TYPE_UPSTREAM ||
                      in.express_type == PCI_EXP_TYPE_DOWNSTREAM;

    const unsigned capability = in.config.u16(at + PCI_MCAST_CAP);
    Row& row = out.add("McastCap").row();
    row.decimal("MaxGroups", PCI_MCAST_CAP_MAX_GROUP(capability) + 1, " MaxGroups ");
    if (endpoint)
        row.decimal("WindowSz", PCI_MCAST_CAP_WIN_SIZE(capability), ", WindowSz ")
            .decimal("WindowBytes", std::uint64_t{1} << PCI_MCAST_CAP_WIN_SIZE(capability), " (", " bytes)");
    if (port) row.add("ECRCRegen", (capability & PCI_MCAST_CAP_ECRC) != 0, ", ECRCRegen");

    const unsigned control = in.config.u16(at + PCI_MCAST_CTRL);
    out.add("McastCtl")
        .row()
        .decimal("NumGroups", PCI_MCAST_CTRL_NUM_GROUP(control) + 1, " NumGroups ")
        .add("Enable", (control & PCI_MCAST_CTRL_ENABLE) != 0, ", Enable");
    const std::uint64_t bar = u64(PCI_MCAST_BAR);
    out.add("McastBAR")
        .row()
        .decimal("IndexPos", bar & 0x3f, " IndexPos ")
        .hex("BaseAddr", bar & ~std::uint64_t{0xfff}, 16, ", BaseAddr ");
    out.add("McastReceiveVec").row().hex("Groups", u64(PCI_MCAST_RCV), 16, "      ");
    out.add("McastBlockAllVec").row().hex("Groups", u64(PCI_MCAST_BLOCK), 16, "     ");
    out.add("McastBlockUntransVec").row().hex("Groups", u64(PCI_MCAST_BLOCK_UNTRANS), 16, " ");

    if (endpoint) return;
    const std::uint64_t overlay = u64(PCI_MCAST_OVL_BAR);
    const unsigned size = overlay & 0x3f;
    Row& line = out.add("McastOverlayBAR").row();
    line.decimal("OverlaySize", size, " OverlaySize ");
    constexpr unsigned kSmallest = 6;  // smaller ones turn it off
    if (size >= kSmallest)
        line.decimal("OverlayBytes", std::uint64_t{1} << size, " (", " bytes)");
    else
        line.add("OverlayBytes", Absent{"(disabled)"}, " ");
    line.hex("BaseAddr", overlay & ~std::uint64_t{0x3f}, 16, ", BaseAddr ");
}

}  // namespace pcienic::ls
