#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tools that were started with standard streams closed: what they open never becomes what they print to."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(os.environ.get("PCIENIC_TOOLS", "build/tools"))


class ClosedStreams(unittest.TestCase):
    def shell(self, command: str) -> subprocess.CompletedProcess:
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120,
                              env={**os.environ, "PATH": f"{TOOLS.resolve()}:{os.environ['PATH']}"})

    def test_output_that_goes_nowhere_is_a_failure(self) -> None:
        for command in ("pcienic-ctl --backend sim read ID", "pcienic-irqtest --backend sim --count 1", "pcienic-ls"):
            outcome = self.shell(f"{command} >&-")
            self.assertEqual(outcome.returncode, 1, command)
            self.assertIn("is it closed", outcome.stderr)

    def test_what_is_opened_is_not_printed_to(self) -> None:
        for streams in (">&-", "2>&-", "<&- >&- 2>&-"):
            with tempfile.TemporaryDirectory() as folder:
                trace = f"{folder}/trace"
                self.shell(f"pcienic-ctl --backend sim --trace {trace} -v read ID VERSION {streams}")
                shown = self.shell(f"pcienic-ctl --json trace show {trace}")
                self.assertEqual(shown.returncode, 0, f"{streams}: {shown.stderr}")
                self.assertNotIn(b"BAR0+", pathlib.Path(trace).read_bytes(), streams)


if __name__ == "__main__":
    sys.exit(unittest.main())
