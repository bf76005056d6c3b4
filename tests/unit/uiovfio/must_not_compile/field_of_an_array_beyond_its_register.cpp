// SPDX-License-Identifier: MIT
// says: the field reaches beyond its register
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

struct Ports : RegisterArray<0x400, std::uint32_t, 8, Access::rw> {
#ifdef MISTAKE
    using Speed = Field<Ports, 29, 32, Access::rw>;
#else
    using Speed = Field<Ports, 28, 31, Access::rw>;
#endif
};

std::uint32_t speed(const Window& window, std::size_t port) { return Ports::Speed::read(window, port); }
