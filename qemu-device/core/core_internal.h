/* SPDX-License-Identifier: MIT */
/* What the rooms of the core (registers, interrupts, DMA) know of each other */
#ifndef PCIENIC_CORE_INTERNAL_H
#define PCIENIC_CORE_INTERNAL_H

#include "core.h"

#define PCIENIC_VECTOR_WORDS (PCIENIC_MAX_VECTORS / 32)

/* core_registers.c */

/* Registers as the device keeps them; offset is PCIENIC_REG_... */
uint32_t pcienic_file_get(const PcienicCore *core, uint32_t offset);
void pcienic_file_set(PcienicCore *core, uint32_t offset, uint32_t value);
uint64_t pcienic_file_get64(const PcienicCore *core, uint32_t offset);
void pcienic_file_set64(PcienicCore *core, uint32_t offset, uint64_t value);

void pcienic_registers_reset(PcienicCore *core, PcienicResetKind kind);
bool pcienic_registers_validate(const PcienicCore *core);

/* Latch an error, unless an earlier one holds the latch, and report it. */
void pcienic_error(PcienicCore *core, unsigned code, uint64_t info);

/* core_interrupts.c */

/* The bits of a word of 32 vectors that stand for vectors below limit. */
uint32_t pcienic_irq_bits_below(unsigned limit, unsigned word);
/* Send what can be sent, and bring the INTx line to where it belongs. */
void pcienic_irq_deliver(PcienicCore *core);
void pcienic_irq_reset(PcienicCore *core, PcienicResetKind kind);
bool pcienic_irq_validate(const PcienicCore *core);

/* core_dma.c */

bool pcienic_dma_enabled(const PcienicCore *core);
bool pcienic_dma_busy(const PcienicCore *core);
uint32_t pcienic_dma_status(const PcienicCore *core);
/* DMA_CTRL.ENABLE was set or cleared. */
void pcienic_dma_enable(PcienicCore *core);
void pcienic_dma_disable(PcienicCore *core);
void pcienic_dma_doorbell(PcienicCore *core);
void pcienic_dma_reset(PcienicCore *core);
/*
 * One step of the work at hand. What it reads counts against the run's budget,
 * whatever comes of it.
 */
void pcienic_dma_step(PcienicCore *core);
bool pcienic_dma_validate(const PcienicCore *core);

#endif
