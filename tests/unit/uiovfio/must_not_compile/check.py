#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that a mistake does not compile, for the reason that it names, and that the same without the mistake does.

Usage: check.py SOURCE COMPILER [ARGUMENT...]

The source has the mistake where MISTAKE is defined, what was meant in its place where it is not, and a comment with what
a compiler says of the mistake: "// says: TEXT", or several, of which one is enough.
"""

import re
import subprocess
import sys


def main():
    source, *compiler = sys.argv[1:]
    with open(source, encoding="utf-8") as file:
        expected = re.findall(r"^// says: (.+)$", file.read(), re.MULTILINE)
    if not expected:
        sys.exit(f"{source}: it does not say what a compiler says of its mistake")

    def compile_it(*more):
        return subprocess.run([*compiler, "-fsyntax-only", *more, source], text=True, stderr=subprocess.PIPE,
                              env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, check=False)

    if (right := compile_it()).returncode != 0:
        sys.exit(f"{source}: without the mistake it does not compile either:\n{right.stderr}")
    wrong = compile_it("-DMISTAKE")
    if wrong.returncode == 0:
        sys.exit(f"{source}: the mistake compiles")
    errors = [line for line in wrong.stderr.splitlines() if re.search(r"\berror:", line)]
    if not any(text in line for text in expected for line in errors):
        sys.exit(f"{source}: not for its reason, which is {' or '.join(expected)!r}:\n{wrong.stderr}")


if __name__ == "__main__":
    main()
