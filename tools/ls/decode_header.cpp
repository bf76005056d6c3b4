// SPDX-License-Identifier: GPL-2.0-or-later
// The first 64 bytes of configuration space (PCI Local Bus 3.0, 6.1; PCI-to-PCI Bridge 1.2, chapter 3).
#include <fmt/format.h>
#include <pci/header.h>

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
    if (system.numa_node >= 0) row.decimal("NUMA node", static_cast<unsigned>(system.numa_node), ", NUMA node ");
    if (!system.iommu_group.empty()) row.text("IOMMU group", system.iommu_group, ", IOMMU group ");
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

void interrupt_and_place(const ConfigImage& config, const SystemView& system, Function& out) {
    const unsigned pin = config.u8(PCI_INTERRUPT_PIN);
    const bool has_pin = out.header_type == PCI_HEADER_TYPE_NORMAL || out.header_type == PCI_HEADER_TYPE_BRIDGE ||
                         out.header_type == PCI_HEADER_TYPE_CARDBUS;
    if (has_pin && (pin != 0 || system.irq != 0)) {
        out.header.push_back({.name = "Interrupt", .rows = {}});
        const char letter = pin >= 1 && pin <= 4 ? static_cast<char>('A' + pin - 1) : '?';
        out.header.back()
            .row()
            .text("pin", std::string(1, letter), " pin ")
            .decimal("IRQ", static_cast<unsigned>(system.irq), " routed to IRQ ");
    }
    if (system.numa_node >= 0) {
        out.header.push_back({.name = "NUMA node", .rows = {}});
        out.header.back().row().decimal("node", static_cast<unsigned>(system.numa_node), " ");
    }
    if (!system.iommu_group.empty()) {
        out.header.push_back({.name = "IOMMU group", .rows = {}});
        out.header.back().row().text("group", system.iommu_group, " ");
    }
}

void size_field(Row& row, std::uint64_t size) {
    if (size != 0) row.add("size", Bytes{size}, " [size=", "]");
}

void bars(const ConfigImage& config, const SystemView& system, unsigned count, Function& out) {
    const unsigned command = config.u16(PCI_COMMAND);
    for (unsigned index = 0; index < count; ++index) {
        const Resource& resource = system.bars[index];
        std::uint64_t type = config.u32(PCI_BASE_ADDRESS_0 + 4 * index);
        if (type == 0xffffffff) type = 0;
        if (resource.base == 0 && type == 0 && resource.size == 0) continue;

        Region region{.kind = RegionKind::bar, .index = index, .fields = {}};
        std::uint64_t in_register = 0;  // the address as the device has it
        bool broken = false;
        if ((type & PCI_BASE_ADDRESS_SPACE_IO) != 0) {
            in_register = type & kIoMask;
        } else {
            in_register = type & kMemoryMask;
            if ((type & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64) {
                if (index + 1 >= count)
                    broken = true;
                else
                    in_register |= std::uint64_t{config.u32(PCI_BASE_ADDRESS_0 + 4 * ++index)} << 32;
            }
        }
        const bool enhanced = (resource.flags & PCI_IORESOURCE_PCI_EA_BEI) != 0;
        // The system has an address and the device none: a virtual function's BAR.
        const bool is_virtual = resource.base != 0 && in_register == 0 && !enhanced;
        if (is_virtual) type = resource.base;

        Row& row = region.fields;
        const char* unassigned = in_register != 0 ? "<ignored>" : "<unassigned>";
        const bool is_io = (type & PCI_BASE_ADDRESS_SPACE_IO) != 0;
        const std::uint64_t address = resource.base & (is_io ? kIoMask : kMemoryMask);
        row.text("kind", is_io ? "I/O ports" : "Memory", "", " at ");
        if (is_io) {
            if (address != 0 || (command & PCI_COMMAND_IO) != 0)
                row.hex("address", address, 4, "");
            else
                row.add("address", Absent{unassigned}, "");
        } else {
            if (broken)
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
        row.add("virtual", Mark{is_virtual}, " [virtual]")
            .add("disabled", Mark{!is_virtual && !decoding}, " [disabled]")
            .add("enhanced", Mark{enhanced}, " [enhanced]");
        size_field(row, resource.size);
        out.regions.push_back(std::move(region));
    }
}

void rom(const ConfigImage& config, const SystemView& system, unsigned offset, Function& out) {
    std::uint64_t in_register = config.u32(offset);
    if (in_register == 0xffffffff) in_register = 0;
    const Resource& resource = system.rom;
    if (resource.base == 0 && in_register == 0 && resource.size == 0) return;
    const std::uint64_t mask = ~std::uint64_t{0x7ff};
    const bool enhanced = (resource.flags & PCI_IORESOURCE_PCI_EA_BEI) != 0;
    const bool is_virtual = (resource.base & mask) != 0 && (in_register & mask) == 0 && !enhanced;
    if (is_virtual) in_register = resource.base;

    Region region{.kind = RegionKind::rom, .index = 6, .fields = {}};
    Row& row = region.fields;
    row.text("kind", "Expansion ROM", "", " at ");
    if ((resource.base & mask) != 0)
        row.hex("address", resource.base & mask, 8, "");
    else
        row.add("address", Absent{(in_register & mask) != 0 ? "<ignored>" : "<unassigned>"}, "");
    const bool enabled = (in_register & PCI_ROM_ADDRESS_ENABLE) != 0;
    const bool decoding = (config.u16(PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0;
    row.add("virtual", Mark{is_virtual}, " [virtual]")
        .add("disabled", Mark{!enabled}, " [disabled]")
        .add("disabled_by_command", Mark{enabled && !is_virtual && !decoding}, " [disabled by cmd]")
        .add("enhanced", Mark{enhanced}, " [enhanced]");
    size_field(row, resource.size);
    out.regions.push_back(std::move(region));
}

/// One of a bridge's windows. An empty one has its limit below its base.
void window(Function& out, const char* name, std::uint64_t base, std::uint64_t limit, unsigned bits) {
    out.bridge.push_back({.name = name, .rows = {}});
    Register& line = out.bridge.back();
    at_verbosity(line, 1);
    Row& row = line.row();
    const int digits = static_cast<int>((bits + 3) / 4);
    const bool empty = base > limit;
    const int shown_from = empty ? 3 : 0;
    row.add("base", Number{base, digits}, " ", "", shown_from).add("limit", Number{limit, digits}, "-", "", shown_from);
    if (!empty) row.add("size", Bytes{limit - base + 1}, " [size=", "]");
    row.add("disabled", Mark{empty}, " [disabled]").decimal("bits", bits, " [", "-bit]");
}

/// A window's base and limit say their type each, and must agree.
bool types_agree(Function& out, const char* what, unsigned base, unsigned limit, unsigned mask, unsigned widest) {
    if ((base & mask) == (limit & mask) && (base & mask) <= widest) return true;
    out.bridge.push_back({.name = fmt::format("!!! Unknown {} range types {:x}/{:x}", what, base, limit), .rows = {}});
    at_verbosity(out.bridge.back(), 1);
    return false;
}

void windows_of_system(const SystemView& system, Function& out) {
    constexpr std::array<const char*, 3> kNames = {"I/O behind bridge", "Memory behind bridge",
                                                   "Prefetchable memory behind bridge"};
    for (std::size_t index = 0; index < kNames.size(); ++index) {
        const Resource& known = system.windows[index];
        const bool wide = index == 0 ? known.base + known.size > 0x10000 : (known.flags & PCI_IORESOURCE_MEM_64) != 0;
        const unsigned narrow = index == 0 ? 16 : 32;
        const bool empty = known.size == 0;
        window(out, kNames[index], empty ? 1 : known.base, empty ? 0 : known.base + known.size - 1,
               wide ? 2 * narrow : narrow);
    }
}

void windows_of_config(const ConfigImage& config, Function& out) {
    const unsigned io_low = config.u8(PCI_IO_BASE), io_high = config.u8(PCI_IO_LIMIT);
    if (types_agree(out, "I/O", io_low, io_high, PCI_IO_RANGE_TYPE_MASK, PCI_IO_RANGE_TYPE_32)) {
        std::uint64_t base = (io_low & 0xf0U) << 8;
        std::uint64_t limit = (io_high & 0xf0U) << 8 | 0xfff;
        const bool wide = (io_low & PCI_IO_RANGE_TYPE_MASK) == PCI_IO_RANGE_TYPE_32;
        if (wide) {
            base |= std::uint64_t{config.u16(PCI_IO_BASE_UPPER16)} << 16;
            limit |= std::uint64_t{config.u16(PCI_IO_LIMIT_UPPER16)} << 16;
        }
        window(out, "I/O behind bridge", base, limit, wide ? 32 : 16);
    }

    const unsigned low = config.u16(PCI_MEMORY_BASE), high = config.u16(PCI_MEMORY_LIMIT);
    if (types_agree(out, "memory", low, high, PCI_MEMORY_RANGE_TYPE_MASK, 0))
        window(out, "Memory behind bridge", std::uint64_t{low & 0xfff0U} << 16,
               std::uint64_t{high & 0xfff0U} << 16 | 0xfffff, 32);

    const unsigned pref_low = config.u16(PCI_PREF_MEMORY_BASE), pref_high = config.u16(PCI_PREF_MEMORY_LIMIT);
    if (types_agree(out, "prefetchable memory", pref_low, pref_high, PCI_PREF_RANGE_TYPE_MASK,
                    PCI_PREF_RANGE_TYPE_64)) {
        std::uint64_t base = std::uint64_t{pref_low & 0xfff0U} << 16;
        std::uint64_t limit = std::uint64_t{pref_high & 0xfff0U} << 16 | 0xfffff;
        const bool wide = (pref_low & PCI_PREF_RANGE_TYPE_MASK) == PCI_PREF_RANGE_TYPE_64;
        if (wide) {
            base |= std::uint64_t{config.u32(PCI_PREF_BASE_UPPER32)} << 32;
            limit |= std::uint64_t{config.u32(PCI_PREF_LIMIT_UPPER32)} << 32;
        }
        window(out, "Prefetchable memory behind bridge", base, limit, wide ? 64 : 32);
    }
}

void bridge(const ConfigImage& config, const SystemView& system, Function& out) {
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
    if (system.knows_windows)
        windows_of_system(system, out);
    else
        windows_of_config(config, out);

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

}  // namespace

SystemView SystemView::from(const ConfigImage& config) {
    SystemView system;
    system.irq = config.u8(PCI_INTERRUPT_LINE);
    const unsigned count = bar_count(config.u8(PCI_HEADER_TYPE) & kHeaderTypeMask);
    for (unsigned index = 0; index < count; ++index) {
        const unsigned here = index;
        const std::uint32_t low = config.u32(PCI_BASE_ADDRESS_0 + 4 * here);
        if (low == 0 || low == 0xffffffff) continue;
        system.bars[here].base = low;
        const bool wide =
            (low & (PCI_BASE_ADDRESS_SPACE_IO | PCI_BASE_ADDRESS_MEM_TYPE_MASK)) == PCI_BASE_ADDRESS_MEM_TYPE_64;
        if (wide && here + 1 < count)
            system.bars[here].base |= std::uint64_t{config.u32(PCI_BASE_ADDRESS_0 + 4 * ++index)} << 32;
    }
    return system;
}

bool SystemView::has_memory_bar() const {
    for (const Resource& bar : bars)
        if ((bar.base & PCI_BASE_ADDRESS_SPACE_IO) == 0 && bar.base != 0) return true;
    return false;
}

bool decode_header(const ConfigImage& config, const SystemView& system, Function& function) {
    function.header_type = config.u8(PCI_HEADER_TYPE) & kHeaderTypeMask;
    const unsigned class_code = config.u16(PCI_CLASS_DEVICE);
    const unsigned count = bar_count(function.header_type);
    if (count == 0) {
        function.header_fault = fmt::format("Unknown header type {:02x}", function.header_type);
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
    interrupt_and_place(config, system, function);
    self_test_line(config, function);
    bars(config, system, count, function);
    if (normal) {
        rom(config, system, PCI_ROM_ADDRESS, function);
    } else if (function.header_type == PCI_HEADER_TYPE_BRIDGE) {
        rom(config, system, PCI_ROM_ADDRESS1, function);
        bridge(config, system, function);
    }
    return true;
}

}  // namespace pcienic::ls
