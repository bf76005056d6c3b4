// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The loops that the register benchmarks time. What is compared differs in its types alone: tests/unit/bench looks at
/// the instructions, which are the same.

#include <cstddef>
#include <cstdint>
#include <uiovfio/window.hpp>

extern "C" {

// `size` stands where MappedWindow has it: a window is two words.
std::uint32_t read_raw(volatile std::uint32_t* block, std::size_t size, std::size_t count);
std::uint32_t read_typed(uiovfio::MappedWindow block, std::size_t count);
std::uint32_t read_window(const uiovfio::Window& block, std::size_t count);

void write_raw(volatile std::uint32_t* block, std::size_t size, std::size_t count);
void write_typed(uiovfio::MappedWindow block, std::size_t count);
void write_window(const uiovfio::Window& block, std::size_t count);

}  // extern "C"
