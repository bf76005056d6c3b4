/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "core_internal.h"

/*
 * What one run may cost, in bytes read; each step of the work counts for some
 * bytes, too. At memory speed this is well below a millisecond, the time for
 * which the rest of the machine may have to wait.
 */
#define RUN_BUDGET (256u * 1024)

/* What a step costs besides, so that there is an end to any number of them */
#define STEP_COST 256u

void pcienic_core_init(PcienicCore *core, const PcienicOps *ops, void *opaque,
                       unsigned vectors, uint8_t *memory, uint64_t memory_size)
{
    memset(core, 0, sizeof(*core));
    core->ops = ops;
    core->opaque = opaque;
    core->vectors = vectors;
    core->memory = memory;
    core->memory_size = memory_size;
    pcienic_core_reset(core, PCIENIC_RESET_COLD);
}

void pcienic_core_reset(PcienicCore *core, PcienicResetKind kind)
{
    pcienic_dma_reset(core);
    pcienic_registers_reset(core, kind);
    pcienic_irq_reset(core, kind);
}

bool pcienic_core_busy(const PcienicCore *core)
{
    return pcienic_dma_busy(core);
}

void pcienic_core_run(PcienicCore *core)
{
    if (core->running) {
        return;
    }
    core->running = true;
    core->spent = 0;
    pcienic_irq_deliver(core);
    while (pcienic_dma_busy(core) && core->spent < RUN_BUDGET) {
        core->spent += STEP_COST;
        pcienic_dma_step(core);
    }
    core->running = false;
    if (pcienic_dma_busy(core)) {
        core->ops->schedule(core->opaque);
    }
}

bool pcienic_core_validate(const PcienicCore *core)
{
    return pcienic_registers_validate(core) && pcienic_irq_validate(core) &&
           pcienic_dma_validate(core);
}
