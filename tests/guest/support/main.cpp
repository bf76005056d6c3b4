// SPDX-License-Identifier: MIT
// The main program of every GoogleTest program that runs in the guest: GoogleTest's own, plus a listener that tells
// the host how far it came, through a channel that neither the program's output nor the kernel's can disturb.

#include <gtest/gtest.h>

#include <unistd.h>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "results.hpp"

namespace {

using pcienic::guest::mark_kernel_log;
using pcienic::guest::Record;

std::string full_name(const testing::TestInfo& test) { return std::string(test.test_suite_name()) + '.' + test.name(); }

/// Open file descriptors by number, with what each refers to.
std::map<int, std::string> open_descriptors() {
    std::map<int, std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;  // the descriptor that lists the directory is closed by the time it is asked about
        const auto target = std::filesystem::read_symlink(entry.path(), gone);
        if (!gone && target != "/proc/" + std::to_string(::getpid()) + "/fd") {
            found.emplace(std::stoi(entry.path().filename()), target.string());
        }
    }
    return found;
}

class ResultsListener : public testing::EmptyTestEventListener {
    void OnTestProgramStart(const testing::UnitTest& program) override {
        Record("hello").number("protocol", 1).number("pid", ::getpid()).send();
        Record("plan").number("count", program.test_to_run_count()).send();
    }

    void OnTestStart(const testing::TestInfo& test) override {
        mark_kernel_log("pcienic-case start " + full_name(test));
        Record("start").text("name", full_name(test)).send();
        before_ = open_descriptors();
    }

    void OnTestPartResult(const testing::TestPartResult& part) override {
        if (part.failed()) {
            Record("failure")
                .text("file", part.file_name() != nullptr ? part.file_name() : "?")
                .number("line", part.line_number())
                .text("message", part.message())
                .send();
        }
    }

    void OnTestEnd(const testing::TestInfo& test) override {
        std::vector<std::string> leaked;
        for (const auto& [number, target] : open_descriptors()) {
            const auto known = before_.find(number);
            if (known == before_.end() || known->second != target) {
                leaked.push_back(std::to_string(number) + " -> " + target);
            }
        }
        const auto& result = *test.result();
        const char* status = result.Failed() ? "failed" : result.Skipped() ? "skipped" : "passed";
        Record("end")
            .text("name", full_name(test))
            .text("status", status)
            .number("ms", result.elapsed_time())
            .texts("leaked", leaked)
            .send();
        mark_kernel_log("pcienic-case end " + full_name(test));
    }

    void OnTestProgramEnd(const testing::UnitTest& program) override {
        Record("done")
            .number("passed", program.successful_test_count())
            .number("failed", program.failed_test_count())
            .number("skipped", program.skipped_test_count())
            .send();
    }

    std::map<int, std::string> before_;
};

}  // namespace

int main(int argc, char** argv) {
    // A crash must not take the lines with it that led to it.
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    testing::InitGoogleTest(&argc, argv);
    testing::UnitTest::GetInstance()->listeners().Append(new ResultsListener);
    return RUN_ALL_TESTS();
}
