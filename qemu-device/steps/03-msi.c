/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Step 03, pcienic-msi: the device calls the driver.
 *
 * New against step 02: message-signalled interrupts (MSI). An interrupt is a
 * write by the device: the driver puts an address and a number into the MSI
 * capability, and to fire vector N the device writes number + N there. All
 * vectors share the address. The capability stands at 0x40 in configuration
 * space: 4 vectors, 32-bit address, a mask bit for each vector.
 *
 *   BAR0 offset   access   what it is
 *   0x000         wo       DOORBELL: a 32-bit write of N fires vector N
 *   0x004-0x03c   rw       15 registers of 32 bits, 0 after reset
 *   0x040-0xfff   -        nothing: reads 0, a write is a guest error
 */
#include "qemu/osdep.h"
#include "compat.h"
#include "trace.h"

#define TYPE_PCIENIC_MSI "pcienic-msi"
OBJECT_DECLARE_SIMPLE_TYPE(PcienicMsi, PCIENIC_MSI)

#define BAR0_SIZE (4 * KiB)
#define REGISTERS 16
#define DOORBELL  0x00
#define MSI_CAP   0x40
#define VECTORS   4

struct PcienicMsi {
    PCIDevice parent_obj;

    MemoryRegion bar0;
    uint32_t reg[REGISTERS]; /* reg[0] is the doorbell, and stays 0 */
};

/*
 * The driver may have MSI off, or may have enabled fewer vectors than we have,
 * and the number comes from the guest: msi_notify() takes all of this for
 * granted and aborts QEMU where it is wrong, so it is checked here. A masked
 * vector is no mistake: QEMU keeps it pending until the mask is lifted.
 */
static void pcienic_msi_fire(PcienicMsi *s, uint32_t vector)
{
    PCIDevice *dev = PCI_DEVICE(s);
    uint32_t enabled = 0;

    if (msi_enabled(dev)) {
        enabled = MIN(msi_nr_vectors_allocated(dev), VECTORS);
    }
    if (vector >= enabled) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-msi: doorbell for vector %" PRIu32
                      ", but %" PRIu32 " are enabled\n",
                      vector, enabled);
        return;
    }
    trace_pcienic_step_interrupt(TYPE_PCIENIC_MSI, vector);
    msi_notify(dev, vector);
}

static uint64_t pcienic_msi_read(void *opaque, hwaddr addr, unsigned size)
{
    PcienicMsi *s = opaque;
    uint32_t value = 0;

    if (addr / 4 < REGISTERS) {
        value = s->reg[addr / 4];
    }
    trace_pcienic_step_read(TYPE_PCIENIC_MSI, addr, size, value);
    return value;
}

static void pcienic_msi_write(void *opaque, hwaddr addr, uint64_t value,
                              unsigned size)
{
    PcienicMsi *s = opaque;

    trace_pcienic_step_write(TYPE_PCIENIC_MSI, addr, size, value);
    if (addr == DOORBELL) {
        pcienic_msi_fire(s, value);
    } else if (addr / 4 < REGISTERS) {
        s->reg[addr / 4] = value;
    } else {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-msi: write to 0x%" HWADDR_PRIx
                      ", where no register is\n",
                      addr);
    }
}

static const MemoryRegionOps pcienic_msi_ops = {
    .read = pcienic_msi_read,
    .write = pcienic_msi_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void pcienic_msi_realize(PCIDevice *dev, Error **errp)
{
    PcienicMsi *s = PCIENIC_MSI(dev);

    memory_region_init_io(&s->bar0, OBJECT(s), &pcienic_msi_ops, s,
                          TYPE_PCIENIC_MSI "-bar0", BAR0_SIZE);
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar0);

    /* Fails on a machine that can not do MSI; errp then says so. */
    msi_init(dev, MSI_CAP, VECTORS, false, true, errp);
}

static void pcienic_msi_exit(PCIDevice *dev)
{
    msi_uninit(dev);
}

/* QEMU's PCI core resets the capability itself; the registers are ours. */
static void pcienic_msi_reset_enter(Object *obj, ResetType type)
{
    PcienicMsi *s = PCIENIC_MSI(obj);

    trace_pcienic_step_reset(TYPE_PCIENIC_MSI);
    memset(s->reg, 0, sizeof(s->reg));
}

/* The whole of MSI's state lives in configuration space, and moves with it. */
static const VMStateField pcienic_msi_fields[] = {
    VMSTATE_PCI_DEVICE(parent_obj, PcienicMsi),
    VMSTATE_UINT32_ARRAY(reg, PcienicMsi, REGISTERS),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription pcienic_msi_vmstate = {
    .name = TYPE_PCIENIC_MSI,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = pcienic_msi_fields,
};

static void pcienic_msi_class_init(ObjectClass *klass, PcienicClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pc->device_id = 0x10f1;
    pc->revision = 0x01;
    pc->class_id = PCI_CLASS_NETWORK_ETHERNET;
    pc->realize = pcienic_msi_realize;
    pc->exit = pcienic_msi_exit;

    dc->desc = "pcienic learning path, step 03: four MSI vectors";
    dc->vmsd = &pcienic_msi_vmstate;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    PCIENIC_SET_RESET_PHASES(klass, pcienic_msi_reset_enter, NULL, NULL);
}

static InterfaceInfo pcienic_msi_interfaces[] = {
    { INTERFACE_CONVENTIONAL_PCI_DEVICE },
    {},
};

static const TypeInfo pcienic_msi_types[] = {
    {
        .name = TYPE_PCIENIC_MSI,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PcienicMsi),
        .class_init = pcienic_msi_class_init,
        .interfaces = pcienic_msi_interfaces,
    },
};

DEFINE_TYPES(pcienic_msi_types)
