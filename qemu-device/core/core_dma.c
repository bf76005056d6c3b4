/* SPDX-License-Identifier: MIT */
/*
 * The DMA engine.
 *
 * A descriptor is copied once, checked whole, and turned into a command: two
 * sides, each a list of segments, and a length. After that the guest's memory
 * is data and nothing else. The command is moved a piece at a time, so that
 * there is at any moment little to wait for and little to lose, and its state
 * between two pieces is plain data that migrates.
 *
 * An operation (a DMA access, a message) may call back into the core and stop
 * or restart the engine: after each of them the generation tells whether the
 * work at hand is still wanted.
 */
#include <string.h>

#include "core_internal.h"

#define PATTERN_SIZE 8u

#define FIELD(word, name) (((word) & name##_MASK) >> name##_SHIFT)

#define CONTROL_BITS                                                           \
    (PCIENIC_DESCRIPTOR_CONTROL_OPCODE_MASK |                                  \
     PCIENIC_DESCRIPTOR_CONTROL_SOURCE_SG_MASK |                               \
     PCIENIC_DESCRIPTOR_CONTROL_DESTINATION_SG_MASK |                          \
     PCIENIC_DESCRIPTOR_CONTROL_INTERRUPT_MASK |                               \
     PCIENIC_DESCRIPTOR_CONTROL_VECTOR_MASK |                                  \
     PCIENIC_DESCRIPTOR_CONTROL_PHASE_MASK)

/* The outcome of a command, or of checking a part of it */
typedef struct Outcome {
    unsigned code; /* PCIENIC_COMPLETION_STATUS_CODE_... */
    uint64_t detail;
} Outcome;

/* One side of a command, as its descriptor has it */
typedef struct SideSpec {
    PcienicSideKind kind;
    bool is_list;
    uint32_t entries;
    uint64_t address;
    unsigned fault; /* the code for memory that cannot be accessed */
} SideSpec;

typedef struct OpcodeInfo {
    PcienicSideKind source;
    PcienicSideKind destination;
} OpcodeInfo;

#define OPCODE(name) [PCIENIC_DESCRIPTOR_CONTROL_OPCODE_##name]

static const OpcodeInfo opcodes[] = {
    OPCODE(NOP) = { PCIENIC_SIDE_NONE, PCIENIC_SIDE_NONE },
    OPCODE(HOST_TO_DEVICE) = { PCIENIC_SIDE_HOST, PCIENIC_SIDE_DEVICE },
    OPCODE(DEVICE_TO_HOST) = { PCIENIC_SIDE_DEVICE, PCIENIC_SIDE_HOST },
    OPCODE(HOST_TO_HOST) = { PCIENIC_SIDE_HOST, PCIENIC_SIDE_HOST },
    OPCODE(FILL_HOST) = { PCIENIC_SIDE_PATTERN, PCIENIC_SIDE_HOST },
    OPCODE(FILL_DEVICE) = { PCIENIC_SIDE_PATTERN, PCIENIC_SIDE_DEVICE },
};

#define OPCODE_COUNT (sizeof(opcodes) / sizeof(opcodes[0]))

static const Outcome outcome_ok = { PCIENIC_COMPLETION_STATUS_CODE_OK, 0 };

static Outcome outcome(unsigned code, uint64_t detail)
{
    Outcome result = { code, detail };

    return result;
}

static uint32_t load_le32(const uint8_t *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint64_t load_le64(const uint8_t *bytes)
{
    return load_le32(bytes) | (uint64_t)load_le32(bytes + 4) << 32;
}

static void store_le32(uint8_t *bytes, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

static void store_le64(uint8_t *bytes, uint64_t value)
{
    store_le32(bytes, (uint32_t)value);
    store_le32(bytes + 4, (uint32_t)(value >> 32));
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Does a range of length bytes (at least 1) end within 64 bits? */
static bool range_fits(uint64_t address, uint64_t length)
{
    return length - 1 <= UINT64_MAX - address;
}

static uint32_t to_page_end(uint64_t address)
{
    return PCIENIC_CORE_PIECE - (uint32_t)(address % PCIENIC_CORE_PIECE);
}

static bool read_host(PcienicCore *core, uint64_t address, void *buffer,
                      uint32_t length)
{
    return core->ops->bus_master(core->opaque) &&
           core->ops->dma_read(core->opaque, address, buffer, length) ==
               PCIENIC_DMA_OK;
}

static bool write_host(PcienicCore *core, uint64_t address, const void *buffer,
                       uint32_t length)
{
    return core->ops->bus_master(core->opaque) &&
           core->ops->dma_write(core->opaque, address, buffer, length) ==
               PCIENIC_DMA_OK;
}

/* ---- The queue ---- */

bool pcienic_dma_enabled(const PcienicCore *core)
{
    return pcienic_file_get(core, PCIENIC_REG_DMA_CTRL) &
           PCIENIC_DMA_CTRL_ENABLE_MASK;
}

bool pcienic_dma_busy(const PcienicCore *core)
{
    return core->dma.kicked || core->dma.command.active;
}

uint32_t pcienic_dma_status(const PcienicCore *core)
{
    uint32_t state = PCIENIC_DMA_STATUS_STATE_IDLE;

    if (!pcienic_dma_enabled(core)) {
        state = PCIENIC_DMA_STATUS_STATE_DISABLED;
    } else if (core->dma.stopped) {
        state = PCIENIC_DMA_STATUS_STATE_STOPPED;
    } else if (pcienic_dma_busy(core)) {
        state = PCIENIC_DMA_STATUS_STATE_BUSY;
    }
    return state << PCIENIC_DMA_STATUS_STATE_SHIFT |
           core->dma.head << PCIENIC_DMA_STATUS_HEAD_SHIFT;
}

static uint32_t ring_log2(const PcienicCore *core)
{
    return FIELD(pcienic_file_get(core, PCIENIC_REG_DMA_RING_SIZE),
                 PCIENIC_DMA_RING_SIZE_LOG2);
}

static uint32_t ring_entries(const PcienicCore *core)
{
    return UINT32_C(1) << ring_log2(core);
}

static bool ring_fits(const PcienicCore *core, uint32_t base_register,
                      uint32_t entry_size)
{
    uint64_t base = pcienic_file_get64(core, base_register);

    return base % PCIENIC_RING_ALIGNMENT == 0 &&
           range_fits(base, (uint64_t)entry_size * ring_entries(core));
}

/* The first register that breaks the rules, or 0: that is ID, which cannot. */
static uint32_t offending_register(const PcienicCore *core)
{
    if (ring_log2(core) < PCIENIC_RING_MIN_LOG2 ||
        ring_log2(core) > PCIENIC_RING_MAX_LOG2) {
        return PCIENIC_REG_DMA_RING_SIZE;
    }
    if (!ring_fits(core, PCIENIC_REG_DMA_RING_BASE, PCIENIC_DESCRIPTOR_SIZE)) {
        return PCIENIC_REG_DMA_RING_BASE;
    }
    if (!ring_fits(core, PCIENIC_REG_DMA_COMPLETION_BASE,
                   PCIENIC_COMPLETION_SIZE)) {
        return PCIENIC_REG_DMA_COMPLETION_BASE;
    }
    return 0;
}

static void drop_work(PcienicCore *core)
{
    core->generation++;
    core->dma.kicked = false;
    core->dma.stopped = false;
    core->dma.command.active = false;
}

void pcienic_dma_enable(PcienicCore *core)
{
    uint32_t offending = offending_register(core);

    drop_work(core);
    if (offending) {
        uint32_t control = pcienic_file_get(core, PCIENIC_REG_DMA_CTRL);

        pcienic_file_set(core, PCIENIC_REG_DMA_CTRL,
                         control & ~PCIENIC_DMA_CTRL_ENABLE_MASK);
        pcienic_error(core, PCIENIC_ERR_CODE_CODE_BAD_CONFIG, offending);
        return;
    }
    core->dma.phase = true;
    core->dma.head = 0;
    core->dma.completed = 0;
}

void pcienic_dma_disable(PcienicCore *core)
{
    drop_work(core);
}

void pcienic_dma_reset(PcienicCore *core)
{
    drop_work(core);
    core->dma.phase = false;
    core->dma.head = 0;
    core->dma.completed = 0;
}

void pcienic_dma_doorbell(PcienicCore *core)
{
    if (pcienic_dma_enabled(core) && !core->dma.stopped) {
        core->dma.kicked = true;
        core->ops->schedule(core->opaque);
    }
}

static void stop(PcienicCore *core, unsigned code, uint64_t address)
{
    drop_work(core);
    core->dma.stopped = true;
    pcienic_error(core, code, address);
}

/* ---- Sides: where a command moves data from and to ---- */

static bool device_range_fits(const PcienicCore *core, uint64_t offset,
                              uint64_t length)
{
    return length <= core->memory_size && offset <= core->memory_size - length;
}

static void open_segment(PcienicSide *side, uint64_t address, uint32_t length)
{
    side->segments[0].address = address;
    side->segments[0].length = length;
    side->count = 1;
}

/* Copy a list in host memory to the bounce buffer; it fits by its maximum. */
static Outcome copy_list(PcienicCore *core, const SideSpec *spec)
{
    uint32_t size = spec->entries * PCIENIC_SG_ENTRY_SIZE;
    uint32_t got = 0;

    _Static_assert(PCIENIC_MAX_SG_ENTRIES * PCIENIC_SG_ENTRY_SIZE <=
                       PCIENIC_CORE_PIECE,
                   "a scatter-gather list must fit the bounce buffer");

    if (!range_fits(spec->address, size)) {
        return outcome(PCIENIC_COMPLETION_STATUS_CODE_SG_FAULT, spec->address);
    }
    while (got < size) {
        uint64_t address = spec->address + got;
        uint32_t piece = min_u32(size - got, to_page_end(address));

        core->spent += piece;
        if (!read_host(core, address, core->bounce + got, piece)) {
            return outcome(PCIENIC_COMPLETION_STATUS_CODE_SG_FAULT, address);
        }
        got += piece;
    }
    return outcome_ok;
}

static Outcome open_list(PcienicCore *core, PcienicSide *side,
                         const SideSpec *spec, uint32_t length)
{
    uint64_t total = 0;
    Outcome result;

    if (spec->entries < 1 || spec->entries > PCIENIC_MAX_SG_ENTRIES) {
        return outcome(PCIENIC_COMPLETION_STATUS_CODE_BAD_SG, 0);
    }
    result = copy_list(core, spec);
    if (result.code != PCIENIC_COMPLETION_STATUS_CODE_OK) {
        return result;
    }
    for (uint32_t i = 0; i < spec->entries; i++) {
        const uint8_t *entry = core->bounce + i * PCIENIC_SG_ENTRY_SIZE;
        PcienicSegment *segment = &side->segments[i];

        segment->address = load_le64(entry + PCIENIC_SG_ENTRY_ADDRESS_OFFSET);
        segment->length = load_le32(entry + PCIENIC_SG_ENTRY_LENGTH_OFFSET);
        if (load_le32(entry + PCIENIC_SG_ENTRY_RESERVED_OFFSET)) {
            return outcome(PCIENIC_COMPLETION_STATUS_CODE_BAD_FLAGS, 0);
        }
        if (!segment->length) {
            return outcome(PCIENIC_COMPLETION_STATUS_CODE_BAD_SG, 0);
        }
        if (!range_fits(segment->address, segment->length)) {
            return outcome(spec->fault, segment->address);
        }
        total += segment->length;
    }
    if (total < length) {
        return outcome(PCIENIC_COMPLETION_STATUS_CODE_BAD_SG, 0);
    }
    side->count = spec->entries;
    return outcome_ok;
}

static Outcome open_side(PcienicCore *core, PcienicSide *side,
                         const SideSpec *spec, uint32_t length)
{
    side->kind = (uint32_t)spec->kind;
    side->count = 0;
    side->index = 0;
    side->offset = 0;
    if (spec->is_list) {
        return open_list(core, side, spec, length);
    }
    if (spec->entries) {
        return outcome(PCIENIC_COMPLETION_STATUS_CODE_BAD_SG, 0);
    }
    switch (spec->kind) {
    case PCIENIC_SIDE_HOST:
        if (!range_fits(spec->address, length)) {
            return outcome(spec->fault, spec->address);
        }
        open_segment(side, spec->address, length);
        break;
    case PCIENIC_SIDE_DEVICE:
        if (!device_range_fits(core, spec->address, length)) {
            return outcome(PCIENIC_COMPLETION_STATUS_CODE_DEVICE_RANGE,
                           spec->address);
        }
        open_segment(side, spec->address, length);
        break;
    case PCIENIC_SIDE_PATTERN:
    case PCIENIC_SIDE_NONE:
        break;
    }
    return outcome_ok;
}

static uint64_t side_address(const PcienicSide *side)
{
    return side->segments[side->index].address + side->offset;
}

/* Bytes that can be moved in one go: a segment's rest, within a page. */
static uint32_t side_contiguous(const PcienicSide *side)
{
    uint32_t left;

    if (side->kind == PCIENIC_SIDE_PATTERN) {
        return PCIENIC_CORE_PIECE;
    }
    left = side->segments[side->index].length - side->offset;
    return side->kind == PCIENIC_SIDE_HOST
               ? min_u32(left, to_page_end(side_address(side)))
               : left;
}

static void side_advance(PcienicSide *side, uint32_t length)
{
    if (side->kind == PCIENIC_SIDE_PATTERN) {
        return;
    }
    side->offset += length;
    if (side->offset == side->segments[side->index].length) {
        side->index++;
        side->offset = 0;
    }
}

/* ---- Commands ---- */

static Outcome open_command(PcienicCore *core, PcienicCommand *command,
                            const uint8_t *descriptor)
{
    uint64_t source = load_le64(descriptor + PCIENIC_DESCRIPTOR_SOURCE_OFFSET);
    uint64_t destination =
        load_le64(descriptor + PCIENIC_DESCRIPTOR_DESTINATION_OFFSET);
    uint32_t length = load_le32(descriptor + PCIENIC_DESCRIPTOR_LENGTH_OFFSET);
    uint32_t sg = load_le32(descriptor + PCIENIC_DESCRIPTOR_SG_COUNT_OFFSET);
    uint32_t control = command->control;
    uint32_t opcode = FIELD(control, PCIENIC_DESCRIPTOR_CONTROL_OPCODE);
    SideSpec from = {
        .is_list = control & PCIENIC_DESCRIPTOR_CONTROL_SOURCE_SG_MASK,
        .entries = FIELD(sg, PCIENIC_DESCRIPTOR_SG_COUNT_SOURCE),
        .address = source,
        .fault = PCIENIC_COMPLETION_STATUS_CODE_SOURCE_FAULT,
    };
    SideSpec to = {
        .is_list = control & PCIENIC_DESCRIPTOR_CONTROL_DESTINATION_SG_MASK,
        .entries = FIELD(sg, PCIENIC_DESCRIPTOR_SG_COUNT_DESTINATION),
        .address = destination,
        .fault = PCIENIC_COMPLETION_STATUS_CODE_DESTINATION_FAULT,
    };
    Outcome result;

    command->length = length;
    command->pattern = source;
    if (opcode >= OPCODE_COUNT) {
        return outcome(PCIENIC_COMPLETION_STATUS_CODE_BAD_OPCODE, 0);
    }
    from.kind = opcodes[opcode].source;
    to.kind = opcodes[opcode].destination;
    if (control & ~CONTROL_BITS ||
        (from.is_list && from.kind != PCIENIC_SIDE_HOST) ||
        (to.is_list && to.kind != PCIENIC_SIDE_HOST)) {
        return outcome(PCIENIC_COMPLETION_STATUS_CODE_BAD_FLAGS, 0);
    }
    if (control & PCIENIC_DESCRIPTOR_CONTROL_INTERRUPT_MASK &&
        FIELD(control, PCIENIC_DESCRIPTOR_CONTROL_VECTOR) >= core->vectors) {
        return outcome(PCIENIC_COMPLETION_STATUS_CODE_BAD_VECTOR, 0);
    }
    if (opcode == PCIENIC_DESCRIPTOR_CONTROL_OPCODE_NOP) {
        command->length = 0;
    } else if (!length) {
        return outcome(PCIENIC_COMPLETION_STATUS_CODE_ZERO_LENGTH, 0);
    }
    result = open_side(core, &command->source, &from, length);
    if (result.code == PCIENIC_COMPLETION_STATUS_CODE_OK) {
        result = open_side(core, &command->destination, &to, length);
    }
    return result;
}

/*
 * Tell the driver how the current command ended. STATUS goes last, by itself:
 * whoever sees its phase sees the rest.
 */
static void complete(PcienicCore *core, Outcome result)
{
    PcienicCommand *command = &core->dma.command;
    uint32_t vector =
        FIELD(command->control, PCIENIC_DESCRIPTOR_CONTROL_VECTOR);
    uint32_t index = command->index;
    bool interrupt =
        command->control & PCIENIC_DESCRIPTOR_CONTROL_INTERRUPT_MASK;
    uint64_t address =
        pcienic_file_get64(core, PCIENIC_REG_DMA_COMPLETION_BASE) +
        index * PCIENIC_COMPLETION_SIZE;
    uint32_t generation = core->generation;
    uint32_t status = result.code << PCIENIC_COMPLETION_STATUS_CODE_SHIFT |
                      index << PCIENIC_COMPLETION_STATUS_INDEX_SHIFT;
    uint8_t entry[PCIENIC_COMPLETION_SIZE];
    bool ok;

    if (command->phase) {
        status |= PCIENIC_COMPLETION_STATUS_PHASE_MASK;
    }
    store_le64(entry + PCIENIC_COMPLETION_DETAIL_OFFSET, result.detail);
    store_le32(entry + PCIENIC_COMPLETION_TAG_OFFSET, command->tag);
    store_le32(entry + PCIENIC_COMPLETION_STATUS_OFFSET, status);

    ok = write_host(core, address, entry, PCIENIC_COMPLETION_STATUS_OFFSET) &&
         core->generation == generation &&
         write_host(core, address + PCIENIC_COMPLETION_STATUS_OFFSET,
                    entry + PCIENIC_COMPLETION_STATUS_OFFSET, 4);
    if (core->generation != generation) {
        return;
    }
    if (!ok) {
        stop(core, PCIENIC_ERR_CODE_CODE_COMPLETION_FAULT, address);
        return;
    }
    command->active = false;
    core->dma.completed++;
    if (core->ops->completed) {
        core->ops->completed(core->opaque, index, result.code, result.detail);
    }
    if (interrupt && vector < core->vectors) {
        pcienic_core_raise(core, vector);
    }
}

static void fetch(PcienicCore *core)
{
    PcienicDma *dma = &core->dma;
    PcienicCommand *command = &dma->command;
    uint64_t address = pcienic_file_get64(core, PCIENIC_REG_DMA_RING_BASE) +
                       dma->head * PCIENIC_DESCRIPTOR_SIZE;
    uint32_t generation = core->generation;
    uint8_t descriptor[PCIENIC_DESCRIPTOR_SIZE] = { 0 };
    uint32_t control;
    Outcome result;
    bool ok;

    /*
     * Forget the doorbell before looking, not after: one that comes while we
     * look is then not lost.
     */
    dma->kicked = false;
    /*
     * CONTROL by itself, and the rest only once it says that the descriptor is
     * ours: the driver may be writing it at this very moment, and a copy in
     * one go could pair its new CONTROL with old addresses.
     */
    ok = read_host(core, address + PCIENIC_DESCRIPTOR_CONTROL_OFFSET,
                   descriptor + PCIENIC_DESCRIPTOR_CONTROL_OFFSET, 4);
    if (core->generation != generation) {
        return;
    }
    control = load_le32(descriptor + PCIENIC_DESCRIPTOR_CONTROL_OFFSET);
    if (ok &&
        !!(control & PCIENIC_DESCRIPTOR_CONTROL_PHASE_MASK) != dma->phase) {
        return;
    }
    ok = ok && read_host(core, address, descriptor,
                         PCIENIC_DESCRIPTOR_CONTROL_OFFSET);
    if (core->generation != generation) {
        return;
    }
    if (!ok) {
        stop(core, PCIENIC_ERR_CODE_CODE_DESCRIPTOR_FAULT, address);
        return;
    }

    command->index = dma->head;
    command->phase = dma->phase;
    command->control = control;
    command->tag = load_le32(descriptor + PCIENIC_DESCRIPTOR_TAG_OFFSET);
    command->done = 0;
    dma->kicked = true;
    if (++dma->head == ring_entries(core)) {
        dma->head = 0;
        dma->phase = !dma->phase;
    }
    result = open_command(core, command, descriptor);
    if (core->generation != generation) {
        return;
    }
    if (result.code == PCIENIC_COMPLETION_STATUS_CODE_OK && command->length) {
        command->active = true;
    } else {
        complete(core, result);
    }
}

/* Repeat the pattern, which began with the command's first byte. */
static void fill(const PcienicCommand *command, uint8_t *buffer,
                 uint32_t length)
{
    uint8_t pattern[PATTERN_SIZE];
    uint8_t rotated[PATTERN_SIZE];

    store_le64(pattern, command->pattern);
    for (uint32_t i = 0; i < PATTERN_SIZE; i++) {
        rotated[i] = pattern[(command->done + i) % PATTERN_SIZE];
    }
    for (uint32_t i = 0; i < length; i += PATTERN_SIZE) {
        memcpy(buffer + i, rotated, min_u32(length - i, PATTERN_SIZE));
    }
}

/*
 * Every piece goes through the bounce buffer, even to and from device memory.
 * A guest can reach device memory by a bus address, too, and would otherwise
 * have us copy between ranges that overlap; and a piece that could not be read
 * whole must leave its destination alone.
 */
static bool get_piece(PcienicCore *core, const PcienicCommand *command,
                      uint32_t length)
{
    const PcienicSide *side = &command->source;

    switch (side->kind) {
    case PCIENIC_SIDE_HOST:
        return read_host(core, side_address(side), core->bounce, length);
    case PCIENIC_SIDE_DEVICE:
        memcpy(core->bounce, core->memory + side_address(side), length);
        return true;
    default:
        fill(command, core->bounce, length);
        return true;
    }
}

static bool put_piece(PcienicCore *core, const PcienicCommand *command,
                      uint32_t length)
{
    const PcienicSide *side = &command->destination;

    if (side->kind == PCIENIC_SIDE_HOST) {
        return write_host(core, side_address(side), core->bounce, length);
    }
    memcpy(core->memory + side_address(side), core->bounce, length);
    if (core->ops->memory_written) {
        core->ops->memory_written(core->opaque, side_address(side), length);
    }
    return true;
}

/* Move one piece of the current command. */
static void move(PcienicCore *core)
{
    PcienicCommand *command = &core->dma.command;
    uint32_t generation = core->generation;
    uint32_t length = command->length - command->done;
    bool ok;

    length = min_u32(length, PCIENIC_CORE_PIECE);
    length = min_u32(length, side_contiguous(&command->source));
    length = min_u32(length, side_contiguous(&command->destination));

    core->spent += length;
    ok = get_piece(core, command, length);
    if (core->generation != generation) {
        return;
    }
    if (!ok) {
        complete(core, outcome(PCIENIC_COMPLETION_STATUS_CODE_SOURCE_FAULT,
                               side_address(&command->source)));
        return;
    }
    ok = put_piece(core, command, length);
    if (core->generation != generation) {
        return;
    }
    if (!ok) {
        complete(core, outcome(PCIENIC_COMPLETION_STATUS_CODE_DESTINATION_FAULT,
                               side_address(&command->destination)));
        return;
    }
    command->done += length;
    side_advance(&command->source, length);
    side_advance(&command->destination, length);
    if (command->done == command->length) {
        complete(core,
                 outcome(PCIENIC_COMPLETION_STATUS_CODE_OK, command->done));
    }
}

void pcienic_dma_step(PcienicCore *core)
{
    if (core->dma.command.active) {
        move(core);
    } else {
        fetch(core);
    }
}

/* ---- What a migration stream may say ---- */

static bool side_validate(const PcienicCore *core, const PcienicSide *side,
                          PcienicSideKind kind, uint32_t needed)
{
    uint64_t left = 0;

    if (side->kind != (uint32_t)kind) {
        return false;
    }
    if (kind == PCIENIC_SIDE_PATTERN) {
        return side->count == 0 && side->index == 0 && side->offset == 0;
    }
    if (side->count > PCIENIC_MAX_SG_ENTRIES || side->index >= side->count ||
        side->offset >= side->segments[side->index].length) {
        return false;
    }
    for (uint32_t i = side->index; i < side->count; i++) {
        const PcienicSegment *segment = &side->segments[i];

        if (!segment->length ||
            !range_fits(segment->address, segment->length) ||
            (kind == PCIENIC_SIDE_DEVICE &&
             !device_range_fits(core, segment->address, segment->length))) {
            return false;
        }
        left += segment->length;
    }
    return left - side->offset >= needed;
}

static bool command_validate(const PcienicCore *core)
{
    const PcienicCommand *command = &core->dma.command;
    uint32_t opcode =
        FIELD(command->control, PCIENIC_DESCRIPTOR_CONTROL_OPCODE);

    if (!command->active) {
        return true;
    }
    if (opcode >= OPCODE_COUNT ||
        opcode == PCIENIC_DESCRIPTOR_CONTROL_OPCODE_NOP ||
        command->index >= ring_entries(core) ||
        command->done >= command->length) {
        return false;
    }
    return side_validate(core, &command->source, opcodes[opcode].source,
                         command->length - command->done) &&
           side_validate(core, &command->destination,
                         opcodes[opcode].destination,
                         command->length - command->done);
}

bool pcienic_dma_validate(const PcienicCore *core)
{
    const PcienicDma *dma = &core->dma;

    if (!pcienic_dma_enabled(core)) {
        return !pcienic_dma_busy(core) && !dma->stopped &&
               dma->head < UINT32_C(1) << PCIENIC_RING_MAX_LOG2;
    }
    return !offending_register(core) && dma->head < ring_entries(core) &&
           !(dma->stopped && pcienic_dma_busy(core)) && command_validate(core);
}
