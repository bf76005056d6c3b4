// SPDX-License-Identifier: MIT
// says: the field reaches beyond its register
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

struct Status : Register<0x10, std::uint32_t, Access::ro> {
#ifdef MISTAKE
    using High = Field<Status, 30, 33, Access::ro>;
#else
    using High = Field<Status, 28, 31, Access::ro>;
#endif
};

std::uint32_t high(const MappedWindow& window) { return Status::read(window).get<Status::High>(); }
