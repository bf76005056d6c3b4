#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""That the tests are there: `ctest` is happy with a suite that lost its cases, or that no CMakeLists.txt adds.

    count.py BUILD_FOLDER
"""

import pathlib
import re
import subprocess
import sys
import tempfile

FEWEST = {"": 150, "guest": 60}  # by label; of all tests, without one


def listed(build, *selection):
    """What ctest itself finds: how many tests, and among them the stand-ins for programs that were not built."""
    # ctest empties the log of the folder that it is called in, even to list: not that of the run that this is part of.
    with tempfile.TemporaryDirectory(prefix="pcienic-count.") as beside:
        pathlib.Path(beside, "CTestTestfile.cmake").write_text(f"subdirs([==[{pathlib.Path(build).resolve()}]==])\n",
                                                               encoding="utf-8", errors="surrogateescape")
        answer = subprocess.run(["ctest", "--test-dir", beside, "-N", *selection], text=True, check=True, stdout=subprocess.PIPE)
    total = re.search(r"^Total Tests: (\d+)$", answer.stdout, re.M)
    return int(total[1]) if total else 0, re.findall(r"^ *Test +#\d+: (\S+)_NOT_BUILT$", answer.stdout, re.M)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = sys.argv[1]
    _, unbuilt = listed(build)
    complaints = []
    for label, fewest in FEWEST.items():
        found, _ = listed(build, "-L", f"^{label}$") if label else listed(build)
        of_what = f"labelled '{label}'" if label else "in all"
        print(f"{found} tests {of_what}")
        if found < fewest:
            complaints.append(f"{build}: ctest finds {found} tests {of_what}, and there must be at least {fewest}")
    if complaints and unbuilt:
        complaints.append(f"these were not built, so their cases are not known: {', '.join(unbuilt)}; run ninja in {build}")
    sys.exit("\n".join(complaints) or None)


if __name__ == "__main__":
    main()
