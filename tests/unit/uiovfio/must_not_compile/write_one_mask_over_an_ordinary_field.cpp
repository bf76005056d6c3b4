// SPDX-License-Identifier: MIT
// says: the register's WriteOneMask has bits of this field
#include <uiovfio/register.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Port : Register<0x10, std::uint32_t, Access::rw, 0x3> {
#else
struct Port : Register<0x10, std::uint32_t, Access::rw, 0x2> {
#endif
    using Power = Field<Port, 0, 0, Access::rw>;
    using Change = Field<Port, 1, 1, Access::rw1c>;
};

Port::Value on() { return Port::Value{}.set<Port::Power>(true); }
