/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcienic: the device as QEMU sees it.
 *
 * A register access goes straight to the core. What may take longer, the DMA
 * engine, runs in one bottom half, a budget at a time: guarded, so that DMA
 * cannot come back into the device, and only while the VM runs, so that
 * nothing changes behind a migration's back.
 */
#include "qemu/osdep.h"
#include "pcienic.h"
#include "trace.h"

#define MIN_MEMORY_SIZE (4 * KiB)
#define MAX_MEMORY_SIZE (4 * GiB)
#define NO_VECTOR UINT32_MAX

/* ---- What the core asks for ---- */

/*
 * Through the address space that the Bus Master bit and the IOMMU stand
 * before, and to RAM only: no DMA of ours ends in a register, ours or another
 * device's.
 */
static PcienicDmaResult do_dma(PcienicState *s, uint64_t address, void *buffer,
                               size_t length, DMADirection direction)
{
    const MemTxAttrs ram_only = { .memory = true };
    PCIDevice *dev = PCI_DEVICE(s);

    if (s->life != PCIENIC_ALIVE) {
        return PCIENIC_DMA_FAULT;
    }
    if (pci_dma_rw(dev, address, buffer, length, direction, ram_only) ==
        MEMTX_OK) {
        return PCIENIC_DMA_OK;
    }
    /* The IOMMU reports a fault by a message, which may have unplugged us. */
    if (s->life == PCIENIC_ALIVE) {
        /* What a requester notes when nobody answers */
        pci_word_test_and_set_mask(dev->config + PCI_STATUS,
                                   PCI_STATUS_REC_MASTER_ABORT);
    }
    return PCIENIC_DMA_FAULT;
}

static PcienicDmaResult op_dma_read(void *opaque, uint64_t address,
                                    void *buffer, size_t length)
{
    PcienicState *s = opaque;
    PcienicDmaResult result =
        do_dma(s, address, buffer, length, DMA_DIRECTION_TO_DEVICE);

    trace_pcienic_dma_read(address, length, result == PCIENIC_DMA_OK);
    if (result == PCIENIC_DMA_OK) {
        s->dma_bytes_read += length;
    }
    return result;
}

static PcienicDmaResult op_dma_write(void *opaque, uint64_t address,
                                     const void *buffer, size_t length)
{
    PcienicState *s = opaque;
    PcienicDmaResult result = do_dma(s, address, (void *)buffer, length,
                                     DMA_DIRECTION_FROM_DEVICE);

    trace_pcienic_dma_write(address, length, result == PCIENIC_DMA_OK);
    if (result == PCIENIC_DMA_OK) {
        s->dma_bytes_written += length;
    }
    return result;
}

static void op_send_message(void *opaque, unsigned vector)
{
    PcienicState *s = opaque;
    PCIDevice *dev = PCI_DEVICE(s);

    if (s->life != PCIENIC_ALIVE) {
        return;
    }
    if (vector == s->drop_vector) {
        trace_pcienic_message_dropped(vector);
        return;
    }
    s->messages_sent++;
    /* QEMU takes a vector that is not there for a bug of ours: ask first. */
    if (msix_enabled(dev)) {
        trace_pcienic_message("MSI-X", vector);
        msix_notify(dev, vector);
    } else if (msi_enabled(dev) && vector < msi_nr_vectors_allocated(dev)) {
        trace_pcienic_message("MSI", vector);
        msi_notify(dev, vector);
    }
}

static void op_set_intx(void *opaque, bool level)
{
    trace_pcienic_intx(level);
    pcienic_update_line(opaque);
}

static void op_schedule(void *opaque)
{
    pcienic_resume(opaque);
}

static void op_guest_error(void *opaque, unsigned code, uint64_t info)
{
    static const char *const texts[] = {
        [PCIENIC_ERR_CODE_CODE_BAD_OFFSET] = "no register at offset",
        [PCIENIC_ERR_CODE_CODE_READ_ONLY] =
            "write to the read-only register at offset",
        [PCIENIC_ERR_CODE_CODE_BAD_VECTOR] =
            "a vector that the device lacks or the driver has not enabled:",
        [PCIENIC_ERR_CODE_CODE_BAD_CONFIG] =
            "the DMA engine was enabled with a bad value in the register at",
        [PCIENIC_ERR_CODE_CODE_LOCKED] =
            "write, with the DMA engine enabled, to the register at offset",
        [PCIENIC_ERR_CODE_CODE_DESCRIPTOR_FAULT] =
            "queue stopped: cannot read the descriptor at",
        [PCIENIC_ERR_CODE_CODE_COMPLETION_FAULT] =
            "queue stopped: cannot write the completion at",
        [PCIENIC_ERR_CODE_CODE_BAD_VALUE] =
            "write of reserved bits to the register at offset",
    };
    PcienicState *s = opaque;

    s->guest_errors++;
    trace_pcienic_error(code, info);
    qemu_log_mask(LOG_GUEST_ERROR, TYPE_PCIENIC ": %s 0x%" PRIx64 "\n",
                  texts[code], info);
}

static bool op_bus_master(void *opaque)
{
    PcienicState *s = opaque;

    return pcienic_is_awake(s) &&
           pci_get_word(PCI_DEVICE(s)->config + PCI_COMMAND) &
               PCI_COMMAND_MASTER;
}

static void op_memory_written(void *opaque, uint64_t offset, uint64_t length)
{
    PcienicState *s = opaque;

    pcienic_ram_written(&s->memory, offset, length);
}

static void op_completed(void *opaque, unsigned index, unsigned code,
                         uint64_t detail)
{
    trace_pcienic_completion(index, code, detail);
}

static const PcienicOps pcienic_ops = {
    .dma_read = op_dma_read,
    .dma_write = op_dma_write,
    .send_message = op_send_message,
    .set_intx = op_set_intx,
    .schedule = op_schedule,
    .guest_error = op_guest_error,
    .bus_master = op_bus_master,
    .memory_written = op_memory_written,
    .completed = op_completed,
};

/* ---- Work ---- */

/* What is left when the VM stops, or in D3hot, waits for pcienic_resume(). */
static void pcienic_work(void *opaque)
{
    PcienicState *s = opaque;

    if (runstate_is_running() && pcienic_is_awake(s)) {
        pcienic_core_run(&s->core);
        trace_pcienic_run(pcienic_core_busy(&s->core));
    }
}

bool pcienic_is_awake(PcienicState *s)
{
    return s->life == PCIENIC_ALIVE && pcienic_config_in_d0(s);
}

void pcienic_resume(PcienicState *s)
{
    /* Not only if the engine is busy: held-back messages are work, too. */
    if (s->life == PCIENIC_ALIVE) {
        qemu_bh_schedule(s->work);
    }
}

void pcienic_update_line(PcienicState *s)
{
    if (s->life != PCIENIC_GONE) {
        pci_set_irq(PCI_DEVICE(s), s->core.intx_level && pcienic_is_awake(s));
    }
}

static void pcienic_vm_change(void *opaque, bool running, RunState state)
{
    if (running) {
        pcienic_resume(opaque);
    }
}

/* ---- BARs ---- */

static uint64_t pcienic_read(void *opaque, hwaddr offset, unsigned size)
{
    PcienicState *s = opaque;
    /* In D3hot nobody answers: the CPU reads ones. */
    uint64_t value = pcienic_is_awake(s)
                         ? pcienic_core_read(&s->core, offset, size)
                         : UINT64_MAX;

    trace_pcienic_read(offset, size, value);
    return value;
}

static void pcienic_write(void *opaque, hwaddr offset, uint64_t value,
                          unsigned size)
{
    PcienicState *s = opaque;

    trace_pcienic_write(offset, size, value);
    if (pcienic_is_awake(s)) {
        pcienic_core_write(&s->core, offset, value, size);
    }
}

static const MemoryRegionOps pcienic_register_ops = {
    .read = pcienic_read,
    .write = pcienic_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

static uint64_t pcienic_doorbell_read(void *opaque, hwaddr offset,
                                      unsigned size)
{
    return pcienic_read(opaque, PCIENIC_DOORBELL_DMA_DOORBELL + offset, size);
}

static void pcienic_doorbell_write(void *opaque, hwaddr offset, uint64_t value,
                                   unsigned size)
{
    pcienic_write(opaque, PCIENIC_DOORBELL_DMA_DOORBELL + offset, value, size);
}

static const MemoryRegionOps pcienic_doorbell_ops = {
    .read = pcienic_doorbell_read,
    .write = pcienic_doorbell_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 4, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 8 },
};

static bool pcienic_init_bars(PcienicState *s, Error **errp)
{
    PCIDevice *dev = PCI_DEVICE(s);

    QEMU_BUILD_BUG_ON(PCIENIC_DOORBELL_COUNT != 1);

    memory_region_init_io(&s->registers, OBJECT(s), &pcienic_register_ops, s,
                          "pcienic-registers", PCIENIC_BAR_REGISTERS_BYTES);
    /* Regions of their own, so that each can be an ioeventfd's. */
    memory_region_init_io(&s->doorbells[0], OBJECT(s), &pcienic_doorbell_ops,
                          s, "pcienic-dma-doorbell",
                          PCIENIC_VENDOR_CAP_DOORBELL_STRIDE_VALUE);
    memory_region_add_subregion(&s->registers, PCIENIC_DOORBELL_DMA_DOORBELL,
                                &s->doorbells[0]);
    pci_register_bar(dev, PCIENIC_BAR_REGISTERS,
                     PCI_BASE_ADDRESS_SPACE_MEMORY, &s->registers);

    if (!pcienic_init_ram(&s->memory, OBJECT(s), "pcienic-memory",
                          s->memory_size, errp)) {
        return false;
    }
    pci_register_bar(dev, PCIENIC_BAR_MEMORY,
                     PCI_BASE_ADDRESS_SPACE_MEMORY |
                         PCI_BASE_ADDRESS_MEM_TYPE_64 |
                         PCI_BASE_ADDRESS_MEM_PREFETCH,
                     &s->memory);

    if (msix_init_exclusive_bar(dev, s->vectors, PCIENIC_BAR_MSIX, errp) < 0) {
        return false;
    }
    for (unsigned vector = 0; vector < s->vectors; vector++) {
        msix_vector_use(dev, vector);
    }
    return true;
}

/* ---- Life and death ---- */

static bool pcienic_check_properties(PcienicState *s, Error **errp)
{
    unsigned most = MIN(s->vectors, PCIENIC_MAX_MSI_VECTORS);

    if (s->vectors < 1 || s->vectors > PCIENIC_MAX_VECTORS) {
        error_setg(errp, "vectors=%" PRIu32 " is not from 1 to %u: "
                   "an MSI-X table has no more entries",
                   s->vectors, PCIENIC_MAX_VECTORS);
        return false;
    }
    if (!s->msi_vectors) {
        s->msi_vectors = pow2floor(most);
    }
    if (s->msi_vectors > most || !is_power_of_2(s->msi_vectors)) {
        error_setg(errp, "msi-vectors=%" PRIu32 " is not a power of two from "
                   "1 to %u: leave it out, or raise vectors=",
                   s->msi_vectors, most);
        return false;
    }
    if (s->memory_size < MIN_MEMORY_SIZE || s->memory_size > MAX_MEMORY_SIZE ||
        !is_power_of_2(s->memory_size)) {
        error_setg(errp, "memory-size=%" PRIu64 " is not a power of two from "
                   "4K to 4G: a BAR has no other size", s->memory_size);
        return false;
    }
    return true;
}

static void pcienic_cleanup(PcienicState *s)
{
    PCIDevice *dev = PCI_DEVICE(s);

    if (s->vm_change) {
        qemu_del_vm_change_state_handler(s->vm_change);
        s->vm_change = NULL;
    }
    if (s->work) {
        qemu_bh_delete(s->work);
        s->work = NULL;
    }
    if (msix_present(dev)) {
        msix_unuse_all_vectors(dev);
    }
    pcienic_msix_bar_exit(dev);
    /* A region holds on to its subregions' owner; here that is its own. */
    if (memory_region_is_mapped(&s->doorbells[0])) {
        memory_region_del_subregion(&s->registers, &s->doorbells[0]);
    }
    pcienic_config_exit(s);
}

static void pcienic_realize(PCIDevice *dev, Error **errp)
{
    PcienicState *s = PCIENIC(dev);

    if (!pci_bus_is_express(pci_get_bus(dev))) {
        error_setg(errp, "bus %s is not PCI Express: use pcie.0 or a "
                   "pcie-root-port", BUS(pci_get_bus(dev))->name);
        return;
    }
    if (!pcienic_check_properties(s, errp)) {
        return;
    }
    if (!pcienic_config_init(s, errp) || !pcienic_init_bars(s, errp)) {
        pcienic_cleanup(s);
        return;
    }
    pcienic_config_snapshot(s);
    pcienic_core_init(&s->core, &pcienic_ops, s, s->vectors,
                      memory_region_get_ram_ptr(&s->memory), s->memory_size);
    s->work = pcienic_bh_new(pcienic_work, s, DEVICE(s));
    s->vm_change = qemu_add_vm_change_state_handler(pcienic_vm_change, s);
    s->life = PCIENIC_ALIVE;
    trace_pcienic_realize(s->vectors, s->msi_vectors, s->memory_size);
}

static void pcienic_exit(PCIDevice *dev)
{
    PcienicState *s = PCIENIC(dev);

    trace_pcienic_exit(pcienic_core_busy(&s->core));
    /* A run may be going on: it ends here, and asks for nothing any more. */
    s->life = PCIENIC_GONE;
    pcienic_core_reset(&s->core, PCIENIC_RESET_COLD);
    pcienic_cleanup(s);
}

static void PCIENIC_RESET_HOLD(pcienic_reset_hold, obj)
{
    PcienicState *s = PCIENIC(obj);
    bool flr = pcienic_config_in_flr(s);
    bool hot = !flr && pcienic_config_in_hot_reset(s);
    /*
     * What a hot reset does to us is what a function-level reset does. Of what
     * a failed migration left, nothing is worth keeping.
     */
    PcienicResetKind kind =
        (flr || hot) && s->life == PCIENIC_ALIVE ? PCIENIC_RESET_FUNCTION_LEVEL
                                                 : PCIENIC_RESET_COLD;

    trace_pcienic_reset(flr ? "function-level" : hot ? "hot" : "cold");
    qemu_bh_cancel(s->work);
    pcienic_core_reset(&s->core, kind);
    pcienic_config_reset(s, kind);
    s->life = PCIENIC_ALIVE;
}

static void pcienic_instance_init(Object *obj)
{
    PcienicState *s = PCIENIC(obj);

    object_property_add_uint64_ptr(obj, "dma-completed",
                                   &s->core.dma.completed, OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(obj, "dma-bytes-read", &s->dma_bytes_read,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(obj, "dma-bytes-written",
                                   &s->dma_bytes_written, OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(obj, "messages-sent", &s->messages_sent,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(obj, "guest-errors", &s->guest_errors,
                                   OBJ_PROP_FLAG_READ);
}

static PcienicProperty pcienic_properties[] = {
    DEFINE_PROP_UINT32("vectors", PcienicState, vectors, 32),
    /* 0: as many as fit */
    DEFINE_PROP_UINT32("msi-vectors", PcienicState, msi_vectors, 0),
    DEFINE_PROP_SIZE("memory-size", PcienicState, memory_size, 16 * MiB),
    /* The device serial number; fixed, so that a migration finds it again */
    DEFINE_PROP_UINT64("serial", PcienicState, serial, 0x525400fffe504301),
    /* Fault injection: the messages of this vector get lost. */
    DEFINE_PROP_UINT32("x-drop-vector", PcienicState, drop_vector, NO_VECTOR),
    DEFINE_PROP_BOOL("x-pcie-flr-init", PcienicState, flr, true),
    PCIENIC_PROP_END
};

static void pcienic_class_init(ObjectClass *klass, PcienicClassData *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->vendor_id = PCIENIC_VENDOR_ID;
    pc->device_id = PCIENIC_DEVICE_ID;
    pc->subsystem_vendor_id = PCIENIC_SUBSYSTEM_VENDOR_ID;
    pc->subsystem_id = PCIENIC_SUBSYSTEM_ID;
    pc->revision = PCIENIC_REVISION;
    pc->class_id = PCIENIC_CLASS_CODE >> 8;
    pc->realize = pcienic_realize;
    pc->exit = pcienic_exit;
    pc->config_write = pcienic_config_write;

    dc->desc = "pcienic: registers, interrupts and DMA for userspace drivers";
    dc->vmsd = &vmstate_pcienic;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    device_class_set_props(dc, pcienic_properties);
    PCIENIC_SET_RESET_PHASES(klass, NULL, pcienic_reset_hold, NULL);
}

static const TypeInfo pcienic_types[] = {
    {
        .name = TYPE_PCIENIC,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PcienicState),
        .instance_init = pcienic_instance_init,
        .class_init = pcienic_class_init,
        .interfaces = (InterfaceInfo[]) {
            { INTERFACE_PCIE_DEVICE },
            { }
        },
    },
};

DEFINE_TYPES(pcienic_types)
