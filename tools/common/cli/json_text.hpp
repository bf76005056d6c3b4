// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/output.hpp"

namespace pcienic::cli {

/// As JSON's text, in one line if `indent` is negative. Names of programs and files may be no UTF-8, which JSON has to
/// be: U+FFFD stands for what is not.
std::string json_text(const Json& json, int indent = -1);

}  // namespace pcienic::cli
