// SPDX-License-Identifier: MIT
#include <uiovfio/sim.hpp>

#include "conformance.hpp"

namespace uiovfio::conformance {

Device open_device(bool bus_master) { return open_sim({.bus_master = bus_master}); }

}  // namespace uiovfio::conformance
