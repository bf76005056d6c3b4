# SPDX-License-Identifier: MIT
"""Reads and checks the description of the device. What leaves here is known to be whole and consistent."""

import dataclasses
import pathlib
import re

import yaml

ACCESSES = ("ro", "rw", "wo", "rw1c", "rw1s", "rc")
SOURCE_NAME = "qemu-device/registers/pcienic.yaml"


class Mistake(Exception):
    """A fault in the description: which file and object, what is wrong, and what to do about it."""

    def __init__(self, where, wrong, remedy):
        super().__init__(f"{where}: {wrong}: {remedy}")


@dataclasses.dataclass
class EnumValue:
    name: str
    value: int
    doc: str


@dataclasses.dataclass
class Field:
    name: str
    lsb: int
    msb: int
    access: str
    doc: str
    enum: list

    @property
    def width(self):
        return self.msb - self.lsb + 1

    @property
    def mask(self):
        return ((1 << self.width) - 1) << self.lsb


@dataclasses.dataclass
class Register:
    """A register, a doorbell, a word of a structure in memory, or of a capability."""
    name: str
    offset: int
    width: int
    access: str
    doc: str
    reset: int = 0
    reset_from_property: bool = False
    count: int = 1
    sticky: bool = False
    volatile: bool = False
    fields: list = dataclasses.field(default_factory=list)

    @property
    def is_array(self):
        return self.count > 1

    @property
    def full_mask(self):
        return (1 << self.width) - 1

    @property
    def defined_mask(self):
        return sum(field.mask for field in self.fields) if self.fields else self.full_mask

    def mask_of(self, access):
        """The bits of one access kind."""
        if self.fields:
            return sum(field.mask for field in self.fields if field.access == access)
        return self.full_mask if self.access == access else 0

    @property
    def end(self):
        return self.offset + self.count * self.width // 8


@dataclasses.dataclass
class Structure:
    name: str
    cpp_name: str
    size: int
    doc: str
    words: list


@dataclasses.dataclass
class Bar:
    index: int
    name: str
    size: object                 # None: a device property decides
    width: int
    prefetchable: bool
    doc: str


@dataclasses.dataclass
class Capability:
    constants: dict              # NAME: number
    size: int
    words: list
    values: dict                 # word's name: number, where the description fixes it


@dataclasses.dataclass
class Device:
    name: str
    constants: dict              # NAME: number: identity and limits
    class_code: int
    bars: list
    registers: list
    doorbells: list
    structures: list
    vendor_capability: Capability
    dvsec: Capability


class _Loader(yaml.SafeLoader):
    """YAML that refuses a key given twice, where PyYAML would silently take the last."""


def _mapping(loader, node):
    seen = set()
    for key, _ in node.value:
        if key.value in seen:
            raise Mistake(f"{loader.name}:{key.start_mark.line + 1}", f"the key {key.value} is there twice", "remove one")
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _keys(given, where, required, optional=()):
    if not isinstance(given, dict):
        raise Mistake(where, f"is {given!r}", "write a mapping with " + ", ".join(required))
    for key in given:
        if key not in required and key not in optional:
            raise Mistake(where, f"unknown key {key}", "use one of " + ", ".join([*required, *optional]))
    for key in required:
        if key not in given:
            raise Mistake(where, f"lacks the key {key}", "add it")
    return given


def _number(value, where, what, limit):
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise Mistake(where, f"{what} is {value!r}", f"write a number from 0 to {limit:#x}")
    return value


def _choice(value, where, what, choices):
    if value not in choices:
        raise Mistake(where, f"{what} is {value!r}", "use one of " + ", ".join(str(choice) for choice in choices))
    return value


def _flag(given, key, where):
    return _choice(given.get(key, False), where, key, (True, False))


def _name(given, where):
    name = given["name"]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", name):
        raise Mistake(where, f"the name {name!r} is not a name", "use capitals, digits and single underscores, a capital first")
    return name


def _doc(given, where):
    if not isinstance(given["doc"], str) or not given["doc"].strip():
        raise Mistake(where, "doc is empty", "say in one sentence what it is")
    return given["doc"].strip()


def _unique(things, where, what):
    for number, thing in enumerate(things):
        if thing in things[:number]:
            raise Mistake(where, f"the {what} {thing} is there twice", "give each its own")


def _enum(given, field_width, where):
    if not isinstance(given, dict):
        raise Mistake(where, f"enum is {given!r}", "write a mapping of names to values")
    values = []
    for name, value in given.items():
        entry = _keys(value, f"{where}.{name}", ("value", "doc")) if isinstance(value, dict) else {"value": value, "doc": ""}
        _name({"name": name}, where)
        _number(entry["value"], f"{where}.{name}", "the value", (1 << field_width) - 1)
        values.append(EnumValue(name, entry["value"], entry["doc"]))
    _unique([value.value for value in values], where, "enum value")
    return values


def _field(given, register_width, access, where):
    _keys(given, where, ("name", "bits", "doc"), ("access", "enum"))
    name = _name(given, where)
    where = f"{where}.{name}"
    bits = re.fullmatch(r"(\d+)(?::(\d+))?", str(given["bits"]))
    msb, lsb = (int(bits[1]), int(bits[2] or bits[1])) if bits else (-1, 0)
    if not 0 <= lsb <= msb < register_width:
        raise Mistake(where, f"bits is {given['bits']!r}", f'write "MSB:LSB" or "BIT" within {register_width - 1}:0')
    return Field(name, lsb, msb, _choice(given.get("access", access), where, "access", ACCESSES), _doc(given, where),
                 _enum(given.get("enum", {}), msb - lsb + 1, where))


def _fields(given, width, access, where):
    fields = [_field(field, width, access, where) for field in given.get("fields", [])]
    _unique([field.name for field in fields], where, "field")
    for one, other in ((a, b) for i, a in enumerate(fields) for b in fields[:i]):
        if one.mask & other.mask:
            raise Mistake(f"{where}.{one.name}", f"overlaps the field {other.name}", "move one of them")
    return sorted(fields, key=lambda field: field.lsb)


def _word(given, where, limit, required=(), optional=(), widths=(32, 64), access=None):
    """What registers, doorbells and words of structures have in common."""
    _keys(given, where, ("name", "offset", "width", "doc", *required), optional)
    name = _name(given, where)
    where = f"{where} {name}"
    width = _choice(given["width"], where, "width", widths)
    offset = _number(given["offset"], where, "offset", limit - 1)
    if offset % (width // 8):
        raise Mistake(where, f"offset {offset:#x} is not aligned to {width // 8} bytes", "move it to a multiple of its size")
    access = access or _choice(given.get("access", "rw"), where, "access", ACCESSES)
    word = Register(name, offset, width, access, _doc(given, where), fields=_fields(given, width, access, where),
                    count=_number(given.get("count", 1), where, "count", limit), sticky=_flag(given, "sticky", where))
    if word.count < 1 or word.end > limit:
        raise Mistake(where, f"ends at {word.end:#x}, beyond the end of its block at {limit:#x}", "move or shrink it")
    return word


def _apart(words, where):
    words = sorted(words, key=lambda word: word.offset)
    for one, other in zip(words, words[1:]):
        if one.end > other.offset:
            raise Mistake(f"{where} {other.name}", f"overlaps {one.name}, which ends at {one.end:#x}", "move one of them")
    names = [f"{word.name}{i}" if word.is_array else word.name for word in words for i in range(word.count)]
    _unique(names, where, "name")
    return words


def _register(given, where, limit):
    register = _word(given, where, limit, ("access", "reset"), ("count", "sticky", "volatile", "fields"))
    where = f"{where} {register.name}"
    register.volatile = _flag(given, "volatile", where)
    register.reset_from_property = given["reset"] == "property"
    if not register.reset_from_property:
        register.reset = _number(given["reset"], where, "reset", register.full_mask)
    if register.reset & ~register.defined_mask:
        raise Mistake(where, f"reset {register.reset:#x} sets reserved bits", "clear them or define a field there")
    return register


def _bar(given, where):
    _keys(given, where, ("index", "name", "size", "width", "prefetchable", "doc"))
    where = f"{where} {_name(given, where)}"
    size = None if given["size"] == "property" else _number(given["size"], where, "size", 1 << 40)
    if size is not None and (size < 16 or size & (size - 1)):
        raise Mistake(where, f"size is {size:#x}", "a BAR is a power of two, at least 16")
    return Bar(_number(given["index"], where, "index", 5), given["name"], size, _choice(given["width"], where, "width", (32, 64)),
               _flag(given, "prefetchable", where), _doc(given, where))


def _bars(given, where):
    bars = [_bar(bar, f"{where}: BAR") for bar in given]
    _unique([slot for bar in bars for slot in range(bar.index, bar.index + bar.width // 32)], where, "BAR slot")
    return bars


def _structure(given, where):
    _keys(given, where, ("name", "size", "doc", "words"), ("cpp_name",))
    name = _name(given, where)
    size = _number(given["size"], f"{where} {name}", "size", 4096)
    words = _apart([_word(word, f"{where} {name}:", size, optional=("fields",)) for word in given["words"]], f"{where} {name}:")
    if sum(word.width // 8 for word in words) != size:
        raise Mistake(f"{where} {name}", f"its words do not fill its {size} bytes", "name the gap, as RESERVED")
    camel = "".join(part.capitalize() for part in name.split("_"))
    return Structure(name, given.get("cpp_name", camel), size, _doc(given, where), words)


def _capability(given, where, size, constants):
    optional, widths = ("value", "access", "sticky"), (8, 16, 32)
    words = _apart([_word(word, where, size, (), optional, widths, word.get("access", "ro")) for word in given["bytes"]], where)
    values = {word["name"]: _number(word["value"], f"{where} {word['name']}", "value", (1 << word["width"]) - 1)
              for word in given["bytes"] if "value" in word and word["value"] != "property"}
    return Capability(constants, size, words, values)


def _vendor_capability(given, doorbells, bars, where):
    _keys(given, where, ("version", "bytes"))
    size = max(word.get("offset", 0) + word.get("width", 0) // 8 for word in given["bytes"])
    capability = _capability(given, where, size, {"VERSION": given["version"]})
    index = {bar.name: bar.index for bar in bars}
    expected = {"LENGTH": size, "VERSION": given["version"], "DOORBELLS": len(doorbells), "REGISTER_BAR": index["REGISTERS"],
                "MEMORY_BAR": index["MEMORY"], "MSIX_BAR": index["MSIX"], "DOORBELL_OFFSET": doorbells[0].offset}
    for name, value in expected.items():
        if capability.values.get(name) != value:
            raise Mistake(f"{where} {name}", f"is {capability.values.get(name)}", f"the rest of the description says {value:#x}")
    return capability


def _dvsec(given, where):
    _keys(given, where, ("vendor", "revision", "id", "length", "bytes"))
    constants = {name.upper(): _number(given[name], where, name, 0xffff) for name in ("vendor", "revision", "id")}
    return _capability(given, where, _number(given["length"], where, "length", 0xfff), constants)


def _device(given, limits, where):
    _keys(given, where, ("name", "vendor_id", "device_id", "subsystem_vendor_id", "subsystem_id", "revision", "class", "version"))
    constants = {key.upper(): _number(given[key], where, key, 0xffff)
                 for key in ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_id", "revision")}
    for part in ("major", "minor", "patch"):
        version = _keys(given["version"], f"{where}: version", ("major", "minor", "patch"))
        constants[f"VERSION_{part.upper()}"] = _number(version[part], where, part, 0xff)
    constants.update({_name({"name": key.upper()}, "limits"): _number(value, "limits", key, 1 << 32) for key, value in limits.items()})
    return given["name"], constants, _number(given["class"], where, "class", 0xffffff)


def load(path):
    """The checked description in the file, or a Mistake."""
    path = pathlib.Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        loader = _Loader(text)
        loader.name = str(path)
        given = loader.get_single_data()
    except OSError as error:
        raise Mistake(path, error.strerror, "name the description with --source") from error
    except yaml.YAMLError as error:
        raise Mistake(path, f"is not YAML ({error})", "mend the syntax") from error
    parts = ("device", "bars", "limits", "registers", "doorbells", "structures", "vendor_capability", "dvsec")
    _keys(given, path, parts)
    name, constants, class_code = _device(given["device"], given["limits"], f"{path}: device")
    bars = _bars(given["bars"], path)
    limit = next((bar.size for bar in bars if bar.name == "REGISTERS" and bar.size), None)
    if limit is None:
        raise Mistake(f"{path}: bars", "has no BAR REGISTERS of fixed size", "the registers must live somewhere: add it")
    registers = [_register(register, f"{path}: register", limit) for register in given["registers"]]
    doorbells = [_word(bell, f"{path}: doorbell", limit, access="wo") for bell in given["doorbells"]]
    _apart(registers + doorbells, f"{path}: register")
    structures = [_structure(structure, f"{path}: structure") for structure in given["structures"]]
    _unique([structure.name for structure in structures], f"{path}: structures", "name")
    capability = _vendor_capability(given["vendor_capability"], doorbells, bars, f"{path}: vendor_capability")
    return Device(name, constants, class_code, bars, sorted(registers, key=lambda r: r.offset), doorbells, structures,
                  capability, _dvsec(given["dvsec"], f"{path}: dvsec"))
