/* SPDX-License-Identifier: MIT */
/*
 * The logic of the pcienic device.
 *
 * The core knows registers, interrupts and the DMA engine as
 * registers/pcienic.yaml describes them. It knows neither QEMU nor the machine
 * that it is part of: whoever embeds it (the shell in qemu-device/qemu, the
 * library's sim backend, the unit tests) hands it a table of operations and
 * calls it for each register access.
 *
 *     PcienicCore core;
 *     pcienic_core_init(&core, &ops, self, 32, memory, memory_size);
 *     pcienic_core_write(&core, PCIENIC_REG_SCRATCH, 0x1234, 4);
 *     pcienic_core_read(&core, PCIENIC_REG_SCRATCH, 4);
 *
 * Rules for the embedder:
 *   - One thread at a time: the core has no lock of its own.
 *   - No function blocks, allocates or fails; the guest can drive none of them
 *     into a loop without a bound. Work that may take long happens only in
 *     pcienic_core_run(), a budget at a time.
 *   - An operation may call back into the core (a message may be aimed at the
 *     device's own registers), except that schedule() must not call
 *     pcienic_core_run().
 */
#ifndef PCIENIC_CORE_H
#define PCIENIC_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcienic_regs.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum PcienicDmaResult {
    PCIENIC_DMA_OK,
    PCIENIC_DMA_FAULT,
} PcienicDmaResult;

/* The values are those of IRQ_STATUS.MODE. */
typedef enum PcienicIrqMode {
    PCIENIC_IRQ_INTX = PCIENIC_IRQ_STATUS_MODE_INTX,
    PCIENIC_IRQ_MSI = PCIENIC_IRQ_STATUS_MODE_MSI,
    PCIENIC_IRQ_MSIX = PCIENIC_IRQ_STATUS_MODE_MSIX,
} PcienicIrqMode;

typedef enum PcienicResetKind {
    /* Power came: sticky registers go, too. */
    PCIENIC_RESET_COLD,
    /* FLR, or a hot reset: as cold, but sticky registers stay. */
    PCIENIC_RESET_FUNCTION_LEVEL,
    /* CTRL.RESET: the interrupt mode, which is configuration space's, stays. */
    PCIENIC_RESET_SOFTWARE,
} PcienicResetKind;

/* What the core asks of its surroundings. The last two may be NULL. */
typedef struct PcienicOps {
    /*
     * An aligned read of 4 bytes has to be one load; what is read after it is
     * no older than it.
     */
    PcienicDmaResult (*dma_read)(void *opaque, uint64_t address, void *buffer,
                                 size_t length);
    /*
     * An aligned write of 4 bytes has to be one store, which the driver sees
     * after all that was written before it.
     */
    PcienicDmaResult (*dma_write)(void *opaque, uint64_t address,
                                  const void *buffer, size_t length);
    /* Send the message of a vector that is enabled: MSI or MSI-X. */
    void (*send_message)(void *opaque, unsigned vector);
    void (*set_intx)(void *opaque, bool level);
    /* Call pcienic_core_run() soon, but not from inside this call. */
    void (*schedule)(void *opaque);
    /* The driver did something wrong; code is one of ERR_CODE.CODE. */
    void (*guest_error)(void *opaque, unsigned code, uint64_t info);
    /* May the device use DMA and send messages now? */
    bool (*bus_master)(void *opaque);
    /* The device itself wrote to its memory (for dirty tracking). */
    void (*memory_written)(void *opaque, uint64_t offset, uint64_t length);
    /* A completion was written; code is one of COMPLETION's STATUS.CODE. */
    void (*completed)(void *opaque, unsigned index, unsigned code,
                      uint64_t detail);
} PcienicOps;

/*
 * Host memory is accessed in pieces that stay within a page of this size: what
 * an IOMMU maps or refuses is then all of a piece, the address of a fault is
 * exact, and nothing beyond it has been touched.
 */
#define PCIENIC_CORE_PIECE 4096u

/* Registers fill page 0 of their BAR; the doorbells' pages follow. */
#define PCIENIC_CORE_FILE_WORDS (PCIENIC_DOORBELL_DMA_DOORBELL / 4)

/* One piece of memory, in host memory or in the device's own. */
typedef struct PcienicSegment {
    uint64_t address;
    uint32_t length;
} PcienicSegment;

typedef enum PcienicSideKind {
    PCIENIC_SIDE_NONE,
    PCIENIC_SIDE_HOST,
    PCIENIC_SIDE_DEVICE,
    PCIENIC_SIDE_PATTERN,
} PcienicSideKind;

/* Where a command reads from or writes to, and how far it has got. */
typedef struct PcienicSide {
    uint32_t kind;   /* PcienicSideKind */
    uint32_t count;  /* segments in use */
    uint32_t index;  /* of the current one */
    uint32_t offset; /* consumed of the current one */
    PcienicSegment segments[PCIENIC_MAX_SG_ENTRIES];
} PcienicSide;

/* The command that the DMA engine is working on. */
typedef struct PcienicCommand {
    bool active;
    bool phase;
    uint32_t index;   /* of its descriptor in the ring */
    uint32_t control; /* the descriptor's CONTROL word */
    uint32_t tag;
    uint32_t length;
    uint32_t done; /* bytes moved */
    uint64_t pattern;
    PcienicSide source;
    PcienicSide destination;
} PcienicCommand;

typedef struct PcienicDma {
    bool kicked;  /* the ring is to be looked at */
    bool stopped; /* by a fault; until ENABLE is cleared */
    bool phase;   /* that the next descriptor of ours has */
    uint32_t head;
    uint64_t completed;
    PcienicCommand command;
} PcienicDma;

/*
 * All state is plain data of fixed size. What follows `file` is what has to
 * migrate; an embedder reads and writes it for that purpose only, and calls
 * pcienic_core_validate() before it trusts what it read.
 */
typedef struct PcienicCore {
    const PcienicOps *ops;
    void *opaque;
    unsigned vectors;
    uint8_t *memory;
    uint64_t memory_size;
    uint32_t generation; /* turns when the DMA engine drops its work */
    bool running;        /* inside pcienic_core_run() */
    uint32_t spent;      /* of this run's budget */
    bool delivering;     /* inside the sending of messages */
    uint8_t bounce[PCIENIC_CORE_PIECE];

    uint32_t file[PCIENIC_CORE_FILE_WORDS]; /* by offset / 4 */
    uint32_t irq_mode;                      /* PcienicIrqMode */
    uint32_t irq_enabled;                   /* vectors that may be sent */
    bool intx_level;
    PcienicDma dma;
} PcienicCore;

/*
 * vectors: 1 to PCIENIC_MAX_VECTORS. memory (memory_size bytes) is the device
 * memory of BAR4; it and ops must outlive the core. Leaves the core as after a
 * cold reset, without calling an operation.
 */
void pcienic_core_init(PcienicCore *core, const PcienicOps *ops, void *opaque,
                       unsigned vectors, uint8_t *memory, uint64_t memory_size);

/*
 * An access to the register BAR. size is 4 or 8 and offset a multiple of it;
 * anything else reads as 0 and writes nothing.
 */
uint64_t pcienic_core_read(PcienicCore *core, uint64_t offset, unsigned size);
void pcienic_core_write(PcienicCore *core, uint64_t offset, uint64_t value,
                        unsigned size);

/* Do a bounded piece of the work at hand; schedules itself for the rest. */
void pcienic_core_run(PcienicCore *core);
/* Is there work for pcienic_core_run()? */
bool pcienic_core_busy(const PcienicCore *core);

/* Raise a vector, as a write to IRQ_TEST does. */
void pcienic_core_raise(PcienicCore *core, unsigned vector);

void pcienic_core_reset(PcienicCore *core, PcienicResetKind kind);

/*
 * The guest changed how interrupts are delivered. enabled: vectors it enabled,
 * counted as IRQ_STATUS.ENABLED is. Sends what was held back for want of a
 * way; to be called, too, when bus_master() turns true, for the same reason.
 */
void pcienic_core_set_irq_mode(PcienicCore *core, PcienicIrqMode mode,
                               unsigned enabled);

/*
 * Is the state one that the core could have come to by itself? A migration
 * stream is untrusted: a state that fails here must not be run.
 */
bool pcienic_core_validate(const PcienicCore *core);

#ifdef __cplusplus
}
#endif

#endif
