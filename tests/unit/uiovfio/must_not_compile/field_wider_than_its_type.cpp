// SPDX-License-Identifier: MIT
// says: the field's type does not hold all of its bits
#include <uiovfio/register.hpp>

using namespace uiovfio;

struct Length : Register<0x10, std::uint32_t, Access::ro> {
#ifdef MISTAKE
    using Bytes = Field<Length, 0, 11, Access::ro, std::uint8_t>;
#else
    using Bytes = Field<Length, 0, 11, Access::ro, std::uint16_t>;
#endif
};

unsigned bytes(Length::Value value) { return value.get<Length::Bytes>(); }
