#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The overlay, on small trees that have the lines of QEMU 7.2 and of 10.0 that it looks for."""

import subprocess
import unittest

import harness


class Overlay(harness.FrontDoorCase):

    def apply(self, tree):
        return subprocess.run([str(self.checkout / "qemu-device/overlay/apply.py"), str(tree)], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def tree(self, *, modern=False):
        tree = self.work / "tree"
        harness.make_qemu_tree(tree, modern=modern)
        return tree

    def applied(self, **options):
        tree = self.tree(**options)
        result = self.apply(tree)
        self.assertEqual(result.returncode, 0, result.stderr)
        return tree

    def test_second_run_changes_not_even_a_time(self):
        for modern in (False, True):
            with self.subTest(modern=modern):
                tree = self.applied(modern=modern)
                before = harness.snapshot(tree)
                again = self.apply(tree)
                self.assertEqual((again.returncode, again.stdout), (0, ""))
                self.assertEqual(harness.snapshot(tree), before)
                subprocess.run(["rm", "-r", str(tree)], check=True)

    def test_fault_that_qemu_has_mended_since_is_mended(self):
        old = (self.applied() / "softmmu/physmem.c").read_text(encoding="utf-8")
        self.assertIn("async_run_on_cpu(cpu, tcg_commit_cpu,", old)
        self.assertFalse(list(self.work.rglob("*.orig")) + list(self.work.rglob("*.rej")))

    def test_fault_that_came_back_with_10_0_4_is_mended(self):
        tree = self.tree(modern=True)
        source = tree / "system/physmem.c"
        source.write_text(harness.before_patch("tcg-commit-10.patch"), encoding="utf-8")
        self.assertEqual(self.apply(tree).returncode, 0)
        text = source.read_text(encoding="utf-8")
        self.assertIn("cpuas->memory_view = address_space_get_flatview(cpuas->as);", text)
        self.assertNotIn("address_space_to_dispatch(", text)
        self.assertEqual(self.apply(tree).stdout, "")

    def test_edit_of_a_backport_reaches_a_tree_that_has_it(self):
        tree = self.applied()
        patch = self.checkout / "qemu-device/overlay/backports/tcg-commit.patch"
        patch.write_text(patch.read_text(encoding="utf-8").replace("+    tlb_flush(cpu);", "+    tlb_flush_soon(cpu);"), encoding="utf-8")
        self.assertEqual(self.apply(tree).stdout, "softmmu/physmem.c (backports/tcg-commit.patch)\n")
        source = tree / "softmmu/physmem.c"
        self.assertIn("tlb_flush_soon(cpu);", source.read_text(encoding="utf-8"))
        # A tree that was updated is not put back to what it was.
        source.write_text(harness.before_patch("tcg-commit.patch") + "/* updated */\n", encoding="utf-8")
        self.apply(tree)
        text = source.read_text(encoding="utf-8")
        self.assertIn("tlb_flush_soon(cpu);", text)
        self.assertIn("/* updated */", text)

    def test_missing_patch_program_is_named(self):
        tree = self.tree()
        result = subprocess.run(["/usr/bin/python3", str(self.checkout / "qemu-device/overlay/apply.py"), str(tree)], text=True,
                                check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": "/nowhere"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("install the package of that name", result.stderr)

    def test_mended_fault_that_looks_otherwise_is_refused(self):
        tree = self.tree()
        source = tree / "softmmu/physmem.c"
        source.write_text(source.read_text(encoding="utf-8").replace("tlb_flush", "tlb_flush_soon"), encoding="utf-8")
        before = source.read_bytes()
        result = self.apply(tree)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"{source} has the fault that qemu-device/overlay/backports/tcg-commit.patch mends", result.stderr)
        self.assertIn("docs/design/0007 says which", result.stderr)
        self.assertEqual(source.read_bytes(), before)

    def test_only_three_of_qemus_files_are_touched_and_what_is_mended(self):
        for modern, mended in ((False, {"softmmu/physmem.c"}), (True, set())):
            with self.subTest(modern=modern):
                tree = self.tree(modern=modern)
                before = harness.snapshot(tree)
                self.apply(tree)
                after = harness.snapshot(tree)
                named = {"hw/Kconfig", "hw/meson.build", "meson.build"}
                self.assertEqual({name for name in before if before[name] != after[name]}, named | mended)
                for name in named:
                    old, new = before[name][0].splitlines(), after[name][0].splitlines()
                    self.assertEqual(len(new), len(old) + 1)
                    self.assertEqual([line for line in new if b"pcienic" not in line], old)
                self.assertTrue(all(name.startswith("hw/pcienic/") for name in set(after) - set(before)))
                subprocess.run(["rm", "-r", str(tree)], check=True)

    def test_every_source_is_compiled(self):
        tree = self.applied()
        meson = (tree / "hw/pcienic/meson.build").read_text(encoding="utf-8")
        for part in ("core", "qemu", "steps"):
            for source in (self.checkout / "qemu-device" / part).glob("*.c"):
                self.assertIn(f"'{part}/{source.name}'", meson)
                self.assertTrue((tree / "hw/pcienic" / part / source.name).exists())
        self.assertIn("-Werror", meson)

    def test_versions_are_told_apart_by_content(self):
        old = (self.applied() / "hw/pcienic")
        self.assertIn("softmmu_ss.add(", (old / "meson.build").read_text(encoding="utf-8"))
        self.assertNotIn("PCIE_DEVICES", (old / "Kconfig").read_text(encoding="utf-8"))
        subprocess.run(["rm", "-r", str(self.work / "tree")], check=True)
        new = (self.applied(modern=True) / "hw/pcienic")
        meson = (new / "meson.build").read_text(encoding="utf-8")
        self.assertIn("\nsystem_ss.add(", meson)
        self.assertIn("-DCOMPILE_SYSTEM_VS_USER", meson)
        self.assertIn("PCI_DEVICES || PCIE_DEVICES", (new / "Kconfig").read_text(encoding="utf-8"))

    def test_edit_reaches_the_tree_and_nothing_else_does(self):
        tree = self.applied()
        before = harness.snapshot(tree)
        source = next((self.checkout / "qemu-device/steps").glob("*.c"))
        source.write_text(source.read_text(encoding="utf-8") + "/* edited */\n", encoding="utf-8")
        self.assertEqual(self.apply(tree).stdout, f"hw/pcienic/steps/{source.name}\n")
        after = harness.snapshot(tree)
        self.assertEqual({n for n in after if after[n] != before[n]}, {f"hw/pcienic/steps/{source.name}"})

    def test_removed_source_disappears(self):
        tree = self.applied()
        (self.checkout / "qemu-device/steps/extra.c").write_text("int x;\n", encoding="utf-8")
        self.apply(tree)
        self.assertTrue((tree / "hw/pcienic/steps/extra.c").exists())
        (self.checkout / "qemu-device/steps/extra.c").unlink()
        self.apply(tree)
        self.assertFalse((tree / "hw/pcienic/steps/extra.c").exists())
        self.assertNotIn("extra.c", (tree / "hw/pcienic/meson.build").read_text(encoding="utf-8"))

    def test_directory_that_is_no_qemu_tree_is_refused(self):
        result = self.apply(self.work)
        self.assertEqual(result.returncode, 1)
        self.assertIn("not a QEMU source tree", result.stderr)

    def test_tree_without_the_place_for_a_line_says_which(self):
        tree = self.tree()
        (tree / "meson.build").write_text("project('other')\n", encoding="utf-8")
        result = self.apply(tree)
        self.assertEqual(result.returncode, 1)
        self.assertIn(f"{tree}/meson.build", result.stderr)
        self.assertIn("hw/pcienic", result.stderr)

    def test_generators_failure_is_shown(self):
        (self.checkout / "qemu-device/registers/pcienic.yaml").write_text("registers: [", encoding="utf-8")
        result = self.apply(self.tree())
        self.assertEqual(result.returncode, 1)
        self.assertIn("the register generator failed", result.stderr)


if __name__ == "__main__":
    harness.main()
