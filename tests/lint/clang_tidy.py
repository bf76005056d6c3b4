#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""clang-tidy over one source file. What passed once is not looked at again: the cache holds the hash of everything
that the answer depends on."""

import argparse
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
CLANG_TIDY = "clang-tidy-19"


def cache():
    """The set-up's cache has a folder for it, if it can be used."""
    opened = subprocess.run([CHECKOUT / "setup/cache.sh"], check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if opened.returncode != 0:
        sys.exit(os.fsdecode(opened.stderr))
    return pathlib.Path(os.fsdecode(opened.stdout.removesuffix(b"\n"))) / "tidy"


def flags_of(source, database, compiler):
    """The options with which the file is compiled; those of the sanitizers would only say the same thrice."""
    for entry in json.loads(database.read_text(encoding="utf-8")):
        if pathlib.Path(entry["directory"], entry["file"]) != source or "-fsanitize" in entry["command"]:
            continue
        words = shlex.split(entry["command"])
        first = words.index(compiler) + 1  # a launcher may stand before it
        return entry["directory"], words[first:words.index("-o")]
    sys.exit(f"{source}: no entry in {database}: configure anew with `cmake -B {database.parent}`")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=pathlib.Path, required=True, help="compile_commands.json")
    parser.add_argument("--compiler", required=True, help="as the database names it")
    parser.add_argument("source", type=pathlib.Path)
    arguments = parser.parse_args()
    source = arguments.source.resolve()
    if not shutil.which(CLANG_TIDY):
        print(f"{CLANG_TIDY} is not installed (./pcienic setup packages installs it)")
        sys.exit(77)
    directory, flags = flags_of(source, arguments.database, arguments.compiler)

    # With comments, for NOLINT is one; without line markers, which hold the checkout's path.
    preprocessed = subprocess.run([arguments.compiler, *flags, "-E", "-C", "-P", source], cwd=directory, check=False,
                                  stdout=subprocess.PIPE)
    if preprocessed.returncode != 0:
        sys.exit(f"{source}: the preprocessor failed: build first, for the generated headers")
    version = subprocess.run([CLANG_TIDY, "--version"], check=True, stdout=subprocess.PIPE).stdout
    options = [flag for flag in flags if not flag.startswith("-I")]
    key = hashlib.sha256()
    for part in (preprocessed.stdout, (CHECKOUT / ".clang-tidy").read_bytes(), version, " ".join(options).encode()):
        key.update(hashlib.sha256(part).digest())
    passed = cache() / key.hexdigest()
    if passed.exists():
        return

    # The compiler may have warnings that clang does not know.
    command = [CLANG_TIDY, "--quiet", source, "--", *flags, "-Wno-unknown-warning-option"]
    result = subprocess.run(command, cwd=directory, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)
    if result.returncode != 0:
        sys.exit(result.stdout)
    passed.parent.mkdir(mode=0o700, exist_ok=True)
    passed.touch(0o600)


main()
