#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Turns pcienic.yaml, the one description of the device, into what everybody else includes.

    generate.py [--source YAML] [--check] [--c FILE] [--cpp FILE] [--table FILE] [--markdown FILE] [--json FILE]

A file is written only if its text changed, so that a build does not start over. With --check nothing is written: a file
that would change is an error. The description is checked first, whole; the errors name the object and the remedy."""

import argparse
import dataclasses
import json
import pathlib
import sys

import description
import render_c
import render_cpp
import render_markdown


def as_json(device):
    return json.dumps(dataclasses.asdict(device), indent=2) + "\n"


RENDERERS = {
    "c": (render_c.header, "the C header of the device"),
    "cpp": (render_cpp.registers, "the C++ register types and memory structures"),
    "table": (render_cpp.table, "the C++ table of every register"),
    "markdown": (render_markdown.chapter, "the reference chapter"),
    "json": (as_json, "the checked description, for other programs"),
}


def put(path, text, check):
    """Brings one file up to date; returns whether it is."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return True
    if check:
        print(f"{path}: out of date with the description: run generate.py without --check", file=sys.stderr)
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path(__file__).with_name("pcienic.yaml"))
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    for name, (_, what) in RENDERERS.items():
        parser.add_argument(f"--{name}", type=pathlib.Path, metavar="FILE", help=what)
    options = parser.parse_args(arguments)
    try:
        device = description.load(options.source)
        texts = [(getattr(options, name), render(device)) for name, (render, _) in RENDERERS.items() if getattr(options, name)]
    except description.Mistake as mistake:
        print(mistake, file=sys.stderr)
        return 1
    if not texts:
        parser.error("nothing to write: name at least one of " + " ".join(f"--{name}" for name in RENDERERS))
    return 0 if all([put(path, text, options.check) for path, text in texts]) else 1


if __name__ == "__main__":
    sys.exit(main())
