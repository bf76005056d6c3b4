#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that each function of an object file is one mov and a return, and that typed and raw accesses are the same.

Usage: check.py OBJDUMP OBJECT
"""

import re
import subprocess
import sys

WIDTHS = (8, 16, 32, 64)
EXPECTED = [f"{kind}_{width}" for kind in ("read", "write") for width in WIDTHS]
EXPECTED += ["read_acquire_32", "write_release_32", "raw_read_32", "raw_write_32"]
# A narrow load may extend into the whole register; it is still one load of its own width.
LOADS = {8: r"movzb[lq]|mov", 16: r"movzw[lq]|mov", 32: r"movl?", 64: r"movq?"}
STORES = {8: r"movb?", 16: r"movw?", 32: r"movl?", 64: r"movq?"}
REGISTERS = {8: r"%(?:sil|al|dl)", 16: r"%(?:si|ax|dx)", 32: r"%(?:esi|eax|edx)", 64: r"%(?:rsi|rax|rdx)"}
OFFSETS = {8: 0x10, 16: 0x20, 32: 0x40, 64: 0x80}


def functions(objdump, path):
    """The instructions of each function, as objdump spells them in AT&T syntax."""
    text = subprocess.run([objdump, "-d", "--no-show-raw-insn", "-M", "att", path], check=True, text=True,
                          capture_output=True).stdout
    found = {}
    name = None
    for line in text.splitlines():
        if start := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            name = start.group(1)
            found[name] = []
        elif name and (instruction := re.match(r"\s+[0-9a-f]+:\s+(.*\S)", line)):
            found[name].append(re.sub(r"\s+", " ", instruction.group(1)))
    # What fills the gap to the next function is no part of this one.
    return {name: [i for i in code if not re.match(r"(data16 |cs )*(nop|xchg %ax,%ax)", i)] for name, code in found.items()}


def pattern(name):
    width = int(name.rsplit("_", 1)[1])
    place = rf"{OFFSETS[width]:#x}\(%rdi\)"
    if "read" in name:
        return rf"(?:{LOADS[width]}) {place},%\w+"
    return rf"(?:{STORES[width]}) (?:{REGISTERS[width]}),{place}"


def main():
    objdump, path = sys.argv[1:]
    found = functions(objdump, path)
    wrong = []
    for name in EXPECTED:
        code = found.get(name)
        if code is None or len(code) != 2 or not re.fullmatch(pattern(name), code[0]) or not code[1].startswith("ret"):
            wrong.append(f"{name} is not one access and a return: {code}")
    for kind in ("read_32", "write_32"):
        if found.get(kind) != found.get(f"raw_{kind}"):
            wrong.append(f"{kind} differs from the same access by hand: {found.get(kind)} and {found.get(f'raw_{kind}')}")
    print("\n".join(wrong) or f"{len(EXPECTED)} accesses are one instruction each")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
