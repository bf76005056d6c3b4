// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <uiovfio/bdf.hpp>

namespace uiovfio::conformance {

/// The device at that place in $PCIENIC_BDFS, which the guest sets. Throws Errc::invalid_bdf outside of one.
Bdf device_under_test(std::size_t index = 0);

}  // namespace uiovfio::conformance
