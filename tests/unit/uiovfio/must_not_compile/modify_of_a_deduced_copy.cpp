// SPDX-License-Identifier: MIT
// says: modify() wants a function that takes the value by reference
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

struct Control : Register<0x10, std::uint32_t, Access::rw> {
    using Rate = Field<Control, 4, 7, Access::rw>;
};

void change(const Window& window) {
#ifdef MISTAKE
    Control::modify(window, [](auto value) { value.template set<Control::Rate>(1); });
#else
    Control::modify(window, [](auto& value) { value.template set<Control::Rate>(1); });
#endif
}
