// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Words as a shell takes them, so that a command which a message suggests can be pasted.

#include <span>
#include <string>

namespace pcienic::cli {

/// "/srv", "'/my disk'".
std::string shell_word(const std::string& text);

/// Several, with spaces between them.
std::string shell_words(std::span<const std::string> words);

}  // namespace pcienic::cli
