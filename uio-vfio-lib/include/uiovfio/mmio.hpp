// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Loads and stores on device memory, and the barriers that order them against host memory.
///
/// Each load and store is one access of exactly T's width: the compiler neither splits, merges, repeats nor drops it.
/// Accesses to one device stay in program order. They are not ordered against ordinary memory: put write_barrier()
/// between filling a descriptor and ringing its doorbell, read_barrier() between reading a "done" flag and the data
/// that it announces.

#include <bit>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "uiovfio/checked.hpp"

namespace uiovfio {

static_assert(std::endian::native == std::endian::little,
              "PCI registers are little-endian and this library does not swap bytes");

/// The widths that a bus access can have: 8, 16, 32 and 64 bits.
template <class T>
concept MmioWidth = std::same_as<T, std::uint8_t> || std::same_as<T, std::uint16_t> || std::same_as<T, std::uint32_t> ||
                    std::same_as<T, std::uint64_t>;

namespace detail {
[[gnu::always_inline]] inline void check_alignment(AccessKind kind, const volatile void* address,
                                                   unsigned width) noexcept {
    if (kIsChecked && reinterpret_cast<std::uintptr_t>(address) % width != 0) stop_at_address(kind, address, width);
}
}  // namespace detail

/// One load of T's width. `address` is mapped and aligned to sizeof(T); the checked build (checked.hpp) looks at that.
template <MmioWidth T>
[[nodiscard, gnu::always_inline]] inline T load(const volatile void* address) noexcept {
    detail::check_alignment(detail::AccessKind::load, address, sizeof(T));
    return *static_cast<const volatile T*>(address);
}

/// One store of T's width. `address` as load() wants it.
template <MmioWidth T>
[[gnu::always_inline]] inline void store(volatile void* address, std::type_identity_t<T> value) noexcept {
    detail::check_alignment(detail::AccessKind::store, address, sizeof(T));
    *static_cast<volatile T*>(address) = value;
}

/// Everything written to memory before is visible to the device before any store to it that follows.
[[gnu::always_inline]] inline void write_barrier() noexcept {
#if defined(__aarch64__)
    asm volatile("dmb oshst" ::: "memory");
#elif defined(__x86_64__)
    // Stores are not reordered with a store to uncached memory; only the compiler has to be kept from doing it.
    asm volatile("" ::: "memory");
#else
#error "uiovfio: no write barrier is known for this architecture"
#endif
}

/// Nothing that is read from memory after is read before any load from the device or of a flag that precedes it.
[[gnu::always_inline]] inline void read_barrier() noexcept {
#if defined(__aarch64__)
    asm volatile("dmb oshld" ::: "memory");
#elif defined(__x86_64__)
    asm volatile("" ::: "memory");
#else
#error "uiovfio: no read barrier is known for this architecture"
#endif
}

}  // namespace uiovfio
