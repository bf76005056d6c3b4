// SPDX-License-Identifier: MIT
// says: a register is naturally aligned
#include <uiovfio/register.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Odd : Register<0x12, std::uint32_t, Access::rw> {};
#else
struct Odd : Register<0x12, std::uint16_t, Access::rw> {};
#endif

Odd::Value none() { return {}; }
