#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Put the pcienic devices into a QEMU source tree.

    qemu-device/overlay/apply.py QEMU-SOURCE

hw/pcienic/ of the tree becomes a copy of qemu-device/{core,qemu,steps}, with the generated register header and the
Kconfig, meson.build and trace-events that belong to them. Three files of QEMU's own get the lines that name the new
directory: hw/Kconfig, hw/meson.build and meson.build. A version with a fault that ends our guests, mended in a later one,
gets the patch in backports/ (docs/design/0007). Nothing else is touched, and a second run changes nothing, not even a time
stamp: what an incremental build depends on.

Works on any tree from 7.2 on; what differs between versions is read from the tree, not from its version number.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

DEVICE = pathlib.Path(__file__).resolve().parent.parent
OVERLAY = DEVICE / "overlay"
PARTS = ("core", "qemu", "steps")
# Which parts make which library, under which Kconfig symbol.
LIBRARIES = (
    ("pcienic", "CONFIG_PCIENIC", ("core", "qemu")),
    ("pcienic-steps", "CONFIG_PCIENIC_STEPS", ("steps",)),
)
# What QEMU has mended since: the patch, the file that it changes, and what that file has where the fault is still there,
# and where it is not.
BACKPORTS = (
    ("tcg-commit.patch", "softmmu/physmem.c", "static void tcg_commit(", "static void tcg_commit_cpu("),
    ("tcg-commit-10.patch", "system/physmem.c", "*d = address_space_to_dispatch(cpuas->as);", "FlatView *memory_view;"),
)
# What the backports' files were before, and as we left them.
KEPT = pathlib.PurePath("hw/pcienic/before-backports")


class Unusable(Exception):
    """The tree is not one that we know how to extend; the message says why and what to do."""


def generated_header() -> bytes:
    """pcienic_regs.h, made from the register description."""
    with tempfile.TemporaryDirectory() as directory:
        header = pathlib.Path(directory) / "pcienic_regs.h"
        run = subprocess.run(
            ["/usr/bin/python3", str(DEVICE / "registers/generate.py"), "--c", str(header)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if run.returncode != 0:
            raise Unusable(f"the register generator failed:\n{run.stdout.rstrip()}")
        return header.read_bytes()


def sources(*parts: str) -> list[str]:
    """The C files of PARTS, relative to hw/pcienic."""
    return sorted(str(f.relative_to(DEVICE)) for part in parts for f in (DEVICE / part).glob("*.c"))


def meson_build(tree: pathlib.Path) -> str:
    """meson.build of hw/pcienic.

    Each symbol is a static library rather than a plain list of files because only a library can have flags and include
    directories of its own: our code is compiled with -Werror whatever the rest of QEMU uses, and with debug information
    even where QEMU is built without.
    """
    root = (tree / "meson.build").read_text(encoding="utf-8")
    source_set = "system_ss" if re.search(r"^system_ss\b", root, re.M) else "softmmu_ss"
    flags = ["-Werror", "-g"]
    if "-DCOMPILE_SYSTEM_VS_USER" in root:
        # Since 10.0 QEMU's headers want to know that they are compiled once for all system emulators.
        flags += ["-DCONFIG_SOFTMMU", "-DCOMPILE_SYSTEM_VS_USER"]
    text = (OVERLAY / "meson.build.head").read_text(encoding="utf-8")
    for name, symbol, parts in LIBRARIES:
        files = sources(*parts)
        if not files:
            continue
        variable = name.replace("-", "_")
        listing = "".join(f"    '{f}',\n" for f in files)
        text += (
            f"\nlib{variable} = static_library('{name}',\n"
            f"  files(\n{listing}  ), genh,\n"
            f"  include_directories: include_directories('.', 'core', 'qemu'),\n"
            f"  c_args: [{', '.join(repr(flag) for flag in flags)}],\n"
            f"  name_suffix: 'fa', build_by_default: false)\n"
            f"{source_set}.add(when: '{symbol}',\n"
            f"  if_true: declare_dependency(link_whole: lib{variable}))\n")
    return text


def kconfig(tree: pathlib.Path) -> str:
    """Kconfig of hw/pcienic."""
    text = (OVERLAY / "Kconfig").read_text(encoding="utf-8")
    if re.search(r"^config PCIE_DEVICES$", (tree / "hw/pci/Kconfig").read_text(encoding="utf-8"), re.M):
        # Boards without a conventional PCI bus ask for PCIe devices alone; 7.2 does not know the difference.
        text = text.replace("if PCI_DEVICES", "if PCI_DEVICES || PCIE_DEVICES")
    return text


def directory_content(tree: pathlib.Path) -> dict[str, bytes]:
    """Every file of hw/pcienic by its name there."""
    content = {f"{part}/{f.name}": f.read_bytes()
               for part in PARTS for f in sorted((DEVICE / part).glob("*.[ch]"))}
    content["pcienic_regs.h"] = generated_header()
    content["Kconfig"] = kconfig(tree).encode()
    content["trace.h"] = (OVERLAY / "trace.h").read_bytes()
    content["meson.build"] = meson_build(tree).encode()
    # QEMU's build takes one trace-events file a directory.
    events = [(DEVICE / part / "trace-events") for part in PARTS]
    content["trace-events"] = b"".join(f.read_bytes() for f in events if f.exists())
    return content


def write_if_changed(path: pathlib.Path, data: bytes) -> bool:
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    # A reader, or a second run after a kill, must find the old file or the new one.
    staged = path.with_name(path.name + ".new")
    staged.write_bytes(data)
    staged.replace(path)
    return True


def insert_line(path: pathlib.Path, line: str, after: str) -> bool:
    """Add LINE to the QEMU file PATH below the first line that matches AFTER, unless it is there already."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        raise Unusable(f"{path} does not exist: is this the top of a QEMU source tree?") from None
    if line + "\n" in lines:
        return False
    for number, text in enumerate(lines):
        if re.match(after, text):
            lines.insert(number + 1, line + "\n")
            return write_if_changed(path, "".join(lines).encode())
    raise Unusable(f"{path} has no line that matches {after!r}, so the place for {line.strip()!r} is unknown: "
                   "add that line by hand where the file names hw/pci, and run this again")


def patched(path: pathlib.Path, content: bytes, patch: str) -> bytes:
    """CONTENT, which is that of PATH, with the backport PATCH applied."""
    with tempfile.TemporaryDirectory() as directory:
        before, after = pathlib.Path(directory) / "before", pathlib.Path(directory) / "after"
        before.write_bytes(content)
        command = ["patch", "--forward", "--batch", "--fuzz=0", "--reject-file=-", f"--output={after}", str(before),
                   str(OVERLAY / "backports" / patch)]
        try:
            run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        except FileNotFoundError:
            raise Unusable("there is no program `patch`: install the package of that name") from None
        if run.returncode != 0:
            raise Unusable(
                f"{path} has the fault that qemu-device/overlay/backports/{patch} mends, but that does not apply:\n"
                f"{run.stdout.rstrip()}\nadapt the patch to this version, or take one that needs none: docs/design/0007 says which")
        return after.read_bytes()


def mend(tree: pathlib.Path, patch: str, name: str, fault: str, mended: str) -> bool:
    """Apply the backport PATCH to the QEMU file NAME if that has the text FAULT and has not MENDED.

    What the file was before is kept, so that a patch that has changed since is applied to that; but only while the file
    is as it was left: one that was updated with its tree is looked at anew.
    """
    path = tree / name
    if not path.is_file():
        return False
    content = path.read_bytes()
    before, left = tree / KEPT / name, tree / KEPT / f"{name}.left"
    if left.is_file() and before.is_file() and left.read_bytes() == content:
        content = before.read_bytes()
    if fault.encode() not in content or mended.encode() in content:
        return False
    result = patched(path, content, patch)
    # In this order: after a kill in between, the file is still taken for what it was.
    write_if_changed(before, content)
    write_if_changed(left, result)
    return write_if_changed(path, result)


def apply(tree: pathlib.Path) -> list[str]:
    """Bring TREE up to date; returns what was changed."""
    if not (tree / "VERSION").is_file() or not (tree / "hw").is_dir():
        raise Unusable(f"{tree} is not a QEMU source tree: it has no VERSION file or no hw directory")
    changed = []
    ours = tree / "hw/pcienic"
    content = directory_content(tree)
    for name, data in content.items():
        if write_if_changed(ours / name, data):
            changed.append(f"hw/pcienic/{name}")
    # A source that was renamed or removed must not stay behind.
    for path in sorted(ours.rglob("*")):
        name = str(path.relative_to(ours))
        if path.is_file() and name not in content and tree / KEPT not in path.parents:
            path.unlink()
            changed.append(f"hw/pcienic/{name} (removed)")
    for name, line, after in (
            ("hw/Kconfig", "source pcienic/Kconfig", r"source pci/Kconfig$"),
            ("hw/meson.build", "subdir('pcienic')", r"subdir\('pci-host'\)$"),
            ("meson.build", "    'hw/pcienic',", r"    'hw/pci',$")):
        if insert_line(tree / name, line, after):
            changed.append(name)
    for patch, name, fault, mended in BACKPORTS:
        if mend(tree, patch, name, fault, mended):
            changed.append(f"{name} (backports/{patch})")
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=pathlib.Path, metavar="QEMU-SOURCE", help="the top of a QEMU source tree")
    arguments = parser.parse_args()
    try:
        for name in apply(arguments.tree):
            print(name)
    except (Unusable, OSError) as error:
        print(f"apply.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
