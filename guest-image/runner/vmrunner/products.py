# SPDX-License-Identifier: MIT
"""What the project's build folder gives the guest: tools to /usr/bin, test programs to /usr/libexec/pcienic-tests."""

import os
import pathlib
import shutil
import subprocess

from .initramfs import is_elf

TESTS_DIRECTORY = "/usr/libexec/pcienic-tests"
SANITIZERS = (b"__asan_init", b"__tsan_init")


def default_folder():
    """$PCIENIC_BUILD, else the checkout's build folder if there is one."""
    given = os.environ.get("PCIENIC_BUILD")
    if given:
        return given
    usual = pathlib.Path(__file__).resolve().parents[3] / "build"
    return str(usual) if usual.is_dir() else None


def add_tools(overlay, build):
    for pattern in ("tools/pcienic-*", "tools/*/pcienic-*"):
        for program in _programs(build, pattern):
            overlay.add_file(f"/usr/bin/{program.name}", without_debug_information(program, build))


def add_tests(overlay, build):
    for program in _programs(build, "guest-tests/*"):
        add_test(overlay, program, build)


def add_test(overlay, program, build):
    overlay.add_file(f"{TESTS_DIRECTORY}/{pathlib.Path(program).name}", without_debug_information(program, build))


def _programs(build, pattern):
    found = sorted(pathlib.Path(build).glob(pattern)) if build else []
    return [program for program in found if program.is_file() and os.access(program, os.X_OK) and is_elf(program)]


def without_debug_information(program, build):
    """Nine tenths of a program are debug information, which the guest would unpack at each boot for nothing. A copy
    without it is kept in the build folder. Sanitized programs keep theirs: it is what their reports are made from."""
    program = pathlib.Path(program)
    if not build or not shutil.which("strip"):
        return program
    copy = pathlib.Path(build) / "guest-stripped" / program.name
    source = program.stat()
    if copy.exists() and copy.stat().st_mtime_ns == source.st_mtime_ns:
        return copy
    if any(mark in program.read_bytes() for mark in SANITIZERS):
        return program
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    try:
        copy.parent.mkdir(exist_ok=True)
        subprocess.run(["strip", "--strip-debug", "-o", str(unfinished), str(program)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.utime(unfinished, ns=(source.st_mtime_ns, source.st_mtime_ns))
        unfinished.rename(copy)
    except (OSError, subprocess.CalledProcessError):  # a folder of somebody else's, or no program after all
        unfinished.unlink(missing_ok=True)
        return program
    return copy
