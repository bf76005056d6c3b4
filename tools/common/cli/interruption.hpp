// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Ctrl-C while something takes its time.

#include <signal.h>  // NOLINT(modernize-deprecated-headers): <csignal> does not promise sigaction()

#include <atomic>

namespace pcienic::cli {

/// While it lives, the first SIGINT is noted rather than ends the process, so that the device is closed, what was found
/// is shown and the exit code is ours. A second one does what it did before, so that a process that hangs can be ended.
/// A process that ignores it, as a shell makes those that it runs in the background, goes on to. One at a time.
class Interruption {
  public:
    Interruption() noexcept;
    ~Interruption();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;

    /// Whether it came, since the last one of these was made.
    [[nodiscard]] static bool came() noexcept { return came_; }

  private:
    static inline std::atomic<bool> came_{false};  // whichever thread the kernel runs the handler on
    static_assert(std::atomic<bool>::is_always_lock_free);
    static inline struct sigaction previous_{};
};

}  // namespace pcienic::cli
