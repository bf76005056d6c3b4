# SPDX-License-Identifier: MIT
"""The description as a C header: plain macros, for the device's core, its QEMU shell and the qtests."""

import description


def _value(value, width=32):
    return f"UINT64_C({value:#x})" if width == 64 else f"0x{value:08x}u" if width == 32 else f"{value:#x}u"


class _Macros:
    """Lines of `#define`, each name once."""

    def __init__(self):
        self.lines = []
        self.names = set()

    def section(self, title):
        self.lines += ["", f"/* {title} */"]

    def define(self, name, value):
        if name in self.names:
            raise description.Mistake(description.SOURCE_NAME, f"two things would be the macro {name}", "rename one of them")
        self.names.add(name)
        self.lines.append(f"#define {name} {value}")


def _fields(macros, prefix, word):
    for field in word.fields:
        name = f"{prefix}_{field.name}"
        macros.define(f"{name}_SHIFT", field.lsb)
        macros.define(f"{name}_WIDTH", field.width)
        macros.define(f"{name}_MASK", _value(field.mask, word.width))
        for value in field.enum:
            macros.define(f"{name}_{value.name}", f"{value.value}u")


def _register(macros, register):
    name = f"PCIENIC_REG_{register.name}"
    macros.section(f"{register.name}: {register.doc}")
    macros.define(name, f"{register.offset:#x}u")
    if not register.reset_from_property:
        macros.define(f"{name}_RESET", _value(register.reset, register.width))
    if register.is_array:
        macros.define(f"{name}_COUNT", f"{register.count}u")
    _fields(macros, f"PCIENIC_{register.name}", register)


def _structure(macros, structure):
    macros.section(f"{structure.name}: {structure.doc}")
    macros.define(f"PCIENIC_{structure.name}_SIZE", f"{structure.size}u")
    for word in structure.words:
        macros.define(f"PCIENIC_{structure.name}_{word.name}_OFFSET", f"{word.offset}u")
        _fields(macros, f"PCIENIC_{structure.name}_{word.name}", word)


def _capability(macros, prefix, capability):
    macros.define(f"{prefix}_SIZE", f"{capability.size}u")
    for name, value in capability.constants.items():
        macros.define(f"{prefix}_{name}", f"{value:#x}u")
    for word in capability.words:
        macros.define(f"{prefix}_{word.name}_OFFSET", f"{word.offset}u")
        if word.name in capability.values:
            macros.define(f"{prefix}_{word.name}_VALUE", f"{capability.values[word.name]:#x}u")


def _table_row(register):
    masks = [register.mask_of(access) for access in ("rw", "rw1c", "rw1s")]
    masks.append(register.defined_mask if register.sticky else 0)
    values = ", ".join(_value(value, 64) for value in [*masks, register.reset])
    return (f"    X({register.name}, {register.offset:#x}u, {register.width}u, {register.count}u, {values}, "
            f"PCIENIC_ACCESS_{register.access.upper()})")


def _table(registers):
    return ["", "/*", " * X(NAME, offset, width, count, rw_mask, w1c_mask, w1s_mask, sticky_mask, reset, access) for each register;",
            " * doorbells are not among them. reset is 0 where a device property decides.", " */",
            "#define PCIENIC_REGISTER_TABLE(X) \\", " \\\n".join(_table_row(register) for register in registers)]


def header(device):
    macros = _Macros()
    macros.section("Identity and limits")
    for name, value in device.constants.items():
        macros.define(f"PCIENIC_{name}", f"{value:#x}u")
    macros.define("PCIENIC_CLASS_CODE", f"0x{device.class_code:06x}u")
    macros.section("BARs")
    for bar in device.bars:
        macros.define(f"PCIENIC_BAR_{bar.name}", bar.index)
        if bar.size is not None:
            macros.define(f"PCIENIC_BAR_{bar.name}_BYTES", f"{bar.size:#x}u")
    for register in device.registers:
        _register(macros, register)
    macros.section("Doorbells")
    macros.define("PCIENIC_DOORBELL_COUNT", f"{len(device.doorbells)}u")
    for doorbell in device.doorbells:
        macros.define(f"PCIENIC_DOORBELL_{doorbell.name}", f"{doorbell.offset:#x}u")
    for structure in device.structures:
        _structure(macros, structure)
    macros.section("The vendor-specific capability: where the registers are")
    _capability(macros, "PCIENIC_VENDOR_CAP", device.vendor_capability)
    macros.section("The designated vendor-specific extended capability")
    _capability(macros, "PCIENIC_DVSEC", device.dvsec)
    macros.section("What an access does to a register; its fields may differ, see the masks of the table")
    for number, access in enumerate(description.ACCESSES):
        macros.define(f"PCIENIC_ACCESS_{access.upper()}", number)
    head = ["/* SPDX-License-Identifier: MIT */",
            f"/* Generated from {description.SOURCE_NAME}; do not edit. */",
            "#ifndef PCIENIC_REGS_H", "#define PCIENIC_REGS_H", "", "#include <stdint.h>"]
    return "\n".join([*head, *macros.lines, *_table(device.registers), "", "#endif", ""])
