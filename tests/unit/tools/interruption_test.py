#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcienic-irqtest that takes its time: a terminal sees how far it is, and Ctrl-C ends it with what it found."""

import json
import os
import pty
import signal
import subprocess
import sys
import unittest

TOOL = os.environ.get("PCIENIC_IRQTEST", "pcienic-irqtest")
PATIENCE = 120  # seconds: a watchdog


class Interruption(unittest.TestCase):
    def run_until_progress(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output, when the tool is interrupted as soon as a terminal has seen its progress."""
        try:
            terminal, other_end = pty.openpty()
        except OSError as error:
            self.skipTest(f"this machine gives no terminal ({error}): is /dev/pts mounted?")
        self.addCleanup(os.close, terminal)
        tool = subprocess.Popen([TOOL, "--backend", "sim", "--count", "4000000000", *arguments], text=True,
                                stdout=subprocess.PIPE, stderr=other_end)
        os.close(other_end)
        try:
            seen = b""
            while b"%" not in seen:
                seen += os.read(terminal, 4096)
            self.assertRegex(seen.decode(), r"pcienic-irqtest: \d+ of \d+ firings via device, \d+ %")
            tool.send_signal(signal.SIGINT)
            out, _ = tool.communicate(timeout=PATIENCE)
        finally:
            tool.kill()
            tool.wait()
        return tool.returncode, out

    def test_json_tells_what_was_done(self) -> None:
        code, out = self.run_until_progress("--json", "--via", "both")
        self.assertEqual(code, 130)
        told = json.loads(out)
        self.assertFalse(told["passed"])
        self.assertEqual([(source["via"], source["complete"]) for source in told["data"]], [("device", False)])
        self.assertGreater(told["data"][0]["vectors"][0]["fired"], 0)
        self.assertEqual(told["data"][0]["problems"], [])

    def test_tap_ends_where_it_was(self) -> None:
        code, out = self.run_until_progress("-o", "tap")
        self.assertEqual(code, 130)
        self.assertTrue(out.endswith("\nBail out! interrupted\n"), out)

    def test_table_says_so(self) -> None:
        code, out = self.run_until_progress()
        self.assertEqual(code, 130)
        self.assertIn("INTERRUPTED", out)


if __name__ == "__main__":
    done = unittest.main(exit=False).result
    sys.exit(1 if not done.wasSuccessful() else 77 if len(done.skipped) == done.testsRun else 0)
