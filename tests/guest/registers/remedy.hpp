// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a message advises, done as a user does it: copied out and run.

#include <gtest/gtest.h>

#include <string>

#include "ctl.hpp"

namespace pcienic::test {

/// The first command that the message has between ` and `, or between ' and '; empty for none.
inline std::string command_in(const std::string& message, char quote = '`') {
    const std::size_t begin = message.find(quote);
    const std::size_t end = message.find(quote, begin + 1);
    return begin == std::string::npos || end == std::string::npos ? "" : message.substr(begin + 1, end - begin - 1);
}

/// Runs the command that the message gives, which has to be this one, and has to succeed.
inline void follow(const std::string& message, const std::string& expected, char quote = '`') {
    const std::string command = command_in(message, quote);
    EXPECT_EQ(command, expected) << message;
    const Outcome followed = shell(command);
    EXPECT_EQ(followed.status, 0) << command << ": " << followed.out << followed.err;
}

}  // namespace pcienic::test
