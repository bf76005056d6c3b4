// SPDX-License-Identifier: GPL-2.0-or-later
/// Text that others wrote, made fit for a line of output.
#pragma once

#include <string>
#include <string_view>

namespace pcienic::ls {

/// `text` on one line of UTF-8: firmware, drivers, files and databases may hold anything, and what they hold must not
/// begin a line of its own, move a terminal's cursor or break a JSON document. A newline at the end is taken away, as
/// the kernel ends every value with one. A control character, a character that changes the direction of text and a byte
/// that is no UTF-8 are written as in C: `\n`, `\x1b`, `\u202e`. All else stays as it is.
std::string printable(std::string_view text);

}  // namespace pcienic::ls
