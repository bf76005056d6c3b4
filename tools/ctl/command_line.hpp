// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "operation.hpp"

namespace pcienic::ctl {

/// The operations of a batch script, a line each. Throws Failure(usage), which names the line.
std::vector<Chosen> parse_script(std::istream& script, const std::string& name);

/// The whole tool: parses, prepares every operation, then runs them. Returns the exit code.
int run(const std::vector<std::string>& arguments, World& world);

}  // namespace pcienic::ctl
