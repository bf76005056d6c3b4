// SPDX-License-Identifier: GPL-2.0-or-later
// HyperTransport (HyperTransport I/O Link 3.10, chapter 7): one capability ID for a dozen structures.
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

/// Revision 1.02, from which on the registers have the fields of today; between 0x11 and that, some are unknown.
constexpr unsigned kModern = 0x22;
constexpr unsigned kOld = 0x11;

/// The registers of one link; a slave has two links, 0 and 1, and a host one, without a number.
struct Link {
    const CapabilityInput& in;
    Capability& out;
    bool modern;
    const char* number;  ///< " 0", " 1" or nothing

    Row& row(const char* name) const { return out.add(fmt::format("Link {}{}", name, number)).row(); }

    void control(unsigned offset) const {
        const unsigned word = in.config.u16(out.offset + offset);
        Row& line = row("Control");
        line.flags(word, {{"CFlE", PCI_HT_LCTR_CFLE},
                          {"CST", PCI_HT_LCTR_CST},
                          {"CFE", PCI_HT_LCTR_CFE},
                          {"<LkFail", PCI_HT_LCTR_LKFAIL},
                          {"Init", PCI_HT_LCTR_INIT},
                          {"EOC", PCI_HT_LCTR_EOC},
                          {"TXO", PCI_HT_LCTR_TXO}})
            .hex("<CRCErr", (word & PCI_HT_LCTR_CRCERR) >> 8, 1, " <CRCErr=");
        if (modern)
            line.flags(word, {{"IsocEn", PCI_HT_LCTR_ISOCEN},
                              {"LSEn", PCI_HT_LCTR_LSEN},
                              {"ExtCTL", PCI_HT_LCTR_EXTCTL},
                              {"64b", PCI_HT_LCTR_64B}});
    }

    void configuration(unsigned offset) const {
        constexpr const char* kWidths[] = {"8bit", "16bit", "[2]", "32bit", "2bit", "4bit", "[6]", "N/C"};
        const unsigned word = in.config.u16(out.offset + offset);
        Row& line = row("Config");
        const auto width = [&](const char* key, unsigned shift, const char* flow_key) {
            line.text(key, kWidths[word >> shift & 7], fmt::format(" {}=", key));
            if (modern) line.flag(flow_key, (word >> shift & 8) != 0);
        };
        width("MLWI", 0, "DwFcIn");
        width("MLWO", 4, "DwFcOut");
        width("LWI", 8, "DwFcInEn");
        width("LWO", 12, "DwFcOutEn");
    }

    void frequency(unsigned offset, unsigned capability_offset) const {
        constexpr const char* kFrequencies[] = {"200MHz", "300MHz", "400MHz", "500MHz", "600MHz", "800MHz",
                                                "1.0GHz", "1.2GHz", "1.4GHz", "1.6GHz", "[a]",    "[b]",
                                                "[c]",    "[d]",    "[e]",    "Vend"};
        const unsigned word = in.config.u8(out.offset + offset);
        row("Frequency").text("Frequency", kFrequencies[word & PCI_HT_LFRER_FREQ], " ");
        row("Error").flags(word, {{"<Prot", PCI_HT_LFRER_PROT},
                                  {"<Ovfl", PCI_HT_LFRER_OV},
                                  {"<EOC", PCI_HT_LFRER_EOC},
                                  {"CTLTm", PCI_HT_LFRER_CTLT}});
        row("Frequency Capability")
            .flags(in.config.u16(out.offset + capability_offset), {{"200MHz", PCI_HT_LFCAP_200},
                                                                   {"300MHz", PCI_HT_LFCAP_300},
                                                                   {"400MHz", PCI_HT_LFCAP_400},
                                                                   {"500MHz", PCI_HT_LFCAP_500},
                                                                   {"600MHz", PCI_HT_LFCAP_600},
                                                                   {"800MHz", PCI_HT_LFCAP_800},
                                                                   {"1.0GHz", PCI_HT_LFCAP_1000},
                                                                   {"1.2GHz", PCI_HT_LFCAP_1200},
                                                                   {"1.4GHz", PCI_HT_LFCAP_1400},
                                                                   {"1.6GHz", PCI_HT_LFCAP_1600},
                                                                   {"Vend", PCI_HT_LFCAP_VEND}});
    }
};

void revision(Capability& out, unsigned rid) {
    out.add("Revision ID")
        .row()
        .decimal("major", (rid & PCI_HT_RID_MAJ) >> 5, " ")
        .add("minor", Number{rid & PCI_HT_RID_MIN}, (rid & PCI_HT_RID_MIN) < 10 ? ".0" : ".");
}

Row& features(Capability& out, unsigned word) {
    return out.add("Feature Capability")
        .row()
        .flags(word, {{"IsocFC", PCI_HT_FTR_ISOCFC},
                      {"LDTSTOP", PCI_HT_FTR_LDTSTOP},
                      {"CRCTM", PCI_HT_FTR_CRCTM},
                      {"ECTLT", PCI_HT_FTR_ECTLT},
                      {"64bA", PCI_HT_FTR_64BA},
                      {"UIDRD", PCI_HT_FTR_UIDRD}});
}

void error_handling(Capability& out, unsigned word) {
    out.add("Error Handling")
        .row()
        .flags(word, {{"PFlE", PCI_HT_EH_PFLE},
                      {"OFlE", PCI_HT_EH_OFLE},
                      {"PFE", PCI_HT_EH_PFE},
                      {"OFE", PCI_HT_EH_OFE},
                      {"EOCFE", PCI_HT_EH_EOCFE},
                      {"RFE", PCI_HT_EH_RFE},
                      {"CRCFE", PCI_HT_EH_CRCFE},
                      {"SERRFE", PCI_HT_EH_SERRFE},
                      {"CF", PCI_HT_EH_CF},
                      {"RE", PCI_HT_EH_RE},
                      {"PNFE", PCI_HT_EH_PNFE},
                      {"ONFE", PCI_HT_EH_ONFE},
                      {"EOCNFE", PCI_HT_EH_EOCNFE},
                      {"RNFE", PCI_HT_EH_RNFE},
                      {"CRCNFE", PCI_HT_EH_CRCNFE},
                      {"SERRNFE", PCI_HT_EH_SERRNFE}});
}

void upper_window(const CapabilityInput& in, Capability& out, unsigned base, unsigned limit) {
    out.add("Prefetchable memory behind bridge Upper")
        .row()
        .hex("base", in.config.u8(out.offset + base), 2, " ")
        .hex("limit", in.config.u8(out.offset + limit), 2, "-");
}

void decode_slave(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    out.name = "HyperTransport: Slave or Primary Interface";
    if (!in.config.has(at + PCI_HT_PRI_LCTR0, PCI_HT_PRI_SIZEOF - PCI_HT_PRI_LCTR0)) return;
    const unsigned rid = in.config.u8(at + PCI_HT_PRI_RID);
    const bool modern = rid >= kModern;
    if (!modern && rid > kOld) out.remark("!!! Possibly incomplete decoding");

    const unsigned command = in.config.u16(at + PCI_HT_PRI_CMD);
    Row& line = out.add("Command").row();
    line.decimal("BaseUnitID", command & PCI_HT_PRI_CMD_BUID, " BaseUnitID=")
        .decimal("UnitCnt", (command & PCI_HT_PRI_CMD_UC) >> 5, " UnitCnt=")
        .flags(command, {{"MastHost", PCI_HT_PRI_CMD_MH}, {"DefDir", PCI_HT_PRI_CMD_DD}});
    if (modern) line.flags(command, {{"DUL", PCI_HT_PRI_CMD_DUL}});

    const Link first{in, out, modern, " 0"};
    const Link second{in, out, modern, " 1"};
    first.control(PCI_HT_PRI_LCTR0);
    first.configuration(PCI_HT_PRI_LCNF0);
    second.control(PCI_HT_PRI_LCTR1);
    second.configuration(PCI_HT_PRI_LCNF1);
    revision(out, rid);
    if (!modern) return;

    first.frequency(PCI_HT_PRI_LFRER0, PCI_HT_PRI_LFCAP0);
    features(out, in.config.u8(at + PCI_HT_PRI_FTR));
    second.frequency(PCI_HT_PRI_LFRER1, PCI_HT_PRI_LFCAP1);
    error_handling(out, in.config.u16(at + PCI_HT_PRI_EH));
    upper_window(in, out, PCI_HT_PRI_MBU, PCI_HT_PRI_MLU);
    out.add("Bus Number").row().hex("Bus", in.config.u8(at + PCI_HT_PRI_BN), 2, " ");
}

void decode_host(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    out.name = "HyperTransport: Host or Secondary Interface";
    if (!in.config.has(at + PCI_HT_SEC_LCTR, PCI_HT_SEC_SIZEOF - PCI_HT_SEC_LCTR)) return;
    const unsigned rid = in.config.u8(at + PCI_HT_SEC_RID);
    const bool modern = rid >= kModern;
    if (!modern && rid > kOld) out.remark("!!! Possibly incomplete decoding");

    const unsigned command = in.config.u16(at + PCI_HT_SEC_CMD);
    Row& line = out.add("Command").row();
    line.flags(command, {{"WarmRst", PCI_HT_SEC_CMD_WR}, {"DblEnd", PCI_HT_SEC_CMD_DE}});
    if (modern)
        line.decimal("DevNum", (command & PCI_HT_SEC_CMD_DN) >> 2, " DevNum=")
            .flags(command, {{"ChainSide", PCI_HT_SEC_CMD_CS},
                             {"HostHide", PCI_HT_SEC_CMD_HH},
                             {"Slave", PCI_HT_SEC_CMD_AS},
                             {"<EOCErr", PCI_HT_SEC_CMD_HIECE},
                             {"DUL", PCI_HT_SEC_CMD_DUL}});
    const Link link{in, out, modern, ""};
    link.control(PCI_HT_SEC_LCTR);
    link.configuration(PCI_HT_SEC_LCNF);
    revision(out, rid);
    if (!modern) return;

    link.frequency(PCI_HT_SEC_LFRER, PCI_HT_SEC_LFCAP);
    const unsigned feature = in.config.u16(at + PCI_HT_SEC_FTR);
    features(out, feature).flags(feature, {{"ExtRS", PCI_HT_SEC_FTR_EXTRS}, {"UCnfE", PCI_HT_SEC_FTR_UCNFE}});
    if ((feature & PCI_HT_SEC_FTR_EXTRS) != 0) error_handling(out, in.config.u16(at + PCI_HT_SEC_EH));
    if ((feature & PCI_HT_SEC_FTR_EXTRS) != 0) upper_window(in, out, PCI_HT_SEC_MBU, PCI_HT_SEC_MLU);
}

void decode_msi_mapping(const CapabilityInput& in, Capability& out, unsigned command) {
    out.name = "HyperTransport: MSI Mapping";
    out.summary.flags(command, {{"Enable", PCI_HT_MSIM_CMD_EN}, {"Fixed", PCI_HT_MSIM_CMD_FIXD}});
    if ((command & PCI_HT_MSIM_CMD_FIXD) != 0 || !in.config.has(out.offset + PCI_HT_MSIM_ADDR_LO, 8)) return;
    constexpr std::uint32_t kReserved = 0xfffff;  // of the lower half: HyperTransport 3.1, 7.12.2
    const std::uint64_t base = std::uint64_t{in.config.u32(out.offset + PCI_HT_MSIM_ADDR_HI)} << 32 |
                               (in.config.u32(out.offset + PCI_HT_MSIM_ADDR_LO) & ~kReserved);
    out.add("Mapping Address Base").row().hex("Base", base, 16, " ");
}

}  // namespace

void decode_hypertransport(const CapabilityInput& in, Capability& out) {
    const unsigned command = in.config.u16(out.offset + PCI_HT_CMD);
    switch (command & PCI_HT_CMD_TYP_HI) {
        case PCI_HT_CMD_TYP_HI_PRI:
            return decode_slave(in, out);
        case PCI_HT_CMD_TYP_HI_SEC:
            return decode_host(in, out);
        default:
            break;
    }
    // The rest say what they are and no more: their registers are windows to others, moved by an index.
    const unsigned type = command & PCI_HT_CMD_TYP;
    constexpr const char* kTypes[] = {"Switch",          nullptr,           nullptr,
                                      nullptr,           nullptr,           nullptr,
                                      nullptr,           nullptr,           "Interrupt Discovery and Configuration",
                                      nullptr,           "UnitID Clumping", "Extended Configuration Space Access",
                                      "Address Mapping", nullptr,           "DirectRoute",
                                      "VCSet",           "Retry Mode",      "X86 (reserved)"};
    if (type == PCI_HT_CMD_TYP_MSIM) return decode_msi_mapping(in, out, command);
    if (type == PCI_HT_CMD_TYP_RID) {
        out.name = "HyperTransport: Revision ID";
        const unsigned minor = command & PCI_HT_RID_MIN;
        out.summary.decimal("major", (command & PCI_HT_RID_MAJ) >> 5, ": ")
            .decimal("minor", minor, minor < 10 ? ".0" : ".");
        return;
    }
    const unsigned first = PCI_HT_CMD_TYP_SW >> 11;
    out.name = "HyperTransport: " + choose(kTypes, (type >> 11) - first, fmt::format("#{:02x}", type >> 11).c_str());
}

}  // namespace pcienic::ls
