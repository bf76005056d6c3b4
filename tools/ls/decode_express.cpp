// SPDX-License-Identifier: GPL-2.0-or-later
// The PCI Express capability (PCI Express Base 5.0, 7.5.3). Which fields there are depends on the device/port type.
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

// The types as sets, since most fields exist for several of them.
constexpr unsigned bit(unsigned type) { return 1U << type; }
constexpr unsigned kEndpoint = bit(PCI_EXP_TYPE_ENDPOINT);
constexpr unsigned kLegacyEndpoint = bit(PCI_EXP_TYPE_LEG_END);
constexpr unsigned kRootPort = bit(PCI_EXP_TYPE_ROOT_PORT);
constexpr unsigned kUpstream = bit(PCI_EXP_TYPE_UPSTREAM);
constexpr unsigned kDownstream = bit(PCI_EXP_TYPE_DOWNSTREAM);
constexpr unsigned kToPciBridge = bit(PCI_EXP_TYPE_PCI_BRIDGE);
constexpr unsigned kToExpressBridge = bit(PCI_EXP_TYPE_PCIE_BRIDGE);
constexpr unsigned kIntegratedEndpoint = bit(PCI_EXP_TYPE_ROOT_INT_EP);
constexpr unsigned kEventCollector = bit(PCI_EXP_TYPE_ROOT_EC);

/// The registers of one PCI Express capability, and what kind of function they belong to.
struct Express {
    const ConfigImage& config;
    unsigned at;
    unsigned type;  ///< as a set
    bool has_memory_bar;
    bool first_function;
    Capability& out;

    bool is(unsigned types) const { return (type & types) != 0; }
    unsigned u16(unsigned offset) const { return config.u16(at + offset); }
    std::uint32_t u32(unsigned offset) const { return config.u32(at + offset); }
};

std::string latency(unsigned code, unsigned first_ns) {
    if (code == 7) return "unlimited";
    const unsigned ns = first_ns << code;
    return ns < 1000 ? fmt::format("<{}ns", ns) : fmt::format("<{}us", ns / 1000);
}
std::string l0s_latency(unsigned code) { return latency(code, 64); }
std::string l1_latency(unsigned code) { return latency(code, 1000); }

std::string speed(unsigned code, const char* otherwise = "unknown") {
    constexpr const char* kSpeeds[] = {nullptr, "2.5GT/s", "5GT/s", "8GT/s", "16GT/s", "32GT/s", "64GT/s"};
    return choose(kSpeeds, code, otherwise);
}

std::string power_limit(unsigned value, unsigned scale) {
    // Values above EFh at the coarsest scale are codes: PCI Express Base 5.0, 7.5.3.9.
    if (scale == 0 && value >= 0xf0) {
        constexpr const char* kCodes[] = {"250W", "275W", "300W", "325W", "350W", "375W", "400W", "425W",
                                          "450W", "475W", "500W", "525W", "550W", "575W", "600W"};
        return choose(kCodes, value - 0xf0, ">600W");
    }
    constexpr double kScales[] = {1.0, 0.1, 0.01, 0.001};
    return fmt::format("{:g}W", value * kScales[scale]);
}

void device(const Express& e) {
    const std::uint32_t cap = e.u32(PCI_EXP_DEVCAP);
    Register& devcap = e.out.add("DevCap", Gap::tab);
    Row& limits = devcap.row();
    limits.decimal("MaxPayload", 128U << (cap & PCI_EXP_DEVCAP_PAYLOAD), " MaxPayload ", " bytes")
        .decimal("PhantFunc", (1U << ((cap & PCI_EXP_DEVCAP_PHANTOM) >> 3)) - 1, ", PhantFunc ");
    if (e.is(kEndpoint | kLegacyEndpoint))
        limits.text("LatencyL0s", l0s_latency((cap & PCI_EXP_DEVCAP_L0S) >> 6), ", Latency L0s ")
            .text("LatencyL1", l1_latency((cap & PCI_EXP_DEVCAP_L1) >> 9), ", L1 ");
    Row& features = devcap.row();
    features.flags(cap, {{"ExtTag", PCI_EXP_DEVCAP_EXT_TAG}});
    if (e.is(kEndpoint | kLegacyEndpoint | kUpstream | kToPciBridge))
        features.flags(cap, {{"AttnBtn", PCI_EXP_DEVCAP_ATN_BUT},
                             {"AttnInd", PCI_EXP_DEVCAP_ATN_IND},
                             {"PwrInd", PCI_EXP_DEVCAP_PWR_IND}});
    features.flags(cap, {{"RBE", PCI_EXP_DEVCAP_RBE}});
    if (e.is(kEndpoint | kLegacyEndpoint | kIntegratedEndpoint))
        features.flags(cap, {{"FLReset", PCI_EXP_DEVCAP_FLRESET}});
    if (e.is(kEndpoint | kUpstream | kToPciBridge))
        features.text("SlotPowerLimit",
                      power_limit((cap & PCI_EXP_DEVCAP_PWR_VAL) >> 18, (cap & PCI_EXP_DEVCAP_PWR_SCL) >> 26),
                      " SlotPowerLimit ");

    const unsigned control = e.u16(PCI_EXP_DEVCTL);
    Register& devctl = e.out.add("DevCtl", Gap::tab);
    devctl.row().flags(control, {{"CorrErr", PCI_EXP_DEVCTL_CERE},
                                 {"NonFatalErr", PCI_EXP_DEVCTL_NFERE},
                                 {"FatalErr", PCI_EXP_DEVCTL_FERE},
                                 {"UnsupReq", PCI_EXP_DEVCTL_URRE}});
    Row& enables = devctl.row();
    enables.flags(control, {{"RlxdOrd", PCI_EXP_DEVCTL_RELAXED},
                            {"ExtTag", PCI_EXP_DEVCTL_EXT_TAG},
                            {"PhantFunc", PCI_EXP_DEVCTL_PHANTOM},
                            {"AuxPwr", PCI_EXP_DEVCTL_AUX_PME},
                            {"NoSnoop", PCI_EXP_DEVCTL_NOSNOOP}});
    if (e.is(kToPciBridge)) enables.flags(control, {{"BrConfRtry", PCI_EXP_DEVCTL_BCRE}});
    if (e.is(kEndpoint | kLegacyEndpoint | kIntegratedEndpoint) && (cap & PCI_EXP_DEVCAP_FLRESET) != 0)
        enables.flags(control, {{"FLReset", PCI_EXP_DEVCTL_FLRESET}});
    devctl.row()
        .decimal("MaxPayload", 128U << ((control & PCI_EXP_DEVCTL_PAYLOAD) >> 5), " MaxPayload ", " bytes")
        .decimal("MaxReadReq", 128U << ((control & PCI_EXP_DEVCTL_READRQ) >> 12), ", MaxReadReq ", " bytes");

    e.out.add("DevSta", Gap::tab)
        .row()
        .flags(e.u16(PCI_EXP_DEVSTA), {{"CorrErr", PCI_EXP_DEVSTA_CED},
                                       {"NonFatalErr", PCI_EXP_DEVSTA_NFED},
                                       {"FatalErr", PCI_EXP_DEVSTA_FED},
                                       {"UnsupReq", PCI_EXP_DEVSTA_URD},
                                       {"AuxPwr", PCI_EXP_DEVSTA_AUXPD},
                                       {"TransPend", PCI_EXP_DEVSTA_TRPND}});
}

/// What a port's link is below the port's own ability says something about the device in it, not about the port.
std::string comparison(const Express& e, unsigned status, unsigned capability) {
    if (status > capability) return " (overdriven)";
    return status == capability || e.is(kRootPort | kDownstream | kToExpressBridge) ? "" : " (downgraded)";
}

void link(const Express& e) {
    const std::uint32_t cap = e.u32(PCI_EXP_LNKCAP);
    const unsigned cap_speed = cap & PCI_EXP_LNKCAP_SPEED;
    const unsigned cap_width = (cap & PCI_EXP_LNKCAP_WIDTH) >> 4;
    const unsigned aspm = (cap & PCI_EXP_LNKCAP_ASPM) >> 10;
    constexpr const char* kSupport[] = {"not supported", "L0s", "L1", "L0s L1"};
    Register& lnkcap = e.out.add("LnkCap", Gap::tab);
    Row& abilities = lnkcap.row();
    abilities.decimal("Port", cap >> 24, " Port #")
        .text("Speed", speed(cap_speed), ", Speed ")
        .decimal("Width", cap_width, ", Width x")
        .text("ASPM", kSupport[aspm], ", ASPM ");
    if ((aspm & 1) != 0)
        abilities.text("ExitLatencyL0s", l0s_latency((cap & PCI_EXP_LNKCAP_L0S) >> 12), ", Exit Latency L0s ");
    if ((aspm & 2) != 0)
        abilities.text("ExitLatencyL1", l1_latency((cap & PCI_EXP_LNKCAP_L1) >> 15),
                       (aspm & 1) != 0 ? ", L1 " : ", Exit Latency L1 ");
    lnkcap.row().flags(cap, {{"ClockPM", PCI_EXP_LNKCAP_CLOCKPM},
                             {"Surprise", PCI_EXP_LNKCAP_SURPRISE},
                             {"LLActRep", PCI_EXP_LNKCAP_DLLA},
                             {"BwNot", PCI_EXP_LNKCAP_LBNC},
                             {"ASPMOptComp", PCI_EXP_LNKCAP_AOC}});

    const unsigned control = e.u16(PCI_EXP_LNKCTL);
    constexpr const char* kEnabled[] = {"Disabled", "L0s Enabled", "L1 Enabled", "L0s L1 Enabled"};
    Register& lnkctl = e.out.add("LnkCtl", Gap::tab);
    Row& enables = lnkctl.row();
    enables.text("ASPM", kEnabled[control & PCI_EXP_LNKCTL_ASPM], " ASPM ", ";");
    if (e.is(kRootPort | kEndpoint | kLegacyEndpoint | kToPciBridge))
        enables.decimal("RCB", (control & PCI_EXP_LNKCTL_RCB) != 0 ? 128 : 64, " RCB ", " bytes,");
    enables.flags(control, {{"Disabled", PCI_EXP_LNKCTL_DISABLE}, {"CommClk", PCI_EXP_LNKCTL_CLOCK}});
    lnkctl.row().flags(control, {{"ExtSynch", PCI_EXP_LNKCTL_XSYNCH},
                                 {"ClockPM", PCI_EXP_LNKCTL_CLOCKPM},
                                 {"AutWidDis", PCI_EXP_LNKCTL_HWAUTWD},
                                 {"BWInt", PCI_EXP_LNKCTL_BWMIE},
                                 {"AutBWInt", PCI_EXP_LNKCTL_AUTBWIE}});

    const unsigned status = e.u16(PCI_EXP_LNKSTA);
    const unsigned now_speed = status & PCI_EXP_LNKSTA_SPEED;
    const unsigned now_width = (status & PCI_EXP_LNKSTA_WIDTH) >> 4;
    Register& lnksta = e.out.add("LnkSta", Gap::tab);
    lnksta.row()
        .text("Speed", speed(now_speed), " Speed ", comparison(e, now_speed, cap_speed))
        .decimal("Width", now_width, ", Width x", comparison(e, now_width, cap_width));
    lnksta.row().flags(status, {{"TrErr", PCI_EXP_LNKSTA_TR_ERR},
                                {"Train", PCI_EXP_LNKSTA_TRAIN},
                                {"SlotClk", PCI_EXP_LNKSTA_SL_CLK},
                                {"DLActive", PCI_EXP_LNKSTA_DL_ACT},
                                {"BWMgmt", PCI_EXP_LNKSTA_BWMGMT},
                                {"ABWMgmt", PCI_EXP_LNKSTA_AUTBW}});
}

void slot(const Express& e) {
    const std::uint32_t cap = e.u32(PCI_EXP_SLTCAP);
    Register& sltcap = e.out.add("SltCap", Gap::tab);
    sltcap.row().flags(cap, {{"AttnBtn", PCI_EXP_SLTCAP_ATNB},
                             {"PwrCtrl", PCI_EXP_SLTCAP_PWRC},
                             {"MRL", PCI_EXP_SLTCAP_MRL},
                             {"AttnInd", PCI_EXP_SLTCAP_ATNI},
                             {"PwrInd", PCI_EXP_SLTCAP_PWRI},
                             {"HotPlug", PCI_EXP_SLTCAP_HPC},
                             {"Surprise", PCI_EXP_SLTCAP_HPS}});
    sltcap.row()
        .decimal("Slot", (cap & PCI_EXP_SLTCAP_PSN) >> 19, " Slot #")
        .text("PowerLimit", power_limit((cap & PCI_EXP_SLTCAP_PWR_VAL) >> 7, (cap & PCI_EXP_SLTCAP_PWR_SCL) >> 15),
              ", PowerLimit ", ";")
        .flags(cap, {{"Interlock", PCI_EXP_SLTCAP_INTERLOCK}, {"NoCompl", PCI_EXP_SLTCAP_NOCMDCOMP}});

    const unsigned control = e.u16(PCI_EXP_SLTCTL);
    constexpr const char* kIndicator[] = {"Unknown", "On", "Blink", "Off"};
    Register& sltctl = e.out.add("SltCtl", Gap::tab);
    sltctl.row()
        .add("Enable_AttnBtn", (control & PCI_EXP_SLTCTL_ATNB) != 0, " Enable: AttnBtn")
        .flags(control, {{"PwrFlt", PCI_EXP_SLTCTL_PWRF},
                         {"MRL", PCI_EXP_SLTCTL_MRLS},
                         {"PresDet", PCI_EXP_SLTCTL_PRSD},
                         {"CmdCplt", PCI_EXP_SLTCTL_CMDC},
                         {"HPIrq", PCI_EXP_SLTCTL_HPIE},
                         {"LinkChg", PCI_EXP_SLTCTL_LLCHG}});
    sltctl.row()
        .text("AttnInd", kIndicator[(control & PCI_EXP_SLTCTL_ATNI) >> 6], " Control: AttnInd ", ",")
        .text("PwrInd", kIndicator[(control & PCI_EXP_SLTCTL_PWRI) >> 8], " PwrInd ", ",")
        .flags(control, {{"Power", PCI_EXP_SLTCTL_PWRC}, {"Interlock", PCI_EXP_SLTCTL_INTERLOCK}});

    const unsigned status = e.u16(PCI_EXP_SLTSTA);
    Register& sltsta = e.out.add("SltSta", Gap::tab);
    sltsta.row()
        .add("Status_AttnBtn", (status & PCI_EXP_SLTSTA_ATNB) != 0, " Status: AttnBtn")
        .flags(status, {{"PowerFlt", PCI_EXP_SLTSTA_PWRF},
                        {"MRL", PCI_EXP_SLTSTA_MRL_ST},
                        {"CmdCplt", PCI_EXP_SLTSTA_CMDC},
                        {"PresDet", PCI_EXP_SLTSTA_PRES},
                        {"Interlock", PCI_EXP_SLTSTA_INTERLOCK}});
    sltsta.row()
        .add("Changed_MRL", (status & PCI_EXP_SLTSTA_MRLS) != 0, " Changed: MRL")
        .add("Changed_PresDet", (status & PCI_EXP_SLTSTA_PRSD) != 0, " PresDet")
        .add("Changed_LinkState", (status & PCI_EXP_SLTSTA_LLCHG) != 0, " LinkState");
}

void root(const Express& e) {
    e.out.add("RootCap").row().flags(e.u16(PCI_EXP_RTCAP), {{"CRSVisible", PCI_EXP_RTCAP_CRSVIS}});
    e.out.add("RootCtl").row().flags(e.u16(PCI_EXP_RTCTL), {{"ErrCorrectable", PCI_EXP_RTCTL_SECEE},
                                                            {"ErrNon-Fatal", PCI_EXP_RTCTL_SENFEE},
                                                            {"ErrFatal", PCI_EXP_RTCTL_SEFEE},
                                                            {"PMEIntEna", PCI_EXP_RTCTL_PMEIE},
                                                            {"CRSVisible", PCI_EXP_RTCTL_CRSVIS}});
    const std::uint32_t status = e.u32(PCI_EXP_RTSTA);
    e.out.add("RootSta")
        .row()
        .hex("PME_ReqID", status & PCI_EXP_RTSTA_PME_REQID, 4, " PME ReqID ", ",")
        .flags(status, {{"PMEStatus", PCI_EXP_RTSTA_PME_STATUS}, {"PMEPending", PCI_EXP_RTSTA_PME_PENDING}});
}

void device2(const Express& e) {
    const std::uint32_t cap = e.u32(PCI_EXP_DEVCAP2);
    constexpr const char* kRanges[] = {"Not Supported", "Range A",   "Range B",   "Range AB",  nullptr, nullptr,
                                       "Range BC",      "Range ABC", nullptr,     nullptr,     nullptr, nullptr,
                                       nullptr,         nullptr,     "Range BCD", "Range ABCD"};
    constexpr const char* kObff[] = {"Not Supported", "Via message", "Via WAKE#", "Via message/WAKE#"};
    constexpr const char* kEmergency[] = {"Not Supported", "Dev Specific", "Form Factor Dev Specific", "Reserved"};
    constexpr const char* kLineSize[] = {"Not Supported", "64byte cachelines", "128byte cachelines", "Reserved"};
    Register& devcap2 = e.out.add("DevCap2");
    devcap2.row()
        .text("CompletionTimeout", choose(kRanges, PCI_EXP_DEVCAP2_TIMEOUT_RANGE(cap), "Unknown"),
              " Completion Timeout: ", ",")
        .flags(cap, {{"TimeoutDis", PCI_EXP_DEVCAP2_TIMEOUT_DIS},
                     {"NROPrPrP", PCI_EXP_DEVCAP2_NROPRPRP},
                     {"LTR", PCI_EXP_DEVCAP2_LTR}});
    Row& tags = devcap2.row();
    tags.flags(cap, {{"10BitTagComp", PCI_EXP_DEVCAP2_10BIT_TAG_COMP}, {"10BitTagReq", PCI_EXP_DEVCAP2_10BIT_TAG_REQ}})
        .text("OBFF", kObff[PCI_EXP_DEVCAP2_OBFF(cap)], " OBFF ", ",")
        .flags(cap, {{"ExtFmt", PCI_EXP_DEVCAP2_EXTFMT}, {"EETLPPrefix", PCI_EXP_DEVCAP2_EE_TLP}});
    if ((cap & PCI_EXP_DEVCAP2_EE_TLP) != 0) {
        const unsigned prefixes = PCI_EXP_DEVCAP2_MEE_TLP(cap);
        tags.decimal("MaxEETLPPrefixes", prefixes == 0 ? 4 : prefixes, ", MaxEETLPPrefixes ");
    }
    devcap2.row()
        .text("EmergencyPowerReduction", kEmergency[PCI_EXP_DEVCAP2_EPR(cap)], " EmergencyPowerReduction ", ",")
        .flags(cap, {{"EmergencyPowerReductionInit", PCI_EXP_DEVCAP2_EPR_INIT}});
    Row& more = devcap2.row();
    more.flags(cap, {{"FRS", PCI_EXP_DEVCAP2_FRS}});
    if (e.is(kRootPort)) more.text("LNSystemCLS", kLineSize[PCI_EXP_DEVCAP2_LN_CLS(cap)], " LN System CLS ", ",");
    if (e.is(kRootPort | kEndpoint)) {
        const unsigned hints = PCI_EXP_DEVCAP2_TPH_COMP(cap);
        if (hints != 2) more.flag("TPHComp", hints != 0).flag("ExtTPHComp", hints == 3);
    }
    if (e.is(kRootPort | kDownstream)) more.flags(cap, {{"ARIFwd", PCI_EXP_DEVCAP2_ARI}});
    if (e.is(kRootPort | kUpstream | kDownstream) || e.has_memory_bar) {
        Row& atomics = devcap2.row();
        atomics.add("AtomicOpsCap", Mark{true}, " AtomicOpsCap:");
        if (e.is(kRootPort | kUpstream | kDownstream))
            atomics.flags(cap, {{"Routing", PCI_EXP_DEVCAP2_ATOMICOP_ROUTING}});
        if (e.is(kRootPort) || e.has_memory_bar)
            atomics.flags(cap, {{"32bit", PCI_EXP_DEVCAP2_32BIT_ATOMICOP_COMP},
                                {"64bit", PCI_EXP_DEVCAP2_64BIT_ATOMICOP_COMP},
                                {"128bitCAS", PCI_EXP_DEVCAP2_128BIT_CAS_COMP}});
    }

    const unsigned control = e.u16(PCI_EXP_DEVCTL2);
    constexpr const char* kTimeouts[] = {"50us to 50ms", "50us to 100us", "1ms to 10ms", nullptr,     nullptr,
                                         "16ms to 55ms", "65ms to 210ms", nullptr,       nullptr,     "260ms to 900ms",
                                         "1s to 3.5s",   nullptr,         nullptr,       "4s to 13s", "17s to 64s"};
    constexpr const char* kObffEnabled[] = {"Disabled", "Via message A", "Via message B", "Via WAKE#"};
    Register& devctl2 = e.out.add("DevCtl2");
    Row& enables = devctl2.row();
    enables
        .text("CompletionTimeout", choose(kTimeouts, PCI_EXP_DEVCTL2_TIMEOUT_VALUE(control), "Unknown"),
              " Completion Timeout: ", ",")
        .flags(control, {{"TimeoutDis", PCI_EXP_DEVCTL2_TIMEOUT_DIS},
                         {"LTR", PCI_EXP_DEVCTL2_LTR},
                         {"10BitTagReq", PCI_EXP_DEVCTL2_10BIT_TAG_REQ}})
        .text("OBFF", kObffEnabled[PCI_EXP_DEVCTL2_OBFF(control)], " OBFF ", ",");
    if (e.is(kRootPort | kDownstream)) enables.flags(control, {{"ARIFwd", PCI_EXP_DEVCTL2_ARI}});
    constexpr unsigned kRequesters = kRootPort | kEndpoint | kIntegratedEndpoint | kLegacyEndpoint;
    constexpr unsigned kRouters = kRootPort | kUpstream | kDownstream;
    if (e.is(kRequesters | kRouters)) {
        Row& atomics = devctl2.row();
        atomics.add("AtomicOpsCtl", Mark{true}, " AtomicOpsCtl:");
        if (e.is(kRequesters)) atomics.flags(control, {{"ReqEn", PCI_EXP_DEVCTL2_ATOMICOP_REQUESTER_EN}});
        if (e.is(kRouters)) atomics.flags(control, {{"EgressBlck", PCI_EXP_DEVCTL2_ATOMICOP_EGRESS_BLOCK}});
    }
}

std::string supported_speeds(unsigned vector) {
    if ((vector & 0x40) != 0) return "RsvdP";
    constexpr const char* kUpTo[] = {"2.5GT/s", "2.5-5GT/s", "2.5-8GT/s", "2.5-16GT/s", "2.5-32GT/s", "2.5-64GT/s"};
    for (unsigned generation = 6; generation-- > 0;)
        if ((vector & 1U << generation) != 0) return kUpTo[generation];
    return "Unknown";
}

std::string transmit_margin(unsigned code) {
    if (code == 0) return "Normal Operating Range";
    if (code == 1) return "800-1200mV(full-swing)/400-700mV(half-swing)";
    return code <= 5 ? "200-400mV(full-swing)/100-200mV(half-swing)" : "Unknown";
}

std::string compliance_preset(unsigned code) {
    constexpr const char* kPresets[] = {"-6dB de-emphasis, 0dB preshoot",     "-3.5dB de-emphasis, 0dB preshoot",
                                        "-4.4dB de-emphasis, 0dB preshoot",   "-2.5dB de-emphasis, 0dB preshoot",
                                        "0dB de-emphasis, 0dB preshoot",      "0dB de-emphasis, 1.9dB preshoot",
                                        "0dB de-emphasis, 2.5dB preshoot",    "-6.0dB de-emphasis, 3.5dB preshoot",
                                        "-3.5dB de-emphasis, 3.5dB preshoot", "0dB de-emphasis, 3.5dB preshoot"};
    return choose(kPresets, code, "Unknown");
}

const char* de_emphasis(unsigned code) { return code != 0 ? "-3.5dB" : "-6dB"; }

void link_control2(const Express& e, std::uint32_t cap) {
    if (cap != 0)
        e.out.add("LnkCap2")
            .row()
            .text("SupportedLinkSpeeds", supported_speeds(PCI_EXP_LNKCAP2_SPEED(cap)), " Supported Link Speeds: ", ",")
            .flags(cap, {{"Crosslink", PCI_EXP_LNKCAP2_CROSSLINK},
                         {"Retimer", PCI_EXP_LNKCAP2_RETIMER},
                         {"2Retimers", PCI_EXP_LNKCAP2_2RETIMERS},
                         {"DRS", PCI_EXP_LNKCAP2_DRS}});

    const unsigned control = e.u16(PCI_EXP_LNKCTL2);
    Register& lnkctl2 = e.out.add("LnkCtl2");
    Row& target = lnkctl2.row();
    // Hardware of PCI Express 1 has 0 here, and one speed.
    const unsigned target_speed = PCI_EXP_LNKCTL2_SPEED(control);
    target.text("TargetLinkSpeed", speed(target_speed == 0 ? 1 : target_speed, "Unknown"), " Target Link Speed: ", ",")
        .flags(control, {{"EnterCompliance", PCI_EXP_LNKCTL2_CMPLNC}, {"SpeedDis", PCI_EXP_LNKCTL2_SPEED_DIS}});
    if (e.is(kDownstream))
        target.text("SelectableDeemphasis", de_emphasis(PCI_EXP_LNKCTL2_DEEMPHASIS(control)),
                    ", Selectable De-emphasis: ");
    lnkctl2.row()
        .text("TransmitMargin", transmit_margin(PCI_EXP_LNKCTL2_MARGIN(control)), " Transmit Margin: ", ",")
        .flags(control, {{"EnterModifiedCompliance", PCI_EXP_LNKCTL2_MOD_CMPLNC},
                         {"ComplianceSOS", PCI_EXP_LNKCTL2_CMPLNC_SOS}});
    lnkctl2.row().text("CompliancePreset", compliance_preset(PCI_EXP_LNKCTL2_COM_DEEMPHASIS(control)),
                       " Compliance Preset/De-emphasis: ");
}

void link_status2(const Express& e, std::uint32_t cap) {
    const unsigned status = e.u16(PCI_EXP_LNKSTA2);
    constexpr const char* kCrosslink[] = {"unsupported", "Upstream Port", "Downstream Port", "incomplete"};
    constexpr const char* kComponent[] = {"Link Down - Not Determined", "Link Down - Not Present",
                                          "Link Down - Present",        nullptr,
                                          "Link Up - Present",          "Link Up - Present and DRS Received"};
    Register& lnksta2 = e.out.add("LnkSta2");
    lnksta2.row()
        .text("CurrentDeemphasisLevel", de_emphasis(PCI_EXP_LINKSTA2_DEEMPHASIS(status)),
              " Current De-emphasis Level: ", ",")
        .flags(status, {{"EqualizationComplete", PCI_EXP_LINKSTA2_EQU_COMP},
                        {"EqualizationPhase1", PCI_EXP_LINKSTA2_EQU_PHASE1}});
    lnksta2.row().flags(status, {{"EqualizationPhase2", PCI_EXP_LINKSTA2_EQU_PHASE2},
                                 {"EqualizationPhase3", PCI_EXP_LINKSTA2_EQU_PHASE3},
                                 {"LinkEqualizationRequest", PCI_EXP_LINKSTA2_EQU_REQ}});
    Row& retimers = lnksta2.row();
    retimers.flags(status, {{"Retimer", PCI_EXP_LINKSTA2_RETIMER}, {"2Retimers", PCI_EXP_LINKSTA2_2RETIMERS}})
        .text("CrosslinkRes", kCrosslink[PCI_EXP_LINKSTA2_CROSSLINK(status)], " CrosslinkRes: ");
    if (e.is(kRootPort | kDownstream | kToExpressBridge) && (cap & PCI_EXP_LNKCAP2_DRS) != 0) {
        retimers.add("DRS", (status & PCI_EXP_LINKSTA2_DRS_RCVD) != 0, ", DRS");
        lnksta2.row().text("DownstreamComp", choose(kComponent, PCI_EXP_LINKSTA2_COMPONENT(status), "Reserved"),
                           " DownstreamComp: ");
    }
}

void link2(const Express& e) {
    const std::uint32_t cap = e.u32(PCI_EXP_LNKCAP2);
    // The link is the device's, and function 0 stands for it: in an endpoint's other functions these are reserved.
    if (e.first_function || !e.is(kEndpoint | kLegacyEndpoint)) link_control2(e, cap);
    link_status2(e, cap);
}

}  // namespace

void decode_express(const CapabilityInput& in, Capability& out) {
    const unsigned at = out.offset;
    const unsigned flags = in.config.u16(at + PCI_EXP_FLAGS);
    const unsigned version = flags & PCI_EXP_FLAGS_VERS;
    const unsigned type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;
    const Express e{in.config, at, bit(type), in.context.has_memory_bar, in.context.first_function, out};

    constexpr const char* kTypes[] = {"Endpoint",
                                      "Legacy Endpoint",
                                      nullptr,
                                      nullptr,
                                      "Root Port",
                                      "Upstream Port",
                                      "Downstream Port",
                                      "PCI-Express to PCI/PCI-X Bridge",
                                      "PCI/PCI-X to PCI-Express Bridge",
                                      "Root Complex Integrated Endpoint",
                                      "Root Complex Event Collector"};
    const bool has_slot = e.is(kRootPort | kDownstream | kToExpressBridge) && (flags & PCI_EXP_FLAGS_SLOT) != 0;
    out.name = "Express";
    out.summary.add("Version", Number{version}, " (v", ")", 2)
        .text("Type", choose(kTypes, type, fmt::format("Unknown type {}", type).c_str()), " ");
    if (e.is(kRootPort | kDownstream | kToExpressBridge))
        out.summary.add("Slot", (flags & PCI_EXP_FLAGS_SLOT) != 0, " (Slot", ")");
    out.summary.hex("MSI", (flags & PCI_EXP_FLAGS_IRQ) >> 9, 2, ", MSI ");

    const bool has_root = e.is(kRootPort | kEventCollector);
    const bool has_link = !e.is(kIntegratedEndpoint | kEventCollector);
    unsigned size = PCI_EXP_SLTCAP - PCI_EXP_DEVCAP;
    if (has_slot) size = PCI_EXP_RTCTL - PCI_EXP_DEVCAP;
    if (has_root) size = PCI_EXP_DEVCAP2 - PCI_EXP_DEVCAP;
    if (!in.config.has(at + PCI_EXP_DEVCAP, size)) return;
    device(e);
    if (has_link) link(e);
    if (has_slot) slot(e);
    if (has_root) root(e);

    if (version < 2) return;
    if (!in.config.has(at + PCI_EXP_DEVCAP2, PCI_EXP_SLTCAP2 - PCI_EXP_DEVCAP2)) return;
    device2(e);
    if (has_link) link2(e);
}

}  // namespace pcienic::ls
