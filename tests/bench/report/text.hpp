// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A report for people: tables, and what became of the ratios since an earlier one.

#include <string>

#include "report/model.hpp"

namespace pcienic::bench {

/// "93.2 ns", "12.3 us", "1.50 ms", "2.00 s": three digits, since a fourth differs from run to run.
std::string format_time(double ns);
/// "1.003", "12.4", "153": as many digits as tell a ratio from its neighbours.
std::string format_ratio(double ratio);
/// "4 KiB", "2 MiB", "100 B".
std::string format_size(std::uint64_t bytes);
/// "read 2, epoll_wait 1".
std::string format_calls(const std::map<std::string, double>& calls);

/// The environment and, of each group, a table; `colour` for a terminal.
std::string to_text(const Run& run, bool colour);
/// What is claimed of ratios, and whether they hold in these runs.
std::string claims_text(const Report& report, bool colour);
/// The ratios of both reports, run by run, and their ratio. Times are not compared: they are the machine's.
std::string comparison_text(const Report& then, const Report& now);

}  // namespace pcienic::bench
