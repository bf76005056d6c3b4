// SPDX-License-Identifier: GPL-2.0-or-later
// The capabilities of conventional PCI, in the first 256 bytes.
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {

void decode_power_management(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    const unsigned capabilities = in.config.u16(at + PCI_CAP_FLAGS);
    out.name = "Power Management";
    out.summary.decimal("version", capabilities & PCI_PM_CAP_VER_MASK, " version ");

    constexpr unsigned kAuxCurrent[] = {0, 55, 100, 160, 220, 270, 320, 375};
    out.add("Flags")
        .row()
        .flags(
            capabilities,
            {{"PMEClk", PCI_PM_CAP_PME_CLOCK}, {"DSI", PCI_PM_CAP_DSI}, {"D1", PCI_PM_CAP_D1}, {"D2", PCI_PM_CAP_D2}})
        .decimal("AuxCurrent", kAuxCurrent[(capabilities & PCI_PM_CAP_AUX_C_MASK) >> 6], " AuxCurrent=", "mA")
        .add("PME_D0", (capabilities & PCI_PM_CAP_PME_D0) != 0, " PME(D0")
        .add("PME_D1", (capabilities & PCI_PM_CAP_PME_D1) != 0, ",D1")
        .add("PME_D2", (capabilities & PCI_PM_CAP_PME_D2) != 0, ",D2")
        .add("PME_D3hot", (capabilities & PCI_PM_CAP_PME_D3_HOT) != 0, ",D3hot")
        .add("PME_D3cold", (capabilities & PCI_PM_CAP_PME_D3_COLD) != 0, ",D3cold", ")");

    if (!in.config.has(at + PCI_PM_CTRL, PCI_PM_SIZEOF - PCI_PM_CTRL)) return;
    const unsigned status = in.config.u16(at + PCI_PM_CTRL);
    out.add("Status")
        .row()
        .decimal("State", status & PCI_PM_CTRL_STATE_MASK, " D")
        .flags(status, {{"NoSoftRst", PCI_PM_CTRL_NO_SOFT_RST}, {"PME-Enable", PCI_PM_CTRL_PME_ENABLE}})
        .decimal("DSel", (status & PCI_PM_CTRL_DATA_SEL_MASK) >> 9, " DSel=")
        .decimal("DScale", (status & PCI_PM_CTRL_DATA_SCALE_MASK) >> 13, " DScale=")
        .flags(status, {{"PME", PCI_PM_CTRL_PME_STATUS}});

    if (const unsigned bridge = in.config.u8(at + PCI_PM_PPB_EXTENSIONS); bridge != 0)
        out.add("Bridge")
            .row()
            .flags(bridge, {{"PM", PCI_PM_BPCC_ENABLE}})
            .add("B3", (bridge & PCI_PM_PPB_B2_B3) == 0, " B3");
}

void decode_msi(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    const unsigned control = in.config.u16(at + PCI_MSI_FLAGS);
    const bool wide = (control & PCI_MSI_FLAGS_64BIT) != 0;
    const bool maskable = (control & PCI_MSI_FLAGS_MASK_BIT) != 0;
    out.name = "MSI";
    out.summary.add("Enable", (control & PCI_MSI_FLAGS_ENABLE) != 0, ": Enable")
        .decimal("Allocated", 1U << ((control & PCI_MSI_FLAGS_QSIZE) >> 4), " Count=")
        .decimal("Requested", 1U << ((control & PCI_MSI_FLAGS_QMASK) >> 1), "/")
        .flag("Maskable", maskable)
        .flag("64bit", wide);

    const unsigned data_at = at + (wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
    if (!in.config.has(at + PCI_MSI_ADDRESS_LO, data_at + 2 - (at + PCI_MSI_ADDRESS_LO))) return;
    std::uint64_t address = in.config.u32(at + PCI_MSI_ADDRESS_LO);
    if (wide) address |= std::uint64_t{in.config.u32(at + PCI_MSI_ADDRESS_HI)} << 32;
    out.add("Address")
        .row()
        .hex("Address", address, wide ? 16 : 8, " ")
        .hex("Data", in.config.u16(data_at), 4, "  Data: ");

    const unsigned mask_at = at + (wide ? PCI_MSI_MASK_BIT_64 : PCI_MSI_MASK_BIT_32);
    if (maskable && in.config.has(mask_at, 8))
        out.add("Masking")
            .row()
            .hex("Masking", in.config.u32(mask_at), 8, " ")
            .hex("Pending", in.config.u32(mask_at + 4), 8, "  Pending: ");
}

void decode_msix(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    const unsigned control = in.config.u16(at + PCI_CAP_FLAGS);
    out.name = "MSI-X";
    out.summary.add("Enable", (control & PCI_MSIX_ENABLE) != 0, ": Enable")
        .decimal("Count", (control & PCI_MSIX_TABSIZE) + 1, " Count=")
        .flag("Masked", (control & PCI_MSIX_MASK) != 0);
    if (!in.config.has(at + PCI_MSIX_TABLE, 8)) return;

    const auto place = [&](const char* name, unsigned offset) {
        const std::uint32_t word = in.config.u32(at + offset);
        out.add(name)
            .row()
            .decimal("BAR", word & PCI_MSIX_BIR, " BAR=")
            .hex("offset", word & ~static_cast<std::uint32_t>(PCI_MSIX_BIR), 8, " offset=");
    };
    place("Vector table", PCI_MSIX_TABLE);
    place("PBA", PCI_MSIX_PBA);
}

namespace {

// Virtio 1.0, 4.1.4: a virtio device says in vendor-specific capabilities where its structures are.
bool decode_virtio(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    const unsigned vendor = in.config.u16(PCI_VENDOR_ID);
    const unsigned device = in.config.u16(PCI_DEVICE_ID);
    if (vendor != 0x1af4 || device < 0x1000 || device > 0x107f) return false;
    const unsigned length = in.config.u8(at + 2);
    if (length < 16 || !in.config.has(at, length)) return false;

    constexpr const char* kTypes[] = {nullptr, "CommonCfg", "Notify", "ISR", "DeviceCfg"};
    const unsigned type = in.config.u8(at + 3);
    out.summary.text("VirtIO", choose(kTypes, type, "<unknown>"), "VirtIO: ");
    Register& layout = out.add("");
    layout.row()
        .decimal("BAR", in.config.u8(at + 4), "BAR=")
        .hex("offset", in.config.u32(at + 8), 8, " offset=")
        .hex("size", in.config.u32(at + 12), 8, " size=");
    if (type == 2 && length >= 20) layout.rows.back().hex("multiplier", in.config.u32(at + 16), 8, " multiplier=");
    return true;
}

}  // namespace

void decode_vendor(const CapabilityInput& in, Capability& out) {
    out.name = "Vendor Specific Information: ";
    if (!decode_virtio(in, out)) out.summary.hex("Len", in.config.u8(out.offset + PCI_CAP_FLAGS), 2, "Len=", " <?>");
}

void decode_slot_id(const CapabilityInput& in, Capability& out) {
    const unsigned slots = in.config.u8(out.offset + PCI_SID_ESR);
    out.name = "Slot ID: ";
    out.summary.decimal("slots", slots & PCI_SID_ESR_NSLOTS, "", " slots, ")
        .add("First", (slots & PCI_SID_ESR_FIC) != 0, "First")
        .hex("chassis", in.config.u8(out.offset + PCI_SID_CHASSIS_NR), 2, ", chassis ");
}

void decode_debug_port(const CapabilityInput& in, Capability& out) {
    const unsigned word = in.config.u16(out.offset + PCI_CAP_FLAGS);
    out.name = "Debug port: ";
    out.summary.decimal("BAR", word >> 13, "BAR=").hex("offset", word & 0x1fff, 4, " offset=");
}

void decode_subsystem(const CapabilityInput& in, Capability& out) {
    out.name = "Subsystem: ";
    if (!in.config.has(out.offset + PCI_SSVID_VENDOR, 4)) return;
    const unsigned vendor = in.config.u16(out.offset + PCI_SSVID_VENDOR);
    const unsigned device = in.config.u16(out.offset + PCI_SSVID_DEVICE);
    out.summary.text("Subsystem", in.context.subsystem_text(vendor, device), "");
}

void decode_sata(const CapabilityInput& in, Capability& out) {
    const unsigned revision = in.config.u16(out.offset + PCI_CAP_FLAGS);
    out.name = "SATA HBA";
    out.summary.decimal("major", revision >> 4 & 0xf, " v").decimal("minor", revision & 0xf, ".");
    if (!in.config.has(out.offset + PCI_SATA_HBA_BARS, 4)) return;
    const std::uint32_t bars = in.config.u32(out.offset + PCI_SATA_HBA_BARS);
    const unsigned bar = bars & 0xf;
    if (bar >= 4 && bar <= 9)
        out.summary.add("BAR", Number{bar - 4}, " BAR", "", 2)
            .add("Offset", Number{bars >> 4 & 0xfffff, 8}, " Offset=", "", 2);
    else if (bar == 15)
        out.summary.add("InCfgSpace", Mark{true}, " InCfgSpace", "", 2);
    else
        out.summary.add("UnknownBAR", Number{bar}, " BAR??", "", 2);
}

void decode_advanced_features(const CapabilityInput& in, Capability& out) {
    out.name = "PCI Advanced Features";
    if (!in.config.has(out.offset + PCI_AF_CAP, 3)) return;
    out.add("AFCap").row().flags(in.config.u8(out.offset + PCI_AF_CAP),
                                 {{"TP", PCI_AF_CAP_TP}, {"FLR", PCI_AF_CAP_FLR}});
    out.add("AFCtrl").row().flags(in.config.u8(out.offset + PCI_AF_CTRL), {{"FLR", PCI_AF_CTRL_FLR}});
    out.add("AFStatus").row().flags(in.config.u8(out.offset + PCI_AF_STATUS), {{"TP", PCI_AF_STATUS_TP}});
}

}  // namespace pcienic::ls
