#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The learning path's devices without a guest.

    PCIENIC_QEMU=/path/to/qemu-system-x86_64 steps_test.py [-v] [Class.test_name ...]
"""

import os
import tempfile
import unittest

from qtest_machine import BAR0, BAR1, COMMAND, MEMORY_AND_MASTER, RAM, VECTORS, Function, Machine, main

NO_VECTOR = 0xFFFFFFFF
IDLE, BUSY, DONE, BAD_COMMAND, SOURCE_REFUSED, DESTINATION_REFUSED = range(6)


class StepTest(unittest.TestCase):
    def start(self, device, **options):
        machine = Machine(device, **options)
        self.addCleanup(machine.close)
        function = Function(machine)
        function.enable()
        return machine, function

    def migrated(self, machine, device):
        """The machine on another host, stopped."""
        with tempfile.TemporaryDirectory() as directory:
            stream = f"{directory}/stream"
            machine.qmp("migrate", uri=f"exec:cat > {stream}")
            while (status := machine.qmp("query-migrate")["status"]) not in ("completed", "failed"):
                pass
            self.assertEqual(status, "completed")
            there = Machine(device, extra=("-incoming", f"exec:cat {stream}", "-S"))
            self.addCleanup(there.close)
            while there.qmp("query-status")["status"] == "inmigrate":
                pass
        return there

    def assert_guest_error(self, machine, text):
        self.assertIn(text, machine.log())


class Basic(StepTest):
    def test_configuration_space_holds_an_identity_and_nothing_else(self):
        _, function = self.start("pcienic-basic")
        self.assertEqual(function.config(0x00), 0x11E81234)
        self.assertEqual(function.config(0x08), 0x02000000)
        self.assertEqual([function.config(bar) for bar in range(0x10, 0x28, 4)], [0] * 6)
        self.assertEqual(function.config(0x2C), 0x11001AF4)
        self.assertEqual(function.config(0x34, 1), 0)
        self.assertEqual(function.config(0x3D, 1), 0)

    def test_configuration_space_moves_to_another_host_with_its_machine(self):
        machine, function = self.start("pcienic-basic")
        function.set_config(0x3C, 0x2A, 1)
        machine.qmp("stop")
        there = Function(self.migrated(machine, "pcienic-basic"))
        self.assertEqual((there.config(COMMAND, 2), there.config(0x3C, 1)), (MEMORY_AND_MASTER, 0x2A))


class Mmio(StepTest):
    def test_every_access_is_traced_with_address_size_and_value(self):
        machine, _ = self.start("pcienic-mmio")
        machine.write(BAR0 + 0x3C, 0xDEADBEEF)
        self.assertEqual(machine.read(BAR0 + 0x3C), 0xDEADBEEF)
        self.assertIn("pcienic-mmio: write 0x3c, 4 bytes: 0xdeadbeef", machine.log())
        self.assertIn("pcienic-mmio: read 0x3c, 4 bytes: 0xdeadbeef", machine.log())

    def test_a_write_above_the_registers_is_ignored_and_reported(self):
        machine, _ = self.start("pcienic-mmio")
        for offset in (0x40, 0xFFC):
            machine.write(BAR0 + offset, 1)
            self.assertEqual(machine.read(BAR0 + offset), 0)
            self.assert_guest_error(machine, f"pcienic-mmio: write to {offset:#x}, where no register is")

    def test_eight_bytes_are_two_registers(self):
        machine, _ = self.start("pcienic-mmio")
        machine.write(BAR0 + 8, 0x1122334455667788, 8)
        self.assertEqual((machine.read(BAR0 + 8), machine.read(BAR0 + 12)), (0x55667788, 0x11223344))

    def test_reset_clears_the_registers(self):
        machine, function = self.start("pcienic-mmio")
        machine.write(BAR0, 5)
        machine.qmp("system_reset")
        machine.wait_event("RESET")
        function.enable()
        self.assertEqual(machine.read(BAR0), 0)


class Msi(StepTest):
    def test_all_vectors_share_the_address_and_differ_in_the_data(self):
        machine, function = self.start("pcienic-msi")
        function.enable_msi()
        for vector in range(VECTORS):
            machine.write(BAR0, vector)
            self.assertEqual(machine.read(RAM), 0x40 + vector)

    def test_a_vector_that_the_driver_did_not_enable_is_ignored_and_reported(self):
        machine, function = self.start("pcienic-msi")
        machine.write(BAR0, 0)
        self.assert_guest_error(machine, "doorbell for vector 0, but 0 are enabled")
        function.enable_msi(vectors=2)
        for vector in (2, 4, 31, 32, 0xFFFFFFFF):
            machine.write(BAR0, vector)
            self.assert_guest_error(machine, f"doorbell for vector {vector}, but 2 are enabled")
        self.assertEqual(machine.read(RAM), 0)

    def test_more_vectors_than_there_are_can_not_be_had(self):
        machine, function = self.start("pcienic-msi")
        function.set_config(0x44, RAM)
        for log2 in range(8):
            function.set_config(0x42, 1 | log2 << 4, 2)
            for vector in (4, 31, 32, 127, 128):
                machine.write(BAR0, vector)
        self.assertEqual(machine.read(RAM), 0)

    def test_a_masked_vector_is_kept_pending(self):
        machine, function = self.start("pcienic-msi")
        function.enable_msi()
        function.set_config(0x4C, 1 << 3)
        machine.write(BAR0, 3)
        self.assertEqual((machine.read(RAM), function.config(0x50)), (0, 1 << 3))
        function.set_config(0x4C, 0)
        self.assertEqual((machine.read(RAM), function.config(0x50)), (0x43, 0))

    def test_without_bus_mastering_no_message_leaves(self):
        machine, function = self.start("pcienic-msi")
        function.enable_msi()
        function.set_config(COMMAND, 0x02, 2)
        machine.write(BAR0, 1)
        self.assertEqual(machine.read(RAM), 0)

    def test_the_doorbell_does_not_store(self):
        machine, function = self.start("pcienic-msi")
        function.enable_msi()
        machine.write(BAR0, 2)
        machine.write(BAR0 + 4, 2)
        self.assertEqual((machine.read(BAR0), machine.read(BAR0 + 4)), (0, 2))


class Msix(StepTest):
    def test_each_vector_has_its_own_address_and_data(self):
        machine, function = self.start("pcienic-msix")
        function.enable_msix()
        for vector in range(VECTORS):
            machine.write(BAR0, vector)
        self.assertEqual([machine.read(RAM + 4 * vector) for vector in range(VECTORS)],
                         [0x1000, 0x1001, 0x1002, 0x1003])

    def test_a_vector_that_is_not_there_is_ignored_and_reported(self):
        machine, function = self.start("pcienic-msix")
        machine.write(BAR0, 1)
        self.assert_guest_error(machine, "doorbell for vector 1, but 0 are enabled")
        function.enable_msix()
        for vector in (4, 2048, 0xFFFFFFFF):
            machine.write(BAR0, vector)
            self.assert_guest_error(machine, f"doorbell for vector {vector}, but 4 are enabled")
        self.assertEqual(machine.read_memory(RAM, 16), bytes(16))

    def test_a_masked_vector_is_kept_in_the_pba(self):
        machine, function = self.start("pcienic-msix")
        function.enable_msix()
        machine.write(BAR1 + 16 * 2 + 12, 1)
        machine.write(BAR0, 2)
        self.assertEqual((machine.read(RAM + 8), machine.read(BAR1 + 0x800, 8)), (0, 1 << 2))
        machine.write(BAR1 + 16 * 2 + 12, 0)
        self.assertEqual((machine.read(RAM + 8), machine.read(BAR1 + 0x800, 8)), (0x1002, 0))


class DmaBlock:
    """The DMA registers of steps 05 and 06, which differ in their place alone."""

    def __init__(self, machine, base):
        self.machine, self.base = machine, base

    def go(self, source, destination, length, vector=NO_VECTOR):
        for offset, value, size in ((0x00, source, 8), (0x08, destination, 8), (0x10, length, 4), (0x14, vector, 4),
                                    (0x18, 1, 4)):
            self.machine.write(self.base + offset, value, size)

    def status(self):
        return self.machine.read(self.base + 0x1C)

    def finish(self):
        """The status once it is not busy: QEMU's main loop works between two commands."""
        while (status := self.status()) == BUSY:
            pass
        return status


class OneDmaCommand:
    """What steps 05 and 06 have in common."""

    source, destination = RAM + 0x100000, RAM + 0x800000
    def start_dma(self, **options):
        machine, function = self.start(self.device, **options)
        return machine, function, DmaBlock(machine, BAR0 + self.block)

    def test_a_copy_arrives_and_fires_its_vector(self):
        machine, function, dma = self.start_dma()
        function.enable_msix()
        data = bytes(range(251)) * 16
        machine.write_memory(self.source + 3, data)
        dma.go(self.source + 3, self.destination + 5, len(data), vector=3)
        self.assertEqual(dma.finish(), DONE)
        self.assertEqual(machine.read_memory(self.destination + 5, len(data)), data)
        self.assertEqual(machine.read_memory(self.destination, 5), bytes(5))
        self.assertEqual(machine.read(self.destination + 5 + len(data), 1), 0)
        self.assertEqual([machine.read(RAM + 4 * vector) for vector in range(VECTORS)], [0, 0, 0, 0x1003])

    def test_a_command_that_can_not_be_is_refused(self):
        machine, _, dma = self.start_dma()
        for source, destination, length in ((self.source, self.destination, 0), (2**64 - 16, self.destination, 32),
                                            (self.source, 2**64 - 1, 2)):
            dma.go(source, destination, length)
            self.assertEqual(dma.finish(), BAD_COMMAND)
        dma.go(self.source, self.destination, 16)
        self.assertEqual(dma.finish(), DONE)
        del machine

    def test_what_is_not_memory_is_refused(self):
        machine, _, dma = self.start_dma()
        machine.write_memory(self.destination, b"\x5a" * 64)
        for hole in (BAR0 + self.block, 0xE0000000, 1 << 40):  # its own registers; nothing; beyond the bus
            dma.go(hole, self.destination, 64)
            self.assertEqual(dma.finish(), SOURCE_REFUSED)
            dma.go(self.source, hole, 64)
            self.assertEqual(dma.finish(), DESTINATION_REFUSED)
        self.assertEqual(machine.read_memory(self.destination, 64), b"\x5a" * 64)

    def test_without_bus_mastering_the_copy_is_refused(self):
        _, function, dma = self.start_dma()
        function.set_config(COMMAND, 0x02, 2)
        dma.go(self.source, self.destination, 64)
        self.assertEqual(dma.finish(), SOURCE_REFUSED)
        function.set_config(COMMAND, MEMORY_AND_MASTER, 2)
        dma.go(self.source, self.destination, 64)
        self.assertEqual(dma.finish(), DONE)

    def test_a_vector_that_is_not_there_does_not_harm_the_copy(self):
        machine, function, dma = self.start_dma()
        function.enable_msix()
        dma.go(self.source, self.destination, 64, vector=4)
        self.assertEqual(dma.finish(), DONE)
        self.assert_guest_error(machine, "vector 4 to be fired, but 4 are enabled")

    def test_a_copy_waits_while_the_machine_is_stopped_and_its_registers_are_locked(self):
        machine, _, dma = self.start_dma()
        machine.write_memory(self.source, b"wait")
        machine.qmp("stop")
        dma.go(self.source, self.destination, 4)
        machine.write(dma.base + 0x10, 1)
        self.assertEqual((dma.status(), machine.read(dma.base + 0x10)), (BUSY, 4))
        self.assertIn("while a copy runs", machine.log())
        self.assertEqual(machine.read_memory(self.destination, 4), bytes(4))
        machine.qmp("cont")
        self.assertEqual(dma.finish(), DONE)
        self.assertEqual(machine.read_memory(self.destination, 4), b"wait")

    def test_reset_ends_a_copy(self):
        machine, function, dma = self.start_dma()
        machine.write_memory(self.source, b"none")
        machine.qmp("stop")
        dma.go(self.source, self.destination, 4)
        machine.qmp("system_reset")
        machine.qmp("cont")
        machine.wait_event("RESUME")
        function.enable()
        self.assertEqual(dma.status(), IDLE)
        self.assertEqual(machine.read(dma.base + 0x14), NO_VECTOR)
        self.assertEqual(machine.read_memory(self.destination, 4), bytes(4))

    def test_a_copy_moves_to_another_host_with_its_machine(self):
        machine, function, dma = self.start_dma()
        function.enable_msix()
        machine.write_memory(self.source, b"move")
        machine.qmp("stop")
        dma.go(self.source, self.destination, 4, vector=2)
        there = self.migrated(machine, self.device)
        arrived = DmaBlock(there, dma.base)
        self.assertEqual(arrived.status(), BUSY)
        self.assertEqual(there.read_memory(self.destination, 4), bytes(4))
        there.qmp("cont")
        self.assertEqual(arrived.finish(), DONE)
        self.assertEqual(there.read_memory(self.destination, 4), b"move")
        self.assertEqual(there.read(RAM + 8), 0x1002)

    def test_a_copy_is_no_obstacle_to_unplugging(self):
        machine = Machine("pcie-root-port,id=rp0,bus=pcie.0,addr=4,chassis=1",
                          extra=("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"))
        self.addCleanup(machine.close)
        port = Function(machine, device=4)
        port.set_config(0x18, 0x00010100)  # primary bus 0, secondary and subordinate 1
        port.set_config(0x20, (BAR0 >> 16 & 0xFFF0) | (BAR0 & 0xFFF00000))  # one megabyte of memory
        port.set_config(COMMAND, MEMORY_AND_MASTER, 2)
        slot_control = port.find(0x10) + 0x18
        for _ in range(20):
            machine.qmp("device_add", driver=self.device, id="dut", bus="rp0")
            port.set_config(slot_control, 0x0100, 2)  # power on, power indicator on
            function = Function(machine, bus=1, device=0)
            function.enable()
            dma = DmaBlock(machine, BAR0 + self.block)
            machine.qmp("stop")
            dma.go(self.source, self.destination, 64)
            self.assertEqual(dma.status(), BUSY)
            machine.qmp("device_del", id="dut")
            port.set_config(slot_control, 0x0700, 2)  # power off, power indicator off: the guest agrees
            machine.wait_event("DEVICE_DELETED")
            machine.qmp("cont")


class Dma(OneDmaCommand, StepTest):
    device, block, copied = "pcienic-dma", 0x40, 0x60

    def test_a_long_copy_comes_whole(self):
        machine, _, dma = self.start_dma()
        length = 4 * 1024 * 1024 + 17
        pattern = os.urandom(length)
        for at in range(0, length, 1 << 20):
            machine.write_memory(self.source + at, pattern[at:at + (1 << 20)])
        dma.go(self.source, self.destination, length)
        self.assertEqual(dma.finish(), DONE)
        self.assertEqual(machine.read(BAR0 + self.copied), length)
        got = b"".join(machine.read_memory(self.destination + at, min(1 << 20, length - at))
                       for at in range(0, length, 1 << 20))
        self.assertEqual(got, pattern)

    def test_a_copy_that_runs_out_of_memory_tells_how_far_it_came(self):
        machine, _, dma = self.start_dma()
        dma.go(64 * 1024 * 1024 - 0x3000, self.destination, 0x8000)
        self.assertEqual(dma.finish(), SOURCE_REFUSED)
        self.assertEqual(machine.read(BAR0 + self.copied), 0x3000)


class Caps(OneDmaCommand, StepTest):
    device, block = "pcienic-caps", 0xC00

    def test_the_vendor_capability_tells_the_layout(self):
        _, function = self.start("pcienic-caps")
        capability = function.find(0x09)
        self.assertEqual([function.config(capability + offset, 1) for offset in (2, 3, 4, 5)], [20, 1, 0, VECTORS])
        self.assertEqual([function.config(capability + offset) for offset in (8, 12, 16)], [0x800, 0xC00, 0x1000])

    def test_more_than_the_capability_allows_is_refused(self):
        _, _, dma = self.start_dma()
        dma.go(self.source, self.destination, 0x1001)
        self.assertEqual(dma.finish(), BAD_COMMAND)

    def test_function_level_reset_ends_a_copy_and_clears_what_is_ours(self):
        machine, function, dma = self.start_dma()
        machine.qmp("stop")
        dma.go(self.source, self.destination, 64)
        express = function.find(0x10)
        self.assertTrue(function.config(express + 4) & 1 << 28, "no FLR in the device capabilities")
        function.set_config(express + 8, 0x8000, 2)
        function.enable()
        self.assertEqual((dma.status(), machine.read(dma.base)), (IDLE, 0))
        machine.qmp("cont")
        self.assertEqual(dma.status(), IDLE)

    def test_in_d3hot_the_msix_table_is_silent_too(self):
        machine, function, _ = self.start_dma()
        function.enable_msix()
        machine.write(BAR1 + 16 * 2 + 12, 1)
        machine.write(BAR0 + 0x800, 2)
        power = function.find(0x01) + 4
        function.set_config(power, 3, 2)
        machine.write(BAR1 + 16 * 2 + 12, 0)
        self.assertEqual(machine.read(RAM + 8), 0)
        function.set_config(power, 0, 2)
        self.assertEqual((machine.read(RAM + 8), machine.read(BAR1 + 0x800, 8)), (0, 1 << 2))
        machine.write(BAR1 + 16 * 2 + 12, 0)
        self.assertEqual(machine.read(RAM + 8), 0x1002)

    def test_in_d3hot_the_device_is_silent_and_in_d0_it_goes_on(self):
        machine, function, dma = self.start_dma()
        machine.write_memory(self.source, b"zzzz")
        power = function.find(0x01) + 4
        machine.qmp("stop")
        dma.go(self.source, self.destination, 4)
        function.set_config(power, 3, 2)
        machine.qmp("cont")
        self.assertIn(machine.read(dma.base), (0xFFFFFFFF, 0))  # QEMU 10 and later take the BAR away
        self.assertEqual(machine.read_memory(self.destination, 4), bytes(4))
        function.set_config(power, 0, 2)
        self.assertEqual(dma.finish(), DONE)
        self.assertEqual(machine.read_memory(self.destination, 4), b"zzzz")


if __name__ == "__main__":
    main()
