// SPDX-License-Identifier: MIT
#pragma once

#include <iosfwd>

#include "uiovfio/trace.hpp"

namespace pcienic::ctl {

/// Writes the trace as Chrome trace events, which chrome://tracing and Perfetto load: accesses, DMA and control as
/// tracks, and one for each vector that was counted; mappings as spans from map to unmap.
void write_chrome_trace(std::ostream& out, const uiovfio::Trace& trace);

}  // namespace pcienic::ctl
