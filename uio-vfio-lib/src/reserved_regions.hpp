// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the platform keeps of the bus addresses: the group's file "reserved_regions", and what it leaves of an
/// aperture.

#include <string_view>
#include <vector>

#include "uiovfio/iova.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

/// A line for each region: "0xFIRST 0xLAST TYPE", last included. In order; lines that are none of that are left out.
std::vector<ReservedRegion> parse_reserved_regions(std::string_view text);

/// What of the aperture can be mapped, in order.
std::vector<IovaRange> without_reserved(const IovaRange& aperture, const std::vector<ReservedRegion>& reserved);

}  // namespace uiovfio::detail
