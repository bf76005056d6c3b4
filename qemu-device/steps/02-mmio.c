/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Step 02, pcienic-mmio: registers that a driver can read and write.
 *
 * New against step 01: a base address register (BAR). It asks for a window of
 * 4 KiB; firmware or Linux picks the address; every load or store of a CPU in
 * that window becomes a call of the two functions below.
 *
 *   BAR0 offset   access   what it is
 *   0x000-0x03c   rw       16 registers of 32 bits, 0 after reset
 *   0x040-0xfff   -        nothing: reads 0, a write is a guest error
 */
#include "qemu/osdep.h"
#include "compat.h"
#include "trace.h"

#define TYPE_PCIENIC_MMIO "pcienic-mmio"
OBJECT_DECLARE_SIMPLE_TYPE(PcienicMmio, PCIENIC_MMIO)

#define BAR0_SIZE (4 * KiB)
#define REGISTERS 16

struct PcienicMmio {
    PCIDevice parent_obj;

    MemoryRegion bar0;
    uint32_t reg[REGISTERS];
};

static uint64_t pcienic_mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    PcienicMmio *s = opaque;
    uint32_t value = 0;

    if (addr / 4 < REGISTERS) {
        value = s->reg[addr / 4];
    }
    trace_pcienic_step_read(TYPE_PCIENIC_MMIO, addr, size, value);
    return value;
}

static void pcienic_mmio_write(void *opaque, hwaddr addr, uint64_t value,
                               unsigned size)
{
    PcienicMmio *s = opaque;

    trace_pcienic_step_write(TYPE_PCIENIC_MMIO, addr, size, value);
    if (addr / 4 >= REGISTERS) {
        /*
         * The guest can write anything anywhere. A device answers a mistake
         * by ignoring it, and says so where a driver's author can see it:
         * qemu -d guest_errors.
         */
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-mmio: write to 0x%" HWADDR_PRIx
                      ", where no register is\n",
                      addr);
        return;
    }
    s->reg[addr / 4] = value;
}

/*
 * .valid is what a guest may do, .impl what the two functions can do. QEMU
 * stands between: it refuses 1 and 2 bytes and unaligned addresses, and makes
 * two calls of an 8-byte access, the low half first. PCI is little-endian
 * whatever the guest's CPU is.
 */
static const MemoryRegionOps pcienic_mmio_ops = {
    .read = pcienic_mmio_read,
    .write = pcienic_mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void pcienic_mmio_realize(PCIDevice *dev, Error **errp)
{
    PcienicMmio *s = PCIENIC_MMIO(dev);

    memory_region_init_io(&s->bar0, OBJECT(s), &pcienic_mmio_ops, s,
                          TYPE_PCIENIC_MMIO "-bar0", BAR0_SIZE);
    /* 32-bit address, and not prefetchable: a read may have an effect. */
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar0);
}

static void pcienic_mmio_reset_enter(Object *obj, ResetType type)
{
    PcienicMmio *s = PCIENIC_MMIO(obj);

    trace_pcienic_step_reset(TYPE_PCIENIC_MMIO);
    memset(s->reg, 0, sizeof(s->reg));
}

/* What the device has to take along when a running guest moves to a new host */
static const VMStateField pcienic_mmio_fields[] = {
    VMSTATE_PCI_DEVICE(parent_obj, PcienicMmio),
    VMSTATE_UINT32_ARRAY(reg, PcienicMmio, REGISTERS),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription pcienic_mmio_vmstate = {
    .name = TYPE_PCIENIC_MMIO,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = pcienic_mmio_fields,
};

static void pcienic_mmio_class_init(ObjectClass *klass, PcienicClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pc->device_id = 0x10f1;
    pc->class_id = PCI_CLASS_NETWORK_ETHERNET;
    pc->realize = pcienic_mmio_realize;

    dc->desc = "pcienic learning path, step 02: registers in a BAR";
    dc->vmsd = &pcienic_mmio_vmstate;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    PCIENIC_SET_RESET_PHASES(klass, pcienic_mmio_reset_enter, NULL, NULL);
}

static InterfaceInfo pcienic_mmio_interfaces[] = {
    { INTERFACE_CONVENTIONAL_PCI_DEVICE },
    {},
};

static const TypeInfo pcienic_mmio_types[] = {
    {
        .name = TYPE_PCIENIC_MMIO,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PcienicMmio),
        .class_init = pcienic_mmio_class_init,
        .interfaces = pcienic_mmio_interfaces,
    },
};

DEFINE_TYPES(pcienic_mmio_types)
