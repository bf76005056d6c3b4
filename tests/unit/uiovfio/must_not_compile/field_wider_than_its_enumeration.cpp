// SPDX-License-Identifier: MIT
// says: the field's type does not hold all of its bits
#include <uiovfio/register.hpp>

using namespace uiovfio;

#ifdef MISTAKE
enum class Speed : std::uint8_t { slow, fast = 0xff };
#else
enum class Speed : std::uint16_t { slow, fast = 0xfff };
#endif
struct Control : Register<0x10, std::uint32_t, Access::rw> {
    using Rate = Field<Control, 4, 15, Access::rw, Speed>;
};

Speed rate(Control::Value value) { return value.get<Control::Rate>(); }
