// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "render.hpp"

namespace pcienic::ls {
namespace {

using Json = nlohmann::ordered_json;

struct Put {
    Json& object;
    const std::string& key;

    void operator()(bool flag) const { object[key] = flag; }
    void operator()(const Number& number) const {
        object[key] = number.value;
        if (number.digits > 0) object[key + "_hex"] = fmt::format("0x{:0{}x}", number.value, number.digits);
    }
    void operator()(const Bytes& bytes) const { object[key] = bytes.value; }
    void operator()(const Mark& mark) const { object[key] = mark.set; }
    void operator()(const Absent&) const { object[key] = nullptr; }
    void operator()(const std::string& text) const { object[key] = text; }
};

void put_row(Json& object, const Row& row) {
    for (const Field& field : row.fields()) std::visit(Put{object, field.key}, field.value);
}

Json fields_of(const Row& row) {
    Json object = Json::object();
    put_row(object, row);
    return object;
}

void put_registers(Json& object, FreshNames& fresh, const std::vector<Register>& registers) {
    for (const Register& line : registers) {
        Json& fields = object[fresh(line.name.empty() ? "layout" : line.name)] = Json::object();
        for (const Row& row : line.rows) put_row(fields, row);
    }
}

Json identifier(const Named& named, int digits) {
    Json object = {{"id", named.id}, {"id_hex", fmt::format("0x{:0{}x}", named.id, digits)}};
    object["name"] = named.name.empty() ? Json(nullptr) : Json(named.name);
    return object;
}

Json capability_of(const Capability& capability) {
    Json object = {{"offset", capability.offset},
                   {"offset_hex", fmt::format("0x{:02x}", capability.offset)},
                   {"extended", capability.extended}};
    if (!capability.fault.empty()) {
        object["fault"] = capability.fault;
        return object;
    }
    std::string name = capability.name;
    while (!name.empty() && (name.back() == ' ' || name.back() == ':')) name.pop_back();
    object["id"] = capability.id;
    if (capability.extended) object["version"] = capability.version;
    object["name"] = name;
    object["summary"] = fields_of(capability.summary);
    Json registers = Json::object();
    std::vector<Register> structured = capability.registers;
    std::erase_if(structured, [](const Register& line) { return line.rows.empty(); });
    FreshNames fresh;
    put_registers(registers, fresh, structured);
    object["registers"] = std::move(registers);
    if (!capability.remarks.empty()) object["remarks"] = capability.remarks;
    return object;
}

Json region_of(const Region& region) {
    Json object = Json::object();
    if (region.kind == RegionKind::bar) object["index"] = region.index;
    put_row(object, region.fields);
    return object;
}

}  // namespace

Json render_json(const Function& function, int hex) {
    Json object = {{"address", address_text(function.address, true)},
                   {"vendor", identifier(function.vendor, 4)},
                   {"device", identifier(function.device, 4)},
                   {"class", identifier(function.device_class, 4)},
                   {"programming_interface", identifier(function.programming_interface, 2)},
                   {"revision", function.revision}};
    object["subsystem"] = nullptr;
    if (function.subsystem)
        object["subsystem"] = {{"vendor", identifier(function.subsystem->first, 4)},
                               {"device", identifier(function.subsystem->second, 4)}};
    if (!function.label.empty()) object["label"] = function.label;
    if (!function.physical_slot.empty()) object["physical_slot"] = function.physical_slot;
    if (!function.device_tree_node.empty()) object["device_tree_node"] = function.device_tree_node;
    if (!function.path.empty()) {
        Json& path = object["path"] = Json::array();
        for (const Address& bridge : function.path) path.push_back(address_text(bridge, true));
    }

    Json header = Json::object();
    if (!function.header_fault.empty()) header["fault"] = function.header_fault;
    FreshNames fresh;
    for (const auto* part : {&function.header, &function.bridge, &function.bridge_control})
        put_registers(header, fresh, *part);
    object["header"] = std::move(header);
    object["regions"] = Json::array();
    for (const Region& region : function.regions) object["regions"].push_back(region_of(region));
    object["capabilities"] = Json::array();
    for (const Capability& capability : function.capabilities)
        object["capabilities"].push_back(capability_of(capability));

    // A dump says nothing about the system it came from.
    if (function.binding) {
        const Binding& binding = *function.binding;
        object["driver"] = binding.driver.empty() ? Json(nullptr) : Json(binding.driver);
        object["modules"] = binding.modules;
        object["iommu_group"] = binding.iommu_group.empty() ? Json(nullptr) : Json(binding.iommu_group);
        object["iommu_group_members"] = binding.group_members;
        object["vfio"] = {{"usable", binding.vfio_usable}, {"text", binding.vfio}};
    }
    if (const std::size_t count = hex_bytes(function, hex); count > 0) {
        std::string bytes;
        for (std::size_t at = 0; at < count; ++at) bytes += fmt::format("{:02x}", function.config[at]);
        object["config"] = bytes;
    }
    return object;
}

}  // namespace pcienic::ls
