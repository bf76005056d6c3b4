/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Step 01, pcienic-basic: the smallest PCI device there is.
 *
 * It has a configuration space and nothing else: no BAR, no capability, no
 * interrupt. That is enough for firmware to find it, for Linux to list it, and
 * for a driver to match its identity. Everything in its 64-byte header that we
 * do not set below, QEMU's PCI core fills in.
 */
#include "qemu/osdep.h"
#include "compat.h"

#define TYPE_PCIENIC_BASIC "pcienic-basic"

static void pcienic_basic_class_init(ObjectClass *klass, PcienicClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    /* The identity is the class's, not the object's: it can not change. */
    pc->vendor_id = 0x1234;
    pc->device_id = 0x11e8;
    pc->class_id = PCI_CLASS_NETWORK_ETHERNET;

    dc->desc = "pcienic learning path, step 01: configuration space only";
    /* When a running guest moves to a new host, configuration space goes too */
    dc->vmsd = &vmstate_pci_device;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
}

/*
 * A conventional device has 256 bytes of configuration space. The interface
 * says where a device may be plugged, and no more: a PCI Express capability is
 * step 06's business.
 */
static InterfaceInfo pcienic_basic_interfaces[] = {
    { INTERFACE_CONVENTIONAL_PCI_DEVICE },
    {},
};

static const TypeInfo pcienic_basic_types[] = {
    {
        .name = TYPE_PCIENIC_BASIC,
        .parent = TYPE_PCI_DEVICE,
        /* No state of our own yet: the object is a plain PCIDevice. */
        .instance_size = sizeof(PCIDevice),
        .class_init = pcienic_basic_class_init,
        .interfaces = pcienic_basic_interfaces,
    },
};

DEFINE_TYPES(pcienic_basic_types)
