// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How far a long piece of work has come.

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace pcienic::cli {

/// A line of a terminal that is drawn over and over, and gone when the work is done. Nothing is drawn in the first two
/// seconds: what takes less needs no progress.
class Progress {
  public:
    using Clock = std::chrono::steady_clock;

    /// `tool` begins the line; `is_terminal` is whether `out` is one: anywhere else nothing is drawn.
    Progress(std::string tool, std::ostream& out, bool is_terminal);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// So much of `total` is done. Cheap enough for every step of a loop: it looks at the clock, and draws ten times a
    /// second at most.
    void at(std::uint64_t done, std::uint64_t total) { at(done, total, Clock::now()); }
    /// As it would be at this time.
    void at(std::uint64_t done, std::uint64_t total, Clock::time_point now);

  private:
    std::string tool_;
    std::ostream& out_;
    bool is_terminal_;
    bool is_drawn_ = false;
    Clock::time_point next_;
};

}  // namespace pcienic::cli
