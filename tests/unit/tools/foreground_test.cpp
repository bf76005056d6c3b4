// SPDX-License-Identifier: MIT
// A process of its own runs each command, as pcienic-ctl would: signals sent to it are what is looked at.
#include "foreground.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>

#include "cli/exit.hpp"

namespace pcienic::ctl {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto kLong = 10min;
constexpr auto kPatience = 60s;  // a watchdog

/// A command that says "ready", and then lives until a signal ends it. The shell waits for a program that reads an
/// input that stays empty: a wait notices each signal, which a builtin's own read may miss, and a shell that is about
/// to run one program after the other cannot be stopped in between.
std::string living(const std::string& traps) {
    return traps + "; exec 3<&0; cat <&3 >/dev/null & echo ready $$ $PPID; while kill -0 $! 2>/dev/null; do wait; done";
}

int run_shell(std::chrono::nanoseconds grace, const std::string& script) {
    Foreground foreground{grace};
    try {
        return foreground.run({"/bin/sh", "-c", script}, {{"PCIENIC_BDF", "0000:01:00.0"}});
    } catch (const cli::Failure& failure) {
        return static_cast<int>(failure.code());
    }
}

constexpr int kCannot = 125;

/// What the call gave; a call that failed ends the test: kill() takes its -1 for every process, and 0 for its own
/// group.
int must(int given, const char* call) {
    if (given < 0) throw std::system_error{errno, std::generic_category(), call};
    return given;
}

void send(pid_t process, int signal) {
    ASSERT_GT(process, 0);
    EXPECT_EQ(::kill(process, signal), 0) << "signal " << signal << " to " << process;
}

/// The process that runs a command, which has an input that stays empty.
class Supervisor {
  public:
    explicit Supervisor(const std::function<int()>& body) {
        std::array<int, 2> input{};
        std::array<int, 2> output{};
        must(::pipe2(input.data(), O_CLOEXEC), "pipe");
        must(::pipe2(output.data(), O_CLOEXEC), "pipe");
        process_ = must(::fork(), "fork");
        if (process_ == 0) {
            const bool redirected = ::dup2(input[0], STDIN_FILENO) >= 0 && ::dup2(output[1], STDOUT_FILENO) >= 0;
            ::_exit(redirected ? body() : kCannot);
        }
        ::close(input[0]);
        ::close(output[1]);
        input_ = input[1];
        output_ = output[0];
    }
    ~Supervisor() {
        if (process_ > 0) {
            ::kill(process_, SIGKILL);
            ::waitpid(process_, nullptr, 0);
        }
        ::close(input_);
        ::close(output_);
    }
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    [[nodiscard]] pid_t process() const { return process_; }

    /// The next line of what the command writes; empty when it has no more to say.
    std::string line() {
        std::string text;
        char c = 0;
        while (::read(output_, &c, 1) == 1 && c != '\n') text += c;
        return text;
    }

    int status() {
        int status = 0;
        EXPECT_EQ(::waitpid(process_, &status, 0), process_);
        process_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

  private:
    pid_t process_ = -1;
    int input_ = -1;
    int output_ = -1;
};

/// The letter of a process's state in /proc; 0 when there is no such process.
char state_of(pid_t process) {
    std::ifstream file{"/proc/" + std::to_string(process) + "/stat"};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    const auto end = text.rfind(')');
    return end == std::string::npos ? '\0' : text[end + 2];
}

template <class Condition>
bool comes_true(Condition&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(5ms);
    }
    return true;
}

TEST(Foreground, PassesTheExitStatusOn) {
    EXPECT_EQ(Supervisor([] { return run_shell(kLong, "exit 0"); }).status(), 0);
    EXPECT_EQ(Supervisor([] { return run_shell(kLong, "exit 3"); }).status(), 3);
    EXPECT_EQ(Supervisor([] { return run_shell(kLong, "kill -ABRT $$"); }).status(), 128 + SIGABRT);
    EXPECT_EQ(Supervisor([] { return run_shell(kLong, "kill -KILL $$"); }).status(), 128 + SIGKILL);
}

TEST(Foreground, TellsACommandThatIsNotThereAsAShellDoes) {
    Foreground foreground{kLong};
    const auto failure_of = [&](const std::string& command) {
        try {
            foreground.run({command}, {});
        } catch (const cli::Failure& failure) {
            EXPECT_THAT(failure.what(), HasSubstr(command + ": cannot be run ("));
            return static_cast<int>(failure.code());
        }
        return 0;
    };
    EXPECT_EQ(failure_of("/nonexistent/program"), 127);
    EXPECT_EQ(failure_of("/etc/passwd"), 126);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a child was left";
}

TEST(Foreground, AddsToTheEnvironment) {
    Supervisor supervisor{[] { return run_shell(kLong, "echo $PCIENIC_BDF; echo $HOME"); }};
    EXPECT_EQ(supervisor.line(), "0000:01:00.0");
    EXPECT_EQ(supervisor.line(), std::getenv("HOME") != nullptr ? std::getenv("HOME") : "");
}

class ForegroundSignals : public testing::TestWithParam<int> {};

TEST_P(ForegroundSignals, ArePassedOn) {
    const std::string number = std::to_string(GetParam());
    Supervisor supervisor{[&] { return run_shell(kLong, living("trap 'exit 7' " + number)); }};
    ASSERT_THAT(supervisor.line(), HasSubstr("ready"));
    send(supervisor.process(), GetParam());
    EXPECT_EQ(supervisor.status(), 7);
}

TEST_P(ForegroundSignals, EndTheCommandThatDoesNotCatchThem) {
    Supervisor supervisor{[] { return run_shell(kLong, living(":")); }};
    ASSERT_THAT(supervisor.line(), HasSubstr("ready"));
    send(supervisor.process(), GetParam());
    EXPECT_EQ(supervisor.status(), 128 + GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, ForegroundSignals, testing::Values(SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2));

TEST(Foreground, KillsACommandThatDoesNotEnd) {
    Supervisor supervisor{[] { return run_shell(20ms, living("trap '' TERM")); }};
    ASSERT_THAT(supervisor.line(), HasSubstr("ready"));
    send(supervisor.process(), SIGTERM);
    EXPECT_EQ(supervisor.status(), 128 + SIGKILL);
}

TEST(Foreground, LeavesSignalsIgnoredThatWere) {
    Supervisor supervisor{[] {
        ::signal(SIGHUP, SIG_IGN);  // nohup
        return run_shell(0s, living("trap 'exit 7' USR1"));
    }};
    ASSERT_THAT(supervisor.line(), HasSubstr("ready"));
    send(supervisor.process(), SIGHUP);
    send(supervisor.process(), SIGUSR1);
    EXPECT_EQ(supervisor.status(), 7);
}

TEST(Foreground, KnowsTheStatusWhereChildrenAreIgnored) {
    Supervisor supervisor{[] {
        ::signal(SIGCHLD, SIG_IGN);
        return run_shell(kLong, "exit 5");
    }};
    EXPECT_EQ(supervisor.status(), 5);
}

TEST(Foreground, HoldsBackSignalsBeforeAndAfter) {
    Supervisor supervisor{[] {
        {
            Foreground foreground{kLong};
            ::raise(SIGTERM);
            if (foreground.ended_by() != SIGTERM) return 1;
        }
        Foreground again{kLong};
        return again.ended_by() ? 2 : 0;  // the first has taken it along
    }};
    EXPECT_EQ(supervisor.status(), 0);
}

TEST(Foreground, TellsTheCommandWhenItIsKilledItself) {
    Supervisor supervisor{[] { return run_shell(kLong, living("trap 'echo told; exit' TERM")); }};
    ASSERT_THAT(supervisor.line(), HasSubstr("ready"));
    send(supervisor.process(), SIGKILL);
    EXPECT_EQ(supervisor.line(), "told");
}

TEST(Foreground, FindsWhatTheCommandLeftBehind) {
    Supervisor supervisor{[] {
        Foreground foreground{kLong};
        if (foreground.run({"/bin/sh", "-c", "(sleep 600 & sleep 600 & :)"}, {}) != 0) return 1;
        if (!foreground.signal_rest(SIGTERM)) return 2;
        const bool is_empty = comes_true([&] {
            foreground.reap_rest();
            return !foreground.signal_rest(0);
        });
        return is_empty ? 0 : 3;
    }};
    EXPECT_EQ(supervisor.status(), 0);
}

// --- the terminal ---

/// What a shell does with a job: a session with a terminal, and the job in its foreground. Gives the terminal's other
/// end, and the number of the session's leader, which ends with what `body` returns.
/// Nothing where the machine has no terminals to give, as a root without /dev/pts.
std::optional<pid_t> with_terminal(int& terminal, const std::function<int()>& body) {
    const pid_t leader = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    if (leader < 0) return std::nullopt;
    if (leader == 0) ::_exit(body());
    return leader;
}

std::string no_terminal() {
    return fmt::format("this machine gives no terminal (forkpty: {}): is /dev/pts mounted?",
                       std::generic_category().message(errno));
}

/// For a process that is the session's leader; it ends where it cannot.
pid_t start_job(const std::function<int()>& body) {
    const pid_t job = ::fork();
    if (job < 0) ::_exit(kCannot);
    if (job == 0) {
        ::setpgid(0, 0);
        const bool is_foreground = comes_true([] { return ::tcgetpgrp(STDIN_FILENO) == ::getpid(); });
        ::_exit(is_foreground ? body() : kCannot);
    }
    ::setpgid(job, job);  // either may be first; the child's is the one that counts
    ::signal(SIGTTOU, SIG_IGN);
    if (::tcsetpgrp(STDIN_FILENO, job) != 0) ::_exit(kCannot);
    return job;
}

std::string read_until(int terminal, const std::string& mark) {
    std::string text;
    char c = 0;
    while (text.find(mark) == std::string::npos && ::read(terminal, &c, 1) == 1) text += c;
    return text;
}

/// What a living() command says of itself.
struct Ready {
    pid_t command = 0;
    pid_t supervisor = 0;
};

void read_ready(int terminal, Ready& ready) {
    read_until(terminal, "ready ");
    std::istringstream words{read_until(terminal, "\n")};
    ASSERT_TRUE(words >> ready.command >> ready.supervisor);
    ASSERT_GT(ready.command, 0);
    ASSERT_GT(ready.supervisor, 0);
}

int exit_status(pid_t process) {
    int status = 0;
    EXPECT_EQ(::waitpid(process, &status, 0), process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(ForegroundTerminal, InterruptReachesTheCommandOnce) {
    int terminal = -1;
    const auto leader = with_terminal(terminal, [] {
        const pid_t job = start_job([] {
            return run_shell(kLong, living("n=0; trap 'n=$((n + 1)); echo got' INT; trap 'exit $((10 + n))' USR1"));
        });
        return exit_status(job);
    });
    if (!leader) GTEST_SKIP() << no_terminal();
    Ready ready;
    ASSERT_NO_FATAL_FAILURE(read_ready(terminal, ready));
    // It hears of the interrupt once the command is done with it, so that two do not become one.
    send(ready.supervisor, SIGSTOP);
    EXPECT_TRUE(comes_true([&] { return state_of(ready.supervisor) == 'T'; }));
    EXPECT_EQ(::write(terminal, "\x03", 1), 1);
    EXPECT_THAT(read_until(terminal, "got"), HasSubstr("got"));
    send(ready.supervisor, SIGCONT);
    send(ready.supervisor, SIGUSR1);  // passed on after a SIGINT that must not be
    EXPECT_EQ(exit_status(*leader), 11);
    ::close(terminal);
}

TEST(ForegroundTerminal, StopsAndContinuesWithTheCommand) {
    int terminal = -1;
    const auto leader = with_terminal(terminal, [] {
        const pid_t job = start_job([] { return run_shell(kLong, living("trap 'exit 7' TERM")); });
        int status = 0;
        if (::waitpid(job, &status, WUNTRACED) != job || !WIFSTOPPED(status)) return 1;
        if (::tcsetpgrp(STDIN_FILENO, ::getpid()) != 0) return 4;
        if (::write(STDOUT_FILENO, "stopped\n", 8) != 8) return 2;
        char line[8];
        if (::read(STDIN_FILENO, line, sizeof line) <= 0) return 3;  // when it has been looked at
        if (::tcsetpgrp(STDIN_FILENO, job) != 0 || ::kill(-job, SIGCONT) != 0 || ::kill(job, SIGTERM) != 0) return 5;
        return exit_status(job);
    });
    if (!leader) GTEST_SKIP() << no_terminal();
    Ready ready;
    ASSERT_NO_FATAL_FAILURE(read_ready(terminal, ready));
    EXPECT_EQ(::write(terminal, "\x1a", 1), 1);
    EXPECT_THAT(read_until(terminal, "stopped"), HasSubstr("stopped"));
    EXPECT_TRUE(comes_true([&] { return state_of(ready.command) == 'T'; }));
    EXPECT_EQ(::write(terminal, "\n", 1), 1);
    EXPECT_EQ(exit_status(*leader), 7);
    ::close(terminal);
}

}  // namespace
}  // namespace pcienic::ctl
