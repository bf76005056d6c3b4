// SPDX-License-Identifier: MIT
#undef UIOVFIO_CHECKED
#include "unchecked_access.hpp"

#include "far_register.hpp"

namespace uiovfio::test::unchecked {

std::uint32_t load_32(const Window& window, std::size_t offset) { return window.load<std::uint32_t>(offset); }
std::uint64_t load_64(const Window& window, std::size_t offset) { return window.load<std::uint64_t>(offset); }
void store_32(const Window& window, std::size_t offset, std::uint32_t value) {
    window.store<std::uint32_t>(offset, value);
}
void store_64(const Window& window, std::size_t offset, std::uint64_t value) {
    window.store<std::uint64_t>(offset, value);
}
std::uint32_t load_32(const MappedWindow& window, std::size_t offset) { return window.load<std::uint32_t>(offset); }
std::uint32_t load_32(const volatile void* address) { return load<std::uint32_t>(address); }
std::uint32_t read_register(const Window& window) { return FarRegister::Low::read(window); }

}  // namespace uiovfio::test::unchecked
