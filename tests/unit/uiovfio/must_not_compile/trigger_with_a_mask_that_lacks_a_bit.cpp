// SPDX-License-Identifier: MIT
// says: the register's WriteOneMask lacks this field
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Port : RegisterArray<0x10, std::uint32_t, 4, Access::rw, 0x10> {
#else
struct Port : RegisterArray<0x10, std::uint32_t, 4, Access::rw, 0x30> {
#endif
    using Reset = Field<Port, 4, 5, Access::rw1s>;
};

void reset(const MappedWindow& window) { Port::Reset::trigger(window, 1); }
