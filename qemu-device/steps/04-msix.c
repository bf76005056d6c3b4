/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Step 04, pcienic-msix: an address of its own for each vector.
 *
 * New against step 03: MSI-X in the place of MSI. The messages no longer stand
 * in configuration space but in a table in a BAR, 16 bytes a vector: address,
 * data, mask. Each vector can so go to another CPU and be masked with one
 * store, and there can be 2048 of them. A second array, the PBA, holds a
 * pending bit for each masked vector that fired.
 *
 *   BAR0 offset   access   what it is
 *   0x000         wo       DOORBELL: a 32-bit write of N fires vector N
 *   0x004-0x03c   rw       15 registers of 32 bits, 0 after reset
 *   0x040-0xfff   -        nothing: reads 0, a write is a guest error
 *
 *   BAR1 offset
 *   0x000-0x03f   rw       MSI-X table, 4 entries
 *   0x800         ro       pending-bit array
 */
#include "qemu/osdep.h"
#include "compat.h"
#include "trace.h"

#define TYPE_PCIENIC_MSIX "pcienic-msix"
OBJECT_DECLARE_SIMPLE_TYPE(PcienicMsix, PCIENIC_MSIX)

#define BAR0_SIZE (4 * KiB)
#define REGISTERS 16
#define DOORBELL  0x00
#define MSIX_BAR  1
#define VECTORS   4

struct PcienicMsix {
    PCIDevice parent_obj;

    MemoryRegion bar0;
    uint32_t reg[REGISTERS]; /* reg[0] is the doorbell, and stays 0 */
};

/*
 * MSI-X is enabled as a whole; what the driver does not want, it leaves masked.
 * A vector that fires while masked sets its pending bit: QEMU does this for us.
 */
static void pcienic_msix_fire(PcienicMsix *s, uint32_t vector)
{
    PCIDevice *dev = PCI_DEVICE(s);

    if (!msix_enabled(dev) || vector >= VECTORS) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-msix: doorbell for vector %" PRIu32
                      ", but %d are enabled\n",
                      vector, msix_enabled(dev) ? VECTORS : 0);
        return;
    }
    trace_pcienic_step_interrupt(TYPE_PCIENIC_MSIX, vector);
    msix_notify(dev, vector);
}

static uint64_t pcienic_msix_read(void *opaque, hwaddr addr, unsigned size)
{
    PcienicMsix *s = opaque;
    uint32_t value = 0;

    if (addr / 4 < REGISTERS) {
        value = s->reg[addr / 4];
    }
    trace_pcienic_step_read(TYPE_PCIENIC_MSIX, addr, size, value);
    return value;
}

static void pcienic_msix_write(void *opaque, hwaddr addr, uint64_t value,
                               unsigned size)
{
    PcienicMsix *s = opaque;

    trace_pcienic_step_write(TYPE_PCIENIC_MSIX, addr, size, value);
    if (addr == DOORBELL) {
        pcienic_msix_fire(s, value);
    } else if (addr / 4 < REGISTERS) {
        s->reg[addr / 4] = value;
    } else {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-msix: write to 0x%" HWADDR_PRIx
                      ", where no register is\n",
                      addr);
    }
}

static const MemoryRegionOps pcienic_msix_ops = {
    .read = pcienic_msix_read,
    .write = pcienic_msix_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void pcienic_msix_realize(PCIDevice *dev, Error **errp)
{
    PcienicMsix *s = PCIENIC_MSIX(dev);

    memory_region_init_io(&s->bar0, OBJECT(s), &pcienic_msix_ops, s,
                          TYPE_PCIENIC_MSIX "-bar0", BAR0_SIZE);
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar0);

    /*
     * A BAR of its own for the table and the PBA, in its two halves. VFIO lets
     * no userspace driver at the table's page: registers beside the table
     * would cost such a driver the mapping of both.
     */
    if (msix_init_exclusive_bar(dev, VECTORS, MSIX_BAR, errp) < 0) {
        return;
    }
    for (int vector = 0; vector < VECTORS; vector++) {
        msix_vector_use(dev, vector);
    }
}

static void pcienic_msix_exit(PCIDevice *dev)
{
    pcienic_msix_bar_exit(dev);
}

static void pcienic_msix_reset_enter(Object *obj, ResetType type)
{
    PcienicMsix *s = PCIENIC_MSIX(obj);

    trace_pcienic_step_reset(TYPE_PCIENIC_MSIX);
    memset(s->reg, 0, sizeof(s->reg));
}

/* The table and the PBA are memory of the device: they must be moved, too. */
static const VMStateField pcienic_msix_fields[] = {
    VMSTATE_PCI_DEVICE(parent_obj, PcienicMsix),
    VMSTATE_MSIX(parent_obj, PcienicMsix),
    VMSTATE_UINT32_ARRAY(reg, PcienicMsix, REGISTERS),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription pcienic_msix_vmstate = {
    .name = TYPE_PCIENIC_MSIX,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = pcienic_msix_fields,
};

static void pcienic_msix_class_init(ObjectClass *klass, PcienicClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pc->device_id = 0x10f1;
    pc->revision = 0x01;
    pc->class_id = PCI_CLASS_NETWORK_ETHERNET;
    pc->realize = pcienic_msix_realize;
    pc->exit = pcienic_msix_exit;

    dc->desc = "pcienic learning path, step 04: four MSI-X vectors";
    dc->vmsd = &pcienic_msix_vmstate;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    PCIENIC_SET_RESET_PHASES(klass, pcienic_msix_reset_enter, NULL, NULL);
}

static InterfaceInfo pcienic_msix_interfaces[] = {
    { INTERFACE_CONVENTIONAL_PCI_DEVICE },
    {},
};

static const TypeInfo pcienic_msix_types[] = {
    {
        .name = TYPE_PCIENIC_MSIX,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PcienicMsix),
        .class_init = pcienic_msix_class_init,
        .interfaces = pcienic_msix_interfaces,
    },
};

DEFINE_TYPES(pcienic_msix_types)
