// SPDX-License-Identifier: MIT
// says: WriteOneMask is for registers that are rw
#include <uiovfio/register.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Port : Register<0x10, std::uint16_t, Access::ro, 0x1> {};
#else
struct Port : Register<0x10, std::uint16_t, Access::rw, 0x1> {};
#endif

Port::Value none() { return {}; }
