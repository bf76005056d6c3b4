// SPDX-License-Identifier: MIT
#include "foreground.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "cli/exit.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using std::chrono::steady_clock;

constexpr int kCannotRun = 126;  // a shell's numbers
constexpr int kNoProgram = 127;

constexpr std::array kEnding{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
constexpr std::array kPassedOn{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT};

/// Waits for one of the signals, until the deadline. Nothing when that has come.
std::optional<siginfo_t> next_signal(const sigset_t& signals, const std::optional<steady_clock::time_point>& deadline) {
    for (;;) {
        siginfo_t info{};
        int signal = 0;
        if (deadline) {
            const auto left = std::max(*deadline - steady_clock::now(), steady_clock::duration::zero());
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
            const timespec time{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
            signal = ::sigtimedwait(&signals, &info, &time);
        } else {
            signal = ::sigwaitinfo(&signals, &info);
        }
        if (signal > 0) return info;
        if (errno != EINTR) return std::nullopt;
    }
}

/// What the terminal sends, it sends to the command, too.
bool is_sent_by_process(const siginfo_t& info) noexcept { return info.si_code <= 0; }

bool is_ignored(int signal) noexcept {
    struct sigaction action{};
    return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

int shell_status(int status) noexcept { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/// The processes whose parent is this one.
std::vector<pid_t> children() {
    std::vector<pid_t> found;
    std::error_code error;
    for (std::filesystem::directory_iterator entry{"/proc", error};
         !error && entry != std::filesystem::directory_iterator{}; entry.increment(error)) {
        const std::string name = entry->path().filename();
        pid_t process = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), process).ec != std::errc{}) continue;
        std::ifstream file{entry->path() / "stat"};
        const std::string text{std::istreambuf_iterator<char>{file}, {}};
        // NUMBER (NAME) STATE PARENT ...: the name may hold anything.
        const auto end = text.rfind(')');
        pid_t parent = 0;
        if (end == std::string::npos || text.size() < end + 5) continue;
        std::from_chars(text.data() + end + 4, text.data() + text.size(), parent);
        if (parent == ::getpid()) found.push_back(process);
    }
    return found;
}

}  // namespace

Foreground::Foreground(std::chrono::nanoseconds grace) : grace_{grace} {
    ::sigemptyset(&waited_for_);
    // What whoever started this process had it ignore (nohup, a shell's `&`) stays ignored.
    for (const int signal : kPassedOn)
        if (!is_ignored(signal)) ::sigaddset(&waited_for_, signal);
    if (!is_ignored(SIGTSTP)) ::sigaddset(&waited_for_, SIGTSTP);
    ::signal(SIGCHLD, SIG_DFL);  // ignored, it would take the command's status along
    ::sigaddset(&waited_for_, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &waited_for_, &former_);
    // What the command leaves behind becomes this process's, and can be found.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL);
}

Foreground::~Foreground() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 0UL, 0UL, 0UL, 0UL);
    // Those that came meanwhile have been dealt with by ending what was begun.
    const timespec now{};
    while (::sigtimedwait(&waited_for_, nullptr, &now) > 0) {
    }
    ::sigprocmask(SIG_SETMASK, &former_, nullptr);
}

std::optional<int> Foreground::ended_by() const {
    sigset_t pending{};
    ::sigpending(&pending);
    for (const int signal : kEnding)
        if (::sigismember(&pending, signal) == 1) return signal;
    return std::nullopt;
}

int Foreground::run(const std::vector<std::string>& command,
                    const std::vector<std::pair<std::string, std::string>>& environment) {
    child_ = start(command, environment);
    for (;;) {
        const auto info = next_signal(waited_for_, deadline_);
        if (!info) {
            ::kill(child_, SIGKILL);
            deadline_.reset();
        } else if (info->si_signo == SIGCHLD) {
            if (const auto status = status_of(child_)) return *status;
        } else if (info->si_signo == SIGTSTP) {
            stop_with(child_, *info);
        } else {
            pass_on(*info);
        }
    }
}

pid_t Foreground::start(const std::vector<std::string>& command,
                        const std::vector<std::pair<std::string, std::string>>& environment) const {
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    std::array<int, 2> failure{};  // carries the errno of an exec that failed, and closes with one that did not
    if (::pipe2(failure.data(), O_CLOEXEC) != 0) throw std::system_error{errno, std::generic_category(), "pipe"};
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) throw std::system_error{errno, std::generic_category(), "fork"};
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, static_cast<unsigned long>(SIGTERM), 0UL, 0UL, 0UL);
        if (::getppid() != parent) ::_exit(kCannotRun);
        for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
        ::sigprocmask(SIG_SETMASK, &former_, nullptr);
        ::execvp(arguments.front(), arguments.data());
        const int error = errno;
        static_cast<void>(!::write(failure[1], &error, sizeof error));
        ::_exit(kCannotRun);
    }
    ::close(failure[1]);
    int error = 0;
    ssize_t length = 0;
    do length = ::read(failure[0], &error, sizeof error);
    while (length < 0 && errno == EINTR);
    ::close(failure[0]);
    if (length != static_cast<ssize_t>(sizeof error)) return child;
    ::waitpid(child, nullptr, 0);
    throw Failure{static_cast<Exit>(error == ENOENT ? kNoProgram : kCannotRun),
                  fmt::format("{}: cannot be run ({}): check the name and the rights", command.front(),
                              std::generic_category().message(error))};
}

void Foreground::pass_on(const siginfo_t& info) {
    if (is_sent_by_process(info)) ::kill(child_, info.si_signo);
    const bool must_end = info.si_signo == SIGTERM || info.si_signo == SIGHUP;
    if (must_end && !deadline_) deadline_ = steady_clock::now() + grace_;
}

void Foreground::stop_with(pid_t child, const siginfo_t& info) const {
    if (is_sent_by_process(info)) ::kill(child, SIGTSTP);
    // By the kernel's own rules, which know whether anybody is there to continue this process.
    sigset_t stop{};
    ::sigemptyset(&stop);
    ::sigaddset(&stop, SIGTSTP);
    ::kill(::getpid(), SIGTSTP);
    ::sigprocmask(SIG_UNBLOCK, &stop, nullptr);
    ::sigprocmask(SIG_BLOCK, &stop, nullptr);
}

std::optional<int> Foreground::status_of(pid_t child) const {
    std::optional<int> ended;
    int status = 0;
    for (pid_t process = 0; (process = ::waitpid(-1, &status, WNOHANG)) > 0;)
        if (process == child) ended = shell_status(status);
    return ended;
}

bool Foreground::signal_rest(int signal) const {
    const std::vector<pid_t> rest = children();
    for (const pid_t process : rest) ::kill(process, signal);
    return !rest.empty();
}

void Foreground::reap_rest() const { static_cast<void>(status_of(-1)); }

}  // namespace pcienic::ctl
