// SPDX-License-Identifier: GPL-2.0-or-later
// The buses between PCI and PCI Express: AGP (AGP 3.0, 6.1.10) and PCI-X (PCI-X Protocol Addendum 2.0a, 7.2 and 8.6.2).
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

/// The three bits of a rate; in AGP 3 mode each stands for four times as much.
std::string agp_rates(std::uint32_t word, bool agp3) {
    std::string rates;
    for (unsigned bit = 0; bit < 3; ++bit)
        if ((word & 1U << bit) != 0) rates += fmt::format("{}x{}", rates.empty() ? "" : ",", (agp3 ? 4U : 1U) << bit);
    return rates.empty() ? "<none>" : rates;
}

/// Which function answers there: the low 16 bits of a status register, as the bus wrote them.
void own_address(Row& row, std::uint32_t status) {
    row.hex("bus", status >> 8 & 0xff, 2, " Dev=").hex("device", status >> 3 & 0x1f, 2, ":");
    row.decimal("function", status & 7, ".");
}

void decode_pcix_device(const CapabilityInput& in, Capability& out) {
    out.name = "PCI-X non-bridge device";
    if (!in.config.has(out.offset + PCI_PCIX_STATUS, 4)) return;
    constexpr unsigned kOutstanding[] = {1, 2, 3, 4, 8, 12, 16, 32};
    const unsigned command = in.config.u16(out.offset + PCI_PCIX_COMMAND);
    out.add("Command")
        .row()
        .flags(command, {{"DPERE", PCI_PCIX_COMMAND_DPERE}, {"ERO", PCI_PCIX_COMMAND_ERO}})
        .decimal("RBC", 512U << (command >> 2 & 3), " RBC=")
        .decimal("OST", kOutstanding[command >> 4 & 7], " OST=");
    const std::uint32_t status = in.config.u32(out.offset + PCI_PCIX_STATUS);
    Row& row = out.add("Status").row();
    own_address(row, status);
    row.flags(status, {{"64bit", PCI_PCIX_STATUS_64BIT},
                       {"133MHz", PCI_PCIX_STATUS_133MHZ},
                       {"SCD", PCI_PCIX_STATUS_SC_DISCARDED},
                       {"USC", PCI_PCIX_STATUS_UNEXPECTED_SC}})
        .text("DC", (status & PCI_PCIX_STATUS_DEVICE_COMPLEXITY) != 0 ? "bridge" : "simple", " DC=")
        .decimal("DMMRBC", 512U << (status >> 21 & 3), " DMMRBC=")
        .decimal("DMOST", kOutstanding[status >> 23 & 7], " DMOST=")
        .decimal("DMCRS", 8U << (status >> 26 & 7), " DMCRS=")
        .flags(status, {{"RSCEM", PCI_PCIX_STATUS_RCVD_SC_ERR_MESS},
                        {"266MHz", PCI_PCIX_STATUS_266MHZ},
                        {"533MHz", PCI_PCIX_STATUS_533MHZ}});
}

void decode_pcix_bridge(const CapabilityInput& in, Capability& out) {
    out.name = "PCI-X bridge device";
    if (!in.config.has(out.offset + PCI_PCIX_BRIDGE_STATUS, PCI_PCIX_BRIDGE_SIZEOF)) return;
    constexpr const char* kFrequencies[] = {"conv", "66MHz", "100MHz", "133MHz", "?4", "?5", "?6", "?7"};
    const unsigned secondary = in.config.u16(out.offset + PCI_PCIX_BRIDGE_SEC_STATUS);
    out.add("Secondary Status")
        .row()
        .flags(secondary, {{"64bit", PCI_PCIX_BRIDGE_SEC_STATUS_64BIT},
                           {"133MHz", PCI_PCIX_BRIDGE_SEC_STATUS_133MHZ},
                           {"SCD", PCI_PCIX_BRIDGE_SEC_STATUS_SC_DISCARDED},
                           {"USC", PCI_PCIX_BRIDGE_SEC_STATUS_UNEXPECTED_SC},
                           {"SCO", PCI_PCIX_BRIDGE_SEC_STATUS_SC_OVERRUN},
                           {"SRD", PCI_PCIX_BRIDGE_SEC_STATUS_SPLIT_REQUEST_DELAYED}})
        .text("Freq", kFrequencies[secondary >> 6 & 7], " Freq=");
    const std::uint32_t status = in.config.u32(out.offset + PCI_PCIX_BRIDGE_STATUS);
    Row& row = out.add("Status").row();
    own_address(row, status);
    row.flags(status, {{"64bit", PCI_PCIX_BRIDGE_STATUS_64BIT},
                       {"133MHz", PCI_PCIX_BRIDGE_STATUS_133MHZ},
                       {"SCD", PCI_PCIX_BRIDGE_STATUS_SC_DISCARDED},
                       {"USC", PCI_PCIX_BRIDGE_STATUS_UNEXPECTED_SC},
                       {"SCO", PCI_PCIX_BRIDGE_STATUS_SC_OVERRUN},
                       {"SRD", PCI_PCIX_BRIDGE_STATUS_SPLIT_REQUEST_DELAYED}});
    const auto split = [&](const char* name, unsigned offset) {
        const std::uint32_t word = in.config.u32(out.offset + offset);
        out.add(name)
            .row()
            .decimal("Capacity", word & PCI_PCIX_BRIDGE_STR_CAPACITY, " Capacity=")
            .decimal("CommitmentLimit", word >> 16, " CommitmentLimit=");
    };
    split("Upstream", PCI_PCIX_BRIDGE_UPSTREAM_SPLIT_TRANS_CTRL);
    split("Downstream", PCI_PCIX_BRIDGE_DOWNSTREAM_SPLIT_TRANS_CTRL);
}

}  // namespace

void decode_agp(const CapabilityInput& in, Capability& out) {
    const unsigned version = in.config.u8(out.offset + PCI_AGP_VERSION);
    out.name = "AGP";
    out.summary.hex("major", version >> 4, 1, " version ").hex("minor", version & 0xf, 1, ".");
    if (!in.config.has(out.offset + PCI_AGP_STATUS, PCI_AGP_SIZEOF - PCI_AGP_STATUS)) return;

    const std::uint32_t status = in.config.u32(out.offset + PCI_AGP_STATUS);
    const bool agp3 = version >> 4 >= 3 && (status & PCI_AGP_STATUS_AGP3) != 0;
    out.add("Status")
        .row()
        .decimal("RQ", (status >> 24) + 1, " RQ=")
        .flags(status, {{"Iso", PCI_AGP_STATUS_ISOCH}})
        .decimal("ArqSz", (status & PCI_AGP_STATUS_ARQSZ_MASK) >> 13, " ArqSz=")
        .decimal("Cal", (status & PCI_AGP_STATUS_CAL_MASK) >> 10, " Cal=")
        .flags(status, {{"SBA", PCI_AGP_STATUS_SBA},
                        {"ITACoh", PCI_AGP_STATUS_ITA_COH},
                        {"GART64", PCI_AGP_STATUS_GART64},
                        {"HTrans", PCI_AGP_STATUS_HTRANS},
                        {"64bit", PCI_AGP_STATUS_64BIT},
                        {"FW", PCI_AGP_STATUS_FW},
                        {"AGP3", PCI_AGP_STATUS_AGP3}})
        .text("Rate", agp_rates(status, agp3), " Rate=");
    const std::uint32_t command = in.config.u32(out.offset + PCI_AGP_COMMAND);
    out.add("Command")
        .row()
        .decimal("RQ", (command >> 24) + 1, " RQ=")
        .decimal("ArqSz", (command & PCI_AGP_COMMAND_ARQSZ_MASK) >> 13, " ArqSz=")
        .decimal("Cal", (command & PCI_AGP_COMMAND_CAL_MASK) >> 10, " Cal=")
        .flags(command, {{"SBA", PCI_AGP_COMMAND_SBA},
                         {"AGP", PCI_AGP_COMMAND_AGP},
                         {"GART64", PCI_AGP_COMMAND_GART64},
                         {"64bit", PCI_AGP_COMMAND_64BIT},
                         {"FW", PCI_AGP_COMMAND_FW}})
        .text("Rate", agp_rates(command, agp3), " Rate=");
}

void decode_pcix(const CapabilityInput& in, Capability& out) {
    if (in.header_type() == PCI_HEADER_TYPE_BRIDGE)
        decode_pcix_bridge(in, out);
    else
        decode_pcix_device(in, out);
}

}  // namespace pcienic::ls
