// SPDX-License-Identifier: MIT
#include "cli/progress.hpp"

#include <fmt/format.h>

#include <cmath>
#include <ostream>
#include <utility>

namespace pcienic::cli {

namespace {

constexpr auto kQuiet = std::chrono::seconds(2);
constexpr auto kInterval = std::chrono::milliseconds(100);
constexpr const char* kClearLine = "\r\x1b[K";  // ECMA-48: erase in line

}  // namespace

Progress::Progress(std::string tool, std::ostream& out, bool is_terminal, Clock::time_point start)
    : tool_{std::move(tool)}, out_{out}, is_terminal_{is_terminal}, next_{start + kQuiet} {}

Progress::~Progress() {
    if (is_drawn_) out_ << kClearLine << std::flush;
}

void Progress::at(std::uint64_t done, std::uint64_t total, std::string_view what, Clock::time_point now) {
    if (!is_terminal_ || total == 0 || now < next_) return;
    next_ = now + kInterval;
    is_drawn_ = true;
    const double percent = std::floor(100.0 * static_cast<double>(done) / static_cast<double>(total));
    out_ << kClearLine << fmt::format("{}: {} of {} {}, {:.0f} %", tool_, done, total, what, percent) << std::flush;
}

}  // namespace pcienic::cli
