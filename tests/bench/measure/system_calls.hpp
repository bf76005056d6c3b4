// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Counts the system calls of one thread over a piece of its work, as strace would: a wake-up's latency is made of
/// them, and unlike it their number is the same on every machine.

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace pcienic::bench {

/// Runs `body` in a child process. One thread of it calls trace_this_thread(), and then mark() before and after what is
/// to be counted. Gives the calls in between by name ("read", or "system call 999"), without futex(), with which this
/// program's own threads talk. Throws cli::Failure(failure) where the child failed, marked nothing, or may not be
/// traced.
std::map<std::string, std::uint64_t> count_system_calls(const std::function<void()>& body);

void trace_this_thread();
void mark();

}  // namespace pcienic::bench
