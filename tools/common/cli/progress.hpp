// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How far a long piece of work has come.

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

namespace pcienic::cli {

/// A line of a terminal that is drawn over and over, and gone when the work is done. Nothing is drawn in the first two
/// seconds: what takes less needs no progress.
class Progress {
  public:
    using Clock = std::chrono::steady_clock;

    /// `tool` begins the line; `is_terminal` is whether `out` is one: anywhere else nothing is drawn. The two seconds
    /// begin at `start`.
    Progress(std::string tool, std::ostream& out, bool is_terminal, Clock::time_point start = Clock::now());
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// So many of `total` are done of what `what` names ("firings"). Cheap enough for every step of a loop: it looks at
    /// the clock, and draws ten times a second at most.
    void at(std::uint64_t done, std::uint64_t total, std::string_view what) {
        if (is_terminal_) at(done, total, what, Clock::now());
    }
    /// As it would be at this time.
    void at(std::uint64_t done, std::uint64_t total, std::string_view what, Clock::time_point now);

  private:
    std::string tool_;
    std::ostream& out_;
    bool is_terminal_;
    bool is_drawn_ = false;
    Clock::time_point next_;
};

}  // namespace pcienic::cli
