// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Memory for DmaSpace::allocate().

#include <cstddef>
#include <cstdint>
#include <span>

#include "uiovfio/error.hpp"

namespace uiovfio::detail {

/// What an x86-64 or arm64 page table of 4 KiB pages calls a block of the second level, in the processor and in the
/// IOMMU: one entry instead of 512.
inline constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::size_t round_up(std::size_t size, std::size_t unit) noexcept { return (size + unit - 1) / unit * unit; }

struct DmaMemory {
    std::span<std::byte> bytes;
    std::size_t page_size = 0;
};

/// Zeroed memory in pages of 2 MiB, every one of which is there; empty where the system has not enough of them.
DmaMemory huge_memory(std::size_t size) noexcept;

/// Zeroed memory in ordinary pages; from 2 MiB on it starts at a huge page's boundary, so that transparent huge pages
/// can back it. Throws system_error.
DmaMemory ordinary_memory(std::size_t size);

void free_memory(std::span<std::byte> bytes) noexcept;

}  // namespace uiovfio::detail
