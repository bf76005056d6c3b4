#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/reference/benchmarks.md: its tables and pictures are those of the run that is kept beside it.

    tests/docs/benchmarks.py PCIENIC-BENCH          compares them with docs/reference/benchmarks/bench.json
    tests/docs/benchmarks.py PCIENIC-BENCH --write  makes them anew; the program draws the pictures
"""

import argparse
import difflib
import json
import pathlib
import subprocess
import sys
import tempfile

REFERENCE = pathlib.Path(__file__).resolve().parents[2] / "docs/reference"
PAGE = REFERENCE / "benchmarks.md"
RUN = REFERENCE / "benchmarks/bench.json"
# What is behind this line is written by this program.
MARK = "<!-- From benchmarks/bench.json, by tests/docs/benchmarks.py -->\n"


def time(nanoseconds):
    for unit, size in (("ms", 1e6), ("µs", 1e3), ("ns", 1)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.2g} ns"


def cells(series):
    """Median, 99th percentile and ratio of one kernel's series."""
    if series is None:
        return ["", "", ""]
    ns = series["ns"]
    ratio = "1" if not series.get("baseline") else f"{series['ratio']:.3g}" if "ratio" in series else ""
    return [time(ns["p50"]), time(ns["p99"]), ratio]


def calls(series):
    return ", ".join(f"{name} {count:g}" for name, count in sorted(series.get("system_calls", {}).items()))


def row(words):
    return "| " + " | ".join(words) + " |\n"


def group_text(name, runs):
    """A heading, the table of all runs that have the group, and its picture."""
    groups = [next((group for group in run["groups"] if group["name"] == name), {"series": []}) for run in runs]
    described = next(group for group in groups if group["series"])
    text = f"\n### {described['title']} (`{name}`)\n\nTimed: {described['operation']}.\n\n"
    keys = list(dict.fromkeys((series.get("parameter", ""), series["name"]) for group in groups for series in group["series"]))
    # Not every kernel has every way: those of a size stay together.
    sizes = list(dict.fromkeys(size for size, _ in keys))
    keys.sort(key=lambda key: sizes.index(key[0]))
    with_sizes, with_calls = any(sizes), any(series.get("system_calls") for group in groups for series in group["series"])
    kernels = [run["environment"]["kernel"] for run in runs]
    head = ["size"] * with_sizes + ["way"]
    for kernel in kernels:
        short = ".".join(kernel.split("-")[0].split(".")[:2])
        head += [f"{short}: median", "p99", "ratio"]
    text += row(head + ["system calls of a wake-up"] * with_calls)
    text += row(["---"] * (with_sizes + 1) + ["---:"] * 3 * len(runs) + ["---"] * with_calls)
    for key in keys:
        of_runs = [next((series for series in group["series"] if (series.get("parameter", ""), series["name"]) == key), None)
                   for group in groups]
        words = [key[0]] * with_sizes + [key[1]]
        for series in of_runs:
            words += cells(series)
        text += row(words + [calls(next(series for series in of_runs if series))] * with_calls)
    return text + f"\n![Distributions on {kernels[0]}](benchmarks/{name}.svg)\n"


def tables():
    runs = json.loads(RUN.read_text(encoding="utf-8"))["runs"]
    text = "\n"
    for run in runs:
        about = run["environment"]
        text += (f"- Kernel {about['kernel']}: library {about['library']}, {about['compiler']}, QEMU {about['QEMU']} with {about['accelerator']}, "
                 f"host {about['host']}, {about['date']}.\n")
    names = dict.fromkeys(group["name"] for run in runs for group in run["groups"])
    return text + "".join(group_text(name, runs) for name in names)


def pictures(program):
    """The first run's, by their name in the folder."""
    kernel = json.loads(RUN.read_text(encoding="utf-8"))["runs"][0]["environment"]["kernel"]
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([program, "show", str(RUN), "--svg", directory], check=True, stdout=subprocess.DEVNULL)
        return {f"{path.name.removesuffix(f'.{kernel}.svg')}.svg": path.read_bytes()
                for path in pathlib.Path(directory).glob(f"*.{kernel}.svg")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", metavar="PCIENIC-BENCH")
    parser.add_argument("--write", action="store_true", help="write the page")
    arguments = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    if MARK not in page:
        sys.exit(f"{PAGE} has no line {MARK.strip()!r}, below which the tables belong")
    written = page.partition(MARK)[0] + MARK + tables()
    drawn = pictures(arguments.program)
    kept = {path.name: path.read_bytes() for path in RUN.parent.glob("*.svg")}
    if arguments.write:
        PAGE.write_text(written, encoding="utf-8")
        for name in kept.keys() - drawn.keys():
            (RUN.parent / name).unlink()
        for name, picture in drawn.items():
            (RUN.parent / name).write_bytes(picture)
    elif drawn != kept:
        differing = sorted(name for name in drawn.keys() | kept.keys() if drawn.get(name) != kept.get(name))
        sys.exit(f"{', '.join(differing)}: not what the run says: {sys.argv[0]} {arguments.program} --write")
    elif written != page:
        sys.stdout.writelines(difflib.unified_diff(page.splitlines(True), written.splitlines(True), "the page", "the run"))
        sys.exit(f"{PAGE.name} is not what its run says: {sys.argv[0]} {arguments.program} --write")


if __name__ == "__main__":
    main()
