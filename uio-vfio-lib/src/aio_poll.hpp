// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Has the kernel signal an eventfd when a file becomes readable: its asynchronous I/O does that once for each request,
/// from the interrupt itself, and needs no thread.

#include <linux/aio_abi.h>

namespace uiovfio::detail {

/// One request at a time. Not thread-safe. Each function gives the errno, 0 for success.
class AioPoll {
  public:
    AioPoll() noexcept = default;
    AioPoll(const AioPoll&) = delete;
    AioPoll& operator=(const AioPoll&) = delete;
    ~AioPoll() { reset(); }

    /// From now on `event_fd` is signalled, once, as soon as `file` is readable. ENOSYS: the kernel has no such thing.
    int start(int file, int event_fd) noexcept;
    /// Whether start() was called and the eventfd has not been signalled since.
    [[nodiscard]] bool is_pending() noexcept;
    /// Ends it. A request that is pending signals its eventfd once more, as the kernel ends it.
    void reset() noexcept;

  private:
    aio_context_t context_ = 0;
    bool is_started_ = false;
};

}  // namespace uiovfio::detail
