// SPDX-License-Identifier: MIT
// says: deleted function
#include <uiovfio/iova.hpp>
#include <uiovfio/register.hpp>
#include <uiovfio/window.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Base : Register<0x10, std::uint32_t, Access::rw> {};
#else
struct Base : Register<0x10, std::uint64_t, Access::rw> {};
#endif

void tell(const MappedWindow& window, Iova ring) { Base::write(window, to_integer(ring)); }
