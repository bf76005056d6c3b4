# SPDX-License-Identifier: MIT
"""The description as C++: register types on uiovfio/register.hpp, structures in memory, and a table of every register."""

import description


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


def _number(value, width=32):
    return f"{value:#x}{'ull' if width == 64 else 'u'}"


def _type(width):
    return f"std::uint{width}_t"


def _text(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _head(guard_comment, includes):
    return ["// SPDX-License-Identifier: MIT", f"// Generated from {description.SOURCE_NAME}; do not edit.",
            "#pragma once", "", f"// {guard_comment}", "", *(f"#include {name}" if name else "" for name in includes), ""]


def _constants(device):
    lines = [f"inline constexpr std::uint32_t k{camel(name)} = {_number(value)};" for name, value in device.constants.items()]
    lines.append(f"inline constexpr std::uint32_t kClassCode = {_number(device.class_code)};")
    for bar in device.bars:
        lines.append(f"inline constexpr unsigned kBar{camel(bar.name)} = {bar.index};  // {bar.doc}")
        if bar.size is not None:
            lines.append(f"inline constexpr std::uint64_t kBar{camel(bar.name)}Bytes = {_number(bar.size, 64)};")
    return lines


def _capability(name, capability):
    lines = ["", f"namespace {name} {{", f"inline constexpr unsigned kSize = {capability.size};"]
    lines += [f"inline constexpr unsigned k{camel(key)} = {_number(value)};" for key, value in capability.constants.items()]
    for word in capability.words:
        lines.append(f"inline constexpr unsigned k{camel(word.name)}Offset = {word.offset};  // {word.doc}")
    return [*lines, f"}}  // namespace {name}"]


def _enum(field, width, indent):
    values = [f"{indent}    k{camel(value.name)} = {value.value}," + (f"  ///< {value.doc}" if value.doc else "")
              for value in field.enum]
    return [f"{indent}enum class {camel(field.name)}Value : {_type(width)} {{", *values, f"{indent}}};"]


def _value_type(field, width):
    if field.enum:
        return f"{camel(field.name)}Value"
    return "bool" if field.width == 1 else _type(width)


def _fields(word, indent, spell):
    lines = []
    for field in word.fields:
        if field.enum:
            lines += _enum(field, word.width, indent)
        lines.append(f"{indent}/// {field.doc}")
        lines.append(f"{indent}using {camel(field.name)} = {spell(field)};")
    return lines


def _register(register):
    name = camel(register.name)

    def spell(field):
        return (f"uiovfio::Field<{name}, {field.lsb}, {field.msb}, uiovfio::Access::{field.access}, "
                f"{_value_type(field, register.width)}>")

    kind = "RegisterArray" if register.is_array else "Register"
    count = f", {register.count}" if register.is_array else ""
    write_one = register.mask_of("rw1c") | register.mask_of("rw1s") if register.access == "rw" else 0
    mask = f", {_number(write_one, register.width)}" if write_one else ""
    base = (f"uiovfio::{kind}<{register.offset:#05x}, {_type(register.width)}{count}, "
            f"uiovfio::Access::{register.access}{mask}>")
    body = _fields(register, "    ", spell)
    lines = ["", f"/// {register.doc}"]
    return lines + ([f"struct {name} : {base} {{", *body, "};"] if body else [f"struct {name} : {base} {{}};"])


def _word_helpers(word):
    name = camel(word.name)

    def spell(field):
        return f"uiovfio::Field<{name}, {field.lsb}, {field.msb}, uiovfio::Access::rw, {_value_type(field, word.width)}>"

    return ["", f"    /// The word {word.name.lower()} as fields: {name}::Value{{}}.set<{name}::{camel(word.fields[0].name)}>(...).raw().",
            f"    struct {name} {{", f"        using Value = uiovfio::RegisterValue<{name}, {_type(word.width)}>;",
            *_fields(word, "        ", spell), "    };"]


def _structure(structure):
    name = structure.cpp_name
    lines = ["", f"/// {structure.doc}", f"struct {name} {{"]
    for word in structure.words:
        lines.append(f"    {_type(word.width)} {word.name.lower()};  ///< {word.doc}")
    for word in structure.words:
        lines += _word_helpers(word) if word.fields else []
    lines += ["};", f"static_assert(sizeof({name}) == {structure.size} && std::is_trivially_copyable_v<{name}>);"]
    return lines + [f"static_assert(offsetof({name}, {word.name.lower()}) == {word.offset});" for word in structure.words]


def registers(device):
    lines = _head("The pcienic's registers as types, its structures in memory, and its constants.",
                  ["<cstddef>", "<cstdint>", "<type_traits>", "", '"uiovfio/register.hpp"'])
    lines += ["namespace pcienic {", "", *_constants(device)]
    lines += _capability("vendor_capability", device.vendor_capability) + _capability("dvsec", device.dvsec)
    lines += ["", "namespace regs {"]
    for register in [*device.registers, *device.doorbells]:
        lines += _register(register)
    lines += ["", "}  // namespace regs"]
    for structure in device.structures:
        lines += _structure(structure)
    return "\n".join([*lines, "", "}  // namespace pcienic", ""])


TABLE_TYPES = """
struct EnumInfo {
    std::string_view name;
    std::uint64_t value;
    std::string_view doc;
};

struct FieldInfo {
    std::string_view name;
    unsigned lsb;
    unsigned msb;
    uiovfio::Access access;
    std::string_view doc;
    std::span<const EnumInfo> enums;

    constexpr unsigned width() const { return msb - lsb + 1; }
    constexpr std::uint64_t max() const { return ~std::uint64_t{0} >> (64 - width()); }
    constexpr std::uint64_t mask() const { return max() << lsb; }
};

struct RegisterInfo {
    std::string_view name;
    std::uint64_t offset;
    unsigned width;  ///< bits of one element
    unsigned count;  ///< elements; 1 where the register is no array
    uiovfio::Access access;
    std::uint64_t reset;
    bool reset_from_property;  ///< a device property decides the reset value; reset is 0 here
    bool sticky;               ///< kept over a function-level reset and a software reset
    bool is_volatile;          ///< the device changes it by itself
    std::uint64_t defined;     ///< bits that are not reserved
    std::string_view doc;
    std::span<const FieldInfo> fields;  ///< from the lowest bit up

    constexpr unsigned bytes() const { return width / 8; }
    constexpr std::uint64_t mask_of(uiovfio::Access kind) const {
        if (fields.empty()) return access == kind ? defined : 0;
        std::uint64_t mask = 0;
        for (const FieldInfo& field : fields) mask |= field.access == kind ? field.mask() : 0;
        return mask;
    }
};""".splitlines()


def _table_fields(register):
    lines, rows = [], []
    for field in register.fields:
        enums = "{}"
        if field.enum:
            enums = f"k{camel(register.name)}{camel(field.name)}Enums"
            rows_of_enum = ", ".join(f"EnumInfo{{{_text(v.name)}, {v.value}, {_text(v.doc)}}}" for v in field.enum)
            lines.append(f"inline constexpr EnumInfo {enums}[] = {{{rows_of_enum}}};")
        rows.append(f"    {{{_text(field.name)}, {field.lsb}, {field.msb}, uiovfio::Access::{field.access}, "
                    f"{_text(field.doc)}, {enums}}},")
    return [*lines, f"inline constexpr FieldInfo k{camel(register.name)}Fields[] = {{", *rows, "};"] if rows else []


def _table_row(register):
    flags = ", ".join("true" if flag else "false" for flag in (register.reset_from_property, register.sticky, register.volatile))
    fields = f"k{camel(register.name)}Fields" if register.fields else "{}"
    return (f"    {{{_text(register.name)}, {register.offset:#x}, {register.width}, {register.count}, "
            f"uiovfio::Access::{register.access}, {_number(register.reset, 64)}, {flags}, "
            f"{_number(register.defined_mask, 64)}, {_text(register.doc)}, {fields}}},")


def table(device):
    everything = [*device.registers, *device.doorbells]
    lines = _head("Every register of the pcienic as data, in the order of the offsets; doorbells come last, as write-only registers.",
                  ["<cstdint>", "<span>", "<string_view>", "", '"uiovfio/register.hpp"'])
    lines += ["namespace pcienic {", *TABLE_TYPES, "", "namespace detail {"]
    for register in everything:
        lines += _table_fields(register)
    lines += ["inline constexpr RegisterInfo kRegisterRows[] = {", *map(_table_row, everything), "};", "}  // namespace detail", ""]
    lines += ["inline constexpr std::span<const RegisterInfo> kRegisters{detail::kRegisterRows};", "", "}  // namespace pcienic", ""]
    return "\n".join(lines)
