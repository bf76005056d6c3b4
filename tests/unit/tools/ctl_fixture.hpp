// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// pcienic-ctl as its user has it: arguments in, text and exit code out. The device is the one in this process, or
/// there is none and a fake sysfs decides how far the tool gets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/output.hpp"
#include "command_line.hpp"
#include "fake_sysfs.hpp"

namespace pcienic::ctl {

struct Outcome {
    int code;
    std::string out;
    std::string err;
};

class Ctl : public testing::Test {
  protected:
    Outcome run(const std::vector<std::string>& arguments, const std::string& input = {}) {
        std::ostringstream out;
        std::ostringstream err;
        std::istringstream in{input};
        World world{out, err, in, sysfs_.root(), sim_};
        const int code = ctl::run(arguments, world);
        return {code, out.str(), err.str()};
    }

    /// On the device in this process.
    Outcome sim(std::vector<std::string> arguments, const std::string& input = {}) {
        arguments.insert(arguments.begin(), {"--backend", "sim"});
        return run(arguments, input);
    }

    /// What succeeded, as text.
    std::string text(std::vector<std::string> arguments) {
        const Outcome result = sim(std::move(arguments));
        EXPECT_EQ(result.code, 0) << result.err;
        EXPECT_THAT(result.err, testing::IsEmpty());
        return result.out;
    }

    /// What succeeded, as a document.
    cli::Json document(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "--json");
        return cli::Json::parse(text(std::move(arguments)));
    }

    std::string file(const std::string& name, const std::string& content) {
        const std::filesystem::path path = sysfs_.root().sys.parent_path() / name;
        std::ofstream{path} << content;
        return path.string();
    }

    FakeSysfs sysfs_;
    uiovfio::SimOptions sim_;
};

#define EXPECT_REFUSED(result, exit_code, ...)                                                       \
    do {                                                                                             \
        const Outcome refused = (result);                                                            \
        EXPECT_EQ(refused.code, exit_code) << refused.err;                                           \
        EXPECT_THAT(refused.out, testing::IsEmpty()) << "data only when there are some";             \
        EXPECT_THAT(refused.err, testing::AllOf(testing::StartsWith("pcienic-ctl: "), __VA_ARGS__)); \
    } while (false)

}  // namespace pcienic::ctl
