// SPDX-License-Identifier: MIT
/// A shared library of a user's, which uses ours.

#include <system_error>
#include <uiovfio/uiovfio.hpp>

extern "C" [[gnu::visibility("default")]] void give_code(std::error_code& code) {
    static_cast<void>(uiovfio::Bdf::parse("no address", code));
}

extern "C" [[gnu::visibility("default")]] void throw_error() { static_cast<void>(uiovfio::Bdf::parse("no address")); }
