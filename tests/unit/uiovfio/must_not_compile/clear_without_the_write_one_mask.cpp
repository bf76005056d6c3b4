// SPDX-License-Identifier: MIT
// says: the register's WriteOneMask lacks this field
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Port : Register<0x10, std::uint32_t, Access::rw> {
#else
struct Port : Register<0x10, std::uint32_t, Access::rw, 0x0002'0000> {
#endif
    using Change = Field<Port, 17, 17, Access::rw1c>;
};

void acknowledge(const MappedWindow& window) { Port::Change::clear(window); }
