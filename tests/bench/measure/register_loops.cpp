// SPDX-License-Identifier: MIT
#include "measure/register_loops.hpp"

#include <pcienic/registers.hpp>

using pcienic::regs::Scratch;

static_assert(sizeof(Scratch::Raw) == sizeof(std::uint32_t));

extern "C" {

std::uint32_t read_raw(volatile std::uint32_t* block, std::size_t /*size*/, std::size_t count) {
    std::uint32_t sum = 0;
    for (; count > 0; --count) sum += block[Scratch::kOffset / sizeof(std::uint32_t)];
    return sum;
}

std::uint32_t read_typed(uiovfio::MappedWindow block, std::size_t count) {
    std::uint32_t sum = 0;
    for (; count > 0; --count) sum += Scratch::read(block).raw();
    return sum;
}

std::uint32_t read_window(const uiovfio::Window& block, std::size_t count) {
    std::uint32_t sum = 0;
    for (; count > 0; --count) sum += Scratch::read(block).raw();
    return sum;
}

void write_raw(volatile std::uint32_t* block, std::size_t /*size*/, std::size_t count) {
    for (; count > 0; --count) block[Scratch::kOffset / sizeof(std::uint32_t)] = static_cast<std::uint32_t>(count);
}

void write_typed(uiovfio::MappedWindow block, std::size_t count) {
    for (; count > 0; --count) Scratch::write(block, static_cast<std::uint32_t>(count));
}

void write_window(const uiovfio::Window& block, std::size_t count) {
    for (; count > 0; --count) Scratch::write(block, static_cast<std::uint32_t>(count));
}

}  // extern "C"
