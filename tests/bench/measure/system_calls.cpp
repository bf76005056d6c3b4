// SPDX-License-Identifier: MIT
#include "measure/system_calls.hpp"

#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <utility>

#include "cli/exit.hpp"

namespace pcienic::bench {
namespace {

/// What a thread does that waits for an interrupt; anything else shows by its number.
std::string name_of(std::uint64_t number) {
    static constexpr std::array kNames{
        std::pair{SYS_read, "read"},
        std::pair{SYS_write, "write"},
        std::pair{SYS_ppoll, "ppoll"},
        std::pair{SYS_pread64, "pread"},
        std::pair{SYS_pwrite64, "pwrite"},
        std::pair{SYS_ioctl, "ioctl"},
        std::pair{SYS_epoll_ctl, "epoll_ctl"},
        std::pair{SYS_epoll_pwait, "epoll_wait"},
#ifdef SYS_epoll_wait
        std::pair{SYS_epoll_wait, "epoll_wait"},
#endif
#ifdef SYS_poll
        std::pair{SYS_poll, "poll"},
#endif
    };
    for (const auto& [known, name] : kNames)
        if (static_cast<std::uint64_t>(known) == number) return name;
    return fmt::format("system call {}", number);
}

// A call that nothing in the measured parts makes.
constexpr std::uint64_t kMark = SYS_getppid;

/// Follows the child's one traced thread.
class Tracer {
  public:
    explicit Tracer(pid_t child) noexcept : child_{child} {}

    /// Until the child has ended. Its wait status.
    int follow() {
        for (;;) {
            int status = 0;
            const pid_t thread = ::waitpid(-1, &status, __WALL);
            if (thread < 0 && errno != EINTR) return -1;
            if (thread == child_ && (WIFEXITED(status) || WIFSIGNALED(status))) return status;
            if (thread > 0 && WIFSTOPPED(status)) resume(thread, WSTOPSIG(status));
        }
    }

    [[nodiscard]] int marks() const noexcept { return marks_; }
    std::map<std::string, std::uint64_t> take() { return std::move(calls_); }

  private:
    static constexpr int kSystemCallStop = SIGTRAP | 0x80;

    void resume(pid_t thread, int signal) {
        if (signal == SIGSTOP && !std::exchange(is_set_up_, true))
            ::ptrace(PTRACE_SETOPTIONS, thread, nullptr, PTRACE_O_TRACESYSGOOD);
        else if (signal == kSystemCallStop)
            note(thread);
        const bool is_ours = signal == kSystemCallStop || signal == SIGSTOP;
        ::ptrace(PTRACE_SYSCALL, thread, nullptr, is_ours ? 0 : signal);
    }

    void note(pid_t thread) {
        __ptrace_syscall_info info{};
        if (::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0) return;
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
        if (info.entry.nr == kMark)
            ++marks_;
        else if (marks_ == 1 && info.entry.nr != SYS_futex)
            ++calls_[name_of(info.entry.nr)];
    }

    pid_t child_;
    bool is_set_up_ = false;
    int marks_ = 0;
    std::map<std::string, std::uint64_t> calls_;
};

[[noreturn]] void run_child(const std::function<void()>& body) {
    int status = 0;
    try {
        body();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "pcienic-bench: counting system calls: %s\n", error.what());
        status = 1;
    }
    ::_exit(status);  // what the parent has in its buffers is the parent's to write
}

}  // namespace

void trace_this_thread() {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) ::syscall(SYS_tgkill, ::getpid(), ::gettid(), SIGSTOP);
}

void mark() { ::syscall(SYS_getppid); }

std::map<std::string, std::uint64_t> count_system_calls(const std::function<void()>& body) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child < 0) throw cli::Failure(cli::Exit::failure, fmt::format("cannot fork: {}", std::strerror(errno)));
    if (child == 0) run_child(body);
    Tracer tracer{child};
    const int status = tracer.follow();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw cli::Failure(cli::Exit::failure, "counting system calls: the traced process failed");
    if (tracer.marks() != 2)
        throw cli::Failure(cli::Exit::failure,
                           "counting system calls: the thread could not be traced: ptrace() is not permitted here");
    return tracer.take();
}

}  // namespace pcienic::bench
