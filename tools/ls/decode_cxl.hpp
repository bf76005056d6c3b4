// SPDX-License-Identifier: GPL-2.0-or-later
/// What CXL keeps in designated vendor-specific capabilities.
#pragma once

#include "decode.hpp"

namespace pcienic::ls {

/// The two headers of a designated vendor-specific capability.
struct DesignatedVendor {
    unsigned vendor = 0;
    unsigned id = 0;
    unsigned revision = 0;
    unsigned length = 0;  ///< of the whole structure, as the device says
};

/// Adds the registers of a CXL capability; its first line is there already.
void decode_cxl(const CapabilityInput& in, const DesignatedVendor& dvsec, Capability& out);

}  // namespace pcienic::ls
