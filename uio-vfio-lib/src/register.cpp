// SPDX-License-Identifier: MIT
#include "uiovfio/register.hpp"

#include <fmt/format.h>

#include "uiovfio/error.hpp"

namespace uiovfio::detail {

void throw_field_overflow(unsigned width, std::uint64_t value) {
    throw Error{Errc::out_of_bounds, "register field", fmt::format("{:#x} does not fit into {} bits", value, width)};
}

void throw_bad_register_index(std::size_t index, std::size_t count) {
    throw Error{Errc::out_of_bounds, "register array", fmt::format("no element {}: there are {}", index, count), 0,
                fmt::format("use an index below {}", count)};
}

}  // namespace uiovfio::detail
