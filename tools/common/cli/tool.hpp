// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What makes the tools alike: version, help layout, and the way a command line is parsed.

#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit.hpp"

namespace CLI {
class App;
}

namespace pcienic::cli {

/// The version of the project.
std::string_view version() noexcept;

/// Gives the app -h, --version, the examples before and the exit codes after its options.
void dress(CLI::App& app, std::string_view name, std::string_view examples, std::string_view see_also);

/// Parses the arguments (without the program's name). Help and version go to `out` and give Exit::ok. Every error is a
/// Failure(usage): CLI11's own codes, 100 to 127, never leave a tool. Nothing is returned where the tool should go on.
std::optional<Exit> parse(CLI::App& app, std::vector<std::string> arguments, std::ostream& out);

}  // namespace pcienic::cli
