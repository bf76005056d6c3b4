// SPDX-License-Identifier: GPL-2.0-or-later
// The walk over both chains of capabilities, and which decoder an ID has.
#include "decode.hpp"

#include <fmt/format.h>
#include <pci/header.h>

#include <array>
#include <bitset>

namespace pcienic::ls {
namespace {

struct Entry {
    unsigned id;
    const char* name;  ///< for an ID whose contents are not decoded
    CapabilityDecoder decode;
};

constexpr Entry kStandard[] = {
    {PCI_CAP_ID_NULL, "Null", nullptr},
    {PCI_CAP_ID_PM, "", decode_power_management},
    {PCI_CAP_ID_AGP, "", decode_agp},
    {PCI_CAP_ID_VPD, "", decode_vital_product_data},
    {PCI_CAP_ID_SLOTID, "", decode_slot_id},
    {PCI_CAP_ID_MSI, "", decode_msi},
    {PCI_CAP_ID_CHSWP, "CompactPCI hot-swap <?>", nullptr},
    {PCI_CAP_ID_PCIX, "", decode_pcix},
    {PCI_CAP_ID_HT, "", decode_hypertransport},
    {PCI_CAP_ID_VNDR, "", decode_vendor},
    {PCI_CAP_ID_DBG, "", decode_debug_port},
    {PCI_CAP_ID_CCRC, "CompactPCI central resource control <?>", nullptr},
    {PCI_CAP_ID_HOTPLUG, "Hot-plug capable", nullptr},
    {PCI_CAP_ID_SSVID, "", decode_subsystem},
    {PCI_CAP_ID_AGP3, "AGP3 <?>", nullptr},
    {PCI_CAP_ID_SECURE, "Secure device <?>", nullptr},
    {PCI_CAP_ID_EXP, "", decode_express},
    {PCI_CAP_ID_MSIX, "", decode_msix},
    {PCI_CAP_ID_SATA, "", decode_sata},
    {PCI_CAP_ID_AF, "", decode_advanced_features},
    {PCI_CAP_ID_EA, "", decode_enhanced_allocation},
};

constexpr Entry kExtended[] = {
    {PCI_EXT_CAP_ID_NULL, "Null", nullptr},
    {PCI_EXT_CAP_ID_AER, "", decode_aer},
    {PCI_EXT_CAP_ID_VC, "", decode_virtual_channel},
    {PCI_EXT_CAP_ID_DSN, "", decode_serial_number},
    {PCI_EXT_CAP_ID_PB, "Power Budgeting <?>", nullptr},
    {PCI_EXT_CAP_ID_RCLINK, "", decode_root_complex_link},
    {PCI_EXT_CAP_ID_RCILINK, "Root Complex Internal Link <?>", nullptr},
    {PCI_EXT_CAP_ID_RCEC, "", decode_event_collector},
    {PCI_EXT_CAP_ID_MFVC, "Multi-Function Virtual Channel <?>", nullptr},
    {PCI_EXT_CAP_ID_VC2, "", decode_virtual_channel},
    {PCI_EXT_CAP_ID_RCRB, "Root Complex Register Block <?>", nullptr},
    {PCI_EXT_CAP_ID_VNDR, "", decode_extended_vendor},
    {PCI_EXT_CAP_ID_ACS, "", decode_acs},
    {PCI_EXT_CAP_ID_ARI, "", decode_ari},
    {PCI_EXT_CAP_ID_ATS, "", decode_ats},
    {PCI_EXT_CAP_ID_SRIOV, "", decode_sriov},
    {PCI_EXT_CAP_ID_MRIOV, "Multi-Root I/O Virtualization <?>", nullptr},
    {PCI_EXT_CAP_ID_MCAST, "", decode_multicast},
    {PCI_EXT_CAP_ID_PRI, "", decode_pri},
    {PCI_EXT_CAP_ID_REBAR, "", decode_resizable_bar},
    {PCI_EXT_CAP_ID_DPA, "Dynamic Power Allocation <?>", nullptr},
    {PCI_EXT_CAP_ID_TPH, "", decode_processing_hints},
    {PCI_EXT_CAP_ID_LTR, "", decode_ltr},
    {PCI_EXT_CAP_ID_SECPCI, "", decode_secondary_express},
    {PCI_EXT_CAP_ID_PMUX, "Protocol Multiplexing <?>", nullptr},
    {PCI_EXT_CAP_ID_PASID, "", decode_pasid},
    {PCI_EXT_CAP_ID_LNR, "LN Requester <?>", nullptr},
    {PCI_EXT_CAP_ID_DPC, "", decode_dpc},
    {PCI_EXT_CAP_ID_L1PM, "", decode_l1_substates},
    {PCI_EXT_CAP_ID_PTM, "", decode_ptm},
    {PCI_EXT_CAP_ID_M_PCIE, "PCI Express over M_PHY <?>", nullptr},
    {PCI_EXT_CAP_ID_FRS, "FRS Queueing <?>", nullptr},
    {PCI_EXT_CAP_ID_RTR, "Readiness Time Reporting <?>", nullptr},
    {PCI_EXT_CAP_ID_DVSEC, "", decode_dvsec},
    {PCI_EXT_CAP_ID_VF_REBAR, "", decode_virtual_resizable_bar},
    {PCI_EXT_CAP_ID_DLNK, "Data Link Feature <?>", nullptr},
    {PCI_EXT_CAP_ID_16GT, "Physical Layer 16.0 GT/s <?>", nullptr},
    {PCI_EXT_CAP_ID_LMR, "Lane Margining at the Receiver <?>", nullptr},
    {PCI_EXT_CAP_ID_HIER_ID, "Hierarchy ID <?>", nullptr},
    {PCI_EXT_CAP_ID_NPEM, "Native PCIe Enclosure Management <?>", nullptr},
    {PCI_EXT_CAP_ID_DOE, "", decode_data_object_exchange},
};

template <std::size_t N>
const Entry* find(const Entry (&table)[N], unsigned id) {
    for (const Entry& entry : table)
        if (entry.id == id) return &entry;
    return nullptr;
}

Capability fault(unsigned offset, bool extended, std::string what) {
    Capability capability;
    capability.offset = offset;
    capability.extended = extended;
    capability.fault = std::move(what);
    return capability;
}

void decode_one(const Entry* entry, const CapabilityInput& in, Capability& out) {
    if (entry == nullptr) {
        if (out.extended)
            out.name = fmt::format("Extended Capability ID {:#x}", out.id);
        else
            out.name = fmt::format("Capability ID {:#04x} [{:04x}]", out.id, in.config.u16(out.offset + PCI_CAP_FLAGS));
    } else if (entry->decode == nullptr) {
        out.name = entry->name;
    } else {
        entry->decode(in, out);
    }
}

struct StandardChain {
    unsigned express_type = ~0U;
    bool has_extended = false;
};

// A pointer has its low two bits reserved and a chain at most 48 entries; a longer one loops.
StandardChain walk_standard(const ConfigImage& config, const DecodeContext& context, std::vector<Capability>& out) {
    StandardChain chain;
    if ((config.u16(PCI_STATUS) & PCI_STATUS_CAP_LIST) == 0) return chain;
    std::bitset<256> seen;
    const bool cardbus = (config.u8(PCI_HEADER_TYPE) & 0x7f) == PCI_HEADER_TYPE_CARDBUS;
    unsigned at = config.u8(cardbus ? PCI_CB_CAPABILITY_LIST : PCI_CAPABILITY_LIST) & ~3U;
    while (at != 0) {
        if (!config.has(at, 4)) {
            out.push_back(fault(at, false, context.from_dump ? "not in the dump" : "access denied"));
            out.back().out_of_reach = true;
            break;
        }
        if (seen[at]) {
            out.push_back(fault(at, false, "chain looped"));
            break;
        }
        seen[at] = true;
        Capability capability;
        capability.offset = at;
        capability.id = config.u8(at + PCI_CAP_LIST_ID);
        if (capability.id == 0xff) {
            out.push_back(fault(at, false, "chain broken"));
            break;
        }
        if (capability.id == PCI_CAP_ID_EXP) {
            chain.has_extended = true;
            chain.express_type = (config.u16(at + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_TYPE) >> 4;
        }
        if (capability.id == PCI_CAP_ID_PCIX) chain.has_extended = true;
        decode_one(find(kStandard, capability.id), {config, context}, capability);
        at = config.u8(at + PCI_CAP_LIST_NEXT) & ~3U;
        out.push_back(std::move(capability));
    }
    return chain;
}

void walk_extended(const ConfigImage& config, const DecodeContext& context, unsigned express_type,
                   std::vector<Capability>& out) {
    std::bitset<ConfigImage::kMaxSize> seen;
    unsigned at = 0x100;
    while (at != 0 && config.has(at, 4)) {
        const std::uint32_t header = config.u32(at);
        if (header == 0 || header == 0xffffffff) break;
        if (seen[at]) {
            out.push_back(fault(at, true, "chain looped"));
            out.back().version = header >> 16 & 0xf;
            break;
        }
        seen[at] = true;
        Capability capability;
        capability.offset = at;
        capability.extended = true;
        capability.id = header & 0xffff;
        capability.version = header >> 16 & 0xf;
        decode_one(find(kExtended, capability.id), {config, context, express_type}, capability);
        at = header >> 20 & ~3U;
        out.push_back(std::move(capability));
    }
    // At 100h nothing said that there is one.
    if (at > 0x100 && context.from_dump && !config.has(at, 4)) {
        out.push_back(fault(at, true, "not in the dump"));
        out.back().out_of_reach = true;
    }
}

}  // namespace

std::vector<Capability> decode_capabilities(const ConfigImage& config, const DecodeContext& context) {
    std::vector<Capability> capabilities;
    const StandardChain chain = walk_standard(config, context, capabilities);
    if (chain.has_extended) walk_extended(config, context, chain.express_type, capabilities);
    return capabilities;
}

}  // namespace pcienic::ls
