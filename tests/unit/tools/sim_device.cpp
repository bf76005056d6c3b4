// SPDX-License-Identifier: MIT
// The register walk in process. 70 vectors, so that mask registers are whole, in part, and not there at all.
#include "uiovfio/sim.hpp"
#include "walked_device.hpp"

namespace pcienic::walk {

uiovfio::Device open_device() { return uiovfio::open_sim({.vectors = 70}); }

void expect_latched(const char*) {}

void expect_refused_access() {}

}  // namespace pcienic::walk
