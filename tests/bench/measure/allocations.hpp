// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Counts what this program takes from the heap, whoever asks: operator new, Asio, which calls aligned_alloc() itself,
/// or a C library.

#include <cstddef>

namespace pcienic::bench {

/// Allocations of the calling thread so far.
std::size_t allocations() noexcept;

}  // namespace pcienic::bench
