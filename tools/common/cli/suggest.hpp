// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// "Did you mean": the nearest of the known names.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pcienic::cli {

/// Insertions, deletions, substitutions and swaps of neighbours from one text to the other, case ignored.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The known names that are near enough to be meant, nearest first, at most three.
std::vector<std::string> suggestions(std::string_view text, const std::vector<std::string>& known);

/// " (did you mean A or B?)", or nothing.
std::string did_you_mean(std::string_view text, const std::vector<std::string>& known);

}  // namespace pcienic::cli
