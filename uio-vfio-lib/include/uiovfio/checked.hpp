// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The checked build, which looks for the mistakes that the fast path has no time for.
///
/// Compile a program with UIOVFIO_CHECKED defined (with the CMake package: `-DUIOVFIO_CHECKED=ON`), and an access that
/// lies beyond its window, is not aligned to its width, or cannot be made in one piece stops it:
///
///     uiovfio: a load of 4 bytes at 0x1000 of a window of 0x1000 bytes at 0x2000 of 0000:01:00.0 BAR0: beyond its end
///
/// The message goes to standard error, and std::abort() follows. Without UIOVFIO_CHECKED such an access through a
/// Window reads all ones or is dropped, and through a MappedWindow it is undefined.
///
/// Objects with and without the definition may be linked into one program, and with a library of either kind: the
/// classes have the same layout, and each function whose code differs is inlined into its caller, always, so that no
/// caller gets the other kind. Each access is checked or not as the source was compiled that makes it. That holds for
/// functions of one's own as well if they are not templates or inline functions that both kinds compile.

#include <cstddef>
#include <cstdint>

namespace uiovfio::detail {

#ifdef UIOVFIO_CHECKED
constexpr bool kIsChecked = true;
#else
constexpr bool kIsChecked = false;
#endif

enum class AccessKind { load, store };

/// True if `width` bytes at `offset` lie within `size` bytes.
[[gnu::always_inline]] constexpr bool fits(std::size_t offset, std::size_t width, std::size_t size) noexcept {
    return offset < size && size - offset >= width;
}

/// Each prints what is wrong, in the words above, and aborts.
[[noreturn, gnu::cold]] void stop_at_address(AccessKind kind, const volatile void* address, unsigned width) noexcept;
[[noreturn, gnu::cold]] void stop_at_mapped_window(AccessKind kind, const volatile void* base, std::size_t size,
                                                   std::size_t offset, unsigned width) noexcept;

}  // namespace uiovfio::detail
