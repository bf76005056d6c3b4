#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compiles the library's comparison with the kernel's headers, with those of the guest's kernel `iommufd`; then with a
member of a structure moved and a call's number changed, which must not compile.

Usage: check.py RUNNER LIBRARY COMPILER
"""

import pathlib
import subprocess
import sys
import tempfile

RUNNER, LIBRARY, COMPILER = sys.argv[1:]
sys.path.insert(0, RUNNER)

from vmrunner.image import find_image  # noqa: E402 (its place is an argument)

SOURCES = pathlib.Path(LIBRARY) / "src"
# What is changed, to what, and the words of the assertion that has to fail.
MISTAKES = (
    ("__aligned_u64 user_va;\n    __aligned_u64 length;", "__aligned_u64 length;\n    __aligned_u64 user_va;",
     "SAME_MEMBER(iommu_ioas_map, user_va)"),
    ("kVfioBase + 18", "kVfioBase + 17", "kVfioDeviceBindIommufd == "),
)


def compile_with(abi, headers):
    """The compiler's verdict on kernel_abi.cpp where kernel_abi.hpp has the text ABI."""
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        (work / "kernel_abi.hpp").write_text(abi, encoding="utf-8")
        (work / "kernel_abi.cpp").write_bytes((SOURCES / "kernel_abi.cpp").read_bytes())
        return subprocess.run(
            [COMPILER, "-std=c++20", "-fsyntax-only", "-DUIOVFIO_WHOLE_KERNEL_ABI", f"-I{work}", f"-I{SOURCES}",
             f"-I{LIBRARY}/include", "-isystem", str(headers), str(work / "kernel_abi.cpp")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def main():
    headers = pathlib.Path(find_image("iommufd")) / "uapi"
    abi = (SOURCES / "kernel_abi.hpp").read_text(encoding="utf-8")
    result = compile_with(abi, headers)
    if result.returncode != 0:
        sys.exit(f"kernel_abi.hpp is not what {headers} says:\n{result.stdout}")
    for right, wrong, words in MISTAKES:
        if right not in abi:
            sys.exit(f"kernel_abi.hpp has no {right!r} any more: give this test another mistake to make")
        result = compile_with(abi.replace(right, wrong), headers)
        if result.returncode == 0 or words not in result.stdout:
            sys.exit(f"{wrong!r} in kernel_abi.hpp is not found out:\n{result.stdout}")


if __name__ == "__main__":
    main()
