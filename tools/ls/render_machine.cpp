// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <ostream>

#include "render.hpp"

namespace pcienic::ls {
namespace {

/// A word in quotes, as a shell takes it.
std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + '"';
}

void one_line(std::ostream& out, const Function& function, const std::string& place) {
    fmt::print(out, "{} {} {} {}", place, quoted(function.class_text), quoted(function.vendor_alone),
               quoted(function.device_alone));
    if (function.revision != 0) fmt::print(out, " -r{:02x}", function.revision);
    fmt::print(out, " -p{:02x} {} {}\n", function.programming_interface.id, quoted(function.subsystem_vendor_alone),
               quoted(function.subsystem_device_alone));
}

void block(std::ostream& out, const Function& function, const TextOptions& options, const std::string& place) {
    const auto line = [&out](const char* key, const std::string& value) { fmt::print(out, "{}:\t{}\n", key, value); };
    const auto line_if_any = [&line](const char* key, const std::string& value) {
        if (!value.empty()) line(key, value);
    };
    // lspci's older form has the same key twice.
    line(options.machine_readable > 1 ? "Slot" : "Device", place);
    line("Class", function.class_text);
    line("Vendor", function.vendor_alone);
    line("Device", function.device_alone);
    if (function.subsystem) {
        line("SVendor", function.subsystem_vendor_alone);
        line("SDevice", function.subsystem_device_alone);
    }
    line_if_any("PhySlot", function.physical_slot);
    if (function.revision != 0) line("Rev", fmt::format("{:02x}", function.revision));
    line("ProgIf", fmt::format("{:02x}", function.programming_interface.id));
    if (options.kernel && function.binding) {
        line_if_any("Driver", function.binding->driver);
        for (const std::string& module : function.binding->modules) line("Module", module);
    }
    if (function.numa_node >= 0) line("NUMANode", fmt::format("{}", function.numa_node));
    line_if_any("DTNode", function.device_tree_node);
    line_if_any("IOMMUGroup", function.iommu_group);
}

}  // namespace

void render_machine(std::ostream& out, const Function& function, const TextOptions& options) {
    const std::string place = place_text(function, options);
    if (options.verbosity > 0)
        block(out, function, options, place);
    else
        one_line(out, function, place);
    render_hex(out, function, options.hex);
    if (options.verbosity > 0 || options.hex > 0) out << '\n';
}

}  // namespace pcienic::ls
