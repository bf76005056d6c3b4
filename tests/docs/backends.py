#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/reference/backends.md: what each backend does, by what the conformance suite found.

    tests/docs/backends.py BUILD          compares the page with the results in the build folder
    tests/docs/backends.py BUILD --write  writes it from them

The guest's suites must have run (ctest -L conformance); the simulated device's cases are run by this program itself.
"""

import argparse
import collections
import difflib
import json
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/reference/backends.md"
SHARED = re.compile(r"^(Modes/)?Conformance")  # other cases need VFIO or other devices, whatever the backend

Row = collections.namedtuple("Row", "backend kernel aperture user suite")
ROWS = [
    Row("sim", "—", "39 bits", "any", None),
    Row("vfio", "Debian 6.1", "39 bits", "root", "conformance"),
    Row("vfio", "Debian 6.1", "48 bits", "ordinary", "conformance-vfio-cloud-48"),
    Row("vfio", "Debian 6.12", "39 bits", "root", "conformance-vfio-6.12-39"),
    Row("vfio", "Debian 6.12", "48 bits", "root", "conformance-vfio-6.12-48"),
    Row("iommufd", "our 6.12", "39 bits", "root", "conformance-iommufd-iommufd-39"),
    Row("iommufd", "our 6.12", "48 bits", "ordinary", "conformance-iommufd-iommufd-48"),
    Row("uio", "Debian 6.1", "39 bits", "root", "conformance-uio-cloud-39"),
    Row("sysfs", "Debian 6.1", "39 bits", "root", "conformance-sysfs-cloud-39"),
    Row("vfio-noiommu", "our 6.12", "none", "root", "conformance-noiommu"),
]

RESULT = re.compile(r"^\[ +(OK|SKIPPED|FAILED) +\] (\S+?)(?:, where .*)? \(\d+ ms\)$")
INTRODUCTION = """<!-- SPDX-License-Identifier: MIT -->
<!-- Written by tests/docs/backends.py from the results of the tests, and compared with them by ctest. -->
# The ways to a device

Each backend reaches a device by what the machine offers. `"auto"` takes the first that it may choose and that the device's driver and the kernel allow;
`uiovfio::why_not()` tells what is in another's way, and `uiovfio::backends()` has this table as data.
"""


class Incomplete(Exception):
    """Results that are missing, or that no page is written from."""


def cases_of(text):
    """Name, outcome and reason of each shared case in what GoogleTest printed."""
    found, reason, after_skip = {}, None, False
    for line in text.splitlines():
        if line.startswith("[ RUN "):
            reason = None
        elif after_skip and reason is None:
            reason = line.strip()
        after_skip = line.endswith(": Skipped")
        result = RESULT.match(line)
        if result and SHARED.match(result[2]):
            found[result[2]] = (result[1], reason)
    return found


def results(build, row):
    if row.suite is None:
        program = build / "tests/unit/uiovfio/uiovfio_sim_test"
        run = subprocess.run([program, "--gtest_color=no"], capture_output=True, text=True, check=False)
        text = run.stdout
    else:
        log = build / "guest-logs" / row.suite / "stdout.log"
        if not log.exists():
            raise Incomplete(f"the suite {row.suite} has not run: ctest -R '^guest.{row.suite}\\.'")
        text = log.read_text(encoding="utf-8", errors="replace").replace("\r", "")
    cases = cases_of(text)
    failed = [name for name, (outcome, _) in cases.items() if outcome == "FAILED"]
    if failed or not cases:
        raise Incomplete(f"{row.suite or 'uiovfio_sim_test'}: {'failed: ' + ', '.join(failed) if failed else 'no cases'}")
    return cases


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]) + "\n"


def features(backends):
    names = list(backends[0]["features"])
    return table(["backend", "driver", "auto", *names],
                 [[f"`{b['name']}`", f"`{b['driver']}`" if b["driver"] else "—", "yes" if b["automatic"] else "by name",
                   *("yes" if b["features"][name] else "—" for name in names)] for b in backends])


def counts(found):
    rows = []
    for row, cases in found.items():
        outcomes = collections.Counter(outcome for outcome, _ in cases.values())
        rows.append([f"`{row.backend}`", row.kernel, row.aperture, row.user, outcomes["OK"], outcomes["SKIPPED"], len(cases)])
    return table(["backend", "kernel", "bus addresses", "user", "passed", "cannot do", "cases"], rows)


def by_subject(found):
    """One column a backend: its first row stands for it."""
    columns = {}
    for row, cases in found.items():
        columns.setdefault(row.backend, cases)
    subject = lambda name: re.match(r"(?:Modes/)?Conformance(\w+)\.", name)[1]  # noqa: E731
    subjects = list(dict.fromkeys(subject(name) for cases in columns.values() for name in cases))
    rows = []
    for each in subjects:
        cells = []
        for cases in columns.values():
            mine = [outcome for name, (outcome, _) in cases.items() if subject(name) == each]
            cells.append(f"{mine.count('OK')} of {len(mine)}" if mine else "—")
        rows.append([each, *cells])
    return table(["cases", *(f"`{name}`" for name in columns)], rows)


def reasons(found):
    seen = {}
    for row, cases in found.items():
        for _, reason in cases.values():
            if reason:
                seen.setdefault(row.backend, collections.Counter())[reason] += 1
    per_row = collections.Counter(row.backend for row in found)
    rows = [[f"`{backend}`", reason, count // per_row[backend]]
            for backend, counted in seen.items() for reason, count in sorted(counted.items())]
    return table(["backend", "why", "cases"], rows)


def page(build):
    traits = json.loads(subprocess.run([build / "tests/docs/reference_backends"], capture_output=True, text=True, check=True).stdout)
    found = {row: results(build, row) for row in ROWS}
    through = "".join(f"- `{b['name']}`: {b['summary']}.\n" for b in traits)
    return (f"{INTRODUCTION}\n{through}\n## What each can do\n\n{features(traits)}\n"
            "## What the conformance suite found\n\n"
            "One suite runs over all of them, on the device `pcienic`. A case that needs what a backend cannot do is skipped, and says so; none fails. "
            "Without an IOMMU,\nan x86 machine has no more than one MSI vector for a device: the cases of several are left out there.\n\n"
            f"{counts(found)}\nBy subject, passed of those there are (with the first kernel and aperture above):\n\n{by_subject(found)}\n"
            f"What is skipped, and why:\n\n{reasons(found)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    try:
        now = page(options.build)
    except Incomplete as reason:
        print(f"backends.py: {reason}", file=sys.stderr)
        return 1
    if options.write:
        PAGE.write_text(now, encoding="utf-8")
        return 0
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    difference = list(difflib.unified_diff(before.splitlines(), now.splitlines(), str(PAGE), "the results", lineterm=""))
    if difference:
        print("\n".join(difference))
        print(f"\nThe page is not what the tests found. If that is as it should be: tests/docs/backends.py {options.build} --write")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
