#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that the loops which pcienic-bench compares, typed and raw, are the same instructions.

Usage: same_loops.py OBJDUMP PROGRAM
"""

import re
import subprocess
import sys

PAIRS = (("read_typed", "read_raw"), ("write_typed", "write_raw"))


def functions(objdump, path, names):
    """The instructions of each function; targets of jumps as distances from its beginning, so that it may lie anywhere."""
    found = {}
    for name in names:
        text = subprocess.run([objdump, "-d", "--no-show-raw-insn", f"--disassemble={name}", path], check=True, text=True,
                              capture_output=True).stdout
        code = [re.sub(r"\s+", " ", match.group(1)) for line in text.splitlines()
                if (match := re.match(r"\s+[0-9a-f]+:\s+(.*\S)", line))]
        found[name] = [re.sub(rf"\b[0-9a-f]+ <{name}(\+0x[0-9a-f]+)?>", r"\1", i) for i in code
                       if not re.match(r"(data16 |cs )*(nop|xchg %ax,%ax)", i)]
    return found


def main():
    objdump, path = sys.argv[1:]
    found = functions(objdump, path, [name for pair in PAIRS for name in pair])
    wrong = [f"{typed}: {found[typed]}\n{raw}: {found[raw]}" for typed, raw in PAIRS
             if found[typed] != found[raw] or not any("(%rdi)" in i for i in found[raw])]
    print("\n".join(wrong) or "typed and raw loops are the same instructions")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
