// SPDX-License-Identifier: MIT
// says: modify() wants a function that takes the value by reference
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

struct Control : Register<0x10, std::uint32_t, Access::rw> {};

#ifdef MISTAKE
void look(const Control::Value& value);
#else
void look(Control::Value& value);
#endif

void change(const Window& window) { Control::modify(window, look); }
