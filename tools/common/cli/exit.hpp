// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How the tools end: documented exit codes, and the exception that carries one with its message.

#include <exception>
#include <functional>
#include <iosfwd>
#include <stdexcept>
#include <string>
#include <string_view>

#include "uiovfio/error.hpp"

namespace pcienic::cli {

/// The exit codes of every tool; kExitCodesHelp is their text in --help and in the man pages.
enum class Exit : int {
    ok = 0,
    failure = 1,       ///< the device or an I/O operation failed
    usage = 2,         ///< command line, unknown register, or the access policy refuses
    no_device = 3,     ///< no device, or several and none was named
    permission = 4,    ///< no permission, or the wrong driver is bound
    check_failed = 5,  ///< the device answered, but not as asked: verify mismatch, lost interrupt, difference
    timeout = 6,
    skipped = 77,  ///< nothing to test: the number that automake and ctest know
    interrupted = 130,
};

inline constexpr std::string_view kExitCodesHelp =
    "Exit codes: 0 ok, 1 device or I/O failure, 2 usage or access policy, 3 no or ambiguous device,\n"
    "4 permission or wrong driver, 5 check failed, 6 timeout, 77 skipped, 130 interrupted.";

/// An error with the exit code that it ends in. The message says what was wrong, with which object, and the remedy.
class Failure : public std::runtime_error {
  public:
    Failure(Exit code, const std::string& message) : std::runtime_error{message}, code_{code} {}
    [[nodiscard]] Exit code() const noexcept { return code_; }

  private:
    Exit code_;
};

/// The exit code that an error of the library ends in.
Exit exit_for(uiovfio::Errc errc) noexcept;
/// The exit code that any error ends in.
Exit exit_for(const std::exception& error) noexcept;

/// Runs a tool's body; an exception becomes one line "TOOL: MESSAGE" on `err` and its exit code. So does output that
/// could not be written: a full disk must not leave half a document and a success. Standard streams that are closed are
/// made harmless first.
int guarded(std::string_view tool, std::ostream& out, std::ostream& err, const std::function<Exit()>& body);

}  // namespace pcienic::cli
