# SPDX-License-Identifier: GPL-2.0-or-later
# What the x86-64 guest's machine and the tests need, and what drivers are often written for; nothing else: QEMU is built
# without its default devices. A symbol that not every QEMU has is marked "if known".

CONFIG_Q35=y
CONFIG_PCIE_PORT=y
CONFIG_IOH3420=y
CONFIG_PCIE_PCI_BRIDGE=y # if known: 7.2 has it with PCIE_PORT
CONFIG_PCI_BRIDGE=y # if known: 10.0 does not link that one without it
CONFIG_PXB=y
CONFIG_CXL=y # 7.2 does not link PXB without it,
CONFIG_CXL_MEM_DEVICE=y # nor CXL without this

CONFIG_VTD=y
CONFIG_VIRTIO_IOMMU=y

CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_RNG=y

# How a test ends its machine, and how a panic is seen.
CONFIG_ISA_DEBUG=y
CONFIG_PVPANIC_ISA=y

# Devices that are not ours, for the tools that drive any device, and for drivers. What is plugged into them costs
# little: disks come with AHCI and IDE, keyboard, mouse, tablet and hub with USB.
CONFIG_TEST_DEVICES=y
CONFIG_EDU=y
CONFIG_PCI_TESTDEV=y
CONFIG_IVSHMEM_DEVICE=y
CONFIG_E1000E_PCI_EXPRESS=y
CONFIG_NVME_PCI=y
CONFIG_AHCI_ICH9=y
CONFIG_IDE_PIIX=y
CONFIG_USB_XHCI_PCI=y
CONFIG_USB_HUB=y # if known: 7.2 has these two with USB
CONFIG_USB_HID=y # if known
CONFIG_USB_STORAGE_CLASSIC=y
CONFIG_USB_SERIAL=y

CONFIG_PCIENIC=y
CONFIG_PCIENIC_STEPS=y
