// SPDX-License-Identifier: GPL-2.0-or-later
// Extended capabilities, from 100h on (PCI Express Base 5.0, 7.8 and 7.9; SR-IOV and ATS from their own chapters).
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

constexpr unsigned kHeaderSize = 4;

void uncorrectable(Capability& out, const char* name, std::uint32_t word) {
    out.add(name, Gap::tab)
        .row()
        .flags(word, {{"DLP", PCI_ERR_UNC_DLP},
                      {"SDES", PCI_ERR_UNC_SDES},
                      {"TLP", PCI_ERR_UNC_POISON_TLP},
                      {"FCP", PCI_ERR_UNC_FCP},
                      {"CmpltTO", PCI_ERR_UNC_COMP_TIME},
                      {"CmpltAbrt", PCI_ERR_UNC_COMP_ABORT},
                      {"UnxCmplt", PCI_ERR_UNC_UNX_COMP},
                      {"RxOF", PCI_ERR_UNC_RX_OVER},
                      {"MalfTLP", PCI_ERR_UNC_MALF_TLP},
                      {"ECRC", PCI_ERR_UNC_ECRC},
                      {"UnsupReq", PCI_ERR_UNC_UNSUP},
                      {"ACSViol", PCI_ERR_UNC_ACS_VIOL}});
}

void correctable(Capability& out, const char* name, std::uint32_t word) {
    out.add(name, Gap::tab)
        .row()
        .flags(word, {{"RxErr", PCI_ERR_COR_RCVR},
                      {"BadTLP", PCI_ERR_COR_BAD_TLP},
                      {"BadDLLP", PCI_ERR_COR_BAD_DLLP},
                      {"Rollover", PCI_ERR_COR_REP_ROLL},
                      {"Timeout", PCI_ERR_COR_REP_TIMER},
                      {"AdvNonFatalErr", PCI_ERR_COR_REP_ANFE}});
}

}  // namespace

void decode_aer(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    out.name = "Advanced Error Reporting";
    if (!in.config.has(at + PCI_ERR_UNCOR_STATUS, PCI_ERR_ROOT_COMMAND - PCI_ERR_UNCOR_STATUS)) return;
    uncorrectable(out, "UESta", in.config.u32(at + PCI_ERR_UNCOR_STATUS));
    uncorrectable(out, "UEMsk", in.config.u32(at + PCI_ERR_UNCOR_MASK));
    uncorrectable(out, "UESvrt", in.config.u32(at + PCI_ERR_UNCOR_SEVER));
    correctable(out, "CESta", in.config.u32(at + PCI_ERR_COR_STATUS));
    correctable(out, "CEMsk", in.config.u32(at + PCI_ERR_COR_MASK));

    const std::uint32_t control = in.config.u32(at + PCI_ERR_CAP);
    Register& aercap = out.add("AERCap", Gap::tab);
    aercap.row()
        .hex("FirstErrorPointer", PCI_ERR_CAP_FEP(control), 2, " First Error Pointer: ", ",")
        .flags(control, {{"ECRCGenCap", PCI_ERR_CAP_ECRC_GENC},
                         {"ECRCGenEn", PCI_ERR_CAP_ECRC_GENE},
                         {"ECRCChkCap", PCI_ERR_CAP_ECRC_CHKC},
                         {"ECRCChkEn", PCI_ERR_CAP_ECRC_CHKE}});
    aercap.row().flags(control, {{"MultHdrRecCap", PCI_ERR_CAP_MULT_HDRC},
                                 {"MultHdrRecEn", PCI_ERR_CAP_MULT_HDRE},
                                 {"TLPPfxPres", PCI_ERR_CAP_TLP_PFX},
                                 {"HdrLogCap", PCI_ERR_CAP_HDR_LOG}});
    Row& log = out.add("HeaderLog").row();
    for (unsigned word = 0; word < 4; ++word)
        log.hex(fmt::format("{}", word), in.config.u32(at + PCI_ERR_HEADER_LOG + 4 * word), 8, " ");

    const bool has_root = in.express_type == PCI_EXP_TYPE_ROOT_PORT || in.express_type == PCI_EXP_TYPE_ROOT_EC;
    if (!has_root || !in.config.has(at + PCI_ERR_ROOT_COMMAND, 12)) return;
    out.add("RootCmd").row().flags(in.config.u32(at + PCI_ERR_ROOT_COMMAND),
                                   {{"CERptEn", PCI_ERR_ROOT_CMD_COR_EN},
                                    {"NFERptEn", PCI_ERR_ROOT_CMD_NONFATAL_EN},
                                    {"FERptEn", PCI_ERR_ROOT_CMD_FATAL_EN}});
    const std::uint32_t status = in.config.u32(at + PCI_ERR_ROOT_STATUS);
    Register& rootsta = out.add("RootSta");
    rootsta.row().flags(status, {{"CERcvd", PCI_ERR_ROOT_COR_RCV},
                                 {"MultCERcvd", PCI_ERR_ROOT_MULTI_COR_RCV},
                                 {"UERcvd", PCI_ERR_ROOT_UNCOR_RCV},
                                 {"MultUERcvd", PCI_ERR_ROOT_MULTI_UNCOR_RCV}});
    rootsta.row()
        .flags(status, {{"FirstFatal", PCI_ERR_ROOT_FIRST_FATAL},
                        {"NonFatalMsg", PCI_ERR_ROOT_NONFATAL_RCV},
                        {"FatalMsg", PCI_ERR_ROOT_FATAL_RCV}})
        .decimal("IntMsg", PCI_ERR_MSG_NUM(status), " IntMsg ");
    out.add("ErrorSrc")
        .row()
        .hex("ERR_COR", in.config.u16(at + PCI_ERR_ROOT_COR_SRC), 4, " ERR_COR: ")
        .hex("ERR_FATAL_NONFATAL", in.config.u16(at + PCI_ERR_ROOT_SRC), 4, " ERR_FATAL/NONFATAL: ");
}

void decode_serial_number(const CapabilityInput& in, Capability& out) {
    out.name = "Device Serial Number";
    if (!in.config.has(out.offset + kHeaderSize, 8)) return;
    const std::uint64_t serial = std::uint64_t{in.config.u32(out.offset + 8)} << 32 | in.config.u32(out.offset + 4);
    std::string text;
    for (int byte = 7; byte >= 0; --byte)
        text += fmt::format("{:02x}{}", serial >> (8 * byte) & 0xff, byte > 0 ? "-" : "");
    out.summary.text("Serial", text, " ");
}

void decode_extended_vendor(const CapabilityInput& in, Capability& out) {
    out.name = "Vendor Specific Information: ";
    if (!in.config.has(out.offset + PCI_EVNDR_HEADER, 4)) {
        out.summary.add("Unreadable", Mark{true}, "<unreadable>");
        return;
    }
    const std::uint32_t header = in.config.u32(out.offset + PCI_EVNDR_HEADER);
    out.summary.hex("ID", header & 0xffff, 4, "ID=")
        .decimal("Rev", header >> 16 & 0xf, " Rev=")
        .hex("Len", header >> 20, 3, " Len=", " <?>");
}

void decode_acs(const CapabilityInput& in, Capability& out) {
    out.name = "Access Control Services";
    if (!in.config.has(out.offset + PCI_ACS_CAP, 4)) return;
    const auto controls = [&](const char* name, unsigned word) {
        out.add(name, Gap::tab)
            .row()
            .flags(word, {{"SrcValid", PCI_ACS_CAP_VALID},
                          {"TransBlk", PCI_ACS_CAP_BLOCK},
                          {"ReqRedir", PCI_ACS_CAP_REQ_RED},
                          {"CmpltRedir", PCI_ACS_CAP_CMPLT_RED},
                          {"UpstreamFwd", PCI_ACS_CAP_FORWARD},
                          {"EgressCtrl", PCI_ACS_CAP_EGRESS},
                          {"DirectTrans", PCI_ACS_CAP_TRANS}});
    };
    controls("ACSCap", in.config.u16(out.offset + PCI_ACS_CAP));
    controls("ACSCtl", in.config.u16(out.offset + PCI_ACS_CTRL));
}

void decode_ari(const CapabilityInput& in, Capability& out) {
    out.name = "Alternative Routing-ID Interpretation (ARI)";
    if (!in.config.has(out.offset + PCI_ARI_CAP, 4)) return;
    const unsigned capabilities = in.config.u16(out.offset + PCI_ARI_CAP);
    const unsigned control = in.config.u16(out.offset + PCI_ARI_CTRL);
    out.add("ARICap", Gap::tab)
        .row()
        .flags(capabilities, {{"MFVC", PCI_ARI_CAP_MFVC}, {"ACS", PCI_ARI_CAP_ACS}})
        .decimal("NextFunction", PCI_ARI_CAP_NFN(capabilities), ", Next Function: ");
    out.add("ARICtl", Gap::tab)
        .row()
        .flags(control, {{"MFVC", PCI_ARI_CTRL_MFVC}, {"ACS", PCI_ARI_CTRL_ACS}})
        .decimal("FunctionGroup", PCI_ARI_CTRL_FG(control), ", Function Group: ");
}

void decode_ats(const CapabilityInput& in, Capability& out) {
    out.name = "Address Translation Service (ATS)";
    if (!in.config.has(out.offset + PCI_ATS_CAP, 4)) return;
    const unsigned control = in.config.u16(out.offset + PCI_ATS_CTRL);
    out.add("ATSCap", Gap::tab)
        .row()
        .hex("InvalidateQueueDepth", PCI_ATS_CAP_IQD(static_cast<unsigned>(in.config.u16(out.offset + PCI_ATS_CAP))), 2,
             " Invalidate Queue Depth: ");
    out.add("ATSCtl", Gap::tab)
        .row()
        .flags(control, {{"Enable", PCI_ATS_CTRL_ENABLE}})
        .hex("SmallestTranslationUnit", PCI_ATS_CTRL_STU(control), 2, ", Smallest Translation Unit: ");
}

void decode_pri(const CapabilityInput& in, Capability& out) {
    out.name = "Page Request Interface (PRI)";
    if (!in.config.has(out.offset + PCI_PRI_CTRL, 12)) return;
    out.add("PRICtl").row().flags(in.config.u16(out.offset + PCI_PRI_CTRL),
                                  {{"Enable", PCI_PRI_CTRL_ENABLE}, {"Reset", PCI_PRI_CTRL_RESET}});
    out.add("PRISta").row().flags(
        in.config.u16(out.offset + PCI_PRI_STATUS),
        {{"RF", PCI_PRI_STATUS_RF}, {"UPRGI", PCI_PRI_STATUS_UPRGI}, {"Stopped", PCI_PRI_STATUS_STOPPED}});
    out.add("Page Request Capacity")
        .row()
        .hex("Capacity", in.config.u32(out.offset + PCI_PRI_MAX_REQ), 8, " ", ",")
        .hex("Allocation", in.config.u32(out.offset + PCI_PRI_ALLOC_REQ), 8, " Page Request Allocation: ");
}

void decode_pasid(const CapabilityInput& in, Capability& out) {
    out.name = "Process Address Space ID (PASID)";
    if (!in.config.has(out.offset + PCI_PASID_CAP, 4)) return;
    const unsigned capabilities = in.config.u16(out.offset + PCI_PASID_CAP);
    out.add("PASIDCap")
        .row()
        .flags(capabilities, {{"Exec", PCI_PASID_CAP_EXEC}, {"Priv", PCI_PASID_CAP_PRIV}})
        .hex("MaxPASIDWidth", PCI_PASID_CAP_WIDTH(capabilities), 2, ", Max PASID Width: ");
    out.add("PASIDCtl")
        .row()
        .flags(in.config.u16(out.offset + PCI_PASID_CTRL),
               {{"Enable", PCI_PASID_CTRL_ENABLE}, {"Exec", PCI_PASID_CTRL_EXEC}, {"Priv", PCI_PASID_CTRL_PRIV}});
}

void decode_sriov(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    out.name = "Single Root I/O Virtualization (SR-IOV)";
    if (!in.config.has(at + PCI_IOV_CAP, 0x3c)) return;
    const std::uint32_t capabilities = in.config.u32(at + PCI_IOV_CAP);
    out.add("IOVCap", Gap::tab)
        .row()
        .flags(capabilities, {{"Migration", PCI_IOV_CAP_VFM}, {"10BitTagReq", PCI_IOV_CAP_VF_10BIT_TAG_REQ}})
        .hex("InterruptMessageNumber", PCI_IOV_CAP_IMN(capabilities), 3, " Interrupt Message Number: ");
    out.add("IOVCtl", Gap::tab)
        .row()
        .flags(in.config.u16(at + PCI_IOV_CTRL), {{"Enable", PCI_IOV_CTRL_VFE},
                                                  {"Migration", PCI_IOV_CTRL_VFME},
                                                  {"Interrupt", PCI_IOV_CTRL_VFMIE},
                                                  {"MSE", PCI_IOV_CTRL_MSE},
                                                  {"ARIHierarchy", PCI_IOV_CTRL_ARI},
                                                  {"10BitTagReq", PCI_IOV_CTRL_VF_10BIT_TAG_REQ_EN}});
    out.add("IOVSta", Gap::tab).row().flags(in.config.u16(at + PCI_IOV_STATUS), {{"Migration", PCI_IOV_STATUS_MS}});
    out.add("Initial VFs")
        .row()
        .decimal("Initial", in.config.u16(at + PCI_IOV_INITIALVF), " ", ",")
        .decimal("Total", in.config.u16(at + PCI_IOV_TOTALVF), " Total VFs: ", ",")
        .decimal("Number", in.config.u16(at + PCI_IOV_NUMVF), " Number of VFs: ", ",")
        .hex("FunctionDependencyLink", in.config.u8(at + PCI_IOV_FDL), 2, " Function Dependency Link: ");
    out.add("VF offset")
        .row()
        .decimal("offset", in.config.u16(at + PCI_IOV_OFFSET), " ", ",")
        .decimal("stride", in.config.u16(at + PCI_IOV_STRIDE), " stride: ", ",")
        .hex("DeviceID", in.config.u16(at + PCI_IOV_DID), 4, " Device ID: ");
    out.add("Supported Page Size")
        .row()
        .hex("Supported", in.config.u32(at + PCI_IOV_SUPPS), 8, " ", ",")
        .hex("System", in.config.u32(at + PCI_IOV_SYSPS), 8, " System Page Size: ");

    for (unsigned index = 0; index < PCI_IOV_NUM_BAR; ++index) {
        const unsigned here = index;
        const std::uint32_t low = in.config.u32(at + PCI_IOV_BAR_BASE + 4 * here);
        if (low == 0xffffffff || low == 0) continue;
        std::uint64_t address = low & 0xfffffff0;
        const unsigned type = low & PCI_BASE_ADDRESS_MEM_TYPE_MASK;
        const bool wide = type != PCI_BASE_ADDRESS_MEM_TYPE_32;
        if (type == PCI_BASE_ADDRESS_MEM_TYPE_64 && here + 1 < PCI_IOV_NUM_BAR)
            address |= std::uint64_t{in.config.u32(at + PCI_IOV_BAR_BASE + 4 * ++index)} << 32;
        out.add(fmt::format("Region {}", here))
            .row()
            .hex("Memory", address, type == PCI_BASE_ADDRESS_MEM_TYPE_64 ? 16 : 8, " Memory at ")
            .decimal("bits", wide ? 64 : 32, " (", "-bit,")
            .text("prefetchable", (low & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0 ? "" : "non-", " ", "prefetchable)");
    }
    const std::uint32_t migration = in.config.u32(at + PCI_IOV_MSAO);
    out.add("VF Migration")
        .row()
        .hex("offset", PCI_IOV_MSA_OFFSET(migration), 8, " offset: ", ",")
        .hex("BIR", PCI_IOV_MSA_BIR(migration), 1, " BIR: ");
}

void decode_ltr(const CapabilityInput& in, Capability& out) {
    out.name = "Latency Tolerance Reporting";
    if (!in.config.has(out.offset + PCI_LTR_MAX_SNOOP, 4)) return;
    const auto limit = [&](const char* name, unsigned offset) {
        const unsigned word = in.config.u16(out.offset + offset);
        const unsigned scale = word >> PCI_LTR_SCALE_SHIFT & PCI_LTR_SCALE_MASK;
        Row& row = out.add(name).row();
        if (scale <= 5)
            row.decimal("ns", std::uint64_t{word & PCI_LTR_VALUE_MASK} << (5 * scale), " ", "ns");
        else
            row.add("ns", Absent{fmt::format("reserved scale {}", scale)}, " ");
    };
    limit("Max snoop latency", PCI_LTR_MAX_SNOOP);
    limit("Max no snoop latency", PCI_LTR_MAX_NOSNOOP);
}

void decode_ptm(const CapabilityInput& in, Capability& out) {
    out.name = "Precision Time Measurement";
    if (!in.config.has(out.offset + 4, 8)) return out.remark("<unreadable>");
    const auto granularity = [](unsigned code, const char* zero) -> std::string {
        if (code == 0) return zero;
        return code == 0xff ? "Greater than 254ns" : fmt::format("{}ns", code);
    };
    const std::uint32_t capabilities = in.config.u32(out.offset + 4);
    const std::uint32_t control = in.config.u32(out.offset + 8);
    out.add("PTMCap")
        .row()
        .add("Requester", (capabilities & 1) != 0, " Requester:")
        .add("Responder", (capabilities & 2) != 0, " Responder:")
        .add("Root", (capabilities & 4) != 0, " Root:");
    out.add("PTMClockGranularity")
        .row()
        .text("Granularity", granularity(capabilities >> 8 & 0xff, "Unimplemented"), " ");
    out.add("PTMControl")
        .row()
        .add("Enabled", (control & 1) != 0, " Enabled:")
        .add("RootSelected", (control & 2) != 0, " RootSelected:");
    out.add("PTMEffectiveGranularity").row().text("Granularity", granularity(control >> 8 & 0xff, "Unknown"), " ");
}

void decode_dpc(const CapabilityInput& in, Capability& out) {
    out.name = "Downstream Port Containment";
    if (!in.config.has(out.offset + PCI_DPC_CAP, 8)) return;
    const unsigned capabilities = in.config.u16(out.offset + PCI_DPC_CAP);
    out.add("DpcCap", Gap::tab)
        .row()
        .decimal("INT_Msg", PCI_DPC_CAP_INT_MSG(capabilities), " INT Msg #", ",")
        .flags(capabilities, {{"RPExt", PCI_DPC_CAP_RP_EXT},
                              {"PoisonedTLP", PCI_DPC_CAP_TLP_BLOCK},
                              {"SwTrigger", PCI_DPC_CAP_SW_TRIGGER}})
        .decimal("RP_PIO_Log", PCI_DPC_CAP_RP_LOG(capabilities), " RP PIO Log ", ",")
        .flags(capabilities, {{"DL_ActiveErr", PCI_DPC_CAP_DL_ACT_ERR}});
    const unsigned control = in.config.u16(out.offset + PCI_DPC_CTL);
    out.add("DpcCtl", Gap::tab)
        .row()
        .hex("Trigger", PCI_DPC_CTL_TRIGGER(control), 1, " Trigger:")
        .flags(control, {{"Cmpl", PCI_DPC_CTL_CMPL},
                         {"INT", PCI_DPC_CTL_INT},
                         {"ErrCor", PCI_DPC_CTL_ERR_COR},
                         {"PoisonedTLP", PCI_DPC_CTL_TLP},
                         {"SwTrigger", PCI_DPC_CTL_SW_TRIGGER},
                         {"DL_ActiveErr", PCI_DPC_CTL_DL_ACTIVE}});
    const unsigned status = in.config.u16(out.offset + PCI_DPC_STATUS);
    out.add("DpcSta", Gap::tab)
        .row()
        .flags(status, {{"Trigger", PCI_DPC_STS_TRIGGER}})
        .hex("Reason", PCI_DPC_STS_REASON(status), 2, " Reason:")
        .flags(status, {{"INT", PCI_DPC_STS_INT}, {"RPBusy", PCI_DPC_STS_RP_BUSY}})
        .hex("TriggerExt", PCI_DPC_STS_TRIGGER_EXT(status), 2, " TriggerExt:")
        .hex("RP_PIO_ErrPtr", PCI_DPC_STS_PIO_FEP(status), 2, " RP PIO ErrPtr:");
    out.add("Source", Gap::tab).row().hex("Source", in.config.u16(out.offset + PCI_DPC_SOURCE), 4, " ");
}

}  // namespace pcienic::ls
