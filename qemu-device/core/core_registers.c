/* SPDX-License-Identifier: MIT */
/*
 * The register file.
 *
 * Access rules come from the generated table alone; the only registers named
 * here are those whose value is worked out when they are read, and those whose
 * write does something.
 */
#include <string.h>

#include "core_internal.h"

#define LOW_HALF  UINT64_C(0x00000000ffffffff)
#define HIGH_HALF UINT64_C(0xffffffff00000000)

typedef struct RegisterInfo {
    uint32_t offset;
    uint32_t width;
    uint32_t count;
    uint64_t rw;
    uint64_t w1c;
    uint64_t w1s;
    uint64_t sticky;
    uint64_t reset;
    unsigned access;
} RegisterInfo;

#define TABLE_ROW(name, offset, width, count, rw, w1c, w1s, sticky, reset,     \
                  access)                                                      \
    { offset, width, count, rw, w1c, w1s, sticky, reset, access },

static const RegisterInfo registers[] = { PCIENIC_REGISTER_TABLE(TABLE_ROW) };

#define REGISTER_COUNT (sizeof(registers) / sizeof(registers[0]))

/* One access to one register: all of it, or half of a 64-bit one */
typedef struct Access {
    const RegisterInfo *info;
    uint32_t offset;  /* that was accessed */
    uint32_t element; /* offset of the register that it belongs to */
    uint64_t lanes;   /* bits of the register that take part */
} Access;

uint32_t pcienic_file_get(const PcienicCore *core, uint32_t offset)
{
    return core->file[offset / 4];
}

void pcienic_file_set(PcienicCore *core, uint32_t offset, uint32_t value)
{
    core->file[offset / 4] = value;
}

uint64_t pcienic_file_get64(const PcienicCore *core, uint32_t offset)
{
    return core->file[offset / 4] | (uint64_t)core->file[offset / 4 + 1] << 32;
}

void pcienic_file_set64(PcienicCore *core, uint32_t offset, uint64_t value)
{
    core->file[offset / 4] = (uint32_t)value;
    core->file[offset / 4 + 1] = (uint32_t)(value >> 32);
}

static uint64_t stored(const PcienicCore *core, const RegisterInfo *info,
                       uint32_t element)
{
    return info->width == 64 ? pcienic_file_get64(core, element)
                             : pcienic_file_get(core, element);
}

static void store(PcienicCore *core, const RegisterInfo *info, uint32_t element,
                  uint64_t value)
{
    if (info->width == 64) {
        pcienic_file_set64(core, element, value);
    } else {
        pcienic_file_set(core, element, (uint32_t)value);
    }
}

static const RegisterInfo *register_at(uint64_t offset)
{
    for (size_t i = 0; i < REGISTER_COUNT; i++) {
        const RegisterInfo *info = &registers[i];

        if (offset >= info->offset &&
            offset - info->offset < info->count * info->width / 8) {
            return info;
        }
    }
    return NULL;
}

static bool find(uint64_t offset, unsigned size, Access *access)
{
    const RegisterInfo *info = register_at(offset);
    uint32_t within;

    if (!info) {
        return false;
    }
    within = (uint32_t)(offset - info->offset) % (info->width / 8);
    access->info = info;
    access->offset = (uint32_t)offset;
    access->element = (uint32_t)offset - within;
    if (info->width == 32) {
        access->lanes = LOW_HALF;
    } else if (size == 8) {
        access->lanes = LOW_HALF | HIGH_HALF;
    } else {
        access->lanes = within ? HIGH_HALF : LOW_HALF;
    }
    return true;
}

/* The bits of an element that exist in this device. */
static uint64_t existing(const PcienicCore *core, const RegisterInfo *info,
                         uint32_t element)
{
    switch (info->offset) {
    case PCIENIC_REG_IRQ_CAUSE:
    case PCIENIC_REG_IRQ_MASK:
        return pcienic_irq_bits_below(core->vectors,
                                      (element - info->offset) / 4);
    default:
        return info->rw | info->w1c | info->w1s;
    }
}

static uint32_t function_status(const PcienicCore *core)
{
    uint32_t status = PCIENIC_STATUS_READY_MASK;

    if (pcienic_dma_busy(core)) {
        status |= PCIENIC_STATUS_DMA_BUSY_MASK;
    }
    if (pcienic_file_get(core, PCIENIC_REG_ERR_STATUS) &
        PCIENIC_ERR_STATUS_VALID_MASK) {
        status |= PCIENIC_STATUS_ERROR_MASK;
    }
    if (core->ops->bus_master(core->opaque)) {
        status |= PCIENIC_STATUS_BUS_MASTER_MASK;
    }
    return status;
}

static uint64_t value_of(const PcienicCore *core, const Access *access)
{
    switch (access->element) {
    case PCIENIC_REG_STATUS:
        return function_status(core);
    case PCIENIC_REG_VECTORS:
        return core->vectors;
    case PCIENIC_REG_IRQ_STATUS:
        return core->irq_mode << PCIENIC_IRQ_STATUS_MODE_SHIFT |
               core->irq_enabled << PCIENIC_IRQ_STATUS_ENABLED_SHIFT;
    case PCIENIC_REG_MEMORY_SIZE:
        return core->memory_size;
    case PCIENIC_REG_DMA_STATUS:
        return pcienic_dma_status(core);
    case PCIENIC_REG_DMA_COMPLETED:
        return core->dma.completed;
    default:
        return stored(core, access->info, access->element);
    }
}

/* What a write does beyond changing the file. */
static void written(PcienicCore *core, const Access *access, uint64_t old,
                    uint64_t now, uint64_t ones)
{
    switch (access->info->offset) {
    case PCIENIC_REG_CTRL:
        if (ones & PCIENIC_CTRL_RESET_MASK) {
            pcienic_core_reset(core, PCIENIC_RESET_SOFTWARE);
        }
        break;
    case PCIENIC_REG_ERR_STATUS:
        if (old & ~now & PCIENIC_ERR_STATUS_VALID_MASK) {
            pcienic_file_set(core, PCIENIC_REG_ERR_CODE,
                             PCIENIC_ERR_CODE_CODE_NONE);
            pcienic_file_set64(core, PCIENIC_REG_ERR_INFO, 0);
        }
        break;
    case PCIENIC_REG_IRQ_CAUSE:
    case PCIENIC_REG_IRQ_MASK:
        pcienic_irq_deliver(core);
        break;
    case PCIENIC_REG_DMA_CTRL:
        if (now & ~old & PCIENIC_DMA_CTRL_ENABLE_MASK) {
            pcienic_dma_enable(core);
        } else if (old & ~now & PCIENIC_DMA_CTRL_ENABLE_MASK) {
            pcienic_dma_disable(core);
        }
        break;
    default:
        break;
    }
}

static bool is_locked(const PcienicCore *core, uint32_t element)
{
    switch (element) {
    case PCIENIC_REG_DMA_RING_BASE:
    case PCIENIC_REG_DMA_COMPLETION_BASE:
    case PCIENIC_REG_DMA_RING_SIZE:
        return pcienic_dma_enabled(core);
    default:
        return false;
    }
}

static void write_register(PcienicCore *core, const Access *access,
                           uint64_t value)
{
    const RegisterInfo *info = access->info;
    uint64_t exists = existing(core, info, access->element);
    uint64_t ones = value & access->lanes;
    uint64_t keep = ~(info->rw & exists & access->lanes);
    uint64_t old;
    uint64_t now;

    if (access->element == PCIENIC_REG_IRQ_TEST) {
        pcienic_core_raise(core, (unsigned)value);
        return;
    }
    if (info->access == PCIENIC_ACCESS_RO) {
        pcienic_error(core, PCIENIC_ERR_CODE_CODE_READ_ONLY, access->offset);
        return;
    }
    if (is_locked(core, access->element)) {
        pcienic_error(core, PCIENIC_ERR_CODE_CODE_LOCKED, access->offset);
        return;
    }
    if (ones & ~exists) {
        pcienic_error(core, PCIENIC_ERR_CODE_CODE_BAD_VALUE, access->offset);
    }

    old = stored(core, info, access->element);
    now = (old & keep) | (ones & ~keep);
    now &= ~(ones & info->w1c);
    store(core, info, access->element, now);
    written(core, access, old, now, ones);
}

static bool is_refused(uint64_t offset, unsigned size)
{
    return (size != 4 && size != 8) || offset % size != 0;
}

/* An 8-byte access that is not to one 64-bit register is two of 4 bytes. */
static bool is_split(uint64_t offset, unsigned size)
{
    const RegisterInfo *info = register_at(offset);

    return size == 8 && !(info && info->width == 64);
}

uint64_t pcienic_core_read(PcienicCore *core, uint64_t offset, unsigned size)
{
    Access access;
    uint64_t value;

    if (is_refused(offset, size)) {
        return 0;
    }
    if (is_split(offset, size)) {
        value = pcienic_core_read(core, offset, 4);
        return value | pcienic_core_read(core, offset + 4, 4) << 32;
    }
    if (offset == PCIENIC_DOORBELL_DMA_DOORBELL) {
        return 0;
    }
    if (!find(offset, size, &access)) {
        pcienic_error(core, PCIENIC_ERR_CODE_CODE_BAD_OFFSET, offset);
        return 0;
    }
    value = value_of(core, &access);
    return access.lanes == HIGH_HALF ? value >> 32 : value & access.lanes;
}

void pcienic_core_write(PcienicCore *core, uint64_t offset, uint64_t value,
                        unsigned size)
{
    Access access;

    if (is_refused(offset, size)) {
        return;
    }
    if (is_split(offset, size)) {
        pcienic_core_write(core, offset, value & LOW_HALF, 4);
        pcienic_core_write(core, offset + 4, value >> 32, 4);
        return;
    }
    if (offset == PCIENIC_DOORBELL_DMA_DOORBELL) {
        pcienic_dma_doorbell(core);
        return;
    }
    if (!find(offset, size, &access)) {
        pcienic_error(core, PCIENIC_ERR_CODE_CODE_BAD_OFFSET, offset);
        return;
    }
    write_register(core, &access,
                   access.lanes == HIGH_HALF ? value << 32 : value);
}

void pcienic_error(PcienicCore *core, unsigned code, uint64_t info)
{
    uint32_t status = pcienic_file_get(core, PCIENIC_REG_ERR_STATUS);

    if (status & PCIENIC_ERR_STATUS_VALID_MASK) {
        status |= PCIENIC_ERR_STATUS_OVERFLOW_MASK;
    } else {
        status |= PCIENIC_ERR_STATUS_VALID_MASK;
        pcienic_file_set(core, PCIENIC_REG_ERR_CODE,
                         code << PCIENIC_ERR_CODE_CODE_SHIFT);
        pcienic_file_set64(core, PCIENIC_REG_ERR_INFO, info);
    }
    pcienic_file_set(core, PCIENIC_REG_ERR_STATUS, status);
    core->ops->guest_error(core->opaque, code, info);
}

void pcienic_registers_reset(PcienicCore *core, PcienicResetKind kind)
{
    if (kind == PCIENIC_RESET_COLD) {
        /* Between the registers, too: a stream may have been there. */
        memset(core->file, 0, sizeof(core->file));
    }
    for (size_t i = 0; i < REGISTER_COUNT; i++) {
        const RegisterInfo *info = &registers[i];
        uint64_t keep = kind == PCIENIC_RESET_COLD ? 0 : info->sticky;

        for (uint32_t n = 0; n < info->count; n++) {
            uint32_t element = info->offset + n * info->width / 8;
            uint64_t old = stored(core, info, element);

            store(core, info, element, (old & keep) | (info->reset & ~keep));
        }
    }
}

static bool validate_element(const PcienicCore *core, const RegisterInfo *info,
                             uint32_t element)
{
    uint64_t value = stored(core, info, element);

    switch (element) {
    case PCIENIC_REG_ERR_CODE:
        return value <= PCIENIC_ERR_CODE_CODE_BAD_VALUE;
    case PCIENIC_REG_ERR_INFO:
        return true;
    default:
        break;
    }
    if (info->access == PCIENIC_ACCESS_RO ||
        info->access == PCIENIC_ACCESS_WO) {
        return value == info->reset;
    }
    /* Bits that start something (w1s) never stay in the file. */
    return !(value & ~(existing(core, info, element) & ~info->w1s));
}

bool pcienic_registers_validate(const PcienicCore *core)
{
    bool is_register[PCIENIC_CORE_FILE_WORDS] = { false };

    for (size_t i = 0; i < REGISTER_COUNT; i++) {
        const RegisterInfo *info = &registers[i];

        for (uint32_t n = 0; n < info->count; n++) {
            uint32_t element = info->offset + n * info->width / 8;

            if (!validate_element(core, info, element)) {
                return false;
            }
            is_register[element / 4] = true;
            is_register[(element + info->width / 8 - 1) / 4] = true;
        }
    }
    for (uint32_t word = 0; word < PCIENIC_CORE_FILE_WORDS; word++) {
        if (!is_register[word] && core->file[word]) {
            return false;
        }
    }
    return true;
}
