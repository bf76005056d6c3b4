// SPDX-License-Identifier: MIT
// says: the field belongs to another register
#include <uiovfio/register.hpp>

using namespace uiovfio;

struct Control : Register<0x10, std::uint32_t, Access::rw> {
    using Rate = Field<Control, 4, 7, Access::rw>;
};
struct Status : Register<0x14, std::uint32_t, Access::ro> {
    using Rate = Field<Status, 4, 7, Access::ro>;
};

#ifdef MISTAKE
std::uint32_t rate(Status::Value value) { return value.get<Control::Rate>(); }
#else
std::uint32_t rate(Status::Value value) { return value.get<Status::Rate>(); }
#endif
