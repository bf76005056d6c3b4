// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Traces as rows of output: schema pcienic.trace/1.

#include <cstddef>
#include <string>

#include "cli/output.hpp"
#include "uiovfio/trace.hpp"

namespace pcienic::ctl {

/// The name of a place in a BAR, for traces of a pcienic; empty for others, and where there is no register.
std::string register_in(const uiovfio::Trace& trace, unsigned bar, std::uint64_t offset);

/// What the header says, and how the trace ends: "kind" is "header". Text from the file is made printable.
cli::Json trace_header_row(const uiovfio::Trace& trace);

/// One record: "record" is its number, "kind" what it is; members that it does not have are left out.
cli::Json trace_record_row(const uiovfio::Trace& trace, std::size_t index);

/// A record's row as a line of text.
std::string trace_line(const cli::Json& row);

/// The header's row as a line of text.
std::string trace_header_line(const cli::Json& row);

}  // namespace pcienic::ctl
