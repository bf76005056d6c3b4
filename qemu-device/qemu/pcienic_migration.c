/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcienic: what a migration stream holds.
 *
 * Device memory migrates as RAM by itself. Of the core everything goes that a
 * driver could tell the difference by, with a command in flight in a section
 * of its own. A stream is not trusted: it is loaded, checked, and only then
 * run. One that fails leaves a device that does nothing until it is reset: the
 * machine may well be told to go on.
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "pcienic.h"
#include "trace.h"

static const VMStateDescription vmstate_segment = {
    .name = "pcienic/segment",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT64(address, PcienicSegment),
        VMSTATE_UINT32(length, PcienicSegment),
        VMSTATE_END_OF_LIST()
    },
};

static const VMStateDescription vmstate_side = {
    .name = "pcienic/side",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(kind, PcienicSide),
        VMSTATE_UINT32(count, PcienicSide),
        VMSTATE_UINT32(index, PcienicSide),
        VMSTATE_UINT32(offset, PcienicSide),
        VMSTATE_STRUCT_ARRAY(segments, PcienicSide, PCIENIC_MAX_SG_ENTRIES, 1,
                             vmstate_segment, PcienicSegment),
        VMSTATE_END_OF_LIST()
    },
};

static bool command_needed(void *opaque)
{
    PcienicState *s = opaque;

    return s->core.dma.command.active;
}

static const VMStateDescription vmstate_command = {
    .name = "pcienic/command",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = command_needed,
    .fields = (const VMStateField[]) {
        VMSTATE_BOOL(core.dma.command.active, PcienicState),
        VMSTATE_BOOL(core.dma.command.phase, PcienicState),
        VMSTATE_UINT32(core.dma.command.index, PcienicState),
        VMSTATE_UINT32(core.dma.command.control, PcienicState),
        VMSTATE_UINT32(core.dma.command.tag, PcienicState),
        VMSTATE_UINT32(core.dma.command.length, PcienicState),
        VMSTATE_UINT32(core.dma.command.done, PcienicState),
        VMSTATE_UINT64(core.dma.command.pattern, PcienicState),
        VMSTATE_STRUCT(core.dma.command.source, PcienicState, 1, vmstate_side,
                       PcienicSide),
        VMSTATE_STRUCT(core.dma.command.destination, PcienicState, 1,
                       vmstate_side, PcienicSide),
        VMSTATE_END_OF_LIST()
    },
};

static int pcienic_pre_load(void *opaque)
{
    PcienicState *s = opaque;

    s->life = PCIENIC_UNCHECKED;
    /* A stream without a command in flight has no section that says so. */
    s->core.dma.command.active = false;
    return 0;
}

/*
 * Work in flight goes on when the VM runs, not here: guest memory and other
 * devices may not be loaded yet.
 */
static int pcienic_post_load(void *opaque, int version_id)
{
    PcienicState *s = opaque;
    unsigned enabled;
    PcienicIrqMode mode = pcienic_config_irq_mode(s, &enabled);

    if (!pcienic_core_validate(&s->core) || s->core.irq_mode != mode ||
        s->core.irq_enabled != enabled) {
        error_report(TYPE_PCIENIC
                     ": the migration stream holds a state that the device "
                     "cannot be in: it is damaged or not from a pcienic");
        return -EINVAL;
    }
    s->life = PCIENIC_ALIVE;
    trace_pcienic_post_load(pcienic_core_busy(&s->core));
    pcienic_config_apply_power(s);
    return 0;
}

const VMStateDescription vmstate_pcienic = {
    .name = TYPE_PCIENIC,
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_load = pcienic_pre_load,
    .post_load = pcienic_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, PcienicState),
        VMSTATE_STRUCT(parent_obj.exp.aer_log, PcienicState, 0,
                       vmstate_pcie_aer_log, PCIEAERLog),
        VMSTATE_MSIX(parent_obj, PcienicState),
        VMSTATE_UINT32_EQUAL(vectors, PcienicState,
                             "start the destination with the same vectors="),
        VMSTATE_UINT64_EQUAL(memory_size, PcienicState,
                             "start the destination with the same "
                             "memory-size="),
        VMSTATE_UINT32_ARRAY(core.file, PcienicState, PCIENIC_CORE_FILE_WORDS),
        VMSTATE_UINT32(core.irq_mode, PcienicState),
        VMSTATE_UINT32(core.irq_enabled, PcienicState),
        VMSTATE_BOOL(core.intx_level, PcienicState),
        VMSTATE_BOOL(core.dma.kicked, PcienicState),
        VMSTATE_BOOL(core.dma.stopped, PcienicState),
        VMSTATE_BOOL(core.dma.phase, PcienicState),
        VMSTATE_UINT32(core.dma.head, PcienicState),
        VMSTATE_UINT64(core.dma.completed, PcienicState),
        VMSTATE_END_OF_LIST()
    },
    .subsections = (const VMStateDescription * []) {
        &vmstate_command,
        NULL
    },
};
