// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "operation.hpp"

namespace pcienic::ctl {

/// The whole tool: parses, prepares every operation, then runs them. Returns the exit code.
int run(const std::vector<std::string>& arguments, World& world);

}  // namespace pcienic::ctl
