#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An unplug from inside: a message that the guest has aimed at the slot's own power switch. Whatever a device does when it
sends the message, it is gone when the message has been sent. QEMU has to live on; one that is built with AddressSanitizer
(PCIENIC_QEMU_OPTIONS=--enable-sanitizers ./pcienic setup qemu) sees also what touches freed memory without dying of it.

    PCIENIC_QEMU=/path/to/qemu-system-x86_64 unplug_test.py [-v] [Class.test_name ...]
"""

import unittest

from pcienic_function import BY_NAME, ECAM, INTERRUPT, MSIX_BAR, PORT_DEVICE, QUIET, REGISTER_BAR, RING, Pcienic, behind_root_port
from qtest_machine import BAR0, BAR1, RAM, Function, main

POWER_ON, POWER_OFF = 0x0100, 0x0700  # Slot Control: the power indicator is on; controller and indicator are off
MSIX_MASKED, MSIX_UNMASKED = 0xC000, 0x8000  # Message Control


class UnplugTest(unittest.TestCase):
    def start(self, device):
        self.machine, self.port = behind_root_port(f"{device},bus=rp0", extra=QUIET)
        self.addCleanup(self.machine.close)
        slot_control = self.port.find(0x10) + 0x18
        self.port.set_config(slot_control, POWER_ON, 2)
        self.switch = ECAM | PORT_DEVICE << 15 | slot_control
        function = Pcienic(self.machine, bus=1, device=0)
        function.enable()
        return function

    def arm(self, function, bar):
        """MSI-X, with a first vector whose message switches the slot off."""
        for offset, value in ((0, self.switch), (4, 0), (8, POWER_OFF), (12, 0)):
            self.machine.write(bar + offset, value)
        self.set_message_control(function, MSIX_UNMASKED)

    def set_message_control(self, function, value):
        function.set_config(function.find(0x11) + 2, value, 2)

    def expect_gone_or_blocked(self):
        """A write to configuration space goes through the host bridge, as the message to the port does: QEMU since 8.1, and
        Debian's 7.2, lets no device's registers be reached from inside of a write to them."""
        self.assertEqual(self.port.config(0x00, 2), 0x1B36, "QEMU lives")
        self.assertIn(Function(self.machine, bus=1, device=0).config(0x00, 2), (0x1AF4, 0xFFFF))

    def expect_gone(self):
        self.machine.wait_event("DEVICE_DELETED")
        self.assertEqual(self.port.config(0x00, 2), 0x1B36, "QEMU lives")
        self.assertEqual(Function(self.machine, bus=1, device=0).config(0x00), 0xFFFFFFFF)


class Card(UnplugTest):
    """The pcienic itself."""

    def start(self, device="pcienic"):
        function = super().start(device)
        self.arm(function, MSIX_BAR)
        return function

    def test_by_a_completions_message(self):
        function = self.start()
        function.start_engine(log2=12)
        ring = [function.descriptor("NOP", flags=INTERRUPT * (index == 0)) for index in range(4096)]
        self.machine.write_memory(RING, b"".join(ring))
        function.write("DMA_DOORBELL", 0)
        self.expect_gone()

    def test_by_a_store_whose_second_half_comes_afterwards(self):
        function = self.start()
        function.write("IRQ_MASK", 1)
        function.write("IRQ_TEST", 0)
        self.machine.write(REGISTER_BAR + BY_NAME["IRQ_MASK"].offset, 0, 8)
        self.expect_gone()

    def test_by_a_message_that_waited_for_bus_mastering(self):
        function = self.start()
        function.set_bus_master(False)
        function.write("IRQ_TEST", 0)
        function.write("IRQ_TEST", 1)
        function.set_bus_master(True)
        self.expect_gone_or_blocked()

    def test_by_a_message_that_waited_for_its_table_entry(self):
        function = self.start()
        self.machine.write(MSIX_BAR + 12, 1)
        function.write("IRQ_TEST", 0)
        self.machine.write(MSIX_BAR + 12, 0, 8)
        self.expect_gone()

    def test_by_a_message_that_configuration_space_lets_out(self):
        function = self.start()
        self.set_message_control(function, MSIX_MASKED)
        for vector in range(3):
            function.write("IRQ_TEST", vector)
        self.set_message_control(function, MSIX_UNMASKED)
        self.expect_gone_or_blocked()

    def test_by_a_message_that_waited_for_d0(self):
        function = self.start()
        self.machine.qmp("stop")
        function.start_engine()
        function.submit("NOP", flags=INTERRUPT)
        function.set_power_state(3)
        self.machine.qmp("cont")
        function.set_power_state(0)
        self.expect_gone()

    def test_by_an_msi(self):
        function = super().start("pcienic")
        capability = function.find(0x05)
        for offset, value, size in ((4, self.switch, 4), (8, 0, 4), (12, POWER_OFF, 2), (2, 1, 2)):
            function.set_config(capability + offset, value, size)
        function.write("IRQ_TEST", 0)
        self.expect_gone()


class Steps(UnplugTest):
    """The devices of the learning path that can send a message. A store of 8 bytes is two to them: the first rings the
    doorbell, the second comes when the device is gone."""

    def start_step(self, device):
        function = super().start(device)
        Function.enable(function)
        return function

    def copy(self, base, vector):
        for offset, value, size in ((0x00, RAM, 8), (0x08, RAM + 4096, 8), (0x10, 4096, 4), (0x14, vector, 4), (0x18, 1, 4)):
            self.machine.write(base + offset, value, size)

    def test_by_the_doorbell_of_step_03(self):
        function = self.start_step("pcienic-msi")
        for offset, value, size in ((0x44, self.switch, 4), (0x48, POWER_OFF, 2), (0x42, 1, 2)):
            function.set_config(offset, value, size)
        self.machine.write(BAR0, 0, 8)
        self.expect_gone()

    def test_by_the_doorbells_of_steps_04_to_06(self):
        for device, doorbell in (("pcienic-msix", 0), ("pcienic-dma", 0), ("pcienic-caps", 0x800)):
            with self.subTest(device):
                self.arm(self.start_step(device), BAR1)
                self.machine.write(BAR0 + doorbell, 0, 8)
                self.expect_gone()

    def test_by_the_end_of_a_copy(self):
        for device, block in (("pcienic-dma", 0x40), ("pcienic-caps", 0xC00)):
            with self.subTest(device):
                self.arm(self.start_step(device), BAR1)
                self.copy(BAR0 + block, vector=0)
                self.expect_gone()

    def test_by_a_message_that_configuration_space_lets_out(self):
        for device, doorbell in (("pcienic-msix", 0), ("pcienic-dma", 0), ("pcienic-caps", 0x800)):
            with self.subTest(device):
                function = self.start_step(device)
                self.arm(function, BAR1)
                self.set_message_control(function, MSIX_MASKED)
                for vector in range(2):
                    self.machine.write(BAR0 + doorbell, vector)
                self.set_message_control(function, MSIX_UNMASKED)
                self.expect_gone_or_blocked()


if __name__ == "__main__":
    main()
