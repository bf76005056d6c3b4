// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Another program run as this one's work: in the foreground, with the terminal, and with the signals that were meant
/// for it.

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pcienic::ctl {

/// While one exists, the signals that would end this process wait: what has been begun can be undone. There may be one,
/// in a process of one thread.
///
/// The command stays in this process's group, so that the terminal treats both alike: ^C and ^Z reach it by themselves.
/// Signals that somebody sends to this process are passed on. If this process is killed, the command gets SIGTERM.
class Foreground {
  public:
    /// After SIGTERM or SIGHUP, the command may take `grace` to end before it is killed.
    explicit Foreground(std::chrono::nanoseconds grace);
    ~Foreground();
    Foreground(const Foreground&) = delete;
    Foreground& operator=(const Foreground&) = delete;

    /// The signal that has come to end this process before there is a command to pass it on to.
    [[nodiscard]] std::optional<int> ended_by() const;

    /// Runs the command with these variables added to its environment, until it ends. The status is what a shell makes
    /// of it: its exit status, or 128 and the number of the signal that ended it. Throws Failure with 126 where it
    /// cannot be run and 127 where there is no such program, as a shell does.
    int run(const std::vector<std::string>& command,
            const std::vector<std::pair<std::string, std::string>>& environment);

    /// Sends a signal to what the command has left running. False where there is nothing.
    bool signal_rest(int signal) const;
    /// Forgets those of them that have ended.
    void reap_rest() const;

  private:
    [[nodiscard]] pid_t start(const std::vector<std::string>& command,
                              const std::vector<std::pair<std::string, std::string>>& environment) const;
    void pass_on(const siginfo_t& info);
    void stop_with(pid_t child, const siginfo_t& info) const;
    [[nodiscard]] std::optional<int> status_of(pid_t child) const;

    std::chrono::nanoseconds grace_;
    std::optional<std::chrono::steady_clock::time_point> deadline_;
    sigset_t former_{};
    sigset_t waited_for_{};
    pid_t child_ = -1;
};

}  // namespace pcienic::ctl
