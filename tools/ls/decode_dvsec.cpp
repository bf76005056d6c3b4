// SPDX-License-Identifier: GPL-2.0-or-later
// Designated Vendor-Specific (PCI Express Base 5.0, 7.9.6): whose it is, and what is known of its contents.
#include <pci/header.h>

#include "decode_cxl.hpp"

namespace pcienic::ls {

void decode_dvsec(const CapabilityInput& in, Capability& out) {
    out.name = "Designated Vendor-Specific: ";
    if (!in.config.has(out.offset + PCI_DVSEC_HEADER1, 8)) {
        out.summary.add("Unreadable", Mark{true}, "<unreadable>");
        return;
    }
    const std::uint32_t header = in.config.u32(out.offset + PCI_DVSEC_HEADER1);
    const DesignatedVendor dvsec{.vendor = header & 0xffff,
                                 .id = in.config.u16(out.offset + PCI_DVSEC_HEADER2),
                                 .revision = header >> 16 & 0xf,
                                 .length = header >> 20};
    constexpr unsigned kSmallestCxl = 16;
    const bool cxl = dvsec.vendor == PCI_DVSEC_VENDOR_ID_CXL && dvsec.length >= kSmallestCxl;
    out.summary.hex("Vendor", dvsec.vendor, 4, "Vendor=")
        .hex("ID", dvsec.id, 4, " ID=")
        .decimal("Rev", dvsec.revision, " Rev=")
        .decimal("Len", dvsec.length, " Len=", cxl ? ": CXL" : " <?>");
    if (cxl) decode_cxl(in, dvsec, out);
}

}  // namespace pcienic::ls
