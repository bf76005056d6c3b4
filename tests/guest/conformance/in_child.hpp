// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Running part of a test in a child process.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <functional>
#include <string>
#include <uiovfio/error.hpp>

namespace uiovfio::test {

/// Runs `action` in a child process, and gives what it says: "ERRC: what()" when it ends with an Error, "signal N" when
/// one ended it. The child does not run what the parent would at its end.
inline std::string in_child(const std::function<std::string()>& action) {
    std::array<int, 2> channel{};
    if (::pipe(channel.data()) != 0) return "no pipe";
    const pid_t child = ::fork();
    if (child < 0) return "no child process";
    if (child == 0) {
        std::string said;
        try {
            said = action();
        } catch (const Error& error) {
            said = std::string{name(error.errc())} + ": " + error.what();
        } catch (const std::exception& error) {
            said = error.what();
        }
        const auto written = ::write(channel[1], said.data(), said.size());
        ::_exit(written == static_cast<ssize_t>(said.size()) ? 0 : 1);
    }
    ::close(channel[1]);
    std::string said;
    std::array<char, 512> piece{};
    for (ssize_t length = 0; (length = ::read(channel[0], piece.data(), piece.size())) > 0;)
        said.append(piece.data(), static_cast<std::size_t>(length));
    ::close(channel[0]);
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return "the child was not waited for";
    if (WIFSIGNALED(status)) return "signal " + std::to_string(WTERMSIG(status));
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the child ended with status " << status;
    return said;
}

}  // namespace uiovfio::test
