// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Ctrl-C while something takes its time.

#include <csignal>

namespace pcienic::cli {

/// While it lives, the first SIGINT is noted rather than ends the process, so that the device is closed, what was found
/// is shown and the exit code is ours. A second one does what it did before: whoever hangs can be ended. One at a time.
class Interruption {
  public:
    Interruption() noexcept;
    ~Interruption();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;

    /// Whether it came, since the last one of these was made.
    [[nodiscard]] static bool came() noexcept { return came_ != 0; }

  private:
    static inline volatile std::sig_atomic_t came_ = 0;
    static inline struct sigaction previous_{};
};

}  // namespace pcienic::cli
