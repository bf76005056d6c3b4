// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Files that a user names.

#include <cstddef>
#include <iosfwd>
#include <string>

namespace pcienic::cli {

/// All of a stream, which errors call `name`. Throws Failure(usage) where it cannot be read to its end, or has more
/// than `most` bytes: what does not end, such as /dev/zero, must not take all memory.
std::string read_all(std::istream& stream, const std::string& name, std::size_t most);

/// As read_all(), of the file at this path.
std::string read_file(const std::string& path, std::size_t most);

/// Throws Failure(usage) where writing to the one file would destroy the other, which is read. Either may be empty, for
/// none.
void refuse_same_file(const std::string& read, const std::string& written);

}  // namespace pcienic::cli
