/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Step 05, pcienic-dma: the device reads and writes memory by itself.
 *
 * New against step 04: direct memory access (DMA). The driver names a source,
 * a destination and a length; the device copies; an interrupt tells the end.
 * The addresses are bus addresses: where an IOMMU stands between, they mean
 * what the driver mapped there, and anything else is refused. So is memory
 * that is not RAM: the device can not reach a device's registers, nor its own.
 *
 *   BAR0 offset   access   what it is
 *   0x000         wo       DOORBELL: a 32-bit write of N fires vector N
 *   0x004-0x03c   rw       15 registers of 32 bits, 0 after reset
 *   0x040, 0x044  rw       SOURCE, low and high half
 *   0x048, 0x04c  rw       DESTINATION, low and high half
 *   0x050         rw       LENGTH in bytes
 *   0x054         rw       VECTOR fired at the end; 0xffffffff (reset): none
 *   0x058         wo       GO: writing 1 starts the copy
 *   0x05c         ro       STATUS: 0 idle, 1 busy, 2 done, 3 bad command
 *                          (LENGTH is 0, or a range wraps around), 4 source
 *                          refused, 5 destination refused
 *   0x060         ro       COPIED: bytes that certainly arrived
 *
 * While STATUS is busy, writes to 0x040-0x058 are guest errors. BAR1 holds the
 * MSI-X table and PBA of 4 vectors, as in step 04.
 */
#include "qemu/osdep.h"
#include "compat.h"
#include "trace.h"

#define TYPE_PCIENIC_DMA "pcienic-dma"
OBJECT_DECLARE_SIMPLE_TYPE(PcienicDma, PCIENIC_DMA)

#define BAR0_SIZE (4 * KiB)
#define MSIX_BAR  1
#define VECTORS   4
#define NO_VECTOR UINT32_MAX
#define CHUNK     (4 * KiB)  /* moved by one access of the bus */
#define BUDGET    (64 * KiB) /* moved before others have their turn */

/* Registers, as indices of reg[] */
enum {
    DOORBELL = 0,
    SOURCE = 0x40 / 4,
    DESTINATION = 0x48 / 4,
    LENGTH = 0x50 / 4,
    VECTOR,
    GO,
    STATUS,
    COPIED,
    REGISTERS
};

enum { IDLE, BUSY, DONE, BAD_COMMAND, SOURCE_REFUSED, DESTINATION_REFUSED };

struct PcienicDma {
    PCIDevice parent_obj;

    MemoryRegion bar0;
    uint32_t reg[REGISTERS]; /* DOORBELL and GO stay 0 */
    QEMUBH *copy;
    VMChangeStateEntry *vm_change;
};

static void pcienic_dma_fire(PcienicDma *s, uint32_t vector)
{
    PCIDevice *dev = PCI_DEVICE(s);

    if (!msix_enabled(dev) || vector >= VECTORS) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-dma: vector %" PRIu32
                      " to be fired, but %d are enabled\n",
                      vector, msix_enabled(dev) ? VECTORS : 0);
        return;
    }
    trace_pcienic_step_interrupt(TYPE_PCIENIC_DMA, vector);
    msix_notify(dev, vector);
}

static uint64_t pcienic_dma_address(PcienicDma *s, unsigned index)
{
    return (uint64_t)s->reg[index + 1] << 32 | s->reg[index];
}

static bool pcienic_dma_command_ok(PcienicDma *s)
{
    uint32_t length = s->reg[LENGTH];

    return s->reg[COPIED] < length &&
           pcienic_dma_address(s, SOURCE) <= UINT64_MAX - length &&
           pcienic_dma_address(s, DESTINATION) <= UINT64_MAX - length;
}

/* The status first: who is woken by the interrupt finds it there. */
static void pcienic_dma_end(PcienicDma *s, uint32_t status)
{
    s->reg[STATUS] = status;
    trace_pcienic_step_dma_end(TYPE_PCIENIC_DMA, status, s->reg[COPIED]);
    if (s->reg[VECTOR] != NO_VECTOR) {
        pcienic_dma_fire(s, s->reg[VECTOR]);
    }
}

/*
 * Not when unplugged: a CPU that was about to write GO when the device went
 * still does.
 */
static void pcienic_dma_schedule(PcienicDma *s)
{
    if (s->copy) {
        qemu_bh_schedule(s->copy);
    }
}

/*
 * A bottom half: QEMU's main loop calls it once the store to GO is over. It
 * moves a bounded amount and asks to be called again, because for as long as
 * it runs the guest's CPUs can not reach any device.
 */
static void pcienic_dma_copy(void *opaque)
{
    PcienicDma *s = opaque;
    PCIDevice *dev = PCI_DEVICE(s);
    const MemTxAttrs ram_only = { .memory = true };
    uint8_t buffer[CHUNK];

    /* A stopped guest's memory may be on its way to another host. */
    if (s->reg[STATUS] != BUSY || !runstate_is_running()) {
        return;
    }
    /* Here, not at GO: a migration stream is no more to be trusted. */
    if (!pcienic_dma_command_ok(s)) {
        pcienic_dma_end(s, BAD_COMMAND);
        return;
    }
    for (uint32_t moved = 0; moved < BUDGET; moved += CHUNK) {
        uint32_t copied = s->reg[COPIED];
        uint32_t n = MIN(s->reg[LENGTH] - copied, CHUNK);

        if (pci_dma_rw(dev, pcienic_dma_address(s, SOURCE) + copied, buffer, n,
                       DMA_DIRECTION_TO_DEVICE, ram_only) != MEMTX_OK) {
            pcienic_dma_end(s, SOURCE_REFUSED);
            return;
        }
        if (pci_dma_rw(dev, pcienic_dma_address(s, DESTINATION) + copied,
                       buffer, n, DMA_DIRECTION_FROM_DEVICE,
                       ram_only) != MEMTX_OK) {
            pcienic_dma_end(s, DESTINATION_REFUSED);
            return;
        }
        s->reg[COPIED] += n;
        if (s->reg[COPIED] == s->reg[LENGTH]) {
            pcienic_dma_end(s, DONE);
            return;
        }
    }
    pcienic_dma_schedule(s);
}

static void pcienic_dma_vm_change(void *opaque, bool running, RunState state)
{
    PcienicDma *s = opaque;

    if (running && s->reg[STATUS] == BUSY) {
        pcienic_dma_schedule(s);
    }
}

static void pcienic_dma_go(PcienicDma *s)
{
    trace_pcienic_step_dma_start(
        TYPE_PCIENIC_DMA, pcienic_dma_address(s, SOURCE),
        pcienic_dma_address(s, DESTINATION), s->reg[LENGTH]);
    s->reg[COPIED] = 0;
    s->reg[STATUS] = BUSY;
    pcienic_dma_schedule(s);
}

static uint64_t pcienic_dma_read(void *opaque, hwaddr addr, unsigned size)
{
    PcienicDma *s = opaque;
    uint32_t value = addr / 4 < REGISTERS ? s->reg[addr / 4] : 0;

    trace_pcienic_step_read(TYPE_PCIENIC_DMA, addr, size, value);
    return value;
}

static void pcienic_dma_write(void *opaque, hwaddr addr, uint64_t value,
                              unsigned size)
{
    PcienicDma *s = opaque;
    hwaddr index = addr / 4;

    trace_pcienic_step_write(TYPE_PCIENIC_DMA, addr, size, value);
    if (index == DOORBELL) {
        pcienic_dma_fire(s, value);
    } else if (index >= STATUS) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-dma: write to 0x%" HWADDR_PRIx
                      ", where no writable register is\n",
                      addr);
    } else if (index >= SOURCE && s->reg[STATUS] == BUSY) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "pcienic-dma: write to 0x%" HWADDR_PRIx
                      " while a copy runs\n",
                      addr);
    } else if (index == GO) {
        if (value == 1) {
            pcienic_dma_go(s);
        }
    } else {
        s->reg[index] = value;
    }
}

static const MemoryRegionOps pcienic_dma_ops = {
    .read = pcienic_dma_read,
    .write = pcienic_dma_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void pcienic_dma_realize(PCIDevice *dev, Error **errp)
{
    PcienicDma *s = PCIENIC_DMA(dev);

    memory_region_init_io(&s->bar0, OBJECT(s), &pcienic_dma_ops, s,
                          TYPE_PCIENIC_DMA "-bar0", BAR0_SIZE);
    pci_register_bar(dev, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar0);
    if (msix_init_exclusive_bar(dev, VECTORS, MSIX_BAR, errp) < 0) {
        return;
    }
    for (int vector = 0; vector < VECTORS; vector++) {
        msix_vector_use(dev, vector);
    }
    s->copy = pcienic_bh_new(pcienic_dma_copy, s, DEVICE(s));
    s->vm_change = qemu_add_vm_change_state_handler(pcienic_dma_vm_change, s);
}

/* Unplugged, perhaps in the middle of a copy: nothing may call us any more. */
static void pcienic_dma_exit(PCIDevice *dev)
{
    PcienicDma *s = PCIENIC_DMA(dev);

    qemu_del_vm_change_state_handler(s->vm_change);
    qemu_bh_delete(s->copy);
    s->copy = NULL;
    pcienic_msix_bar_exit(dev);
}

static void pcienic_dma_reset_enter(Object *obj, ResetType type)
{
    PcienicDma *s = PCIENIC_DMA(obj);

    trace_pcienic_step_reset(TYPE_PCIENIC_DMA);
    qemu_bh_cancel(s->copy);
    memset(s->reg, 0, sizeof(s->reg));
    s->reg[VECTOR] = NO_VECTOR;
}

/* A copy under way needs nothing more: it goes on when the guest does. */
static const VMStateField pcienic_dma_fields[] = {
    VMSTATE_PCI_DEVICE(parent_obj, PcienicDma),
    VMSTATE_MSIX(parent_obj, PcienicDma),
    VMSTATE_UINT32_ARRAY(reg, PcienicDma, REGISTERS),
    VMSTATE_END_OF_LIST(),
};

static const VMStateDescription pcienic_dma_vmstate = {
    .name = TYPE_PCIENIC_DMA,
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = pcienic_dma_fields,
};

static void pcienic_dma_class_init(ObjectClass *klass, PcienicClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->vendor_id = PCI_VENDOR_ID_REDHAT_QUMRANET;
    pc->device_id = 0x10f1;
    pc->revision = 0x02;
    pc->class_id = PCI_CLASS_NETWORK_ETHERNET;
    pc->realize = pcienic_dma_realize;
    pc->exit = pcienic_dma_exit;

    dc->desc = "pcienic learning path, step 05: a copy by DMA";
    dc->vmsd = &pcienic_dma_vmstate;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    PCIENIC_SET_RESET_PHASES(klass, pcienic_dma_reset_enter, NULL, NULL);
}

static InterfaceInfo pcienic_dma_interfaces[] = {
    { INTERFACE_CONVENTIONAL_PCI_DEVICE },
    {},
};

static const TypeInfo pcienic_dma_types[] = {
    {
        .name = TYPE_PCIENIC_DMA,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PcienicDma),
        .class_init = pcienic_dma_class_init,
        .interfaces = pcienic_dma_interfaces,
    },
};

DEFINE_TYPES(pcienic_dma_types)
