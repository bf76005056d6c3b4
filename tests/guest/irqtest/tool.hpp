// SPDX-License-Identifier: MIT
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace pcienic::test {

struct Outcome {
    int status = -1;   // exit status; -1 where it ended otherwise
    std::string text;  // what it printed, on both of its channels
};

inline Outcome shell(const std::string& command) {
    Outcome outcome;
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "re");
    if (!pipe) return outcome;
    char buffer[4096];
    while (const std::size_t size = std::fread(buffer, 1, sizeof(buffer), pipe)) outcome.text.append(buffer, size);
    const int status = ::pclose(pipe);
    if (WIFEXITED(status)) outcome.status = WEXITSTATUS(status);
    return outcome;
}

// Generous: what is tested is whether an interrupt comes, not when.
inline Outcome irqtest(const std::string& arguments, const std::string& timeout = "60s") {
    return shell("pcienic-irqtest --timeout " + timeout + " " + arguments);
}

inline nlohmann::json parse(const Outcome& outcome) {
    const auto json = nlohmann::json::parse(outcome.text, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << outcome.text;
    return json;
}

}  // namespace pcienic::test
