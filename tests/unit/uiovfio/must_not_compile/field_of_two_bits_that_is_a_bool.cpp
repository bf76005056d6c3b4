// SPDX-License-Identifier: MIT
// says: the field's type does not hold all of its bits
#include <uiovfio/register.hpp>

using namespace uiovfio;

struct Control : Register<0x10, std::uint32_t, Access::rw> {
#ifdef MISTAKE
    using Enable = Field<Control, 0, 1, Access::rw, bool>;
#else
    using Enable = Field<Control, 0, 0, Access::rw, bool>;
#endif
};

Control::Value on() { return Control::Value{}.set<Control::Enable>(true); }
