// SPDX-License-Identifier: MIT
// says: the field reaches beyond its register
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

struct Cause : Register<0x10, std::uint8_t, Access::rw1c> {
#ifdef MISTAKE
    using Overflow = Field<Cause, 8, 8, Access::rw1c>;
#else
    using Overflow = Field<Cause, 7, 7, Access::rw1c>;
#endif
};

void clear(const MappedWindow& window) { Cause::Overflow::clear(window); }
