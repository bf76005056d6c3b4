// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The text of a batch script: a line an operation, as on the command line but without the program's name.

#include <string>
#include <vector>

#include "words.hpp"

namespace pcienic::ctl {

struct ScriptLine {
    unsigned number = 0;  ///< from 1
    Words words;          ///< at least one
};

/// The lines that have words. Quotes have no meaning; a word that begins with # begins a comment. Any system's line
/// ends will do, and a byte order mark of UTF-8. Throws Failure(usage), which names the script, for what is no such
/// text.
std::vector<ScriptLine> script_lines(const std::string& text, const std::string& name);

}  // namespace pcienic::ctl
