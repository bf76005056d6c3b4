// SPDX-License-Identifier: GPL-2.0-or-later
// The designated vendor-specific capabilities of the CXL consortium (CXL 3.0, 8.1).
#include <fmt/format.h>
#include <pci/header.h>

#include "decode.hpp"
#include "decode_cxl.hpp"

namespace pcienic::ls {
namespace {

std::uint64_t u64(const ConfigImage& config, unsigned high_at, unsigned low_at) {
    return std::uint64_t{config.u32(high_at)} << 32 | config.u32(low_at);
}

void range(const ConfigImage& config, unsigned at, unsigned number, Capability& out) {
    // A range's size has its low 28 bits for other things: the smallest is 256 MiB.
    constexpr std::uint64_t kSizeMask = ~std::uint64_t{0x0fffffff};
    const std::uint64_t size = u64(config, at, at + 4);
    const std::uint64_t base = u64(config, at + 8, at + 12);
    const auto word = static_cast<unsigned>(size & 0xffff);
    constexpr const char* kTypes[] = {"Volatile", "Non-volatile", "CDAT"};
    constexpr const char* kClasses[] = {"DRAM", "Storage", "CDAT"};
    constexpr unsigned kInterleave[] = {0, 256, 4096, 512, 1024, 2048, 8192, 16384};
    Register& line = out.add(fmt::format("Range{}", number), Gap::space_then_tab);
    line.row().hex("Base", base, 16, " ").hex("End", base + (size & kSizeMask) - 1, 16, "-");
    Row& row = line.row();
    row.add("Valid", (word & PCI_CXL_RANGE_VALID) != 0, "Valid")
        .flags(word, {{"Active", PCI_CXL_RANGE_ACTIVE}})
        .text("Type", choose(kTypes, PCI_CXL_RANGE_TYPE(word), "<?>"), " Type=")
        .text("Class", choose(kClasses, PCI_CXL_RANGE_CLASS(word), "<?>"), " Class=");
    const unsigned interleave = PCI_CXL_RANGE_INTERLEAVE(word);
    if (interleave < std::size(kInterleave))
        row.decimal("interleave", kInterleave[interleave], " interleave=");
    else
        row.add("interleave", Absent{"<?>"}, " interleave=");
    row.decimal("timeout", 1U << (2 * PCI_CXL_RANGE_TIMEOUT(word)), " timeout=", "s");
}

void cache_size(unsigned word, Capability& out) {
    const unsigned unit = word & 0xf;
    const std::uint64_t count = word >> 8;
    if (unit == PCI_CXL_DEV_CAP2_CACHE_UNK) return out.remark("Cache Size Not Reported");
    Row& row = out.add("Cache Size").row();
    if (unit == PCI_CXL_DEV_CAP2_CACHE_64K || unit == PCI_CXL_DEV_CAP2_CACHE_1M)
        row.hex("Bytes", count << (unit == PCI_CXL_DEV_CAP2_CACHE_1M ? 20 : 16), 8, " ");
    else
        row.decimal("Count", count, " ", " of unknown unit size (").decimal("Unit", unit, "", ")");
}

void device(const ConfigImage& config, unsigned at, Capability& out) {
    const unsigned capability = config.u16(at + PCI_CXL_DEV_CAP);
    out.add("CXLCap", Gap::tab)
        .row()
        .flags(capability, {{"Cache", PCI_CXL_DEV_CAP_CACHE},
                            {"IO", PCI_CXL_DEV_CAP_IO},
                            {"Mem", PCI_CXL_DEV_CAP_MEM},
                            {"Mem HW Init", PCI_CXL_DEV_CAP_MEM_HWINIT}})
        .decimal("HDMCount", PCI_CXL_DEV_CAP_HDM_CNT(capability), " HDMCount ")
        .flags(capability, {{"Viral", PCI_CXL_DEV_CAP_VIRAL}});
    const unsigned control = config.u16(at + PCI_CXL_DEV_CTRL);
    out.add("CXLCtl", Gap::tab)
        .row()
        .flags(control, {{"Cache", PCI_CXL_DEV_CTRL_CACHE}, {"IO", PCI_CXL_DEV_CTRL_IO}, {"Mem", PCI_CXL_DEV_CTRL_MEM}})
        .decimal("Cache SF Cov", PCI_CXL_DEV_CTRL_CACHE_SF_COV(control), " Cache SF Cov ")
        .decimal("Cache SF Gran", PCI_CXL_DEV_CTRL_CACHE_SF_GRAN(control), " Cache SF Gran ")
        .flags(control, {{"Cache Clean", PCI_CXL_DEV_CTRL_CACHE_CLN}, {"Viral", PCI_CXL_DEV_CTRL_VIRAL}});
    out.add("CXLSta", Gap::tab).row().flags(config.u16(at + PCI_CXL_DEV_STATUS), {{"Viral", PCI_CXL_DEV_STATUS_VIRAL}});
    out.add("CXLSta2", Gap::tab)
        .row()
        .flags(config.u16(at + PCI_CXL_DEV_STATUS2), {{"ResetComplete", PCI_CXL_DEV_STATUS_RC},
                                                      {"ResetError", PCI_CXL_DEV_STATUS_RE},
                                                      {"PMComplete", PCI_CXL_DEV_STATUS_PMC}});
    cache_size(config.u16(at + PCI_CXL_DEV_CAP2), out);
    range(config, at + PCI_CXL_DEV_RANGE1_SIZE_HI, 1, out);
    range(config, at + PCI_CXL_DEV_RANGE2_SIZE_HI, 2, out);
}

void function_map(const ConfigImage& config, unsigned at, unsigned length, Capability& out) {
    for (unsigned index = 0; index < 8; ++index)
        if (const unsigned offset = PCI_CXL_FUN_MAP_REG_0 + 4 * index; offset + 4 <= length)
            out.add(fmt::format("FuncMap {}", index)).row().hex("Functions", config.u32(at + offset), 8, " ");
}

void port(const ConfigImage& config, unsigned at, Capability& out) {
    out.add("CXLPortSta", Gap::tab)
        .row()
        .flags(config.u16(at + PCI_CXL_PORT_EXT_STATUS), {{"PMComplete", PCI_CXL_PORT_PM_INIT_COMPLETE}});
    out.add("CXLPortCtl", Gap::tab)
        .row()
        .flags(config.u16(at + PCI_CXL_PORT_CTRL), {{"UnmaskSBR", PCI_CXL_PORT_UNMASK_SBR},
                                                    {"UnmaskLinkDisable", PCI_CXL_PORT_UNMASK_LINK},
                                                    {"AltMem", PCI_CXL_PORT_ALT_MEMORY},
                                                    {"AltBME", PCI_CXL_PORT_ALT_BME},
                                                    {"ViralEnable", PCI_CXL_PORT_VIRAL_EN}});
    out.add("AlternateBus", Gap::tab)
        .row()
        .hex("Base", config.u8(at + PCI_CXL_PORT_ALT_BUS_BASE), 2, " ")
        .hex("Limit", config.u8(at + PCI_CXL_PORT_ALT_BUS_LIMIT), 2, "-");
    // lspci has the same name for the window of memory, which is no bus.
    const unsigned base = config.u16(at + PCI_CXL_PORT_ALT_MEM_BASE);
    const unsigned limit = config.u16(at + PCI_CXL_PORT_ALT_MEM_LIMIT);
    out.line(fmt::format("AlternateBus:\t{:04x}-{:04x}", base, limit));
    out.fields("AlternateMemory").row().hex("Base", base, 4, "").hex("Limit", limit, 4, "");
}

/// A time of Global Persistent Flush: bits 0 to 3 count what bits 8 to 11 say, powers of ten from 1 us to 10 s.
void flush_time(const std::string& name, const char* key, unsigned word, Capability& out) {
    constexpr const char* kUnits[] = {"us", "us", "us", "ms", "ms", "ms", "s", "s"};
    constexpr unsigned kFactors[] = {1, 10, 100, 1, 10, 100, 1, 10};
    constexpr std::uint64_t kMicroseconds[] = {1, 10, 100, 1000, 10'000, 100'000, 1'000'000, 10'000'000};
    const unsigned count = word & 0xf;
    const unsigned scale = word >> 8 & 0xf;
    if (scale >= std::size(kUnits)) {
        out.remark(fmt::format("Reserved time scale encoding {:x}", scale));
        out.add(name).row().decimal(key, count, " ", "<?>").silent("microseconds", Absent{});
    } else {
        out.add(name)
            .row()
            .decimal(key, std::uint64_t{count} * kFactors[scale], " ", kUnits[scale])
            .silent("microseconds", Number{count * kMicroseconds[scale]});
    }
}

void flush_of_port(const ConfigImage& config, unsigned at, Capability& out) {
    flush_time("GPF Phase 1 Timeout", "Timeout", config.u16(at + PCI_CXL_GPF_PORT_PHASE1_CTRL), out);
    flush_time("GPF Phase 2 Timeout", "Timeout", config.u16(at + PCI_CXL_GPF_PORT_PHASE2_CTRL), out);
}

void flush_of_device(const ConfigImage& config, unsigned at, Capability& out) {
    flush_time("GPF Phase 2 Duration", "Duration", config.u16(at + PCI_CXL_GPF_DEV_PHASE2_DUR), out);
    out.add("GPF Phase 2 Power").row().decimal("Power", config.u32(at + PCI_CXL_GPF_DEV_PHASE2_POW), " ", "mW");
}

void flex_bus(const ConfigImage& config, unsigned at, unsigned revision, unsigned length, Capability& out) {
    if (revision < 1) return out.remark(fmt::format("Revision {} not supported", revision));
    const bool wide_flits = revision > 1;
    const auto flits = [&](Row& row, unsigned word) {
        if (wide_flits) row.flags(word, {{"256BFlit", PCI_CXL_FB_CAP_256B_FLIT}, {"PBRFlit", PCI_CXL_FB_CAP_PBR_FLIT}});
    };
    const unsigned capability = config.u16(at + PCI_CXL_FB_PORT_CAP);
    flits(out.add("FBCap", Gap::tab)
              .row()
              .flags(capability, {{"Cache", PCI_CXL_FB_CAP_CACHE},
                                  {"IO", PCI_CXL_FB_CAP_IO},
                                  {"Mem", PCI_CXL_FB_CAP_MEM},
                                  {"68BFlit", PCI_CXL_FB_CAP_68B_FLIT},
                                  {"MltLogDev", PCI_CXL_FB_CAP_MULT_LOG_DEV}}),
          capability);
    const unsigned control = config.u16(at + PCI_CXL_FB_PORT_CTRL);
    flits(out.add("FBCtl", Gap::tab)
              .row()
              .flags(control, {{"Cache", PCI_CXL_FB_CTRL_CACHE},
                               {"IO", PCI_CXL_FB_CTRL_IO},
                               {"Mem", PCI_CXL_FB_CTRL_MEM},
                               {"SynHdrByp", PCI_CXL_FB_CTRL_SYNC_HDR_BYP},
                               {"DrftBuf", PCI_CXL_FB_CTRL_DRFT_BUF},
                               {"68BFlit", PCI_CXL_FB_CTRL_68B_FLIT},
                               {"MltLogDev", PCI_CXL_FB_CTRL_MULT_LOG_DEV},
                               {"RCD", PCI_CXL_FB_CTRL_RCD},
                               {"Retimer1", PCI_CXL_FB_CTRL_RETIMER1},
                               {"Retimer2", PCI_CXL_FB_CTRL_RETIMER2}}),
          control);
    const unsigned status = config.u16(at + PCI_CXL_FB_PORT_STATUS);
    flits(out.add("FBSta", Gap::tab)
              .row()
              .flags(status, {{"Cache", PCI_CXL_FB_STAT_CACHE},
                              {"IO", PCI_CXL_FB_STAT_IO},
                              {"Mem", PCI_CXL_FB_STAT_MEM},
                              {"SynHdrByp", PCI_CXL_FB_STAT_SYNC_HDR_BYP},
                              {"DrftBuf", PCI_CXL_FB_STAT_DRFT_BUF},
                              {"68BFlit", PCI_CXL_FB_STAT_68B_FLIT},
                              {"MltLogDev", PCI_CXL_FB_STAT_MULT_LOG_DEV}}),
          status);
    if (length < PCI_CXL_FB_PORT_CAP2) return;
    out.add("FBModTS", Gap::tab)
        .row()
        .hex("ReceivedFBData", config.u32(at + PCI_CXL_FB_MOD_TS_DATA) & 0xffffff, 6, " Received FB Data: ");
    if (!wide_flits || length < PCI_CXL_FB_LEN) return;
    out.add("FBCap2", Gap::tab)
        .row()
        .flags(config.u32(at + PCI_CXL_FB_PORT_CAP2), {{"NOPHint", PCI_CXL_FB_CAP2_NOP_HINT}});
    out.add("FBCtl2", Gap::tab)
        .row()
        .flags(config.u32(at + PCI_CXL_FB_PORT_CTRL2), {{"NOPHint", PCI_CXL_FB_CTRL2_NOP_HINT}});
    out.add("FBSta2", Gap::tab)
        .row()
        .hex("NOPHintInfo", config.u32(at + PCI_CXL_FB_PORT_STATUS2) & 3, 1, " NOPHintInfo: ");
}

void register_locator(const ConfigImage& config, unsigned at, unsigned length, Capability& out) {
    constexpr const char* kBlocks[] = {nullptr, "component registers", "BAR virtualization", "CXL device registers",
                                       "CPMU registers"};
    constexpr unsigned kVendor = 0xff;
    for (unsigned index = 0; PCI_CXL_RL_BLOCK1_LO + 8 * (index + 1) <= length; ++index) {
        const unsigned here = at + PCI_CXL_RL_BLOCK1_LO + 8 * index;
        const std::uint32_t low = config.u32(here);
        const unsigned block = low >> 8 & 0xff;
        if (block == 0) continue;
        out.add(fmt::format("Block{}", index + 1))
            .row()
            .decimal("BIR", low & 7, " BIR: bar")
            .text("ID", block == kVendor ? "vendor-specific" : choose(kBlocks, block, "<?>"), ", ID: ")
            .silent("IDNumber", Number{block})
            .hex("offset", std::uint64_t{config.u32(here + 4)} << 32 | (low & 0xffff0000), 16, ", offset: ");
    }
}

void logical_devices(const ConfigImage& config, unsigned at, Capability& out) {
    const unsigned count = config.u16(at + PCI_CXL_MLD_NUM_LD);
    if (count >= 1 && count <= PCI_CXL_MLD_MAX_LD) out.add("NumLogDevs").row().decimal("Count", count, " ");
}

}  // namespace

void decode_cxl(const CapabilityInput& in, const DesignatedVendor& dvsec, Capability& out) {
    const ConfigImage& config = in.config;
    const unsigned at = out.offset;
    if (!config.has(at, dvsec.length)) return;
    switch (dvsec.id) {
        case 0:
            if (dvsec.revision >= 1 && dvsec.length >= PCI_CXL_DEV_LEN) device(config, at, out);
            return;
        case 2:
            return function_map(config, at, dvsec.length, out);
        case 3:
            if (dvsec.length >= PCI_CXL_PORT_EXT_LEN) port(config, at, out);
            return;
        case 4:
            return flush_of_port(config, at, out);
        case 5:
            return flush_of_device(config, at, out);
        case 7:
            return flex_bus(config, at, dvsec.revision, dvsec.length, out);
        case 8:
            return register_locator(config, at, dvsec.length, out);
        case 9:
            return logical_devices(config, at, out);
        default:
            return out.remark(fmt::format("Unknown ID {:04x}", dvsec.id));
    }
}

}  // namespace pcienic::ls
