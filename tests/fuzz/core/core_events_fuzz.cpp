// SPDX-License-Identifier: MIT
// Any sequence of register accesses, memory contents, resets and mode changes, also from inside the core's operations.
#include "core_machine.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    pcienic::fuzz::Machine(std::span(data, size)).live();
    return 0;
}
