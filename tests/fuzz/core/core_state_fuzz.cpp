// SPDX-License-Identifier: MIT
// A migration stream from somebody else: a state with arbitrary changes either is refused or behaves.
#include "core_machine.hpp"

namespace {

using pcienic::fuzz::Machine;

// What a stream sets, word by word; bools are normalised as QEMU's loader does.
void change(PcienicCore& core, std::uint32_t where, std::uint32_t value) {
    auto& dma = core.dma;
    auto& command = dma.command;
    auto& side = where & 1 ? command.source : command.destination;
    switch (where / 2 % 24) {
        case 0:
            core.file[where / 48 % PCIENIC_CORE_FILE_WORDS] = value;
            break;
        case 1:
            core.irq_mode = value;
            break;
        case 2:
            core.irq_enabled = value;
            break;
        case 3:
            dma.kicked = value & 1;
            break;
        case 4:
            dma.stopped = value & 1;
            break;
        case 5:
            dma.phase = value & 1;
            break;
        case 6:
            dma.head = value;
            break;
        case 7:
            dma.completed = std::uint64_t{value} << 32 | value;
            break;
        case 8:
            command.active = value & 1;
            break;
        case 9:
            command.phase = value & 1;
            break;
        case 10:
            command.index = value;
            break;
        case 11:
            command.control = value;
            break;
        case 12:
            command.tag = value;
            break;
        case 13:
            command.length = value;
            break;
        case 14:
            command.done = value;
            break;
        case 15:
            command.pattern = value;
            break;
        case 16:
            side.kind = value;
            break;
        case 17:
            side.count = value;
            break;
        case 18:
            side.index = value;
            break;
        case 19:
            side.offset = value;
            break;
        case 20:
            side.segments[where / 48 % PCIENIC_MAX_SG_ENTRIES].length = value;
            break;
        case 21:
            side.segments[where / 48 % PCIENIC_MAX_SG_ENTRIES].address = value;
            break;
        case 22:
            side.segments[where / 48 % PCIENIC_MAX_SG_ENTRIES].address = ~std::uint64_t{value};
            break;
        default:
            core.file[PCIENIC_REG_DMA_CTRL / 4 + where / 48 % 10] = value;
            break;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Machine machine(std::span(data, size));
    machine.start_engine(4);
    machine.put_descriptor();
    pcienic_core_write(&machine.core(), PCIENIC_DOORBELL_DMA_DOORBELL, 0, 4);
    machine.step(machine.input().take<std::uint8_t>() % 4);
    for (auto changes = machine.input().take<std::uint8_t>() % 8; changes > 0; --changes) {
        const auto where = machine.input().take<std::uint16_t>();
        const auto small = machine.input().take<std::uint16_t>();
        change(machine.core(), where, small & 0x8000 ? machine.input().take<std::uint32_t>() : small);
    }
    if (pcienic_core_validate(&machine.core())) machine.live();
    return 0;
}
