// SPDX-License-Identifier: MIT
/// Tests of the tests: with one fault built into the library (src/mutation.hpp), the conformance suite goes red, where
/// it should and for that reason. This program holds the suite, linked with uiovfio_mutated, and runs itself.

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "conformance.hpp"

namespace uiovfio::conformance {

namespace {

struct Outcome {
    int status = -1;
    std::string text;
};

/// The suite in another process, with that fault chosen; empty for none. What is expected to fail waits for what cannot
/// come: so the patience there is short.
Outcome run_suite(const std::string& mutation, const std::string& filter, const char* patience_seconds) {
    std::array<int, 2> channel{};
    if (::pipe(channel.data()) != 0) return {};
    const pid_t child = ::fork();
    if (child < 0) return {-1, "fork failed"};
    if (child == 0) {
        if (::dup2(channel[1], STDOUT_FILENO) < 0 || ::dup2(channel[1], STDERR_FILENO) < 0) ::_exit(127);
        ::close(channel[0]);
        ::setenv("UIOVFIO_MUTATIONS", mutation.c_str(), 1);
        ::setenv("PCIENIC_PATIENCE", patience_seconds, 1);
        ::unsetenv("PCIENIC_RESULTS");  // its cases are not the suite's
        ::unsetenv("GTEST_OUTPUT");
        const std::string option = "--gtest_filter=" + filter;
        ::execl("/proc/self/exe", "conformance", option.c_str(), "--gtest_color=no", nullptr);
        ::_exit(127);
    }
    ::close(channel[1]);
    Outcome outcome;
    std::array<char, 4096> piece{};
    for (ssize_t length = 0; (length = ::read(channel[0], piece.data(), piece.size())) > 0;)
        outcome.text.append(piece.data(), static_cast<std::size_t>(length));
    ::close(channel[0]);
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return {-1, "waitpid failed"};
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return outcome;
}

struct MutationCase {
    const char* name;
    const char* red;     ///< the case that finds it
    const char* reason;  ///< a part of its message: a POSIX extended regular expression
    const char* green;   ///< what has nothing to do with it
};

void PrintTo(const MutationCase& mutation, std::ostream* out) { *out << mutation.name; }

constexpr const char* kRedPatience = "2";
constexpr const char* kGreenPatience = "120";

}  // namespace

class Mutation : public testing::TestWithParam<MutationCase> {};

TEST_P(Mutation, TurnsItsCaseRedForItsReason) {
    const Outcome outcome = run_suite(GetParam().name, GetParam().red, kRedPatience);
    EXPECT_EQ(outcome.status, 1) << outcome.text;
    EXPECT_THAT(outcome.text, testing::HasSubstr(std::string{"[  FAILED  ] "} + GetParam().red));
    EXPECT_THAT(outcome.text, testing::ContainsRegex(GetParam().reason));
}

TEST_P(Mutation, LeavesTheRestGreen) {
    const Outcome outcome = run_suite(GetParam().name, GetParam().green, kGreenPatience);
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    EXPECT_THAT(outcome.text, testing::HasSubstr("[  PASSED  ]"));
}

TEST_P(Mutation, IsWhatMakesTheDifference) {
    const Outcome outcome = run_suite("", GetParam().red, kGreenPatience);
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    EXPECT_THAT(outcome.text, testing::HasSubstr("[  PASSED  ] 1 test"));
}

INSTANTIATE_TEST_SUITE_P(
    Faults, Mutation,
    testing::Values(
        // A kernel refuses to fire what is not armed; the simulated device stays silent.
        MutationCase{"no-rearm-after-reset", "Modes/ConformanceInterruptModes.DeliverAfterAReset/Msix",
                     "no interrupt within|SET_IRQS failed", "ConformanceConfig.*:ConformanceBars.*:ConformanceDma.*"},
        MutationCase{"no-superpage-alignment", "ConformanceDma.AlignsLargePiecesForHugePages", "kHugePage|2097152",
                     "ConformanceConfig.*:ConformanceBars.*:ConformanceInterrupts.*"},
        MutationCase{"no-eventfd-drain", "Modes/ConformanceInterruptModes.AddUpWhatNobodyWaitedFor/Msix", "Which is: 1",
                     "ConformanceConfig.*:ConformanceBars.*:ConformanceDma.*"},
        MutationCase{"no-bus-master", "ConformanceConfig.SwitchesBusMastering", "config.bus_master\\(\\)",
                     "ConformanceBars.*"},
        MutationCase{"no-bus-master", "ConformanceInterrupts.ComeFromTheDeviceAsMsix", "no interrupt within",
                     "ConformanceBars.*"}),
    [](const testing::TestParamInfo<MutationCase>& fault) {
        std::string name = std::string{fault.param.name} + "_" + std::to_string(fault.index);
        for (char& c : name)
            if (c == '-') c = '_';
        return name;
    });

}  // namespace uiovfio::conformance
