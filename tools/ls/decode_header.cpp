// SPDX-License-Identifier: GPL-2.0-or-later
// The first 64 bytes of configuration space (PCI Local Bus 3.0, 6.1; PCI-to-PCI Bridge 1.2, chapter 3).
#include <fmt/format.h>
#include <pci/header.h>

#include <bitset>
#include <optional>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

constexpr std::uint64_t kMemoryMask = ~std::uint64_t{0xf};
constexpr std::uint64_t kIoMask = ~std::uint64_t{0x3};
constexpr unsigned kHeaderTypeMask = 0x7f;

std::string devsel(unsigned status) {
    constexpr const char* kSpeeds[] = {"fast", "medium", "slow", "??"};
    return kSpeeds[(status & PCI_STATUS_DEVSEL_MASK) >> 9];
}

unsigned bar_count(unsigned header_type) {
    switch (header_type) {
        case PCI_HEADER_TYPE_NORMAL:
            return 6;
        case PCI_HEADER_TYPE_BRIDGE:
            return 2;
        case PCI_HEADER_TYPE_CARDBUS:
            return 1;
        default:
            return 0;
    }
}

/// Where the first capability of this kind is; 0 if there is none.
unsigned find_capability(const ConfigImage& config, unsigned id) {
    if ((config.u16(PCI_STATUS) & PCI_STATUS_CAP_LIST) == 0) return 0;
    std::bitset<256> seen;
    for (unsigned at = config.u8(PCI_CAPABILITY_LIST) & ~3U; at != 0 && !seen[at];
         at = config.u8(at + PCI_CAP_LIST_NEXT) & ~3U) {
        seen[at] = true;
        if (config.u8(at + PCI_CAP_LIST_ID) == id) return at;
        if (config.u8(at + PCI_CAP_LIST_ID) == 0xff) return 0;
    }
    return 0;
}

void at_verbosity(Register& line, int min, int max = kMaxVerbosity) {
    line.min_verbosity = min;
    line.max_verbosity = max;
}

void command_and_status(const ConfigImage& config, Function& out) {
    const unsigned command = config.u16(PCI_COMMAND);
    const unsigned status = config.u16(PCI_STATUS);
    out.header.push_back({.name = "Control", .rows = {}});
    out.header.back().row().flags(command, {{"I/O", PCI_COMMAND_IO},
                                            {"Mem", PCI_COMMAND_MEMORY},
                                            {"BusMaster", PCI_COMMAND_MASTER},
                                            {"SpecCycle", PCI_COMMAND_SPECIAL},
                                            {"MemWINV", PCI_COMMAND_INVALIDATE},
                                            {"VGASnoop", PCI_COMMAND_VGA_PALETTE},
                                            {"ParErr", PCI_COMMAND_PARITY},
                                            {"Stepping", PCI_COMMAND_WAIT},
                                            {"SERR", PCI_COMMAND_SERR},
                                            {"FastB2B", PCI_COMMAND_FAST_BACK},
                                            {"DisINTx", PCI_COMMAND_DISABLE_INTx}});
    out.header.push_back({.name = "Status", .rows = {}});
    out.header.back()
        .row()
        .flags(status, {{"Cap", PCI_STATUS_CAP_LIST},
                        {"66MHz", PCI_STATUS_66MHZ},
                        {"UDF", PCI_STATUS_UDF},
                        {"FastB2B", PCI_STATUS_FAST_BACK},
                        {"ParErr", PCI_STATUS_PARITY}})
        .text("DEVSEL", devsel(status), " DEVSEL=")
        .flags(status, {{">TAbort", PCI_STATUS_SIG_TARGET_ABORT},
                        {"<TAbort", PCI_STATUS_REC_TARGET_ABORT},
                        {"<MAbort", PCI_STATUS_REC_MASTER_ABORT},
                        {">SERR", PCI_STATUS_SIG_SYSTEM_ERROR},
                        {"<PERR", PCI_STATUS_DETECTED_PARITY},
                        {"INTx", PCI_STATUS_INTx}});
}

/// lspci -v has one line where -vv has five.
void flags_line(const ConfigImage& config, const SystemView& system, unsigned latency, Function& out) {
    const unsigned command = config.u16(PCI_COMMAND);
    const unsigned status = config.u16(PCI_STATUS);
    out.header.push_back({.name = "Flags", .rows = {}});
    at_verbosity(out.header.back(), 1, 1);
    Row& row = out.header.back().row();
    const auto mention = [&row](const char* key, bool set) { row.add(key, Mark{set}, " ", std::string(key) + ","); };
    mention("bus master", (command & PCI_COMMAND_MASTER) != 0);
    mention("VGA palette snoop", (command & PCI_COMMAND_VGA_PALETTE) != 0);
    mention("stepping", (command & PCI_COMMAND_WAIT) != 0);
    mention("fast Back2Back", (command & PCI_COMMAND_FAST_BACK) != 0);
    mention("66MHz", (status & PCI_STATUS_66MHZ) != 0);
    mention("user-definable features", (status & PCI_STATUS_UDF) != 0);
    row.text("devsel", devsel(status), " ", " devsel");
    if ((command & PCI_COMMAND_MASTER) != 0) row.decimal("latency", latency, ", latency ");
    if (system.irq != 0) row.decimal("IRQ", static_cast<unsigned>(system.irq), ", IRQ ");
    if (out.numa_node >= 0) row.decimal("NUMA node", static_cast<unsigned>(out.numa_node), ", NUMA node ");
    if (!out.iommu_group.empty()) row.text("IOMMU group", out.iommu_group, ", IOMMU group ");
}

void latency_line(const ConfigImage& config, unsigned latency, Function& out) {
    if ((config.u16(PCI_COMMAND) & PCI_COMMAND_MASTER) == 0) return;
    out.header.push_back({.name = "Latency", .rows = {}});
    Row& row = out.header.back().row();
    row.decimal("Latency", latency, " ");
    if (out.header_type == PCI_HEADER_TYPE_NORMAL) {
        constexpr unsigned kUnit = 250;  // quarters of a microsecond
        const unsigned min_grant = config.u8(PCI_MIN_GNT) * kUnit;
        const unsigned max_latency = config.u8(PCI_MAX_LAT) * kUnit;
        if (min_grant != 0) row.decimal("min_ns", min_grant, " (", max_latency != 0 ? "ns min," : "ns min)");
        if (max_latency != 0) row.decimal("max_ns", max_latency, min_grant != 0 ? " " : " (", "ns max)");
    }
    if (const unsigned line = config.u8(PCI_CACHE_LINE_SIZE); line != 0)
        row.decimal("CacheLineSize", 4UL * line, ", Cache Line Size: ", " bytes");
}

void self_test_line(const ConfigImage& config, Function& out) {
    const unsigned bist = config.u8(PCI_BIST);
    if ((bist & PCI_BIST_CAPABLE) == 0) return;
    const bool running = (bist & PCI_BIST_START) != 0;
    out.header.push_back({.name = running ? "BIST is running" : "BIST result", .rows = {}});
    at_verbosity(out.header.back(), 1);
    if (!running) out.header.back().row().hex("BIST", bist & PCI_BIST_CODE_MASK, 2, " ");
}

/// `pin`: 0 if the function has none, or no header that could say.
void interrupt_and_place(unsigned pin, const SystemView& system, Function& out) {
    if (pin != 0 || system.irq != 0) {
        out.header.push_back({.name = "Interrupt", .rows = {}});
        const char letter = pin >= 1 && pin <= 4 ? static_cast<char>('A' + pin - 1) : '?';
        out.header.back()
            .row()
            .text("pin", std::string(1, letter), " pin ")
            .decimal("IRQ", static_cast<unsigned>(system.irq), " routed to IRQ ");
    }
    if (out.numa_node >= 0) {
        out.header.push_back({.name = "NUMA node", .rows = {}});
        out.header.back().row().decimal("node", static_cast<unsigned>(out.numa_node), " ");
    }
    if (!out.iommu_group.empty()) {
        out.header.push_back({.name = "IOMMU group", .rows = {}});
        out.header.back().row().text("group", out.iommu_group, " ");
    }
}

void size_field(Row& row, std::uint64_t size) {
    if (size != 0) row.add("size", Bytes{size}, " [size=", "]");
}

/// The low bits of a BAR that the kernel's flags of a resource stand for. Its flags, not the register: what the
/// register does not have (an IDE controller's I/O ports in compatibility mode, a virtual function's BARs) the kernel
/// knows.
std::uint32_t bar_type_of(std::uint64_t flags) {
    // Before Linux 2.6.39 this bit was IORESOURCE_PREFETCH; today it makes a memory resource no resource at all.
    constexpr std::uint64_t kOldPrefetch = 0x1000;
    if ((flags & PCI_IORESOURCE_IO) != 0) return PCI_BASE_ADDRESS_SPACE_IO;
    if ((flags & PCI_IORESOURCE_MEM) == 0) return 0;
    return ((flags & PCI_IORESOURCE_MEM_64) != 0 ? PCI_BASE_ADDRESS_MEM_TYPE_64 : PCI_BASE_ADDRESS_MEM_TYPE_32) |
           ((flags & (PCI_IORESOURCE_PREFETCH | kOldPrefetch)) != 0 ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0U);
}

bool is_64bit_memory(std::uint64_t bar) {
    return (bar & (PCI_BASE_ADDRESS_SPACE_IO | PCI_BASE_ADDRESS_MEM_TYPE_MASK)) == PCI_BASE_ADDRESS_MEM_TYPE_64;
}

/// What the register says beside what the system says.
struct InRegister {
    bool any = false;         ///< it is not 0
    bool is_virtual = false;  ///< the system has an address, and the device none: a virtual function's
    bool broken = false;      ///< a 64-bit BAR in the last place
};

InRegister in_register(const ConfigImage& config, const Resource& resource, std::uint32_t type, bool is_last,
                       unsigned index) {
    const std::uint32_t low = config.u32(PCI_BASE_ADDRESS_0 + 4 * index);
    const bool enhanced = (resource.flags & PCI_IORESOURCE_PCI_EA_BEI) != 0;
    const bool same_space = (low & PCI_BASE_ADDRESS_SPACE) == (type & PCI_BASE_ADDRESS_SPACE);
    const bool is_memory = (resource.flags & PCI_IORESOURCE_MEM) != 0;
    return {.any = low != 0,
            .is_virtual = same_space && resource.base != 0 && low == 0 && !enhanced,
            .broken = same_space && is_memory && is_64bit_memory(low) && is_last};
}

/// `has_registers`: there are `count` BARs in configuration space; else only the system knows them.
void bars(const ConfigImage& config, const SystemView& system, unsigned count, bool has_registers, Function& out) {
    const unsigned command = has_registers ? config.u16(PCI_COMMAND) : PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
    for (unsigned index = 0; index < count; ++index) {
        const Resource& resource = system.bars[index];
        const unsigned here = index;
        std::uint32_t type = system.knows_flags ? bar_type_of(resource.flags)
                             : has_registers    ? config.u32(PCI_BASE_ADDRESS_0 + 4 * here)
                                                : 0;
        if (type == 0xffffffff) type = 0;
        // In a dump the upper half stands in the next place, which is no BAR of its own.
        if (!system.knows_flags && is_64bit_memory(type)) ++index;
        if (resource.base == 0 && type == 0 && resource.size == 0) continue;

        InRegister found;
        if (system.knows_flags && has_registers) found = in_register(config, resource, type, here + 1 == count, here);
        const bool is_io = (type & PCI_BASE_ADDRESS_SPACE_IO) != 0;
        const std::uint64_t address = resource.base & (is_io ? kIoMask : kMemoryMask);
        const char* unassigned = found.any ? "<ignored>" : "<unassigned>";

        Region region{.kind = RegionKind::bar, .index = here, .fields = {}};
        Row& row = region.fields;
        row.text("kind", is_io ? "I/O ports" : "Memory", "", " at ");
        if (is_io) {
            if (address != 0 || (command & PCI_COMMAND_IO) != 0)
                row.hex("address", address, 4, "");
            else
                row.add("address", Absent{unassigned}, "");
        } else {
            if (found.broken)
                row.add("address", Absent{"<broken-64-bit-slot>"}, "");
            else if (address != 0)
                row.hex("address", address, 8, "");
            else
                row.add("address", Absent{unassigned}, "");
            constexpr const char* kWidths[] = {"32-bit", "low-1M", "64-bit", "type 3"};
            row.text("width", kWidths[(type & PCI_BASE_ADDRESS_MEM_TYPE_MASK) >> 1], " (", ", ")
                .text("prefetch", (type & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0 ? "prefetchable" : "non-prefetchable", "",
                      ")");
        }
        const bool decoding = (command & (is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) != 0;
        row.add("virtual", Mark{found.is_virtual}, " [virtual]")
            .add("disabled", Mark{!found.is_virtual && !decoding}, " [disabled]")
            .add("enhanced", Mark{(resource.flags & PCI_IORESOURCE_PCI_EA_BEI) != 0}, " [enhanced]");
        size_field(row, resource.size);
        out.regions.push_back(std::move(region));
    }
}

/// `offset`: of the register; without one only the system knows the ROM.
void rom(const ConfigImage& config, const SystemView& system, std::optional<unsigned> offset, Function& out) {
    constexpr std::uint64_t kMask = ~std::uint64_t{0x7ff};
    const Resource& resource = system.rom;
    std::uint64_t word = offset ? config.u32(*offset) : bar_type_of(resource.flags);
    if (resource.base == 0 && word == 0 && resource.size == 0) return;
    const bool enhanced = (resource.flags & PCI_IORESOURCE_PCI_EA_BEI) != 0;
    const bool is_virtual = offset && (resource.base & kMask) != 0 && (word & kMask) == 0 && !enhanced;
    if (is_virtual) word = resource.base;

    Region region{.kind = RegionKind::rom, .index = 6, .fields = {}};
    Row& row = region.fields;
    row.text("kind", "Expansion ROM", "", " at ");
    if ((resource.base & kMask) != 0)
        row.hex("address", resource.base & kMask, 8, "");
    else
        row.add("address", Absent{(word & kMask) != 0 ? "<ignored>" : "<unassigned>"}, "");
    const bool enabled = (word & PCI_ROM_ADDRESS_ENABLE) != 0;
    const bool decoding = !offset || (config.u16(PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0;
    row.add("virtual", Mark{is_virtual}, " [virtual]")
        .add("disabled", Mark{!enabled}, " [disabled]")
        .add("disabled_by_command", Mark{enabled && !is_virtual && !decoding}, " [disabled by cmd]")
        .add("enhanced", Mark{enhanced}, " [enhanced]");
    size_field(row, resource.size);
    out.regions.push_back(std::move(region));
}

/// One of a bridge's windows. An empty one has its limit below its base; one that the system has turned off may still
/// have addresses in its registers. `bits` 0: of a kind that has no width.
void window(Function& out, const char* name, std::uint64_t base, std::uint64_t limit, unsigned bits, bool off = false) {
    out.bridge.push_back({.name = name, .rows = {}});
    Register& line = out.bridge.back();
    at_verbosity(line, 1);
    Row& row = line.row();
    const int digits = bits == 0 ? 1 : static_cast<int>((bits + 3) / 4);
    const bool empty = base > limit;
    const int shown_from = empty ? 3 : 0;
    row.add("base", Number{base, digits}, " ", "", shown_from).add("limit", Number{limit, digits}, "-", "", shown_from);
    if (!empty && !off) size_field(row, limit - base + 1);
    row.add("disabled", Mark{empty || off}, " [disabled]");
    if (bits != 0) row.decimal("bits", bits, " [", "-bit]");
}

void window_of_system(Function& out, const char* name, const Resource& known, unsigned bits) {
    window(out, name, known.base, known.base + known.size - 1, bits);
}

/// A window's base and limit say their type each, and must agree.
bool types_agree(Function& out, const char* what, unsigned base, unsigned limit, unsigned mask, unsigned widest) {
    if ((base & mask) == (limit & mask) && (base & mask) <= widest) return true;
    out.bridge.push_back({.name = fmt::format("!!! Unknown {} range types {:x}/{:x}", what, base, limit), .rows = {}});
    at_verbosity(out.bridge.back(), 1);
    return false;
}

// Each window is the system's if it has one there, and else the registers': a window that is off has addresses, too. A
// bridge that has no such window at all keeps zeros in its registers.

void io_window(const ConfigImage& config, const SystemView& system, Function& out) {
    constexpr const char* kName = "I/O behind bridge";
    const Resource& known = system.windows[0];
    const bool off = system.knows_windows && known.size == 0;
    if (system.knows_windows && !off) {
        window_of_system(out, kName, known, known.base + known.size > 0x10000 ? 32 : 16);
        return;
    }
    const unsigned low = config.u8(PCI_IO_BASE), high = config.u8(PCI_IO_LIMIT);
    if (!types_agree(out, "I/O", low, high, PCI_IO_RANGE_TYPE_MASK, PCI_IO_RANGE_TYPE_32)) return;
    std::uint64_t base = (low & 0xf0U) << 8;
    std::uint64_t limit = (high & 0xf0U) << 8;
    const bool wide = (low & PCI_IO_RANGE_TYPE_MASK) == PCI_IO_RANGE_TYPE_32;
    if (wide) {
        base |= std::uint64_t{config.u16(PCI_IO_BASE_UPPER16)} << 16;
        limit |= std::uint64_t{config.u16(PCI_IO_LIMIT_UPPER16)} << 16;
    }
    if (off && base == 0 && limit == 0) return;
    window(out, kName, base, limit | 0xfff, wide ? 32 : 16, off);
}

void memory_window(const ConfigImage& config, const SystemView& system, Function& out) {
    constexpr const char* kName = "Memory behind bridge";
    const Resource& known = system.windows[1];
    const bool off = system.knows_windows && known.size == 0;
    if (system.knows_windows && !off) {
        window_of_system(out, kName, known, 32);
        return;
    }
    const unsigned low = config.u16(PCI_MEMORY_BASE), high = config.u16(PCI_MEMORY_LIMIT);
    if (types_agree(out, "memory", low, high, PCI_MEMORY_RANGE_TYPE_MASK, 0))
        window(out, kName, std::uint64_t{low & 0xfff0U} << 16, std::uint64_t{high & 0xfff0U} << 16 | 0xfffff, 32, off);
}

void prefetchable_window(const ConfigImage& config, const SystemView& system, Function& out) {
    constexpr const char* kName = "Prefetchable memory behind bridge";
    const Resource& known = system.windows[2];
    const bool off = system.knows_windows && known.size == 0;
    if (system.knows_windows && !off) {
        window_of_system(out, kName, known, (known.flags & PCI_IORESOURCE_MEM_64) != 0 ? 64 : 32);
        return;
    }
    const unsigned low = config.u16(PCI_PREF_MEMORY_BASE), high = config.u16(PCI_PREF_MEMORY_LIMIT);
    if (!types_agree(out, "prefetchable memory", low, high, PCI_PREF_RANGE_TYPE_MASK, PCI_PREF_RANGE_TYPE_64)) return;
    std::uint64_t base = std::uint64_t{low & 0xfff0U} << 16;
    std::uint64_t limit = std::uint64_t{high & 0xfff0U} << 16;
    const bool wide = (low & PCI_PREF_RANGE_TYPE_MASK) == PCI_PREF_RANGE_TYPE_64;
    if (wide) {
        base |= std::uint64_t{config.u32(PCI_PREF_BASE_UPPER32)} << 32;
        limit |= std::uint64_t{config.u32(PCI_PREF_LIMIT_UPPER32)} << 32;
    }
    if (off && base == 0 && limit == 0) return;
    window(out, kName, base, limit | 0xfffff, wide ? 64 : 32, off);
}

/// Of a function whose header means nothing: what the system has behind it, by the flags alone.
void windows_of_unknown(const SystemView& system, Function& out) {
    for (const Resource& known : system.windows) {
        if (known.base == 0) continue;
        if ((known.flags & PCI_IORESOURCE_IO) != 0)
            window_of_system(out, "I/O behind bridge", known,
                             (known.flags & PCI_IORESOURCE_IO_16BIT_ADDR) != 0 ? 16 : 32);
        else if ((known.flags & PCI_IORESOURCE_MEM) != 0)
            window_of_system(out,
                             (known.flags & PCI_IORESOURCE_PREFETCH) != 0 ? "Prefetchable memory behind bridge"
                                                                          : "Memory behind bridge",
                             known, (known.flags & PCI_IORESOURCE_MEM_64) != 0 ? 64 : 32);
        else
            window_of_system(out, "Unknown resource behind bridge", known, 0);
    }
}

void bus_numbers(const ConfigImage& config, Function& out) {
    out.is_bridge = true;
    out.secondary_bus = config.u8(PCI_SECONDARY_BUS);
    out.subordinate_bus = config.u8(PCI_SUBORDINATE_BUS);
    out.bridge.push_back({.name = "Bus", .rows = {}});
    at_verbosity(out.bridge.back(), 1);
    out.bridge.back()
        .row()
        .hex("primary", config.u8(PCI_PRIMARY_BUS), 2, " primary=", ",")
        .hex("secondary", out.secondary_bus, 2, " secondary=", ",")
        .hex("subordinate", out.subordinate_bus, 2, " subordinate=", ",")
        .decimal("sec-latency", config.u8(PCI_SEC_LATENCY_TIMER), " sec-latency=");
}

void bridge(const ConfigImage& config, const SystemView& system, Function& out) {
    bus_numbers(config, out);
    io_window(config, system, out);
    memory_window(config, system, out);
    prefetchable_window(config, system, out);

    const unsigned status = config.u16(PCI_SEC_STATUS);
    out.bridge.push_back({.name = "Secondary status", .rows = {}});
    out.bridge.back()
        .row()
        .flags(status, {{"66MHz", PCI_STATUS_66MHZ}, {"FastB2B", PCI_STATUS_FAST_BACK}, {"ParErr", PCI_STATUS_PARITY}})
        .text("DEVSEL", devsel(status), " DEVSEL=")
        .flags(status, {{">TAbort", PCI_STATUS_SIG_TARGET_ABORT},
                        {"<TAbort", PCI_STATUS_REC_TARGET_ABORT},
                        {"<MAbort", PCI_STATUS_REC_MASTER_ABORT},
                        {"<SERR", PCI_STATUS_SIG_SYSTEM_ERROR},
                        {"<PERR", PCI_STATUS_DETECTED_PARITY}});

    const unsigned control = config.u16(PCI_BRIDGE_CONTROL);
    out.bridge_control.push_back({.name = "BridgeCtl", .rows = {}});
    Register& line = out.bridge_control.back();
    line.row().flags(control, {{"Parity", PCI_BRIDGE_CTL_PARITY},
                               {"SERR", PCI_BRIDGE_CTL_SERR},
                               {"NoISA", PCI_BRIDGE_CTL_NO_ISA},
                               {"VGA", PCI_BRIDGE_CTL_VGA},
                               {"VGA16", PCI_BRIDGE_CTL_VGA_16BIT},
                               {"MAbort", PCI_BRIDGE_CTL_MASTER_ABORT},
                               {">Reset", PCI_BRIDGE_CTL_BUS_RESET},
                               {"FastB2B", PCI_BRIDGE_CTL_FAST_BACK}});
    line.row().flags(control, {{"PriDiscTmr", PCI_BRIDGE_CTL_PRI_DISCARD_TIMER},
                               {"SecDiscTmr", PCI_BRIDGE_CTL_SEC_DISCARD_TIMER},
                               {"DiscTmrStat", PCI_BRIDGE_CTL_DISCARD_TIMER_STATUS},
                               {"DiscTmrSERREn", PCI_BRIDGE_CTL_DISCARD_TIMER_SERR_EN}});
}

/// One of a CardBus bridge's windows: four bytes an address, and the limit is the last unit's first byte.
void cardbus_window(Function& out, std::string name, std::uint32_t base, std::uint32_t limit, bool decoding,
                    std::optional<bool> prefetchable) {
    out.bridge.push_back({.name = std::move(name), .rows = {}});
    Register& line = out.bridge.back();
    at_verbosity(line, base <= limit ? 1 : 3);
    line.row().hex("base", base, 8, " ").hex("limit", limit, 8, "-").add("disabled", Mark{!decoding}, " [disabled]");
    if (prefetchable) line.rows.back().add("prefetchable", Mark{*prefetchable}, " (prefetchable)");
}

/// PC Card Standard, volume 2, 4.5. False if only the first half of the header is there, which names no capabilities.
bool cardbus(const ConfigImage& config, const SystemView& system, Function& out) {
    const unsigned command = config.u16(PCI_COMMAND);
    const unsigned control = config.u16(PCI_CB_BRIDGE_CONTROL);
    bus_numbers(config, out);  // at the same places as a PCI bridge's
    for (unsigned index = 0; index < 2; ++index)
        cardbus_window(out, fmt::format("Memory window {}", index), config.u32(PCI_CB_MEMORY_BASE_0 + 8 * index),
                       config.u32(PCI_CB_MEMORY_LIMIT_0 + 8 * index) + 0xfff, (command & PCI_COMMAND_MEMORY) != 0,
                       (control & PCI_CB_BRIDGE_CTL_PREFETCH_MEM0 << index) != 0);
    for (unsigned index = 0; index < 2; ++index) {
        std::uint32_t base = config.u32(PCI_CB_IO_BASE_0 + 8 * index);
        std::uint32_t limit = config.u32(PCI_CB_IO_LIMIT_0 + 8 * index);
        if ((base & PCI_IO_RANGE_TYPE_32) == 0) {
            base &= 0xffff;
            limit &= 0xffff;
        }
        cardbus_window(out, fmt::format("I/O window {}", index), base & ~3U, (limit & ~3U) + 3,
                       (command & PCI_COMMAND_IO) != 0, std::nullopt);
    }
    if ((config.u16(PCI_CB_SEC_STATUS) & PCI_STATUS_SIG_SYSTEM_ERROR) != 0) {
        out.bridge.push_back({.name = "Secondary status", .rows = {}});
        at_verbosity(out.bridge.back(), 1);
        out.bridge.back().row().add("SERR", Mark{true}, " SERR");
    }
    out.bridge_control.push_back({.name = "BridgeCtl", .rows = {}});
    out.bridge_control.back().row().flags(control, {{"Parity", PCI_CB_BRIDGE_CTL_PARITY},
                                                    {"SERR", PCI_CB_BRIDGE_CTL_SERR},
                                                    {"ISA", PCI_CB_BRIDGE_CTL_ISA},
                                                    {"VGA", PCI_CB_BRIDGE_CTL_VGA},
                                                    {"MAbort", PCI_CB_BRIDGE_CTL_MASTER_ABORT},
                                                    {">Reset", PCI_CB_BRIDGE_CTL_CB_RESET},
                                                    {"16bInt", PCI_CB_BRIDGE_CTL_16BIT_INT},
                                                    {"PostWrite", PCI_CB_BRIDGE_CTL_POST_WRITES}});
    if (!config.has(0, ConfigImage::kCardBusHeaderSize)) {
        out.bridge_control.push_back(
            {.name = system.from_dump ? "<the rest is not in the dump>" : "<access denied to the rest>", .rows = {}});
        at_verbosity(out.bridge_control.back(), 1);
        return false;
    }
    if (const unsigned ports = config.u16(PCI_CB_LEGACY_MODE_BASE); ports != 0) {
        out.bridge_control.push_back({.name = "16-bit legacy interface ports at", .gap = Gap::none, .rows = {}});
        at_verbosity(out.bridge_control.back(), 1);
        out.bridge_control.back().row().hex("ports", ports, 4, "");
    }
    return true;
}

}  // namespace

SystemView SystemView::from(const ConfigImage& config) {
    SystemView system;
    system.from_dump = true;
    if (!config.has(0, ConfigImage::kHeaderSize)) return system;
    system.irq = config.u8(PCI_INTERRUPT_LINE);
    system.device_class = config.u16(PCI_CLASS_DEVICE);
    const unsigned count = bar_count(config.u8(PCI_HEADER_TYPE) & kHeaderTypeMask);
    for (unsigned index = 0; index < count; ++index) {
        const unsigned here = index;
        const std::uint32_t low = config.u32(PCI_BASE_ADDRESS_0 + 4 * here);
        if (low == 0 || low == 0xffffffff) continue;
        if (!is_64bit_memory(low))
            system.bars[here].base = low;
        else if (here + 1 < count)  // else there is no place for its upper half
            system.bars[here].base = low | std::uint64_t{config.u32(PCI_BASE_ADDRESS_0 + 4 * ++index)} << 32;
    }
    const unsigned header_type = config.u8(PCI_HEADER_TYPE) & kHeaderTypeMask;
    if (header_type == PCI_HEADER_TYPE_NORMAL || header_type == PCI_HEADER_TYPE_BRIDGE) {
        const std::uint32_t base =
            config.u32(header_type == PCI_HEADER_TYPE_NORMAL ? PCI_ROM_ADDRESS : PCI_ROM_ADDRESS1);
        if (base != 0xffffffff) system.rom.base = base;
    }
    return system;
}

bool SystemView::has_memory_bar() const {
    for (const Resource& bar : bars)
        if ((bar.base & PCI_BASE_ADDRESS_SPACE_IO) == 0 && (bar.base != 0 || bar.size != 0)) return true;
    return false;
}

Identity identity_of(const ConfigImage& config) {
    Identity identity{.vendor = config.u16(PCI_VENDOR_ID),
                      .device = config.u16(PCI_DEVICE_ID),
                      .device_class = config.u16(PCI_CLASS_DEVICE),
                      .programming_interface = config.u8(PCI_CLASS_PROG),
                      .revision = config.u8(PCI_REVISION_ID)};
    const auto subsystem_at = [&](std::size_t vendor, std::size_t device) {
        identity.subsystem_vendor = config.u16(vendor);
        identity.subsystem_device = config.u16(device);
    };
    switch (config.u8(PCI_HEADER_TYPE) & kHeaderTypeMask) {
        case PCI_HEADER_TYPE_NORMAL:
            subsystem_at(PCI_SUBSYSTEM_VENDOR_ID, PCI_SUBSYSTEM_ID);
            break;
        case PCI_HEADER_TYPE_CARDBUS:
            subsystem_at(PCI_CB_SUBSYSTEM_VENDOR_ID, PCI_CB_SUBSYSTEM_ID);
            break;
        case PCI_HEADER_TYPE_BRIDGE:
            if (const unsigned at = find_capability(config, PCI_CAP_ID_SSVID); at != 0)
                subsystem_at(at + PCI_SSVID_VENDOR, at + PCI_SSVID_DEVICE);
            break;
        default:
            break;
    }
    return identity;
}

bool decode_header(const ConfigImage& config, const SystemView& system, Function& function) {
    const bool is_there = config.has(0, ConfigImage::kHeaderSize);
    function.header_type = is_there ? config.u8(PCI_HEADER_TYPE) & kHeaderTypeMask : kHeaderTypeMask;
    const unsigned class_code = system.device_class;
    const unsigned count = bar_count(function.header_type);
    if (count == 0) {
        function.header_fault = is_there ? fmt::format("Unknown header type {:02x}", function.header_type)
                                         : fmt::format("Only {} bytes of the header {}", config.bytes().size(),
                                                       system.from_dump ? "are in the dump" : "could be read");
        interrupt_and_place(0, system, function);
        bars(config, system, static_cast<unsigned>(system.bars.size()), false, function);
        windows_of_unknown(system, function);
        rom(config, system, std::nullopt, function);
        return false;
    }
    // Every bridge's class begins with 06; a PCI-to-PCI bridge has a header of its own kind.
    const bool bridge_class = class_code >> 8 == PCI_BASE_CLASS_BRIDGE;
    const bool normal = function.header_type == PCI_HEADER_TYPE_NORMAL;
    if (normal ? class_code == PCI_CLASS_BRIDGE_PCI : !bridge_class)
        function.header_fault =
            fmt::format("Invalid class {:04x} for header type {:02x}", class_code, function.header_type);

    const unsigned latency = config.u8(PCI_LATENCY_TIMER);
    command_and_status(config, function);
    flags_line(config, system, latency, function);
    latency_line(config, latency, function);
    interrupt_and_place(config.u8(PCI_INTERRUPT_PIN), system, function);
    self_test_line(config, function);
    bars(config, system, count, true, function);
    switch (function.header_type) {
        case PCI_HEADER_TYPE_BRIDGE:
            rom(config, system, PCI_ROM_ADDRESS1, function);
            bridge(config, system, function);
            return true;
        case PCI_HEADER_TYPE_CARDBUS:
            return cardbus(config, system, function);
        default:
            rom(config, system, PCI_ROM_ADDRESS, function);
            return true;
    }
}

}  // namespace pcienic::ls
