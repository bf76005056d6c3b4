/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Step 06, pcienic-caps: a PCI Express endpoint that describes itself.
 *
 * New against step 05: capabilities. Configuration space holds a linked list
 * of them from 0x40 on, and PCI Express a second one from 0x100 on. Three are
 * standard, and generic software acts on them: power management, MSI-X, and
 * PCI Express with function-level reset (FLR). Two are ours, in the frames that
 * the standard keeps for vendors.
 *
 *   0x40   power management: D0 and D3hot
 *   0x48   MSI-X, 4 vectors, table and PBA in BAR1
 *   0x58   vendor-specific: where things are in this device
 *            +0  8 bits   0x09       +1  8 bits   next capability
 *            +2  8 bits   length 20  +3  8 bits   version of this layout: 1
 *            +4  8 bits   BAR of the registers
 *            +5  8 bits   vectors    +6  16 bits  0
 *            +8  32 bits  offset of the doorbell in that BAR
 *            +12 32 bits  offset of the DMA block in that BAR
 *            +16 32 bits  most bytes that one DMA command can copy
 *   0x70   PCI Express
 *   0x100  designated vendor-specific (DVSEC), vendor 1af4, ID 6, revision 1
 *            +12 32 bits  NOTE, rw: the driver's own; 0 after any reset
 *
 * Doorbell: a 32-bit write of N fires vector N. DMA block, by offset in it:
 * 0x00 SOURCE, 0x08 DESTINATION, 0x10 LENGTH, 0x14 VECTOR, 0x18 GO, 0x1c
 * STATUS, all as in step 05. Both stand elsewhere than in step 05, so a driver
 * that does not ask the capability does not work.
 */
#include "qemu/osdep.h"
#include "compat.h"
#include "trace.h"

#define TYPE_PCIENIC_CAPS "pcienic-caps"
OBJECT_DECLARE_SIMPLE_TYPE(PcienicCaps, PCIENIC_CAPS)

#define BAR0_SIZE   (4 * KiB)
#define DOORBELL    0x800
#define DMA_BLOCK   0xc00
#define MAX_LENGTH  (4 * KiB)
#define MSIX_BAR    1
#define VECTORS     4
#define NO_VECTOR   UINT32_MAX
#define PM_CAP      0x40
#define VENDOR_CAP  0x58
#define VENDOR_SIZE 20
#define EXPRESS_CAP 0x70
#define DVSEC       0x100
#define DVSEC_SIZE  16
#define DVSEC_NOTE  (DVSEC + 12)

/* The DMA block, as indices of reg[] */
enum { SOURCE = 0, DESTINATION = 2, LENGTH = 4, VECTOR, GO, STATUS, REGISTERS };

enum { IDLE, BUSY, DONE, BAD_COMMAND, SOURCE_REFUSED, DESTINATION_REFUSED };

struct PcienicCaps {
    PCIDevice parent_obj;

    MemoryRegion bar0;
    uint32_t reg[REGISTERS]; /* GO stays 0 */
    QEMUBH *copy;
    VMChangeStateEntry *vm_change;
};

static void pcienic_caps_fire(PcienicCaps *s, uint32_t vector)
{
    PCIDevice *dev = PCI_DEVICE(s);

    if (!msix_enabled(dev) || vector >= VECTORS) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-caps: vector %" PRIu32
                      " to be fired, but %d are enabled\n",
                      vector, msix_enabled(dev) ? VECTORS : 0);
        return;
    }
    trace_pcienic_step_interrupt(TYPE_PCIENIC_CAPS, vector);
    msix_notify(dev, vector);
}

static uint64_t pcienic_caps_address(PcienicCaps *s, unsigned index)
{
    return (uint64_t)s->reg[index + 1] << 32 | s->reg[index];
}

/*
 * In D3hot a device is silent, and so is one that was unplugged: a CPU that was
 * about to access it still does, and configuration space is freed by then.
 */
static bool pcienic_caps_is_awake(PcienicCaps *s)
{
    return s->copy && pcienic_pm_in_d0(PCI_DEVICE(s), PM_CAP);
}

/* At most one page, so there is nothing to do in parts as in step 05. */
static uint32_t pcienic_caps_do_copy(PcienicCaps *s)
{
    PCIDevice *dev = PCI_DEVICE(s);
    const MemTxAttrs ram_only = { .memory = true };
    uint64_t source = pcienic_caps_address(s, SOURCE);
    uint64_t destination = pcienic_caps_address(s, DESTINATION);
    uint32_t length = s->reg[LENGTH];
    uint8_t buffer[MAX_LENGTH];

    if (length == 0 || length > MAX_LENGTH || source > UINT64_MAX - length ||
        destination > UINT64_MAX - length) {
        return BAD_COMMAND;
    }
    if (pci_dma_rw(dev, source, buffer, length, DMA_DIRECTION_TO_DEVICE,
                   ram_only) != MEMTX_OK) {
        return SOURCE_REFUSED;
    }
    if (pci_dma_rw(dev, destination, buffer, length, DMA_DIRECTION_FROM_DEVICE,
                   ram_only) != MEMTX_OK) {
        return DESTINATION_REFUSED;
    }
    return DONE;
}

static void pcienic_caps_copy(void *opaque)
{
    PcienicCaps *s = opaque;

    /* In D3hot the command waits for D0, or for a reset. */
    if (s->reg[STATUS] != BUSY || !runstate_is_running() ||
        !pcienic_caps_is_awake(s)) {
        return;
    }
    s->reg[STATUS] = pcienic_caps_do_copy(s);
    trace_pcienic_step_dma_end(TYPE_PCIENIC_CAPS, s->reg[STATUS],
                               s->reg[STATUS] == DONE ? s->reg[LENGTH] : 0);
    if (s->reg[VECTOR] != NO_VECTOR) {
        pcienic_caps_fire(s, s->reg[VECTOR]);
    }
}

static void pcienic_caps_vm_change(void *opaque, bool running, RunState state)
{
    PcienicCaps *s = opaque;

    if (running && s->reg[STATUS] == BUSY) {
        qemu_bh_schedule(s->copy);
    }
}

static void pcienic_caps_write_dma(PcienicCaps *s, unsigned index,
                                   uint32_t value)
{
    if (s->reg[STATUS] == BUSY || index == STATUS) {
        qemu_log_mask(
            LOG_GUEST_ERROR,
            "pcienic-caps: write to DMA register 0x%x, which is read-only%s\n",
            index * 4, index == STATUS ? "" : " while a copy runs");
    } else if (index != GO) {
        s->reg[index] = value;
    } else if (value == 1) {
        trace_pcienic_step_dma_start(
            TYPE_PCIENIC_CAPS, pcienic_caps_address(s, SOURCE),
            pcienic_caps_address(s, DESTINATION), s->reg[LENGTH]);
        s->reg[STATUS] = BUSY;
        qemu_bh_schedule(s->copy);
    }
}

static uint64_t pcienic_caps_read(void *opaque, hwaddr addr, unsigned size)
{
    PcienicCaps *s = opaque;
    uint32_t value = 0;

    if (!pcienic_caps_is_awake(s)) {
        value = UINT32_MAX; /* what a CPU reads where nobody answers */
    } else if (addr >= DMA_BLOCK && addr < DMA_BLOCK + 4 * REGISTERS) {
        value = s->reg[(addr - DMA_BLOCK) / 4];
    }
    trace_pcienic_step_read(TYPE_PCIENIC_CAPS, addr, size, value);
    return value;
}

static void pcienic_caps_write(void *opaque, hwaddr addr, uint64_t value,
                               unsigned size)
{
    PcienicCaps *s = opaque;

    trace_pcienic_step_write(TYPE_PCIENIC_CAPS, addr, size, value);
    if (!pcienic_caps_is_awake(s)) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-caps: write to 0x%" HWADDR_PRIx
                      " in power state D3hot\n",
                      addr);
    } else if (addr == DOORBELL) {
        pcienic_caps_fire(s, value);
    } else if (addr >= DMA_BLOCK && addr < DMA_BLOCK + 4 * REGISTERS) {
        pcienic_caps_write_dma(s, (addr - DMA_BLOCK) / 4, value);
    } else {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-caps: write to 0x%" HWADDR_PRIx
                      ", where no register is\n",
                      addr);
    }
}

static const MemoryRegionOps pcienic_caps_ops = {
    .read = pcienic_caps_read,
    .write = pcienic_caps_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

/* Configuration space is read-only to the guest but for the bits of wmask. */
static bool pcienic_caps_add_capabilities(PCIDevice *dev, Error **errp)
{
    uint8_t *cap = dev->config + VENDOR_CAP;

    if (pcienic_pm_init(dev, PM_CAP, errp) < 0 ||
        pci_add_capability(dev, PCI_CAP_ID_VNDR, VENDOR_CAP, VENDOR_SIZE,
                           errp) < 0) {
        return false;
    }
    cap[2] = VENDOR_SIZE;
    cap[3] = 1;
    cap[4] = 0;
    cap[5] = VECTORS;
    pci_set_long(cap + 8, DOORBELL);
    pci_set_long(cap + 12, DMA_BLOCK);
    pci_set_long(cap + 16, MAX_LENGTH);

    /* On the root bus this makes a root complex integrated endpoint of us. */
    if (pcie_endpoint_cap_init(dev, EXPRESS_CAP) < 0) {
        error_setg(errp, TYPE_PCIENIC_CAPS
                   ": no place for the PCI Express capability");
        return false;
    }
    pcie_cap_deverr_init(dev);
    pcie_cap_flr_init(dev);

    pcie_add_capability(dev, PCI_EXT_CAP_ID_DVSEC, 1, DVSEC, DVSEC_SIZE);
    pci_set_long(dev->config + DVSEC + PCI_DVSEC_HEADER1,
                 PCI_VENDOR_ID_REDHAT_QUMRANET | 1 << 16 | DVSEC_SIZE << 20);
    pci_set_word(dev->config + DVSEC + PCI_DVSEC_HEADER2, 6);
    pci_set_long(dev->wmask + DVSEC_NOTE, UINT32_MAX);

    return msix_init_exclusive_bar(dev, VECTORS, MSIX_BAR, errp) == 0;
}

static void pcienic_caps_realize(PCIDevice *dev, Error **errp)
{
    PcienicCaps *s = PCIENIC_CAPS(dev);

    memory_region_init_io(&s->bar0, OBJECT(s), &pcienic_caps_ops, s,
                          TYPE_PCIENIC_CAPS "-bar0", BAR0_SIZE);
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar0);
    if (!pcienic_caps_add_capabilities(dev, errp)) {
        return;
    }
    for (int vector = 0; vector < VECTORS; vector++) {
        msix_vector_use(dev, vector);
    }
    s->copy = pcienic_bh_new(pcienic_caps_copy, s, DEVICE(s));
    s->vm_change = qemu_add_vm_change_state_handler(pcienic_caps_vm_change, s);
}

static void pcienic_caps_exit(PCIDevice *dev)
{
    PcienicCaps *s = PCIENIC_CAPS(dev);

    qemu_del_vm_change_state_handler(s->vm_change);
    qemu_bh_delete(s->copy);
    s->copy = NULL;
    pcienic_msix_bar_exit(dev);
    pcie_cap_exit(dev);
}

/* The table and the PBA are QEMU's, which before 10.0 answers in D3hot, too. */
static void pcienic_caps_apply_power(PcienicCaps *s)
{
    memory_region_set_enabled(&PCI_DEVICE(s)->msix_exclusive_bar,
                              pcienic_caps_is_awake(s));
}

/* A write may set the FLR bit, or bring the device back to D0. */
static void pcienic_caps_config_write(PCIDevice *dev, uint32_t addr,
                                      uint32_t value, int len)
{
    PcienicCaps *s = PCIENIC_CAPS(dev);

    pci_default_write_config(dev, addr, value, len);
    if (!s->copy) {
        return; /* it unmasked a vector, whose message unplugged us */
    }
    pcie_cap_flr_write_config(dev, addr, value, len);
    pcienic_caps_apply_power(s);
    if (s->reg[STATUS] == BUSY) {
        qemu_bh_schedule(s->copy);
    }
}

/* QEMU resets the header, the BARs and MSI-X; what else is writable is ours. */
static void pcienic_caps_reset_enter(Object *obj, ResetType type)
{
    PcienicCaps *s = PCIENIC_CAPS(obj);
    PCIDevice *dev = PCI_DEVICE(obj);

    trace_pcienic_step_reset(TYPE_PCIENIC_CAPS);
    qemu_bh_cancel(s->copy);
    memset(s->reg, 0, sizeof(s->reg));
    s->reg[VECTOR] = NO_VECTOR;
    pcienic_pm_reset(dev, PM_CAP);
    pcie_cap_deverr_reset(dev);
    pci_set_long(dev->config + DVSEC_NOTE, 0);
    pcienic_caps_apply_power(s);
}

static int pcienic_caps_post_load(void *opaque, int version_id)
{
    pcienic_caps_apply_power(opaque);
    return 0;
}

static const VMStateField pcienic_caps_fields[] = {
    VMSTATE_PCI_DEVICE(parent_obj, PcienicCaps),
    VMSTATE_MSIX(parent_obj, PcienicCaps),
    VMSTATE_UINT32_ARRAY(reg, PcienicCaps, REGISTERS),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription pcienic_caps_vmstate = {
    .name = TYPE_PCIENIC_CAPS,
    .version_id = 1,
    .minimum_version_id = 1,
    .post_load = pcienic_caps_post_load,
    .fields = pcienic_caps_fields,
};

static void pcienic_caps_class_init(ObjectClass *klass, PcienicClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pc->device_id = 0x10f1;
    pc->revision = 0x03;
    pc->class_id = PCI_CLASS_NETWORK_ETHERNET;
    pc->realize = pcienic_caps_realize;
    pc->exit = pcienic_caps_exit;
    pc->config_write = pcienic_caps_config_write;

    dc->desc = "pcienic learning path, step 06: an endpoint with capabilities";
    dc->vmsd = &pcienic_caps_vmstate;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    PCIENIC_SET_RESET_PHASES(klass, pcienic_caps_reset_enter, NULL, NULL);
}

/* 4096 bytes of configuration space, and a PCI Express slot */
static InterfaceInfo pcienic_caps_interfaces[] = {
    { INTERFACE_PCIE_DEVICE },
    {},
};

static const TypeInfo pcienic_caps_types[] = {
    {
        .name = TYPE_PCIENIC_CAPS,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PcienicCaps),
        .class_init = pcienic_caps_class_init,
        .interfaces = pcienic_caps_interfaces,
    },
};

DEFINE_TYPES(pcienic_caps_types)
