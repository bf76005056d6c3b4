// SPDX-License-Identifier: MIT
// says: the lower bit comes first: Field<Register, lsb, msb, ...>
#include <uiovfio/register.hpp>

using namespace uiovfio;

struct Control : Register<0x10, std::uint32_t, Access::rw> {
#ifdef MISTAKE
    using Rate = Field<Control, 7, 4, Access::rw>;
#else
    using Rate = Field<Control, 4, 7, Access::rw>;
#endif
};

std::uint32_t rate(Control::Value value) { return value.get<Control::Rate>(); }
