// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "backend.hpp"
#include "uiovfio/trace_options.hpp"

namespace uiovfio::detail {

/// The backend itself where `options` name no file; otherwise one that does the same and records it. Throws what
/// TraceFile does, and then closes the backend.
std::shared_ptr<Backend> traced(const Bdf& bdf, std::shared_ptr<Backend> backend, const TraceOptions& options);

}  // namespace uiovfio::detail
