// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace uiovfio::detail {

/// Who is told of counts that are taken from eventfds, which goes past the backend. Any thread.
class TraceSink {
  public:
    /// `count` is at least 1.
    virtual void taken(unsigned index, std::uint64_t count) noexcept = 0;

  protected:
    ~TraceSink() = default;
};

/// Null where nothing is traced.
struct TraceSinks {
    TraceSink* vectors = nullptr;
    TraceSink* events = nullptr;
};

}  // namespace uiovfio::detail
