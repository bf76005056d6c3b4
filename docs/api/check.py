#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""check.py DOXYGEN DOXYFILE WARNINGS: makes the reference, and fails on what Doxygen warns of.

Let pass: the plain data of a struct or a namespace of constants, and a defaulted comparison, without a comment of its
own. The struct's or the namespace's comment speaks for them, with the specification that the names are from.
"""

import pathlib
import re
import subprocess
import sys

LET_PASS = re.compile(r"Member .* \(variable\) of (?:struct|namespace uiovfio::(?:config|capability|extended_capability))\b"
                      r"|Member operator(?:==|<=>)\(.*\)(?: noexcept)?=default \(friend\)"
                      r"|Internal inconsistency: scope for class std::")


def main(doxygen, doxyfile, warnings):
    warnings = pathlib.Path(warnings)
    warnings.unlink(missing_ok=True)
    subprocess.run([doxygen, doxyfile], check=True, stdin=subprocess.DEVNULL)
    text = warnings.read_text(encoding="utf-8") if warnings.exists() else ""
    left = [line for line in text.splitlines() if line.strip() and not LET_PASS.search(line)]
    if left:
        sys.exit("\n".join(left) + f"\n{len(left)} warnings")
    if not any((warnings.parent / "html").glob("*Device*.html")):
        sys.exit("Doxygen made no page of uiovfio::Device")


if __name__ == "__main__":
    main(*sys.argv[1:])
