// SPDX-License-Identifier: MIT
// says: the array ends nowhere
#include <uiovfio/register.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Many : RegisterArray<8, std::uint64_t, ~std::size_t{0} / 8, Access::rw> {};
#else
struct Many : RegisterArray<8, std::uint64_t, 64, Access::rw> {};
#endif

Many::Value none() { return {}; }
