#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A snapshot that cannot be loaded, and a machine that is told to go on all the same: QEMU lets it. What the device holds
then was read from a file that somebody else may have made, and nothing has checked it: it must do nothing, and be as new
after a reset.

    PCIENIC_QEMU=/path/to/qemu-system-x86_64 failed_load_test.py [-v] [Class.test_name ...]
"""

import pathlib
import struct
import tempfile
import unittest

from pcienic_function import (
    BY_NAME, CODE, DESTINATION, INTERRUPT, PIECE, QUIET, SOURCE, STATE, Pcienic, machine_with)
from qtest_machine import main


def empty_qcow2(path):
    """An image of one megabyte with nothing in it, which has room for snapshots. The format is QEMU's docs/interop/qcow2.txt."""
    cluster = 1 << 16
    refcounts, refcount_block, mapping = cluster, 2 * cluster, 3 * cluster
    header = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, 1 << 20, 0, 1, mapping, refcounts, 1, 0, 0, 0, 0, 0, 4, 104)
    path.write_bytes(b"".join(part.ljust(cluster, b"\0") for part in (
        header, struct.pack(">Q", refcount_block), struct.pack(">4H", 1, 1, 1, 1), b"")))


class FailedLoad(unittest.TestCase):
    def start(self, extra=()):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.image = pathlib.Path(directory.name) / "image"
        empty_qcow2(self.image)
        self.machine, function = machine_with(
            "pcienic,id=dut", extra=("-drive", f"if=none,format=qcow2,file={self.image}", *extra))
        self.addCleanup(self.machine.close)
        function.enable()
        return function

    def monitor(self, line):
        return self.machine.qmp("human-monitor-command", **{"command-line": line})

    def spoil(self, offset, replacement):
        with open(self.image, "r+b") as image:
            image.seek(offset)
            image.write(replacement)

    def find(self, pattern):
        data = self.image.read_bytes()
        self.assertGreater(data.count(pattern), 0, pattern)
        return data.index(pattern)

    def load_in_vain_and_go_on(self):
        self.assertIn("Error", self.monitor("loadvm snapshot"))
        self.machine.qmp("cont")

    def expect_new_after_a_reset(self):
        self.machine.qmp("system_reset")
        self.machine.wait_event("RESET")
        function = Pcienic(self.machine)
        function.enable()
        self.assertEqual(function.read("ID"), BY_NAME["ID"].reset)
        self.assertEqual((function.read("SCRATCH"), function.state()), (0, STATE["DISABLED"]))
        function.enable_msix()
        function.start_engine()
        self.assertEqual(function.execute("FILL_HOST", 1, DESTINATION, 8, flags=INTERRUPT, vector=3), (CODE["OK"], 8))
        self.assertEqual(function.message(3), 0x5003)

    def expect_nothing_moved(self, during):
        counters = "dma-bytes-read", "dma-bytes-written", "messages-sent"
        before = [self.machine.qmp("qom-get", path="dut", property=name) for name in counters]
        during()
        # Each question to QEMU is one more chance for it to do the work.
        for _ in range(100):
            self.assertEqual([self.machine.qmp("qom-get", path="dut", property=name) for name in counters], before)

    def busy_snapshot(self):
        """A snapshot in the middle of a copy."""
        function = self.start(extra=QUIET)
        function.write("SCRATCH", 0x5C)
        function.never_rest()
        function.hold_in_long_copy()
        self.assertEqual(self.monitor("savevm snapshot"), "")
        return function

    def test_a_refused_state_does_not_run(self):
        function = self.busy_snapshot()
        self.spoil(self.find(struct.pack(">II", BY_NAME["ID"].reset, BY_NAME["VERSION"].reset)), bytes(8))
        self.expect_nothing_moved(self.load_in_vain_and_go_on)
        self.assertEqual(function.read("ID"), 0xFFFFFFFF)
        function.write("DMA_DOORBELL", 0)
        function.write("CTRL", 1)
        self.assertEqual(function.read("SCRATCH"), 0xFFFFFFFF)
        self.expect_new_after_a_reset()

    def test_segments_that_lead_out_of_the_device_are_not_followed(self):
        self.busy_snapshot()
        self.spoil(self.find(struct.pack(">QI", SOURCE, PIECE)), struct.pack(">QI", 2**64 - PIECE, PIECE) * 255)
        self.spoil(self.find(struct.pack(">II", BY_NAME["ID"].reset, BY_NAME["VERSION"].reset)), bytes(8))
        self.expect_nothing_moved(self.load_in_vain_and_go_on)
        self.expect_new_after_a_reset()

    def test_a_stream_that_ends_before_its_check_does_not_run(self):
        self.busy_snapshot()
        self.spoil(self.find(b"pcienic/command"), b"pcienic/nothing")
        self.expect_nothing_moved(self.load_in_vain_and_go_on)
        self.expect_new_after_a_reset()

    def test_configuration_space_starts_nothing_and_a_function_level_reset_is_a_cold_one(self):
        function = self.start()
        function.write("SCRATCH", 0x5C)
        function.enable_msix()
        function.write("IRQ_MASK", 0xFF)
        function.write("IRQ_TEST", 5)
        self.assertEqual(self.monitor("savevm snapshot"), "")
        # Raised and not masked: what a bad stream may say.
        at = self.find(struct.pack(">II", BY_NAME["ID"].reset, BY_NAME["VERSION"].reset))
        self.spoil(at + BY_NAME["IRQ_MASK"].offset, bytes(4))
        self.spoil(at, bytes(8))
        self.load_in_vain_and_go_on()
        self.expect_nothing_moved(function.enable)
        function.function_level_reset()
        function.enable()
        self.assertEqual((function.read("SCRATCH"), function.read("IRQ_CAUSE")), (0, 0))
        self.expect_new_after_a_reset()


if __name__ == "__main__":
    main()
