/* SPDX-License-Identifier: MIT */
/*
 * Interrupts: causes, masks, and how they leave the device.
 *
 * Everything that may change what is to be sent (a cause raised or cleared, a
 * mask, the mode, the Bus Master bit) ends in pcienic_irq_deliver(), which
 * looks at the state and not at what changed: no order of events can lose one.
 */
#include "core_internal.h"

uint32_t pcienic_irq_bits_below(unsigned limit, unsigned word)
{
    unsigned first = word * 32;

    if (limit <= first) {
        return 0;
    }
    return limit - first >= 32 ? UINT32_MAX
                               : (UINT32_C(1) << (limit - first)) - 1;
}

static uint32_t unmasked_causes(const PcienicCore *core, unsigned word)
{
    return pcienic_file_get(core, PCIENIC_REG_IRQ_CAUSE + word * 4) &
           ~pcienic_file_get(core, PCIENIC_REG_IRQ_MASK + word * 4);
}

static bool line_level(const PcienicCore *core)
{
    if (core->irq_mode != PCIENIC_IRQ_INTX) {
        return false;
    }
    for (unsigned word = 0; word < PCIENIC_VECTOR_WORDS; word++) {
        if (unmasked_causes(core, word)) {
            return true;
        }
    }
    return false;
}

static void set_line(PcienicCore *core, bool level)
{
    if (core->intx_level != level) {
        core->intx_level = level;
        core->ops->set_intx(core->opaque, level);
    }
}

/* The causes that have a message: only these cost time. */
static uint32_t sendable_causes(const PcienicCore *core, unsigned word)
{
    return core->irq_mode == PCIENIC_IRQ_INTX
               ? 0
               : unmasked_causes(core, word) &
                     pcienic_irq_bits_below(core->irq_enabled, word);
}

/* Is it still to be sent? A message may have changed that, see deliver. */
static bool take_cause(PcienicCore *core, unsigned vector)
{
    unsigned word = vector / 32;
    uint32_t bit = UINT32_C(1) << vector % 32;
    uint32_t offset = PCIENIC_REG_IRQ_CAUSE + word * 4;

    if (!(sendable_causes(core, word) & bit) ||
        !core->ops->bus_master(core->opaque)) {
        return false;
    }
    pcienic_file_set(core, offset, pcienic_file_get(core, offset) & ~bit);
    return true;
}

void pcienic_irq_deliver(PcienicCore *core)
{
    /*
     * The guest chooses where a message is written, and may choose our own
     * registers. What that raises waits for the next run: neither recursion
     * nor this loop may go on for as long as the guest likes.
     */
    if (core->delivering) {
        core->ops->schedule(core->opaque);
        return;
    }
    core->delivering = true;
    set_line(core, line_level(core));
    for (unsigned word = 0; word < PCIENIC_VECTOR_WORDS; word++) {
        for (unsigned bit = 0; sendable_causes(core, word) && bit < 32; bit++) {
            if (take_cause(core, word * 32 + bit)) {
                core->ops->send_message(core->opaque, word * 32 + bit);
            }
        }
    }
    core->delivering = false;
}

void pcienic_core_raise(PcienicCore *core, unsigned vector)
{
    /* With INTx all vectors share the line, so none needs to be enabled. */
    unsigned limit =
        core->irq_mode == PCIENIC_IRQ_INTX ? core->vectors : core->irq_enabled;
    uint32_t offset;

    if (vector >= limit) {
        pcienic_error(core, PCIENIC_ERR_CODE_CODE_BAD_VECTOR, vector);
        return;
    }
    offset = PCIENIC_REG_IRQ_CAUSE + vector / 32 * 4;
    pcienic_file_set(core, offset,
                     pcienic_file_get(core, offset) | UINT32_C(1)
                                                          << vector % 32);
    pcienic_irq_deliver(core);
}

void pcienic_core_set_irq_mode(PcienicCore *core, PcienicIrqMode mode,
                               unsigned enabled)
{
    core->irq_mode = (uint32_t)mode;
    core->irq_enabled = enabled < core->vectors ? enabled : core->vectors;
    pcienic_irq_deliver(core);
}

void pcienic_irq_reset(PcienicCore *core, PcienicResetKind kind)
{
    if (kind != PCIENIC_RESET_SOFTWARE) {
        core->irq_mode = PCIENIC_IRQ_INTX;
        core->irq_enabled = 1;
    }
    set_line(core, line_level(core));
}

bool pcienic_irq_validate(const PcienicCore *core)
{
    switch (core->irq_mode) {
    case PCIENIC_IRQ_INTX:
        if (core->irq_enabled != 1) {
            return false;
        }
        break;
    case PCIENIC_IRQ_MSI:
        if (core->irq_enabled > PCIENIC_MAX_MSI_VECTORS) {
            return false;
        }
        break;
    case PCIENIC_IRQ_MSIX:
        break;
    default:
        return false;
    }
    return core->irq_enabled >= 1 && core->irq_enabled <= core->vectors &&
           core->intx_level == line_level(core);
}
