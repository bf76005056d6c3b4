// SPDX-License-Identifier: GPL-2.0-or-later
// TLP Processing Hints (PCI Express Base 5.0, 7.9.13).
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {

void decode_processing_hints(const CapabilityInput& in, Capability& out) {
    out.name = "Transaction Processing Hints";
    if (!in.config.has(out.offset + PCI_TPH_CAPABILITIES, 4)) return;
    const std::uint32_t word = in.config.u32(out.offset + PCI_TPH_CAPABILITIES);
    const bool vector = (word & PCI_TPH_INTVEC_SUP) != 0;
    const bool specific = (word & PCI_TPH_DEV_SUP) != 0;
    const bool extended = (word & PCI_TPH_EXT_REQ_SUP) != 0;
    const unsigned location = (word & PCI_TPH_ST_LOC_MASK) >> 9;
    if (vector) out.line("Interrupt vector mode supported");
    if (specific) out.line("Device specific mode supported");
    if (extended) out.line("Extended requester support");
    constexpr const char* kLocations[] = {"No steering table available", "Steering table in TPH capability structure",
                                          "Steering table in MSI-X table", "Reserved steering table location"};
    out.line(kLocations[location]);

    constexpr const char* kPlaces[] = {"none", "capability", "MSI-X table", "reserved"};
    out.fields("TPHReqCap")
        .row()
        .flag("NoSteeringTableMode", (word & 1) != 0)
        .flag("InterruptVectorMode", vector)
        .flag("DeviceSpecificMode", specific)
        .flag("ExtendedRequester", extended)
        .text("SteeringTable", kPlaces[location], "")
        .decimal("SteeringTableEntries", (word >> PCI_TPH_ST_SIZE_SHIFT & 0x7ff) + 1, "");
}

}  // namespace pcienic::ls
