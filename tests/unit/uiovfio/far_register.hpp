// SPDX-License-Identifier: MIT
#pragma once

#include <uiovfio/register.hpp>

namespace uiovfio::test {

/// Beyond a window of one page.
struct FarRegister : Register<0x1000, std::uint32_t, Access::rw, 0x100> {
    using Low = Field<FarRegister, 0, 7, Access::rw>;
    using Change = Field<FarRegister, 8, 8, Access::rw1c>;
};

}  // namespace uiovfio::test
