# SPDX-License-Identifier: MIT
"""The description as the reference chapter."""

import description

HEAD = """<!-- SPDX-License-Identifier: MIT -->
<!-- Generated from {source}; do not edit: run ./qemu-device/registers/generate.py --markdown docs/reference/registers.md -->
# Registers

All registers are little-endian and live in BAR{bar}. Loads and stores are 4 or 8 bytes wide and naturally aligned; 1 and 2
bytes are refused: such a load reads 0, such a store is ignored. An 8-byte access to a 64-bit register is one access. A 64-bit
register may also be accessed as two 4-byte halves; each half acts by itself. An 8-byte access to two 32-bit registers is two
4-byte accesses, the lower address first. Whatever is not listed reads as 0, ignores writes, and is latched as `BAD_OFFSET`.

| access | read | write |
|---|---|---|
| `ro` | the value | ignored, latched as `READ_ONLY` |
| `rw` | the value | stored |
| `wo` | 0 | acts |
| `rw1c` | the value | a 1 clears the bit, a 0 leaves it |
| `rw1s` | the value | a 1 sets the bit and starts what it names, a 0 leaves it; the device clears it |

A *sticky* register keeps its value over a function-level, a hot and a software reset; only a cold reset clears it.
A *volatile* register is changed by the device itself. Bits that no field covers are reserved: they read as 0, and a write that
sets them is latched as `BAD_VALUE`.
"""


def _cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def _rows(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows), ""]


def _bits(field):
    return str(field.lsb) if field.width == 1 else f"{field.msb}:{field.lsb}"


def _reset(register):
    return "property" if register.reset_from_property else f"`0x{register.reset:0{register.width // 4}x}`"


def _span(register):
    last = register.offset + (register.count - 1) * register.width // 8
    return f"`{register.offset:#05x}`" + (f" to `{last:#05x}`" if register.is_array else "")


def _fields(word, with_access):
    head = ["bits", "field", *(["access"] if with_access else []), "meaning"]
    rows = [[_bits(field), f"`{field.name}`", *([f"`{field.access}`"] if with_access else []), _cell(field.doc)]
            for field in word.fields]
    lines = ["", *_rows(head, rows)]
    for field in word.fields:
        if field.enum:
            lines += [f"Values of `{field.name}`:", ""]
            lines += _rows(["value", "name", "meaning"], [[str(v.value), f"`{v.name}`", _cell(v.doc)] for v in field.enum])
    return lines


def _register(register):
    traits = [name for name, is_so in (("sticky", register.sticky), ("volatile", register.volatile)) if is_so]
    facts = [_span(register), f"{register.width} bits", f"`{register.access}`", f"reset {_reset(register)}", *traits]
    count = f"[{register.count}]" if register.is_array else ""
    lines = [f"### {register.name}{count}", "", ", ".join(facts), "", register.doc]
    return lines + (_fields(register, True) if register.fields else [""])


def _structure(structure):
    rows = [[str(word.offset), str(word.width), f"`{word.name}`", _cell(word.doc)] for word in structure.words]
    lines = [f"### {structure.name}", "", f"{structure.size} bytes. {structure.doc}", "",
             *_rows(["offset", "bits", "word", "meaning"], rows)]
    for word in structure.words:
        lines += [f"Fields of `{word.name}`:", *_fields(word, False)] if word.fields else []
    return lines


def _capability(title, capability):
    constants = ", ".join(f"{name.lower()} `{value:#x}`" for name, value in capability.constants.items())
    rows = [[str(word.offset), str(word.width), f"`{word.name}`",
             f"`{capability.values[word.name]:#x}`" if word.name in capability.values else "", _cell(word.doc)]
            for word in capability.words]
    return [f"## {title}", "", f"{capability.size} bytes; {constants}.", "", *_rows(["offset", "bits", "name", "value", "meaning"], rows)]


def chapter(device):
    registers = next(bar for bar in device.bars if bar.name == "REGISTERS")
    lines = [HEAD.format(source=description.SOURCE_NAME, bar=registers.index), "## Identity and limits", "",
             *_rows(["name", "value"], [[f"`{name}`", f"`{value:#x}`"] for name, value in device.constants.items()]),
             "## BARs", "",
             *_rows(["BAR", "name", "size", "width", "prefetchable", "holds"],
                    [[str(bar.index), f"`{bar.name}`", "property" if bar.size is None else f"`{bar.size:#x}`", str(bar.width),
                      "yes" if bar.prefetchable else "no", _cell(bar.doc)] for bar in device.bars]),
             "## Overview", "",
             *_rows(["offset", "register", "width", "access", "reset", "what"],
                    [[_span(r), f"`{r.name}`", str(r.width), f"`{r.access}`", _reset(r), _cell(r.doc)]
                     for r in [*device.registers, *device.doorbells]]),
             "## Each register", ""]
    for register in device.registers:
        lines += _register(register)
    lines += ["## Doorbells", "", "A page each, so that one can be given to an unprivileged process or an ioeventfd.", ""]
    lines += _rows(["offset", "doorbell", "what"], [[_span(bell), f"`{bell.name}`", _cell(bell.doc)] for bell in device.doorbells])
    lines += ["## Structures in host memory", ""]
    for structure in device.structures:
        lines += _structure(structure)
    lines += _capability("Vendor-specific capability (ID 09h)", device.vendor_capability)
    lines += _capability("Designated vendor-specific extended capability (ID 0023h)", device.dvsec)
    return "\n".join(lines).rstrip() + "\n"
