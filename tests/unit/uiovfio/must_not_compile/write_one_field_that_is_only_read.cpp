// SPDX-License-Identifier: MIT
// says: the register's WriteOneMask lacks this field
#include <uiovfio/register.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Port : Register<0x10, std::uint32_t, Access::rw> {
#else
struct Port : Register<0x10, std::uint32_t, Access::rw, 0x0002'0000> {
#endif
    using Change = Field<Port, 17, 17, Access::rw1c>;
};

// Who reads it has it, and modify() of another field would clear it.
bool has_changed(Port::Value value) { return value.get<Port::Change>(); }
