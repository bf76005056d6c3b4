// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Accesses from a source that was compiled without the checks of uiovfio/checked.hpp, within a program whose other
/// sources have them.

#include <cstddef>
#include <cstdint>
#include <uiovfio/window.hpp>

namespace uiovfio::test::unchecked {

std::uint32_t load_32(const Window& window, std::size_t offset);
std::uint64_t load_64(const Window& window, std::size_t offset);
void store_32(const Window& window, std::size_t offset, std::uint32_t value);
void store_64(const Window& window, std::size_t offset, std::uint64_t value);
std::uint32_t load_32(const MappedWindow& window, std::size_t offset);
std::uint32_t load_32(const volatile void* address);
/// Through a typed register, of the kind that the other sources have, too.
std::uint32_t read_register(const Window& window);

}  // namespace uiovfio::test::unchecked
