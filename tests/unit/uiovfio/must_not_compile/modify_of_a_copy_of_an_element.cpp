// SPDX-License-Identifier: MIT
// says: modify() wants a function that takes the value by reference
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

struct Mask : RegisterArray<0x40, std::uint32_t, 4, Access::rw> {};

void change(const MappedWindow& window) {
#ifdef MISTAKE
    Mask::modify(window, 2, [](Mask::Value value) { value = Mask::Value{value.raw() | 1U}; });
#else
    Mask::modify(window, 2, [](Mask::Value& value) { value = Mask::Value{value.raw() | 1U}; });
#endif
}
