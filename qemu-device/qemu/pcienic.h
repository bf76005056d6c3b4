/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pcienic device in QEMU: what the files of this folder share.
 *
 *   pcienic.c            the object: BARs, DMA, interrupts, life and death
 *   pcienic_config.c     configuration space: capabilities, power, reset
 *   pcienic_migration.c  what a migration stream holds
 *
 * What the device does is in ../core; here is only how QEMU reaches it.
 */
#ifndef PCIENIC_H
#define PCIENIC_H

#include "compat.h"
#include "core.h"

#define TYPE_PCIENIC "pcienic"
OBJECT_DECLARE_SIMPLE_TYPE(PcienicState, PCIENIC)

/* Whether the guest may reach the core, and the core the guest */
typedef enum PcienicLife {
    /*
     * Not realized, or unplugged. A processor that was about to access a BAR
     * when the device went still does, and an unplug can come from inside of
     * any message that we send: configuration space may be freed by then.
     */
    PCIENIC_GONE,
    /* Holds what a migration stream said; until it was checked, or a reset. */
    PCIENIC_UNCHECKED,
    PCIENIC_ALIVE,
} PcienicLife;

struct PcienicState {
    PCIDevice parent_obj;

    PcienicLife life;

    PcienicCore core;
    MemoryRegion registers;
    MemoryRegion doorbells[PCIENIC_DOORBELL_COUNT];
    MemoryRegion memory;
    QEMUBH *work;
    VMChangeStateEntry *vm_change;
    /* Configuration space as a cold reset leaves it */
    uint8_t config_reset[PCIE_CONFIG_SPACE_SIZE];

    /* Properties */
    uint32_t vectors;
    uint32_t msi_vectors;
    uint64_t memory_size;
    uint64_t serial;
    uint32_t drop_vector;
    bool flr;

    /* For introspection alone; a migration starts them anew. */
    uint64_t messages_sent;
    uint64_t guest_errors;
    uint64_t dma_bytes_read;
    uint64_t dma_bytes_written;
};

extern const VMStateDescription vmstate_pcienic;

/* pcienic.c */

/* May the core do anything now? Only alive, and in D0. */
bool pcienic_is_awake(PcienicState *s);
/* Have the core's work done soon. */
void pcienic_resume(PcienicState *s);
/* Bring INTx to where the core and the power state want it. */
void pcienic_update_line(PcienicState *s);

/* pcienic_config.c */

/* All capabilities but MSI-X, which needs its BAR. */
bool pcienic_config_init(PcienicState *s, Error **errp);
/* Undoes what of pcienic_config_init() was done. */
void pcienic_config_exit(PcienicState *s);
/* To be called when configuration space is complete. */
void pcienic_config_snapshot(PcienicState *s);
void pcienic_config_write(PCIDevice *dev, uint32_t address, uint32_t value,
                          int length);
void pcienic_config_reset(PcienicState *s, PcienicResetKind kind);
/* Is a function-level reset what resets us? Only inside a reset phase. */
bool pcienic_config_in_flr(PcienicState *s);
/* Or is it a bridge above us that resets its secondary bus? */
bool pcienic_config_in_hot_reset(PcienicState *s);
bool pcienic_config_in_d0(PcienicState *s);
/* Device memory and the MSI-X table answer in D0 only. */
void pcienic_config_apply_power(PcienicState *s);
PcienicIrqMode pcienic_config_irq_mode(PcienicState *s, unsigned *enabled);

#endif
