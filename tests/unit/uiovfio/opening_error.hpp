// SPDX-License-Identifier: MIT
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <uiovfio/error.hpp>

#include "fake_kernel.hpp"

namespace uiovfio::test {

/// A call of the kernel's that fails while a device is opened, and what becomes of it.
struct FailingCall {
    const char* call;
    int error;
    Errc errc;
};

/// The error with which `open` ends, which names the device; no file stays open.
template <class Open>
Error opening_error(const FakeKernel& kernel, const char* device, Open&& open) {
    try {
        (void)open();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr(device));
        EXPECT_TRUE(kernel.open_files.empty()) << "a file is left open";
        return error;
    }
    ADD_FAILURE() << "the device opened";
    return Error{Errc::system_error, "none"};
}

}  // namespace uiovfio::test
