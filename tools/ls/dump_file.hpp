// SPDX-License-Identifier: GPL-2.0-or-later
/// The output of `lspci -x`, read back.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <stdexcept>
#include <string>
#include <vector>

#include "config_image.hpp"
#include "model.hpp"

namespace pcienic::ls {

struct DumpedFunction {
    Address address;
    ConfigImage config;
};

struct Dump {
    std::vector<DumpedFunction> functions;
    std::vector<std::string> left_out;  ///< what looks like a function and could not be read as one: "line 7: ..."
};

/// A row that holds no bytes, or bytes behind the end of configuration space. The message begins "line 12: ".
class DumpError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Reads every function of a dump: a line that begins with its address, then rows of bytes, up to an empty line. Other
/// lines are passed over, as a listing's text may stand between the rows; so are carriage returns. The rows may stop
/// anywhere, and a byte that stands in none of them before the last reads as ff. Throws DumpError.
Dump read_dump(std::istream& in);

}  // namespace pcienic::ls
