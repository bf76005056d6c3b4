// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <ostream>

#include "render.hpp"

namespace pcienic::ls {
namespace {

std::string row_text(const Row& row, int verbosity) {
    std::string text;
    for (const Field& field : row.fields()) {
        if (verbosity < field.min_verbosity) continue;
        const Mark* mark = std::get_if<Mark>(&field.value);
        if (mark != nullptr && !mark->set) continue;
        text += field.before + to_text(field.value) + field.after;
    }
    return text;
}

std::string without_lead(std::string text) {
    if (!text.empty() && text.front() == ' ') text.erase(0, 1);
    return text;
}

const char* gap_text(Gap gap) {
    switch (gap) {
        case Gap::tab:
            return ":\t";
        case Gap::none:
            return " ";
        default:
            return ": ";
    }
}

/// `indent` tabs, the name, and the rows; further rows stand below the first one's fields.
void register_lines(std::ostream& out, const Register& line, std::size_t indent, int verbosity) {
    if (verbosity < line.min_verbosity || verbosity > line.max_verbosity) return;
    const std::string tabs(indent, '\t');
    if (line.rows.empty()) {
        out << tabs << line.name << '\n';
        return;
    }
    bool first = true;
    for (const Row& row : line.rows) {
        const std::string text = row_text(row, verbosity);
        if (first)
            out << tabs << line.name << (line.name.empty() ? "" : gap_text(line.gap));
        else
            out << tabs << (line.gap == Gap::space && indent > 1 ? "\t " : "\t");
        out << without_lead(text) << '\n';
        first = false;
    }
}

void capability_lines(std::ostream& out, const Capability& capability, int verbosity) {
    if (capability.out_of_reach && !capability.extended) {
        fmt::print(out, "\tCapabilities: <{}>\n", capability.fault);
        return;
    }
    out << "\tCapabilities: [";
    if (capability.extended)
        fmt::print(out, "{:03x}{}] ", capability.offset,
                   verbosity > 1 && !capability.out_of_reach ? fmt::format(" v{}", capability.version) : "");
    else
        fmt::print(out, "{:02x}] ", capability.offset);
    if (!capability.fault.empty()) {
        fmt::print(out, "<{}>\n", capability.fault);
        return;
    }
    out << capability.name << row_text(capability.summary, verbosity) << '\n';
    for (const Register& line : capability.registers) register_lines(out, line, 2, verbosity);
}

void region_line(std::ostream& out, const Region& region, int verbosity) {
    out << '\t';
    if (region.kind == RegionKind::bar && verbosity > 1) fmt::print(out, "Region {}: ", region.index);
    out << row_text(region.fields, verbosity) << '\n';
}

void system_lines(std::ostream& out, const Binding& binding) {
    if (!binding.driver.empty()) fmt::print(out, "\tKernel driver in use: {}\n", binding.driver);
    if (!binding.modules.empty()) fmt::print(out, "\tKernel modules: {}\n", fmt::join(binding.modules, ", "));
    if (!binding.iommu_group.empty())
        fmt::print(out, "\tIOMMU group {}: {}\n", binding.iommu_group,
                   binding.group_members.empty() ? "nothing else in it"
                                                 : fmt::format("also {}", fmt::join(binding.group_members, ", ")));
    fmt::print(out, "\tVFIO: {}\n", binding.vfio);
}

void heading(std::ostream& out, const Function& function, const TextOptions& options) {
    fmt::print(out, "{} {}: {}", place_text(function, options), function.class_text, function.device_text);
    if (function.revision != 0) fmt::print(out, " (rev {:02x})", function.revision);
    if (options.verbosity > 0 && function.has_programming_interface) {
        fmt::print(out, " (prog-if {:02x}", function.programming_interface.id);
        if (!function.programming_interface_text.empty()) fmt::print(out, " [{}]", function.programming_interface_text);
        out << ')';
    }
    out << '\n';
    if (options.verbosity > 0 || options.kernel) {
        if (!function.label.empty()) fmt::print(out, "\tDeviceName: {}\n", function.label);
        if (!function.subsystem_text.empty()) fmt::print(out, "\tSubsystem: {}\n", function.subsystem_text);
    }
}

void details(std::ostream& out, const Function& function, int verbosity) {
    if (!function.header_fault.empty()) fmt::print(out, "\t!!! {}\n", function.header_fault);
    if (!function.physical_slot.empty()) fmt::print(out, "\tPhysical Slot: {}\n", function.physical_slot);
    if (!function.device_tree_node.empty()) fmt::print(out, "\tDevice tree node: {}\n", function.device_tree_node);
    for (const Register& line : function.header) register_lines(out, line, 1, verbosity);
    const auto regions = [&](RegionKind kind) {
        for (const Region& region : function.regions)
            if (region.kind == kind) region_line(out, region, verbosity);
    };
    regions(RegionKind::bar);
    for (const Register& line : function.bridge) register_lines(out, line, 1, verbosity);
    regions(RegionKind::rom);
    for (const Register& line : function.bridge_control) register_lines(out, line, 1, verbosity);
    for (const Capability& capability : function.capabilities) capability_lines(out, capability, verbosity);
}

}  // namespace

std::string address_text(const Address& address, bool domains) {
    const std::string local = fmt::format("{:02x}:{:02x}.{:x}", address.bus, address.device, address.function);
    return domains || address.domain != 0 ? fmt::format("{:04x}:{}", address.domain, local) : local;
}

std::string place_text(const Function& function, const TextOptions& options) {
    if (options.path == 0 || function.path.empty()) return address_text(function.address, options.domains);
    std::string text = address_text(function.path.front(), options.domains);
    const auto add = [&](const Address& at) {
        text += '/';
        if (options.path > 1) text += fmt::format("{:02x}:", at.bus);
        text += fmt::format("{:02x}.{:x}", at.device, at.function);
    };
    for (std::size_t index = 1; index < function.path.size(); ++index) add(function.path[index]);
    add(function.address);
    return text;
}

std::size_t hex_bytes(const Function& function, int hex) {
    constexpr unsigned kCardBus = 2;
    const std::size_t header = function.header_type == kCardBus ? 128 : 64;
    const std::size_t wanted = hex >= 4 ? 4096 : hex >= 3 ? 256 : hex >= 1 ? header : 0;
    return std::min(wanted, function.config.size());
}

void render_hex(std::ostream& out, const Function& function, int hex) {
    const std::size_t count = hex_bytes(function, hex);
    if (hex > 0 && count == 0) out << "WARNING: Cannot show hex-dump of the config space\n";
    for (std::size_t at = 0; at < count; at += 16) {
        fmt::print(out, "{:02x}:", at);
        for (std::size_t byte = at; byte < std::min(at + 16, count); ++byte)
            fmt::print(out, " {:02x}", function.config[byte]);
        out << '\n';
    }
}

void render_text(std::ostream& out, const Function& function, const TextOptions& options) {
    heading(out, function, options);
    if (options.verbosity > 0) details(out, function, options.verbosity);
    if ((options.verbosity > 0 || options.kernel) && function.binding) system_lines(out, *function.binding);
    render_hex(out, function, options.hex);
    if (options.verbosity > 0 || options.hex > 0) out << '\n';
}

}  // namespace pcienic::ls
