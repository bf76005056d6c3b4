#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the QEMU that set-up builds has: what setup/qemu-devices asks for is there, whichever version it is, and works
without a boot ROM.

    PCIENIC_QEMU=/path/to/qemu-system-x86_64 devices_test.py [-v] [Class.test_name ...]
"""

import re
import subprocess
import unittest

import qtest_machine
from qtest_machine import Function, Machine

BRIDGES = ("pcie-root-port", "ioh3420", "pcie-pci-bridge", "pxb-pcie")
ENDPOINTS = ("edu", "pci-testdev", "ivshmem-plain", "ivshmem-doorbell", "e1000e", "nvme", "ich9-ahci", "piix3-ide", "qemu-xhci",
             "virtio-net-pci", "virtio-serial-pci", "virtio-rng-pci", "virtio-iommu-pci")
PLUGGED = ("ide-hd", "ide-cd", "usb-kbd", "usb-mouse", "usb-tablet", "usb-hub", "usb-storage", "usb-serial")
OURS = ("pcienic", "pcienic-basic", "pcienic-mmio", "pcienic-msi", "pcienic-msix", "pcienic-dma", "pcienic-caps")
# As the runner gives it to each guest.
NO_ROM = ("-global", "pci-device.romfile=")


class Devices(unittest.TestCase):

    def test_all_are_there(self):
        listed = subprocess.run([qtest_machine.QEMU, "-device", "help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                text=True, check=True, timeout=qtest_machine.WATCHDOG_S).stdout
        names = set(re.findall(r'^name "([^"]+)"', listed, re.M))
        wanted = {"intel-iommu", *BRIDGES, *ENDPOINTS, *PLUGGED, *OURS}
        self.assertEqual(sorted(wanted - names), [])

    def vendor(self, *devices, extra=()):
        """The first device's vendor, with which its configuration space begins."""
        machine = Machine(*devices, extra=(*NO_ROM, *extra))
        try:
            return Function(machine).config(0, 2)
        finally:
            machine.close()

    def test_endpoints_answer(self):
        for device, vendor in (("edu", 0x1234), ("e1000e", 0x8086), ("ich9-ahci", 0x8086), ("piix3-ide", 0x8086),
                               ("qemu-xhci", 0x1B36), ("nvme,serial=1", 0x1B36), ("pci-testdev", 0x1B36), ("virtio-net-pci", 0x1AF4)):
            with self.subTest(device):
                self.assertEqual(self.vendor(device), vendor)

    def test_a_bridge_to_conventional_pci_takes_a_device(self):
        self.assertEqual(self.vendor("pcie-pci-bridge,id=conventional", "edu,bus=conventional,addr=1"), 0x1B36)

    def test_a_second_root_bus_takes_a_device(self):
        self.assertEqual(self.vendor("pxb-pcie,id=second,bus_nr=64", "pcie-root-port,id=behind,bus=second,chassis=1",
                                     "pcienic,bus=behind"), 0x1B36)

    def test_disks_and_usb_devices_can_be_plugged(self):
        disks = {"d0": "ide-hd,bus=ahci.0", "d1": "ide-hd,bus=piix.0", "d2": "usb-storage,bus=xhci.0"}
        drives = [word for name in disks for word in ("-drive", f"if=none,id={name},driver=null-co,read-zeroes=on,size=1M")]
        plugged = [f"{device},drive={name}" for name, device in disks.items()]
        plugged += [f"{device},bus=xhci.0" for device in ("usb-kbd", "usb-tablet", "usb-hub")]
        self.assertEqual(self.vendor("ich9-ahci,id=ahci", "piix3-ide,id=piix", "qemu-xhci,id=xhci", *plugged, extra=drives), 0x8086)


if __name__ == "__main__":
    qtest_machine.main()
