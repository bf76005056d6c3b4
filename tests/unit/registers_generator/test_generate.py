#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The register generator: what it refuses, in which words, and that what it writes is whole."""

import contextlib
import copy
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import yaml

PROJECT = pathlib.Path(__file__).resolve().parents[3]
REGISTERS = PROJECT / "qemu-device" / "registers"
sys.path.insert(0, str(REGISTERS))
sys.dont_write_bytecode = True

import description  # noqa: E402
import generate  # noqa: E402

GOOD = yaml.safe_load((REGISTERS / "pcienic.yaml").read_text(encoding="utf-8"))


class GeneratorTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.given = copy.deepcopy(GOOD)

    def register(self, name):
        return next(register for register in self.given["registers"] if register["name"] == name)

    def field(self, register, name):
        return next(field for field in self.register(register)["fields"] if field["name"] == name)

    def load(self):
        path = self.folder / "device.yaml"
        path.write_text(yaml.safe_dump(self.given), encoding="utf-8")
        return description.load(path)

    def assert_refused(self, *parts):
        """The description is refused, and the message has file, object, fault and remedy."""
        with self.assertRaises(description.Mistake) as raised:
            self.load()
        for part in ("device.yaml", *parts):
            self.assertIn(part, str(raised.exception))

    def run_main(self, *arguments):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            code = generate.main([str(argument) for argument in arguments])
        return code, errors.getvalue()


class Description(GeneratorTest):
    def test_accepts_the_device(self):
        device = self.load()
        self.assertEqual([r.name for r in device.registers][:3], ["ID", "VERSION", "FEATURES"])

    def test_refuses_overlapping_registers(self):
        self.register("SCRATCH64")["offset"] = 0x20
        self.assert_refused("register", "overlaps", "move one of them")

    def test_refuses_an_array_that_runs_into_the_next_register(self):
        self.register("IRQ_CAUSE")["count"] = 65
        self.assert_refused("IRQ_MASK", "overlaps IRQ_CAUSE", "0x304")

    def test_refuses_an_array_element_with_the_name_of_a_register(self):
        self.register("SCRATCH64")["name"] = "IRQ_CAUSE7"
        self.assert_refused("IRQ_CAUSE7 is there twice")

    def test_refuses_an_unaligned_register(self):
        self.register("SCRATCH")["offset"] = 0x12
        self.assert_refused("SCRATCH", "0x12 is not aligned to 4 bytes", "multiple")

    def test_refuses_a_register_beyond_its_bar(self):
        self.register("DMA_COMPLETED")["offset"] = 0x10000
        self.assert_refused("offset is 65536", "0xffff")

    def test_refuses_an_odd_width(self):
        self.register("SCRATCH")["width"] = 16
        self.assert_refused("SCRATCH", "width is 16", "32, 64")

    def test_refuses_a_reset_that_does_not_fit(self):
        self.register("SCRATCH")["reset"] = 1 << 32
        self.assert_refused("SCRATCH", "reset", "0xffffffff")

    def test_refuses_a_reset_in_reserved_bits(self):
        self.register("STATUS")["reset"] = 0x100
        self.assert_refused("STATUS", "sets reserved bits", "define a field")

    def test_refuses_overlapping_fields(self):
        self.field("STATUS", "ERROR")["bits"] = "1"
        self.assert_refused("STATUS.ERROR", "overlaps the field DMA_BUSY")

    def test_refuses_a_field_outside_its_register(self):
        self.field("STATUS", "ERROR")["bits"] = "32"
        self.assert_refused("STATUS.ERROR", "bits is '32'", "within 31:0")

    def test_refuses_reversed_bits(self):
        self.field("VERSION", "MINOR")["bits"] = "8:15"
        self.assert_refused("VERSION.MINOR", "MSB:LSB")

    def test_refuses_an_enum_value_that_does_not_fit(self):
        self.field("IRQ_STATUS", "MODE")["enum"]["MSIX"] = 4
        self.assert_refused("IRQ_STATUS.MODE.MSIX", "0x3")

    def test_refuses_two_names_for_one_enum_value(self):
        self.field("IRQ_STATUS", "MODE")["enum"]["MSIX"] = 1
        self.assert_refused("IRQ_STATUS.MODE", "enum value 1 is there twice")

    def test_refuses_an_unknown_key(self):
        self.register("SCRATCH")["colour"] = "red"
        self.assert_refused("register", "unknown key colour", "use one of")

    def test_refuses_a_missing_key(self):
        del self.register("SCRATCH")["doc"]
        self.assert_refused("register", "lacks the key doc")

    def test_refuses_an_empty_doc(self):
        self.register("SCRATCH")["doc"] = " "
        self.assert_refused("SCRATCH", "doc is empty")

    def test_refuses_an_unknown_access(self):
        self.register("SCRATCH")["access"] = "rwx"
        self.assert_refused("SCRATCH", "access is 'rwx'", "ro, rw, wo, rw1c, rw1s, rc")

    def test_refuses_names_that_no_language_would_take(self):
        for name in ("scratch", "2FAST", "A__B", "A-B", ""):
            with self.subTest(name=name):
                self.register("SCRATCH")["name"] = name
                self.assert_refused("is not a name", "capitals")
                self.given = copy.deepcopy(GOOD)

    def test_refuses_a_structure_with_a_hole(self):
        del self.given["structures"][0]["words"][1]
        self.assert_refused("structure DESCRIPTOR", "do not fill its 32 bytes")

    def test_refuses_a_bar_in_the_upper_half_of_another(self):
        self.given["bars"].append({**self.given["bars"][2], "index": 5, "name": "EXTRA"})
        self.assert_refused("BAR slot 5 is there twice")

    def test_refuses_a_bar_size_that_is_no_power_of_two(self):
        self.given["bars"][0]["size"] = 0x3000
        self.assert_refused("BAR REGISTERS", "power of two")

    def test_refuses_a_capability_that_contradicts_the_rest(self):
        entry = next(byte for byte in self.given["vendor_capability"]["bytes"] if byte["name"] == "DOORBELL_OFFSET")
        entry["value"] = 0x2000
        self.assert_refused("DOORBELL_OFFSET", "0x1000")

    def test_refuses_a_key_given_twice(self):
        path = self.folder / "device.yaml"
        path.write_text("device: {name: a}\ndevice: {name: b}\n", encoding="utf-8")
        with self.assertRaisesRegex(description.Mistake, r"device\.yaml:2: the key device is there twice"):
            description.load(path)

    def test_refuses_a_file_that_is_not_there(self):
        with self.assertRaisesRegex(description.Mistake, "--source"):
            description.load(self.folder / "absent.yaml")

    def test_refuses_what_is_not_yaml(self):
        path = self.folder / "device.yaml"
        path.write_text("a: [", encoding="utf-8")
        with self.assertRaisesRegex(description.Mistake, "is not YAML"):
            description.load(path)


class Output(GeneratorTest):
    def all_options(self):
        return [part for name in generate.RENDERERS for part in (f"--{name}", self.folder / name)]

    def test_is_the_same_each_time(self):
        self.assertEqual(self.run_main(*self.all_options()), (0, ""))
        first = {name: (self.folder / name).read_bytes() for name in generate.RENDERERS}
        for name in generate.RENDERERS:
            (self.folder / name).unlink()
        self.run_main(*self.all_options())
        self.assertEqual(first, {name: (self.folder / name).read_bytes() for name in generate.RENDERERS})

    def test_leaves_a_file_alone_that_is_up_to_date(self):
        self.run_main(*self.all_options())
        before = {name: (self.folder / name).stat().st_mtime_ns for name in generate.RENDERERS}
        self.run_main(*self.all_options())
        self.assertEqual(before, {name: (self.folder / name).stat().st_mtime_ns for name in generate.RENDERERS})

    def test_check_refuses_an_old_file_and_leaves_it(self):
        path = self.folder / "old.h"
        path.write_text("old", encoding="utf-8")
        code, errors = self.run_main("--check", "--c", path)
        self.assertEqual(code, 1)
        self.assertIn("out of date", errors)
        self.assertEqual(path.read_text(encoding="utf-8"), "old")

    def test_reports_a_mistake_without_a_traceback(self):
        code, errors = self.run_main("--source", self.folder / "absent.yaml", "--c", self.folder / "x.h")
        self.assertEqual(code, 1)
        self.assertEqual(errors.count("\n"), 1)
        self.assertFalse((self.folder / "x.h").exists())

    def test_says_where_it_comes_from(self):
        self.run_main("--c", self.folder / "x.h", "--cpp", self.folder / "x.hpp", "--markdown", self.folder / "x.md")
        for name in ("x.h", "x.hpp", "x.md"):
            head = (self.folder / name).read_text(encoding="utf-8").splitlines()[:2]
            self.assertIn("SPDX-License-Identifier: MIT", head[0])
            self.assertIn("Generated from qemu-device/registers/pcienic.yaml; do not edit", head[1])

    def test_json_has_every_register(self):
        self.run_main("--json", self.folder / "x.json")
        device = json.loads((self.folder / "x.json").read_text(encoding="utf-8"))
        self.assertEqual({r["name"] for r in device["registers"]}, {r["name"] for r in GOOD["registers"]})

    def test_refuses_two_things_that_would_be_one_macro(self):
        words = [{"name": "ID", "offset": 0, "width": 64, "doc": "As the register of that name."}]
        self.given["structures"].append({"name": "RING", "size": 8, "doc": "Clashes with the limits.", "words": words})
        self.given["limits"]["ring_size"] = 1
        path = self.folder / "device.yaml"
        path.write_text(yaml.safe_dump(self.given), encoding="utf-8")
        code, errors = self.run_main("--source", path, "--c", self.folder / "x.h")
        self.assertEqual(code, 1)
        self.assertIn("two things would be the macro PCIENIC_RING_SIZE: rename one", errors)

    def test_c_header_is_c11_and_cpp(self):
        header = self.folder / "pcienic_regs.h"
        self.run_main("--c", header)
        source = self.folder / "table.c"
        source.write_text('#include "pcienic_regs.h"\n'
                          "#define ROW(NAME, offset, width, count, rw, w1c, w1s, sticky, reset, access) \\\n"
                          "  static_assert(offset == PCIENIC_REG_##NAME, #NAME);\n"
                          "PCIENIC_REGISTER_TABLE(ROW)\n", encoding="utf-8")
        for compiler in (["cc", "-std=c11", "-Dstatic_assert=_Static_assert"], ["c++", "-std=c++20", "-x", "c++"]):
            with self.subTest(compiler=compiler[0]):
                subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", str(source)], check=True)


class Drift(GeneratorTest):
    def test_the_kept_headers_are_up_to_date(self):
        kept = PROJECT / "qemu-device" / "registers" / "kept"
        files = ("--c", kept / "pcienic_regs.h", "--cpp", kept / "registers.hpp", "--table", kept / "register_table.hpp")
        code, errors = self.run_main("--check", *files)
        command = "qemu-device/registers/generate.py " + " ".join(
            str(word).replace(f"{PROJECT}/", "") for word in files)
        self.assertEqual(code, 0, f"{errors}run {command}")
        self.assertEqual({path.name for path in kept.glob("*.h*")}, {path.name for path in files[1::2]})

    def test_the_reference_chapter_is_up_to_date(self):
        code, errors = self.run_main("--check", "--markdown", PROJECT / "docs" / "reference" / "registers.md")
        self.assertEqual(code, 0, errors + "run qemu-device/registers/generate.py --markdown docs/reference/registers.md")


if __name__ == "__main__":
    unittest.main()
