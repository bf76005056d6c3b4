# SPDX-License-Identifier: GPL-2.0-or-later
# What the x86-64 guest's machine and the tests need, and nothing else: QEMU is built without its default devices.

CONFIG_Q35=y
CONFIG_PCIE_PORT=y
CONFIG_IOH3420=y

CONFIG_VTD=y
CONFIG_VIRTIO_IOMMU=y

CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_RNG=y

# How a test ends its machine, and how a panic is seen.
CONFIG_ISA_DEBUG=y
CONFIG_PVPANIC_ISA=y

# Devices that are not ours, for the tools that drive any device.
CONFIG_TEST_DEVICES=y
CONFIG_EDU=y
CONFIG_PCI_TESTDEV=y
CONFIG_IVSHMEM_DEVICE=y
CONFIG_E1000E_PCI_EXPRESS=y
CONFIG_NVME_PCI=y

CONFIG_PCIENIC=y
CONFIG_PCIENIC_STEPS=y
