// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The words of a command line, looked at before they are parsed: where one operation ends and the next begins.

#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace pcienic::ctl {

using Words = std::vector<std::string>;

/// The places of the words that are neither options nor options' values: the operation's name, then its operands.
/// `app` knows all options and operations.
std::vector<std::size_t> operands(const CLI::App& app, const Words& words);

/// The operation of these words; empty where none is named.
std::string_view operation_of(const CLI::App& app, const Words& words);

/// Throws Failure(usage) where an operand is another operation, or what separates commands elsewhere (";", "&&"): CLI11
/// would run the last operation alone, and a user means both.
void refuse_joined(const CLI::App& app, const Words& words);

/// Throws Failure(usage) for words behind "--" that are no operands: CLI11 would take them for options again.
void refuse_behind_dashes(const CLI::App& app, const Words& words);

}  // namespace pcienic::ctl
