// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// pcienic-ctl as a guest's user runs it, and what came of it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace pcienic::test {

struct Outcome {
    int status = -1;  ///< exit status; -1 where it ended otherwise
    std::string out;
    std::string err;
};

inline std::string contents(const std::string& file) {
    std::string text;
    if (FILE* stream = std::fopen(file.c_str(), "re")) {
        char buffer[4096];
        while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, stream)) text.append(buffer, size);
        std::fclose(stream);
    }
    return text;
}

inline Outcome shell(const std::string& command) {
    const int status = std::system(("(" + command + ") >/tmp/out 2>/tmp/err").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents("/tmp/out"), contents("/tmp/err")};
}

inline Outcome ctl(const std::string& arguments) { return shell("pcienic-ctl " + arguments); }

inline std::string driver_of(const std::string& bdf) {
    std::error_code none;
    return std::filesystem::read_symlink("/sys/bus/pci/devices/" + bdf + "/driver", none).filename();
}

#define EXPECT_OUTPUT(outcome, text)         \
    do {                                     \
        const Outcome got = (outcome);       \
        EXPECT_EQ(got.status, 0) << got.err; \
        EXPECT_EQ(got.out, text);            \
    } while (false)

#define EXPECT_REFUSED(outcome, exit_code, ...)                                                 \
    do {                                                                                        \
        const Outcome got = (outcome);                                                          \
        EXPECT_EQ(got.status, exit_code) << got.err;                                            \
        EXPECT_THAT(got.out, testing::IsEmpty());                                               \
        EXPECT_THAT(got.err, testing::AllOf(testing::HasSubstr("pcienic-ctl: "), __VA_ARGS__)); \
    } while (false)

}  // namespace pcienic::test
