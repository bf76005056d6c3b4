// SPDX-License-Identifier: MIT
// says: the field reaches beyond its register
#include <uiovfio/register.hpp>

using namespace uiovfio;

struct Control : Register<0x10, std::uint16_t, Access::rw> {
#ifdef MISTAKE
    using Rate = Field<Control, 16, 19, Access::rw>;
#else
    using Rate = Field<Control, 12, 15, Access::rw>;
#endif
};

Control::Value fast() { return Control::Value{}.set<Control::Rate>(3); }
