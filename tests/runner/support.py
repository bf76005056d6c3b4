# SPDX-License-Identifier: MIT
"""What the runner's tests share: a runner with a fake QEMU, and logs made by hand."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROJECT = pathlib.Path(__file__).resolve().parents[2]
RUNNER = PROJECT / "guest-image/runner"
VMRUN = RUNNER / "vmrun"
FAKE_QEMU = pathlib.Path(__file__).resolve().parent / "fake_qemu.py"
sys.path.insert(0, str(RUNNER))
sys.dont_write_bytecode = True

# A run that hangs in spite of everything must not hang the tests.
PATIENCE_SECONDS = 120

BOOTED = ["write", "results", '{"type":"boot","kernel":"fake","bdfs":""}\n']


def results(*records):
    """A step that writes records of the results channel, each a dictionary or a line of text."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    return ["write", "results", "".join(f"{line}\n" for line in lines)]


def exited(status, taint=0):
    return results({"type": "exit", "status": status, "taint": taint})


def start(name):
    return {"type": "start", "name": name}


def end(name, status="passed", leaked=()):
    return {"type": "end", "name": name, "status": status, "ms": 1, "leaked": list(leaked)}


class TemporaryDirectory(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="vmrun-test-")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)


class RunnerTest(TemporaryDirectory):
    """A test that runs vmrun with the fake QEMU and an image of empty files."""

    def setUp(self):
        super().setUp()
        image = self.directory / "image"
        image.mkdir()
        for name in ("vmlinuz", "base.cpio.gz", "manifest.json"):
            (image / name).write_bytes(b"")
        (self.directory / "tmp").mkdir()
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.directory), "TMPDIR": str(self.directory / "tmp"),
            "PCIENIC_CACHE": str(self.directory / "cache"), "PCIENIC_QEMU": str(FAKE_QEMU),
            "PCIENIC_GUEST": str(image), "PCIENIC_ACCEL": "tcg", "FAKE_QEMU_PID": str(self.directory / "pid"),
            "PCIENIC_BUILD": str(self.directory / "build"), "PYTHONDONTWRITEBYTECODE": "1",
        }

    def play(self, *steps):
        self.environment["FAKE_QEMU_SCENARIO"] = json.dumps(steps)

    def vmrun(self, *arguments):
        return subprocess.run([str(VMRUN), *map(str, arguments)], env=self.environment, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=PATIENCE_SECONDS, check=False)

    def vmrun_started(self, *arguments, **options):
        return subprocess.Popen([str(VMRUN), *map(str, arguments)], env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def assert_refused(self, answer, *texts):
        """A usage error: status 2, one message that says what is wrong, nothing on standard output."""
        said = answer.stderr.decode()
        self.assertEqual(answer.returncode, 2, said)
        self.assertEqual(answer.stdout, b"")
        for text in texts:
            self.assertIn(text, said)
        self.assertNotIn("Traceback", said)

    def assert_guest_died(self, answer, *texts):
        said = answer.stderr.decode()
        self.assertEqual(answer.returncode, 125, said)
        for text in texts:
            self.assertIn(text, said)
        self.assertNotIn("Traceback", said)
