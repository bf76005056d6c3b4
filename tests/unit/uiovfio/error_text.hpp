// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <uiovfio/error.hpp>

namespace uiovfio::test {

/// The text of the error that `action` throws, which has to be of that kind.
template <class Action>
std::string error_text(Errc expected, Action&& action) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.errc(), expected) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

}  // namespace uiovfio::test
