// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Numbers and times as the tools read them. CLI11's own conversion saturates without a word and reads 010 as 8.

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pcienic::cli {

/// C's rules with 0x and 0b, `_` between digits, and k, M, G (times 1024, "KiB" and the like as well). A leading 0 is
/// decimal, not octal. Throws Failure(usage) for anything else and for what does not fit into 64 bits.
std::uint64_t parse_number(std::string_view text);

/// "64 KiB", "4.0 GiB": in the largest unit that it has one of.
std::string size_text(std::uint64_t bytes);

/// "500ms", "2s", "10us", "100ns", "1m". Throws Failure(usage).
std::chrono::nanoseconds parse_duration(std::string_view text);

/// "0-7,9" as {0, ..., 7, 9}, in the order given. Throws Failure(usage), also where an entry is above `limit`.
std::vector<unsigned> parse_ranges(std::string_view text, unsigned limit);

/// One number, up to `limit`. Throws Failure(usage).
unsigned parse_index(std::string_view text, unsigned limit);

}  // namespace pcienic::cli
