// SPDX-License-Identifier: GPL-2.0-or-later
// Data Object Exchange (PCI Express Base 6.0, 7.9.24).
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {

void decode_data_object_exchange(const CapabilityInput& in, Capability& out) {
    out.name = "Data Object Exchange";
    if (!in.config.has(out.offset + PCI_DOE_CAP, 0x14)) return out.remark("<unreadable>");
    constexpr std::uint32_t kError = 4;  // libpci's PCI_DOE_STS_ERROR is the two bits below it
    const std::uint32_t capability = in.config.u32(out.offset + PCI_DOE_CAP);
    Register& doecap = out.add("DOECap", Gap::space_then_tab);
    doecap.row().flags(capability, {{"IntSup", PCI_DOE_CAP_INT_SUPP}});
    if ((capability & PCI_DOE_CAP_INT_SUPP) != 0)
        doecap.row().hex("InterruptMessageNumber", PCI_DOE_CAP_INT_MSG(capability), 3, "Interrupt Message Number ");
    out.add("DOECtl").row().flags(in.config.u32(out.offset + PCI_DOE_CTL), {{"IntEn", PCI_DOE_CTL_INT}});
    out.add("DOESta").row().flags(in.config.u32(out.offset + PCI_DOE_STS), {{"Busy", PCI_DOE_STS_BUSY},
                                                                            {"IntSta", PCI_DOE_STS_INT},
                                                                            {"Error", kError},
                                                                            {"ObjectReady", PCI_DOE_STS_OBJECT_READY}});
}

}  // namespace pcienic::ls
