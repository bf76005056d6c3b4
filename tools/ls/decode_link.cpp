// SPDX-License-Identifier: GPL-2.0-or-later
// What a link says beyond the PCI Express capability: Secondary PCI Express and L1 PM Substates (PCI Express Base 5.0,
// 7.7.3 and 7.8.3).
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

std::string lanes(std::uint32_t errors) {
    std::string text = "LaneErr at lane:";
    for (unsigned lane = 0; lane < 32; ++lane)
        if ((errors & 1U << lane) != 0) text += fmt::format(" {}", lane);
    return text;
}

/// T_POWER_ON from its scale (bits 0 and 1) and value (bits 3 to 7).
void power_on(Row& row, const char* key, std::uint32_t field, const char* before) {
    constexpr unsigned kMicroseconds[] = {2, 10, 100};
    if ((field & 3) == 3)
        row.add(key, Absent{"<error>"}, before);
    else
        row.decimal(key, std::uint64_t{kMicroseconds[field & 3]} * (field >> 3 & 0x1f), before, "us");
}

}  // namespace

void decode_secondary_express(const CapabilityInput& in, Capability& out) {
    out.name = "Secondary PCI Express";
    if (!in.config.has(out.offset + PCI_SEC_LNKCTL3, 12)) return;
    out.add("LnkCtl3").row().flags(
        in.config.u16(out.offset + PCI_SEC_LNKCTL3),
        {{"LnkEquIntrruptEn", PCI_SEC_LNKCTL3_LNK_EQU_REQ_INTR_EN}, {"PerformEqu", PCI_SEC_LNKCTL3_PERFORM_LINK_EQU}});
    const std::uint32_t errors = in.config.u32(out.offset + PCI_SEC_LANE_ERR);
    out.add("LaneErrStat")
        .row()
        .text("LaneErr", errors == 0 ? "0" : lanes(errors), " ")
        .silent("Lanes", Number{errors, 8});
}

void decode_l1_substates(const CapabilityInput& in, Capability& out) {
    out.name = "L1 PM Substates";
    if (!in.config.has(out.offset + PCI_L1PM_SUBSTAT_CAP, 12)) return out.remark("<unreadable>");
    const std::uint32_t capability = in.config.u32(out.offset + PCI_L1PM_SUBSTAT_CAP);
    const std::uint32_t control = in.config.u32(out.offset + PCI_L1PM_SUBSTAT_CTL1);
    const std::uint32_t control2 = in.config.u32(out.offset + PCI_L1PM_SUBSTAT_CTL2);
    const bool aspm = (capability & PCI_L1PM_SUBSTAT_CAP_ASPM_L12) != 0;
    const bool times = aspm || (capability & PCI_L1PM_SUBSTAT_CAP_PM_L12) != 0;

    Register& l1subcap = out.add("L1SubCap");
    l1subcap.row().flags(capability, {{"PCI-PM_L1.2", PCI_L1PM_SUBSTAT_CAP_PM_L12},
                                      {"PCI-PM_L1.1", PCI_L1PM_SUBSTAT_CAP_PM_L11},
                                      {"ASPM_L1.2", PCI_L1PM_SUBSTAT_CAP_ASPM_L12},
                                      {"ASPM_L1.1", PCI_L1PM_SUBSTAT_CAP_ASPM_L11},
                                      {"L1_PM_Substates", PCI_L1PM_SUBSTAT_CAP_L1PM_SUPP}});
    if (times) {
        Row& row = l1subcap.row();
        row.decimal("PortCommonModeRestoreTime", capability >> 8 & 0xff, "  PortCommonModeRestoreTime=", "us");
        power_on(row, "PortTPowerOnTime", capability >> 16, " PortTPowerOnTime=");
    }

    Register& l1subctl1 = out.add("L1SubCtl1");
    l1subctl1.row().flags(control, {{"PCI-PM_L1.2", PCI_L1PM_SUBSTAT_CTL1_PM_L12},
                                    {"PCI-PM_L1.1", PCI_L1PM_SUBSTAT_CTL1_PM_L11},
                                    {"ASPM_L1.2", PCI_L1PM_SUBSTAT_CTL1_ASPM_L12},
                                    {"ASPM_L1.1", PCI_L1PM_SUBSTAT_CTL1_ASPM_L11}});
    if (times) {
        Row& row = l1subctl1.row();
        row.decimal("T_CommonMode", control >> 8 & 0xff, "   T_CommonMode=", "us");
        const unsigned scale = control >> 29;
        if (aspm && scale > 5)
            row.add("LTR1.2_Threshold", Absent{"<error>"}, " LTR1.2_Threshold=");
        else if (aspm)
            row.decimal("LTR1.2_Threshold", std::uint64_t{control >> 16 & 0x3ff} << (5 * scale),
                        " LTR1.2_Threshold=", "ns");
    }

    if (times)
        power_on(out.add("L1SubCtl2").row(), "T_PwrOn", control2, " T_PwrOn=");
    else
        out.line("L1SubCtl2:");
}

}  // namespace pcienic::ls
