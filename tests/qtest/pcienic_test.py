#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The pcienic device without a guest.

    PCIENIC_QEMU=/path/to/qemu-system-x86_64 pcienic_test.py [-v] [Class.test_name ...]
"""

import contextlib
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import unittest

from pcienic_function import (
    BY_NAME, CODE, COMPLETIONS, DESTINATION, DEVICE, ERROR, INTERRUPT, LISTS, MEMORY_BAR, MEMORY_SIZE, MESSAGES, MODE,
    MSIX_BAR, PHASE, PIECE, QUIET, REGISTER_BAR, RING, SOURCE, STATE, VECTORS, Pcienic, behind_root_port, field,
    machine_with, open_root_port)
from qtest_machine import COMMAND, QEMU, WATCHDOG_S, Machine, main


class PcienicTest(unittest.TestCase):
    def start(self, *devices, extra=()):
        machine, function = machine_with(*devices, extra=extra)
        self.addCleanup(machine.close)
        function.enable()
        return machine, function

    def system_reset(self, machine, function):
        machine.qmp("system_reset")
        machine.wait_event("RESET")
        Pcienic(machine)  # the host bridge was reset, too
        function.enable()


class Identity(PcienicTest):
    def test_header(self):
        _, function = self.start()
        constants = DEVICE.constants
        self.assertEqual(function.config(0x00, 2), constants["VENDOR_ID"])
        self.assertEqual(function.config(0x02, 2), constants["DEVICE_ID"])
        self.assertEqual(function.config(0x08), DEVICE.class_code << 8 | constants["REVISION"])
        self.assertEqual(function.config(0x2C, 2), constants["SUBSYSTEM_VENDOR_ID"])
        self.assertEqual(function.config(0x2E, 2), constants["SUBSYSTEM_ID"])
        self.assertEqual(function.config(0x3D, 1), 1)

    def test_bars(self):
        for vectors, msix_size in ((1, 0x1000), (32, 0x1000), (128, 0x1000), (300, 0x2000), (2048, 0x10000)):
            with self.subTest(vectors=vectors):
                _, function = self.start(f"pcienic,vectors={vectors},memory-size=4M")
                kinds, sizes = [], []
                for bar in range(6):
                    kinds.append(function.config(0x10 + 4 * bar) & 0xF)
                    function.set_config(0x10 + 4 * bar, 0xFFFFFFFF)
                    sizes.append(-(function.config(0x10 + 4 * bar) & ~0xF) & 0xFFFFFFFF)
                self.assertEqual(kinds, [0, 0, 0, 0, 0xC, 0])
                self.assertEqual(sizes[:5], [0x10000, 0, msix_size, 0, 4 << 20])

    def test_msix_fills_a_bar_of_its_own(self):
        _, function = self.start("pcienic,vectors=2048")
        capability = function.find(0x11)
        self.assertEqual(function.config(capability + 2, 2) & 0x7FF, 2047)
        self.assertEqual(function.config(capability + 4), 2)
        self.assertEqual(function.config(capability + 8), 2 | 2048 * 16)

    def test_msi_is_64_bit_and_maskable(self):
        for options, order in (("", 5), (",vectors=7", 2), (",vectors=1", 0), (",msi-vectors=8", 3)):
            _, function = self.start("pcienic" + options)
            self.assertEqual(function.config(function.find(0x05) + 2, 2), 0x0180 | order << 1)

    def test_vendor_capability(self):
        _, function = self.start("pcienic,vectors=77")
        base = function.find(0x09)
        expected = dict(DEVICE.vendor_capability.values)
        expected["VECTORS"] = 77
        for word in DEVICE.vendor_capability.words:
            if word.name != "NEXT":
                self.assertEqual(function.config(base + word.offset, word.width // 8), expected[word.name], word.name)

    def test_dvsec(self):
        _, function = self.start()
        base = function.find_ext(0x23)
        self.assertEqual(function.ext(base + 4), 0x1AF4 | 1 << 16 | DEVICE.dvsec.size << 20)
        self.assertEqual(function.ext(base + 8) & 0xFFFF, 1)
        self.assertEqual(function.ext(base + 12), BY_NAME["FEATURES"].reset)
        function.set_ext(base + 12, 0xFFFFFFFF)
        self.assertEqual(function.ext(base + 12), BY_NAME["FEATURES"].reset)
        function.set_ext(base + 16, 0xCAFE0001)
        self.assertEqual(function.ext(base + 16), 0xCAFE0001)

    def test_serial_number(self):
        _, function = self.start("pcienic,serial=0x1122334455667788")
        base = function.find_ext(0x03)
        self.assertEqual((function.ext(base + 4), function.ext(base + 8)), (0x55667788, 0x11223344))

    def test_advanced_error_reporting(self):
        _, function = self.start()
        self.assertEqual(function.find_ext(0x01), 0x100)

    def test_express_endpoint_on_the_root_bus_and_behind_a_port(self):
        _, function = self.start()
        self.assertEqual(function.config(function.find(0x10) + 2, 1) >> 4, 9, "root complex integrated endpoint")
        self.assertTrue(function.config(function.find(0x10) + 4) & 1 << 28, "function-level reset")
        machine, _ = behind_root_port("pcienic,bus=rp0")
        self.addCleanup(machine.close)
        function = Pcienic(machine, bus=1, device=0)
        function.enable()
        self.assertEqual(function.config(function.find(0x10) + 2, 1) >> 4, 0, "endpoint")
        self.assertEqual(function.read("ID"), BY_NAME["ID"].reset)
        machine.write(MEMORY_BAR + 64, 0x12345678)
        self.assertEqual(machine.read(MEMORY_BAR + 64), 0x12345678)

    def test_function_level_reset_can_be_left_out(self):
        _, function = self.start("pcienic,x-pcie-flr-init=off")
        self.assertFalse(function.config(function.find(0x10) + 4) & 1 << 28)
        function.write("SCRATCH", 1)
        function.write("IRQ_MASK", 1)
        function.function_level_reset()
        self.assertEqual(function.read("IRQ_MASK"), 1)


class Registers(PcienicTest):
    def test_reset_values(self):
        _, function = self.start()
        for register in DEVICE.registers:
            for element in range(register.count):
                value = function.read(register.name, element)
                if register.name == "STATUS":
                    self.assertEqual(value, register.reset | field("STATUS", "BUS_MASTER"))
                elif not register.reset_from_property:
                    self.assertEqual(value, register.reset, f"{register.name}{element}")
        self.assertEqual(function.read("VECTORS"), VECTORS)
        self.assertEqual(function.read("MEMORY_SIZE"), MEMORY_SIZE)
        self.assertIsNone(function.error())

    def test_access_sizes(self):
        machine, function = self.start()
        function.write("SCRATCH64", 0x1122334455667788)
        base = REGISTER_BAR + BY_NAME["SCRATCH64"].offset
        self.assertEqual((machine.read(base), machine.read(base + 4)), (0x55667788, 0x11223344))
        for size in (1, 2):
            self.assertEqual(machine.read(base, size), 0)
            machine.write(base, 0, size)
        self.assertEqual(function.read("SCRATCH64"), 0x1122334455667788)
        self.assertIsNone(function.error())

    def test_errors_are_latched_and_reported(self):
        machine, function = self.start()
        machine.write(REGISTER_BAR + 0xFFC, 1)
        self.assertEqual(function.error(), (ERROR["BAD_OFFSET"], 0xFFC))
        function.write("ID", 1)
        self.assertEqual(function.error(), (ERROR["READ_ONLY"], BY_NAME["ID"].offset))
        machine.write(REGISTER_BAR + 0x1004, 1)
        self.assertEqual(function.error(), (ERROR["BAD_OFFSET"], 0x1004))
        self.assertIn("pcienic: no register at offset 0xffc", machine.log())
        self.assertIn("pcienic: write to the read-only register at offset 0x0", machine.log())

    def test_every_access_is_traced(self):
        machine, function = self.start()
        function.write("SCRATCH", 0xABCD)
        function.read("SCRATCH")
        self.assertIn("pcienic_write offset 0x10 size 4 value 0xabcd", machine.log())
        self.assertIn("pcienic_read offset 0x10 size 4 value 0xabcd", machine.log())

    def test_device_memory_is_ram(self):
        machine, _ = self.start()
        data = os.urandom(4096)
        machine.write_memory(MEMORY_BAR + MEMORY_SIZE - 4096, data)
        self.assertEqual(machine.read_memory(MEMORY_BAR + MEMORY_SIZE - 4096, 4096), data)
        machine.write(MEMORY_BAR, 0x5A, 1)
        self.assertEqual(machine.read(MEMORY_BAR, 1), 0x5A)

    def test_counters_can_be_read_from_outside(self):
        machine, function = self.start("pcienic,id=dut")
        function.enable_msix()
        function.write("IRQ_TEST", 3)
        function.write("IRQ_TEST", 99)
        self.assertEqual(machine.qmp("qom-get", path="dut", property="messages-sent"), 1)
        self.assertEqual(machine.qmp("qom-get", path="dut", property="guest-errors"), 1)

    def test_bytes_are_counted_that_were_moved(self):
        machine, function = self.start("pcienic,id=dut")
        function.start_engine()
        nowhere = 0xA0000000

        def counted(*command):
            before = [machine.qmp("qom-get", path="dut", property=f"dma-bytes-{way}") for way in ("read", "written")]
            function.execute(*command)
            after = [machine.qmp("qom-get", path="dut", property=f"dma-bytes-{way}") for way in ("read", "written")]
            return [now - then for then, now in zip(before, after)]

        # Besides, the descriptor of 32 bytes and a look at the next one, and the completion of 16
        self.assertEqual(counted("HOST_TO_HOST", SOURCE, DESTINATION, 100), [32 + 4 + 100, 16 + 100])
        self.assertEqual(counted("HOST_TO_HOST", nowhere, DESTINATION, 100), [32 + 4, 16])
        self.assertEqual(counted("HOST_TO_HOST", SOURCE, nowhere, 100), [32 + 4 + 100, 16])


class Interrupts(PcienicTest):
    def test_msix_each_of_2048_vectors(self):
        # 2048 messages take 8 KiB from MESSAGES on
        machine, function = self.start("pcienic,vectors=2048")
        function.enable_msix(2048)
        self.assertEqual(function.read("IRQ_STATUS"), MODE["MSIX"] | 2048 << 16)
        for vector in range(2048):
            function.write("IRQ_TEST", vector)
        got = struct.unpack("<2048I", machine.read_memory(MESSAGES, 4 * 2048))
        self.assertEqual(list(got), [0x5000 + vector for vector in range(2048)])

    def test_msix_a_masked_entry_is_pending_until_unmasked(self):
        machine, function = self.start()
        function.enable_msix()
        function.set_msix_entry(5, masked=True)
        function.write("IRQ_TEST", 5)
        self.assertEqual(function.message(5), 0)
        self.assertEqual(machine.read(MSIX_BAR + 2048), 1 << 5)
        function.set_msix_entry(5)
        self.assertEqual(function.message(5), 0x5005)
        self.assertEqual(machine.read(MSIX_BAR + 2048), 0)

    def test_the_devices_own_mask(self):
        _, function = self.start()
        function.enable_msix()
        function.write("IRQ_MASK", 1 << 7)
        function.write("IRQ_TEST", 7)
        self.assertEqual((function.message(7), function.read("IRQ_CAUSE")), (0, 1 << 7))
        function.write("IRQ_MASK", 0)
        self.assertEqual((function.message(7), function.read("IRQ_CAUSE")), (0x5007, 0))

    def test_msi(self):
        for enabled in (1, 2, 32):
            machine, function = self.start()
            function.enable_msi(enabled)
            self.assertEqual(function.read("IRQ_STATUS"), MODE["MSI"] | enabled << 16)
            for vector in range(enabled):
                function.write("IRQ_TEST", vector)
                self.assertEqual(machine.read(MESSAGES), 0x40 + vector)
            self.assertIsNone(function.error())
            function.write("IRQ_TEST", enabled)
            self.assertEqual(function.error(), (ERROR["BAD_VECTOR"], enabled))

    def test_msi_per_vector_mask(self):
        machine, function = self.start()
        function.enable_msi(4)
        capability = function.find(0x05)
        function.set_config(capability + 16, 1 << 2)
        function.write("IRQ_TEST", 2)
        self.assertEqual(machine.read(MESSAGES), 0)
        self.assertEqual(function.config(capability + 20), 1 << 2)
        function.set_config(capability + 16, 0)
        self.assertEqual(machine.read(MESSAGES), 0x42)

    def test_msi_with_more_vectors_than_there_are(self):
        _, function = self.start("pcienic,vectors=4")
        function.enable_msi(32)
        self.assertEqual(function.read("IRQ_STATUS"), MODE["MSI"] | 4 << 16)
        function.write("IRQ_TEST", 4)
        self.assertEqual(function.error(), (ERROR["BAD_VECTOR"], 4))

    def test_intx_follows_cause_and_mask(self):
        _, function = self.start()
        self.assertFalse(function.intx())
        function.write("IRQ_TEST", 3)
        self.assertTrue(function.intx())
        function.write("IRQ_MASK", 1 << 3)
        self.assertFalse(function.intx())
        function.write("IRQ_MASK", 0)
        self.assertTrue(function.intx())
        function.write("IRQ_CAUSE", 1 << 3)
        self.assertFalse(function.intx())

    def test_intx_falls_when_messages_are_enabled(self):
        _, function = self.start()
        function.write("IRQ_TEST", 3)
        function.enable_msix()
        self.assertFalse(function.intx())
        self.assertEqual(function.message(3), 0x5003)

    def test_without_bus_master_a_message_waits(self):
        _, function = self.start()
        function.enable_msix()
        function.set_bus_master(False)
        function.write("IRQ_TEST", 4)
        self.assertEqual((function.message(4), function.read("IRQ_CAUSE")), (0, 1 << 4))
        function.set_bus_master(True)
        self.assertEqual((function.message(4), function.read("IRQ_CAUSE")), (0x5004, 0))

    def test_what_a_stopped_machine_held_back_goes_out_when_it_runs(self):
        machine, function = self.start()
        function.enable_msix()
        # The message of vector 9 raises vector 8, when the round of sending is past it already.
        machine.write(MSIX_BAR + 16 * 9, REGISTER_BAR + BY_NAME["IRQ_TEST"].offset)
        machine.write(MSIX_BAR + 16 * 9 + 8, 8)
        function.set_bus_master(False)
        function.write("IRQ_TEST", 9)
        machine.qmp("stop")
        function.set_bus_master(True)
        self.assertEqual((function.message(8), function.read("IRQ_CAUSE")), (0, 1 << 8))
        machine.qmp("cont")
        # Each question to QEMU is one more chance for it to do the work.
        self.assertIn(0x5008, (function.message(8) for _ in range(1000)))

    def test_a_dropped_vector_is_dropped_alone(self):
        _, function = self.start("pcienic,x-drop-vector=2")
        function.enable_msix()
        for vector in range(4):
            function.write("IRQ_TEST", vector)
        self.assertEqual([function.message(vector) for vector in range(4)], [0x5000, 0x5001, 0, 0x5003])

    def test_a_message_aimed_at_the_device_itself_is_harmless(self):
        machine, function = self.start()
        function.enable_msix()
        doorbells = ("IRQ_TEST", "CTRL", "DMA_DOORBELL", "IRQ_MASK", "DMA_CTRL")
        for vector, name in enumerate(doorbells):
            machine.write(MSIX_BAR + 16 * vector, REGISTER_BAR + BY_NAME[name].offset)
            machine.write(MSIX_BAR + 16 * vector + 8, vector)
            function.write("IRQ_TEST", vector)
        function.set_bus_master(False)
        for vector in range(len(doorbells)):
            function.write("IRQ_TEST", vector)
        function.set_bus_master(True)
        self.assertEqual(function.read("ID"), BY_NAME["ID"].reset)
        function.write("IRQ_TEST", 9)
        self.assertEqual(function.message(9), 0x5009)


class Dma(PcienicTest):
    def test_host_to_device_and_back(self):
        machine, function = self.start()
        function.start_engine()
        data = os.urandom(100_003)
        machine.write_memory(SOURCE + 1, data)
        self.assertEqual(function.execute("HOST_TO_DEVICE", SOURCE + 1, 5, len(data)), (CODE["OK"], len(data)))
        self.assertEqual(machine.read_memory(MEMORY_BAR + 5, len(data)), data)
        self.assertEqual(function.execute("DEVICE_TO_HOST", 5, DESTINATION + 3, len(data)), (CODE["OK"], len(data)))
        self.assertEqual(machine.read_memory(DESTINATION + 3, len(data)), data)
        self.assertIsNone(function.error())

    def test_host_to_host_and_fill(self):
        machine, function = self.start()
        function.start_engine()
        data = os.urandom(70_000)
        machine.write_memory(SOURCE, data)
        self.assertEqual(function.execute("HOST_TO_HOST", SOURCE, DESTINATION, len(data))[0], CODE["OK"])
        self.assertEqual(machine.read_memory(DESTINATION, len(data)), data)
        pattern = 0x0123456789ABCDEF
        self.assertEqual(function.execute("FILL_HOST", pattern, DESTINATION, 8192)[0], CODE["OK"])
        self.assertEqual(machine.read_memory(DESTINATION, 8192), struct.pack("<Q", pattern) * 1024)
        self.assertEqual(function.execute("FILL_DEVICE", pattern, 64, 8192)[0], CODE["OK"])
        self.assertEqual(machine.read_memory(MEMORY_BAR + 64, 8192), struct.pack("<Q", pattern) * 1024)
        self.assertEqual(function.execute("NOP"), (CODE["OK"], 0))

    def test_scatter_gather(self):
        machine, function = self.start()
        function.start_engine()
        data = os.urandom(30_000)
        machine.write_memory(SOURCE, data)
        function.write_list(LISTS, [(SOURCE + 20_000, 10_000), (SOURCE, 7), (SOURCE + 7, 19_993)])
        function.write_list(LISTS + 4096, [(DESTINATION + 1, 1), (DESTINATION + 5000, 29_999)])
        self.assertEqual(function.execute("HOST_TO_HOST", LISTS, LISTS + 4096, 30_000, sources=3, destinations=2)[0],
                         CODE["OK"])
        self.assertEqual(machine.read_memory(DESTINATION + 1, 1) + machine.read_memory(DESTINATION + 5000, 29_999),
                         data[20_000:] + data[:20_000])

    def test_errors_end_as_completions(self):
        _, function = self.start()
        function.start_engine()
        nowhere = 0xA0000000
        self.assertEqual(function.execute(0x77, length=1), (CODE["BAD_OPCODE"], 0))
        self.assertEqual(function.execute("HOST_TO_HOST", SOURCE, DESTINATION, 0), (CODE["ZERO_LENGTH"], 0))
        self.assertEqual(function.execute("HOST_TO_DEVICE", SOURCE, MEMORY_SIZE - 1, 2), (CODE["DEVICE_RANGE"], MEMORY_SIZE - 1))
        self.assertEqual(function.execute("HOST_TO_DEVICE", nowhere, 0, 4), (CODE["SOURCE_FAULT"], nowhere))
        self.assertEqual(function.execute("DEVICE_TO_HOST", 0, nowhere, 4), (CODE["DESTINATION_FAULT"], nowhere))
        self.assertEqual(function.execute("HOST_TO_DEVICE", nowhere, 0, 4, sources=1), (CODE["SG_FAULT"], nowhere))
        self.assertEqual(function.execute("FILL_HOST", 0, LISTS, 4, destinations=257), (CODE["BAD_SG"], 0))
        self.assertEqual(function.execute("NOP", flags=1 << 11), (CODE["BAD_FLAGS"], 0))
        self.assertEqual(function.execute("NOP", flags=INTERRUPT, vector=VECTORS), (CODE["BAD_VECTOR"], 0))
        self.assertEqual(function.execute("NOP"), (CODE["OK"], 0))
        self.assertIsNone(function.error())
        self.assertTrue(function.config(0x06, 2) & 0x2000, "Received Master Abort")

    def test_a_completion_interrupts(self):
        _, function = self.start()
        function.enable_msix()
        function.start_engine()
        function.execute("FILL_HOST", 1, DESTINATION, 4096, flags=INTERRUPT, vector=6)
        self.assertEqual(function.message(6), 0x5006)

    def test_registers_are_no_target(self):
        machine, function = self.start()
        function.start_engine()
        function.write("SCRATCH", 0x600D)
        target = REGISTER_BAR + BY_NAME["SCRATCH"].offset
        self.assertEqual(function.execute("FILL_HOST", 0xBAD, target, 8), (CODE["DESTINATION_FAULT"], target))
        self.assertEqual(function.execute("HOST_TO_DEVICE", target, 0, 4), (CODE["SOURCE_FAULT"], target))
        doorbell = REGISTER_BAR + BY_NAME["DMA_DOORBELL"].offset
        self.assertEqual(function.execute("FILL_HOST", 1, doorbell, 4), (CODE["DESTINATION_FAULT"], doorbell))
        self.assertEqual(function.execute("FILL_HOST", 1, MSIX_BAR, 16), (CODE["DESTINATION_FAULT"], MSIX_BAR))
        self.assertEqual(function.read("SCRATCH"), 0x600D)
        self.assertEqual(machine.read(MEMORY_BAR), 0)

    def test_a_ring_in_the_registers_stops_the_queue(self):
        _, function = self.start()
        function.write("DMA_RING_BASE", REGISTER_BAR)
        function.write("DMA_COMPLETION_BASE", REGISTER_BAR)
        function.write("DMA_RING_SIZE", 4)
        function.write("DMA_CTRL", 1)
        function.write("DMA_DOORBELL", 0)
        self.assertEqual(function.finish(), STATE["STOPPED"])
        self.assertEqual(function.error(), (ERROR["DESCRIPTOR_FAULT"], REGISTER_BAR))

    def test_the_devices_own_memory_by_its_bus_address(self):
        machine, function = self.start()
        function.start_engine()
        data = os.urandom(20_000)
        machine.write_memory(MEMORY_BAR, data)
        self.assertEqual(function.execute("HOST_TO_DEVICE", MEMORY_BAR, 40_000, len(data))[0], CODE["OK"])
        self.assertEqual(machine.read_memory(MEMORY_BAR + 40_000, len(data)), data)

    def test_without_bus_master_the_queue_stops(self):
        _, function = self.start()
        function.start_engine()
        function.set_bus_master(False)
        self.assertFalse(function.read("STATUS") & field("STATUS", "BUS_MASTER"))
        function.submit("NOP")
        self.assertEqual(function.finish(), STATE["STOPPED"])
        self.assertEqual(function.error(), (ERROR["DESCRIPTOR_FAULT"], RING))
        function.set_bus_master(True)
        function.write("DMA_CTRL", 0)
        function.start_engine()
        self.assertEqual(function.execute("NOP")[0], CODE["OK"])

    def test_bus_master_off_in_mid_copy_stops_the_queue(self):
        machine, function = self.start(extra=QUIET)
        function.never_rest()
        function.hold_in_long_copy()
        function.set_bus_master(False)
        machine.qmp("cont")
        self.assertEqual(function.finish(), STATE["STOPPED"])
        self.assertEqual(function.error()[0], ERROR["COMPLETION_FAULT"])

    def test_an_unwritable_completion_stops_the_queue(self):
        _, function = self.start()
        function.start_engine()
        function.write("DMA_CTRL", 0)
        function.write("DMA_COMPLETION_BASE", 0xA0000000)
        function.write("DMA_CTRL", 1)
        function.submit("NOP")
        self.assertEqual(function.finish(), STATE["STOPPED"])
        self.assertEqual(function.error(), (ERROR["COMPLETION_FAULT"], 0xA0000000))

    def test_a_stopped_machine_does_no_dma(self):
        machine, function = self.start()
        function.start_engine()
        machine.qmp("stop")
        index = function.submit("FILL_HOST", 0xFF, DESTINATION, 8)
        machine.write(DESTINATION, 0)
        self.assertEqual(function.state(), STATE["BUSY"])
        self.assertIsNone(function.completion(index))
        machine.qmp("cont")
        self.assertEqual(function.finish(), STATE["IDLE"])
        self.assertEqual(function.completion(index)[0], CODE["OK"])

    def test_work_without_end_leaves_the_machine_responsive(self):
        machine, function = self.start(extra=QUIET)
        function.never_rest()
        while function.read("DMA_COMPLETED") < 4:
            pass
        function.write("SCRATCH", 3)
        self.assertEqual(function.read("SCRATCH"), 3)
        function.write("DMA_CTRL", 0)
        self.assertEqual(function.finish(), STATE["DISABLED"])
        self.assertTrue(machine.qmp("query-status")["running"])


class Power(PcienicTest):
    def test_in_d3hot_the_device_is_silent_and_forgets_nothing(self):
        machine, function = self.start()
        function.enable_msix()
        function.start_engine()
        function.write("SCRATCH", 0x5C)
        function.write("IRQ_MASK", 1)
        machine.qmp("stop")
        index = function.submit("FILL_HOST", 0xFF, DESTINATION, 8, flags=INTERRUPT, vector=3)
        function.set_power_state(3)
        machine.qmp("cont")
        self.assertIn(machine.read(REGISTER_BAR), (0xFFFFFFFF, 0))  # QEMU 10 and later take the BAR away
        self.assertEqual(machine.read_memory(DESTINATION, 8), bytes(8))
        self.assertIsNone(function.completion(index))
        self.assertEqual(function.message(3), 0)
        function.set_power_state(0)
        self.assertEqual(function.finish(), STATE["IDLE"])
        self.assertEqual(function.completion(index)[0], CODE["OK"])
        self.assertEqual(function.message(3), 0x5003)
        self.assertEqual((function.read("SCRATCH"), function.read("IRQ_MASK")), (0x5C, 1))

    def test_d3hot_lowers_the_line_and_d0_raises_it(self):
        _, function = self.start()
        function.write("IRQ_TEST", 1)
        function.set_power_state(3)
        self.assertFalse(function.intx())
        function.set_power_state(0)
        self.assertTrue(function.intx())

    def test_in_d3hot_the_msix_table_is_silent_too(self):
        machine, function = self.start()
        function.enable_msix()
        function.set_msix_entry(5, masked=True)
        function.write("IRQ_TEST", 5)
        function.set_power_state(3)
        function.set_msix_entry(5)
        self.assertEqual(function.message(5), 0)
        function.set_power_state(0)
        self.assertEqual((function.message(5), machine.read(MSIX_BAR + 2048)), (0, 1 << 5))
        function.set_msix_entry(5)
        self.assertEqual(function.message(5), 0x5005)

    def test_d1_and_d2_are_not_there(self):
        _, function = self.start()
        self.assertEqual(function.config(function.find(0x01) + 2, 2) & 0x0600, 0)


class Reset(PcienicTest):
    NOTE = 16  # in the DVSEC

    def disturb(self, function):
        function.write("SCRATCH", 0xDEADBEEF)
        function.write("SCRATCH64", 0x0123456789ABCDEF)
        function.set_ext(function.find_ext(0x23) + self.NOTE, 0x11223344)
        function.write("IRQ_MASK", 0xFF)
        function.enable_msix()
        function.write("IRQ_TEST", 1)
        function.write("ID", 0)
        express = function.find(0x10)
        function.set_config(express + 8, 0x000F, 2)
        function.never_rest()

    def expect_fresh(self, machine, function, kept):
        self.assertEqual(function.read("SCRATCH"), 0xDEADBEEF if kept else 0)
        self.assertEqual(function.read("SCRATCH64"), 0x0123456789ABCDEF if kept else 0)
        self.assertEqual(function.ext(function.find_ext(0x23) + self.NOTE), 0x11223344 if kept else 0)
        for name in ("IRQ_MASK", "IRQ_CAUSE", "ERR_STATUS", "DMA_CTRL", "DMA_STATUS", "DMA_RING_BASE", "DMA_COMPLETED"):
            self.assertEqual(function.read(name), 0, name)
        self.assertEqual(function.read("IRQ_STATUS"), MODE["INTX"] | 1 << 16)
        self.assertFalse(function.config(function.find(0x11) + 2, 2) & 0x8000)
        self.assertEqual(function.config(function.find(0x10) + 8, 2) & 0x000F, 0)
        self.assertFalse(function.intx())
        # The engine is at rest, and works.
        machine.write_memory(DESTINATION, bytes(4096))
        function.start_engine()
        self.assertEqual(function.execute("FILL_HOST", 1, DESTINATION, 8), (CODE["OK"], 8))

    def test_function_level_reset_keeps_what_is_sticky(self):
        machine, function = self.start(extra=QUIET)
        self.disturb(function)
        function.function_level_reset()
        self.assertEqual(function.config(COMMAND, 2), 0)
        function.enable()
        self.expect_fresh(machine, function, kept=True)
        self.assertIn("pcienic_reset function-level", machine.log())

    def start_behind_root_port(self):
        machine, port = behind_root_port("pcienic,bus=rp0,id=dut", extra=QUIET)
        self.addCleanup(machine.close)
        function = Pcienic(machine, bus=1, device=0)
        function.enable()
        return machine, port, function

    def set_bus_reset(self, port, on):
        bridge_control, bus_reset = 0x3E, 1 << 6
        control = port.config(bridge_control, 2)
        port.set_config(bridge_control, control | bus_reset if on else control & ~bus_reset, 2)

    def test_hot_reset_keeps_what_is_sticky(self):
        machine, port, function = self.start_behind_root_port()
        self.disturb(function)
        machine.qmp("human-monitor-command", **{"command-line": "pcie_aer_inject_error dut UNSUP"})
        self.set_bus_reset(port, True)
        self.set_bus_reset(port, False)
        self.assertEqual(function.config(COMMAND, 2), 0)
        function.enable()
        self.assertEqual(function.ext(function.find_ext(0x01) + 4), 1 << 20, "unsupported request")
        self.expect_fresh(machine, function, kept=True)
        self.assertIn("pcienic_reset hot", machine.log())

    def test_system_reset_is_cold_even_with_the_bus_held_in_reset(self):
        machine, port, function = self.start_behind_root_port()
        self.set_bus_reset(port, True)
        function.enable()
        self.disturb(function)
        machine.qmp("system_reset")
        machine.wait_event("RESET")
        function = Pcienic(machine, bus=1, device=0)
        open_root_port(machine)
        function.enable()
        self.expect_fresh(machine, function, kept=False)

    def test_system_reset_clears_everything(self):
        machine, function = self.start(extra=QUIET)
        self.disturb(function)
        self.system_reset(machine, function)
        self.expect_fresh(machine, function, kept=False)
        self.assertIn("pcienic_reset cold", machine.log())

    def test_software_reset_leaves_configuration_space_alone(self):
        machine, function = self.start(extra=QUIET)
        self.disturb(function)
        function.write("CTRL", 1)
        self.assertEqual(function.read("CTRL"), 0)
        self.assertEqual(function.read("IRQ_STATUS"), MODE["MSIX"] | VECTORS << 16)
        self.assertEqual(function.config(COMMAND, 2), 0x06)
        self.assertEqual(function.read("SCRATCH"), 0xDEADBEEF)
        self.assertEqual((function.read("IRQ_MASK"), function.read("DMA_STATUS"), function.read("ERR_STATUS")), (0, 0, 0))
        function.write("IRQ_TEST", 2)
        self.assertEqual(function.message(2), 0x5002)
        self.assertEqual(machine.qmp("query-status")["status"], "running")

    def test_error_reports_are_sticky_and_a_cold_reset_clears_them(self):
        unsupported_request = 1 << 20
        machine, function = self.start("pcienic,id=dut")
        status, severity = (function.find_ext(0x01) + offset for offset in (0x04, 0x0C))
        fresh = function.ext(severity)
        machine.qmp("human-monitor-command", **{"command-line": "pcie_aer_inject_error dut UNSUP"})
        function.set_ext(severity, 0)
        function.function_level_reset()
        function.enable()
        self.assertEqual((function.ext(status), function.ext(severity)), (unsupported_request, 0))
        self.system_reset(machine, function)
        self.assertEqual((function.ext(status), function.ext(severity)), (0, fresh))

    def test_reset_brings_back_d0(self):
        machine, function = self.start()
        function.set_power_state(3)
        self.system_reset(machine, function)
        self.assertEqual(function.read("ID"), BY_NAME["ID"].reset)

    def test_a_hundred_function_level_resets_under_load(self):
        _, function = self.start(extra=QUIET)
        for _ in range(100):
            function.never_rest()
            function.function_level_reset()
            function.enable()
        self.assertEqual(function.finish(), STATE["DISABLED"])
        function.start_engine()
        self.assertEqual(function.execute("NOP")[0], CODE["OK"])


class Migration(PcienicTest):
    def save(self, machine, stream):
        machine.qmp("migrate", uri=f"exec:cat > {stream}")
        while (status := machine.qmp("query-migrate")["status"]) not in ("completed", "failed"):
            pass
        self.assertEqual(status, "completed")

    def load(self, stream, device="pcienic", extra=()):
        machine = Machine(device, extra=(*extra, "-incoming", f"exec:cat {stream}", "-S"))
        self.addCleanup(machine.close)
        while machine.qmp("query-status")["status"] == "inmigrate":
            pass
        return machine, Pcienic(machine)

    @contextlib.contextmanager
    def stream(self):
        with tempfile.TemporaryDirectory() as directory:
            yield pathlib.Path(directory) / "stream"

    def test_everything_a_driver_sees_arrives(self):
        machine, function = self.start()
        function.write("SCRATCH", 0xDEADBEEF)
        function.write("SCRATCH64", 0x0123456789ABCDEF)
        function.set_ext(function.find_ext(0x23) + 16, 0x11223344)
        function.enable_msix()
        function.set_msix_entry(9, masked=True)
        function.write("IRQ_TEST", 9)
        function.write("IRQ_MASK", 1 << 8)
        function.write("IRQ_TEST", 8)
        function.write("ID", 0)
        machine.write_memory(MEMORY_BAR + 12345, b"device memory")
        function.start_engine()
        for _ in range(3):
            function.execute("FILL_DEVICE", 0x55, 0x8000, 64)
        machine.qmp("stop")
        with self.stream() as stream:
            self.save(machine, stream)
            machine, there = self.load(stream)
        machine.qmp("cont")
        self.assertEqual((there.read("SCRATCH"), there.read("SCRATCH64")), (0xDEADBEEF, 0x0123456789ABCDEF))
        self.assertEqual(there.ext(there.find_ext(0x23) + 16), 0x11223344)
        self.assertEqual(there.error(), (ERROR["READ_ONLY"], BY_NAME["ID"].offset))
        self.assertEqual(machine.read_memory(MEMORY_BAR + 12345, 13), b"device memory")
        self.assertEqual(machine.read_memory(MEMORY_BAR + 0x8000, 8), struct.pack("<Q", 0x55))
        self.assertEqual(there.read("DMA_COMPLETED"), 3)
        self.assertEqual(there.message(9) + there.message(8), 0)
        there.set_msix_entry(9)
        there.write("IRQ_MASK", 0)
        self.assertEqual((there.message(9), there.message(8)), (0x5009, 0x5008))
        # The ring goes on where it was.
        there._tail = 3  # pylint: disable=protected-access
        self.assertEqual(there.execute("NOP")[0], CODE["OK"])

    def test_a_copy_in_flight_goes_on(self):
        machine, function = self.start(extra=QUIET)
        data = os.urandom(65536)
        for at in range(0, PIECE, len(data)):
            machine.write_memory(SOURCE + at, data)
        function.never_rest()
        function.hold_in_long_copy()
        function.end_with_this_copy()
        machine.write_memory(COMPLETIONS, bytes(32))
        completed = function.read("DMA_COMPLETED")
        with self.stream() as stream:
            self.save(machine, stream)
            machine, there = self.load(stream, extra=QUIET)
        self.assertEqual(there.state(), STATE["BUSY"])
        self.assertEqual(there.read("DMA_COMPLETED"), completed)
        machine.qmp("cont")
        self.assertEqual(there.finish(), STATE["IDLE"])
        self.assertEqual(there.read("DMA_COMPLETED"), completed + 1)
        detail, tag, status = struct.unpack("<QII", machine.read_memory(COMPLETIONS, 16))
        self.assertEqual((detail, tag, status & 0xFF), (there.LONG, 0x1046, CODE["OK"]))
        self.assertEqual(machine.read_memory(DESTINATION + PIECE - 65536, 65536), data)

    def test_a_doorbell_that_was_not_answered_yet_is_answered(self):
        machine, function = self.start()
        function.start_engine()
        machine.qmp("stop")
        function.submit("FILL_HOST", 0x77, DESTINATION, 8)
        with self.stream() as stream:
            self.save(machine, stream)
            machine, there = self.load(stream)
        self.assertEqual(there.state(), STATE["BUSY"])
        machine.qmp("cont")
        self.assertEqual(there.finish(), STATE["IDLE"])
        self.assertEqual(there.completion(0)[0], CODE["OK"])

    def test_an_asserted_line_stays_asserted(self):
        machine, function = self.start()
        function.write("IRQ_TEST", 1)
        machine.qmp("stop")
        with self.stream() as stream:
            self.save(machine, stream)
            machine, there = self.load(stream)
        self.assertTrue(there.intx())
        there.write("IRQ_CAUSE", 2)
        self.assertFalse(there.intx())

    def refused(self, stream, device="pcienic"):
        """What QEMU says when it refuses the stream; it has to end by itself, in good order."""
        run = subprocess.run(
            [QEMU, "-M", "q35", "-m", "64", "-nodefaults", "-display", "none", "-accel", "qtest", "-L", "/usr/share/seabios",
             "-L", "/usr/share/qemu", "-S", "-incoming", f"exec:cat {stream}", "-device", f"{device},addr=2"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=WATCHDOG_S, check=False)
        self.assertEqual(run.returncode, 1, run.stderr)
        return run.stderr

    def saved_in_mid_copy(self, stream):
        machine, function = self.start(extra=QUIET)
        function.never_rest()
        function.hold_in_long_copy()
        self.save(machine, stream)
        return stream.read_bytes()

    def test_a_state_that_cannot_be_is_refused(self):
        def spoiled(data, pattern, replacement):
            self.assertEqual(data.count(pattern), 1, pattern)
            return data.replace(pattern, replacement)

        identity = struct.pack(">II", BY_NAME["ID"].reset, BY_NAME["VERSION"].reset)
        segment = struct.pack(">QI", SOURCE, PIECE)
        with self.stream() as stream:
            good = self.saved_in_mid_copy(stream)
            first = good.index(segment)
            cases = {
                "another identity": spoiled(good, identity, bytes(8)),
                "segments that are too short": good.replace(segment, struct.pack(">QI", SOURCE, 1)),
                "a segment that wraps": good.replace(segment, struct.pack(">QI", 2**64 - 1, PIECE)),
                "a segment count out of range": good[:first - 12] + struct.pack(">I", 0x7FFFFFFF) + good[first - 8:],
                "a segment index out of range": good[:first - 8] + struct.pack(">I", 0x7FFFFFFF) + good[first - 4:],
            }
            for what, data in cases.items():
                with self.subTest(what):
                    stream.write_bytes(data)
                    self.assertIn("a state that the device cannot be in", self.refused(stream))

    def test_another_configuration_is_refused(self):
        with self.stream() as stream:
            machine, _ = self.start()
            self.save(machine, stream)
            for device in ("pcienic,vectors=31", "pcienic,memory-size=8M"):
                with self.subTest(device):
                    self.refused(stream, device)

    def test_a_damaged_stream_is_refused_or_run_but_never_fatal(self):
        seed = int(os.environ.get("PCIENIC_SEED", "20240501"), 0)
        rng = random.Random(seed)
        with self.stream() as stream:
            good = bytearray(self.saved_in_mid_copy(stream))
            # The device's own sections: from the first register to the last segment
            start = good.index(struct.pack(">II", BY_NAME["ID"].reset, BY_NAME["VERSION"].reset))
            end = good.rindex(struct.pack(">QI", DESTINATION, PIECE)) + 12
            for number in range(25):
                with self.subTest(seed=seed, number=number):
                    bad = bytearray(good)
                    for _ in range(rng.randint(1, 3)):
                        bad[rng.randrange(start, end)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
                    stream.write_bytes(bad)
                    self.run_damaged(stream)

    def run_damaged(self, stream):
        try:
            machine = Machine("pcienic", extra=(*QUIET, "-S", "-incoming", "defer"))
            machine.qmp("migrate-incoming", uri=f"exec:cat {stream}")
            while machine.qmp("query-status")["status"] == "inmigrate":
                pass
            machine.qmp("cont")
            there = Pcienic(machine)
            there.enable()
            there.write("CTRL", 1)
            self.assertEqual(there.read("ID"), BY_NAME["ID"].reset)
        except (EOFError, OSError):
            machine.close(expected=1)
        else:
            machine.close()


class Hotplug(PcienicTest):
    def test_200_cycles_with_work_in_flight(self):
        machine, port = behind_root_port(extra=QUIET)
        self.addCleanup(machine.close)
        slot_control = port.find(0x10) + 0x18
        for cycle in range(200):
            machine.qmp("device_add", driver="pcienic", id="dut", bus="rp0", **{"memory-size": MEMORY_SIZE})
            port.set_config(slot_control, 0x0100, 2)  # power on, power indicator on
            function = Pcienic(machine, bus=1, device=0)
            function.enable()
            self.assertEqual(function.read("ID"), BY_NAME["ID"].reset, f"cycle {cycle}")
            function.enable_msix()
            function.never_rest()
            machine.qmp("device_del", id="dut")
            port.set_config(slot_control, 0x0700, 2)  # power off, power indicator off: the guest agrees
            machine.wait_event("DEVICE_DELETED")
        self.assertEqual(port.config(0x00, 2), 0x1B36, "the port is gone")


class Properties(unittest.TestCase):
    def refused(self, options):
        run = subprocess.run(
            [QEMU, "-M", "q35", "-nodefaults", "-display", "none", "-accel", "qtest", "-L", "/usr/share/seabios", "-L",
             "/usr/share/qemu", "-device", f"pcienic,{options}"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=WATCHDOG_S, check=False)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn(options.rpartition(",")[2], run.stderr)
        return run.stderr

    def test_vectors(self):
        for vectors in ("0", "2049", "4294967295"):
            self.assertIn("from 1 to 2048", self.refused(f"vectors={vectors}"))

    def test_msi_vectors(self):
        for msi in ("3", "64", "33"):
            self.assertIn("power of two from 1 to 32", self.refused(f"msi-vectors={msi}"))
        self.assertIn("raise vectors=", self.refused("vectors=3,msi-vectors=4"))

    def test_memory_size(self):
        for size in ("0", "3", "2048", "12582912", "8589934592"):
            self.assertIn("power of two from 4K to 4G", self.refused(f"memory-size={size}"))

    def test_a_failed_hotplug_leaves_nothing_behind(self):
        machine, _ = behind_root_port()
        self.addCleanup(machine.close)
        for _ in range(10):
            with self.assertRaisesRegex(AssertionError, "from 1 to 2048"):
                machine.qmp("device_add", driver="pcienic", id="dut", bus="rp0", vectors=0)
            with self.assertRaisesRegex(AssertionError, "is not a power of two"):
                machine.qmp("device_add", driver="pcienic", id="dut", bus="rp0", **{"memory-size": 5})
        machine.qmp("device_add", driver="pcienic", id="dut", bus="rp0")

    def test_a_conventional_bus_is_refused(self):
        run = subprocess.run(
            [QEMU, "-M", "q35", "-nodefaults", "-display", "none", "-accel", "qtest", "-L", "/usr/share/seabios", "-L",
             "/usr/share/qemu", "-device", "pcie-pci-bridge,id=conventional", "-device", "pcienic,bus=conventional,addr=1"],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=WATCHDOG_S, check=False)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertIn("not PCI Express: use pcie.0 or a pcie-root-port", run.stderr)


class Storm(PcienicTest):
    """Whatever a guest writes, the device answers afterwards."""

    def storm(self, rng, machine, function, accesses):
        offsets = [r.offset + n * r.width // 8 for r in DEVICE.registers for n in range(min(r.count, 2))] + [0x1000]
        values = [0, 1, 2, 3, 0xFF, 0xFFFF, 0xFFFFFFFF, RING, COMPLETIONS, LISTS, SOURCE, REGISTER_BAR, MEMORY_BAR]
        for _ in range(accesses):
            kind = rng.random()
            value = rng.choice(values) if rng.random() < 0.8 else rng.getrandbits(64)
            size = rng.choice((4, 4, 4, 8, 1, 2))
            value &= (1 << 8 * size) - 1
            if kind < 0.6:
                machine.write(REGISTER_BAR + rng.choice(offsets), value, size)
            elif kind < 0.7:
                machine.write(REGISTER_BAR + rng.randrange(0x10000), value, size)
            elif kind < 0.75:
                machine.read(REGISTER_BAR + rng.randrange(0x10000), size)
            elif kind < 0.8:
                machine.write(MSIX_BAR + rng.randrange(0x1000), value, size)
            elif kind < 0.85:
                machine.write(MEMORY_BAR + rng.randrange(MEMORY_SIZE - 8), value, size)
            elif kind < 0.95:
                descriptor = function.descriptor(
                    rng.choice((0, 1, 2, 3, 4, 5, 6, 255)), rng.choice(values), rng.choice(values), rng.choice((0, 1, 64, 5000, 1 << 20)),
                    sources=rng.choice((0, 0, 1, 2, 300)), destinations=rng.choice((0, 0, 1, 2, 300)),
                    flags=rng.choice((0, INTERRUPT, 1 << 11)), vector=rng.choice((0, 5, 31, 32, 4095)), phase=rng.choice((0, PHASE)))
                machine.write_memory(RING + 32 * rng.randrange(16), descriptor)
            else:
                function.set_config(rng.choice((0x04, 0x05, 0x06, 0x10, 0x18, 0x20, 0x24, 0x34, 0x40, 0x44, 0x52, 0x54, 0x58, 0x60, 0x6A,
                                                0x88, 0x100, 0xA8)) & 0xFC, value & 0xFFFFFFFF)
                if rng.random() < 0.7:
                    function.enable()

    def test_seeded_garbage(self):
        seed = int(os.environ.get("PCIENIC_SEED", "1"), 0)
        for number in range(4):
            with self.subTest(seed=seed + number):
                rng = random.Random(seed + number)
                machine, function = self.start("pcienic", extra=QUIET)
                function.start_engine()
                self.storm(rng, machine, function, 5000)
                self.system_reset(machine, function)
                self.assertEqual(function.read("ID"), BY_NAME["ID"].reset)
                function.start_engine()
                self.assertEqual(function.execute("FILL_HOST", 7, DESTINATION, 8), (CODE["OK"], 8))
                function.enable_msix()
                function.write("IRQ_TEST", 1)
                self.assertEqual(function.message(1), 0x5001)


if __name__ == "__main__":
    main()
