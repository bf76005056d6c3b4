// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What can go wrong with a pcienic device, each with a text and a remedy:
///
///     pcienic::Result result = dma.run(pcienic::copy(source, destination, 4096), 1s);
///     if (result.code == pcienic::Errc::source_fault) fmt::print("nothing mapped at {:#x}\n", result.detail);
///
/// Set-up throws pcienic::Error. What the device says of a command is never thrown: it is a Result.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "pcienic/registers.hpp"

namespace pcienic {

/// What went wrong; docs/reference/errors.md has each one's remedy.
enum class Errc {
    /// The device's completion codes, with the values that stand in a completion.
    bad_opcode = 1,
    zero_length,
    device_range,
    source_fault,
    destination_fault,
    sg_fault,
    bad_sg,
    bad_flags,
    bad_vector,

    /// Why the queue stopped.
    descriptor_fault = 64,
    completion_fault,
    queue_stopped,
    bad_completion,

    /// The driver's own.
    not_a_pcienic = 128,
    unsupported_version,
    bad_layout,
    reset_failed,
    bad_ring_size,
    engine_refused,
    engine_stuck,
    engine_disabled,
    ring_full,
    stale_ticket,
    cancelled,
    list_too_long,
    buffer_in_use,
    not_mapped,
    no_such_vector,
};

/// The category of Errc, named "pcienic", and an Errc as an error_code.
const std::error_category& category() noexcept;
std::error_code make_error_code(Errc) noexcept;

/// What to do about it; one clause, without a full stop.
std::string_view remedy(Errc) noexcept;

/// The device's error latch (ERR_STATUS, ERR_CODE, ERR_INFO), which holds the first error since it was last taken.
struct LatchedError {
    regs::ErrCode::CodeValue code = regs::ErrCode::CodeValue::kNone;
    std::uint64_t info = 0;  ///< the offset, vector or address that belongs to it
    bool overflow = false;   ///< further errors came while this one was latched
};
/// As one line of text.
std::string to_string(const LatchedError&);

/// what() is "OBJECT: what was wrong: remedy".
class Error : public std::system_error {
  public:
    /// `object` is what it happened to: a BDF, "the DMA queue".
    Error(Errc, std::string object, std::optional<LatchedError> latched = std::nullopt);

    /// What went wrong, with what, and the whole text.
    Errc errc() const noexcept { return static_cast<Errc>(code().value()); }
    const std::string& object() const noexcept { return object_; }
    const char* what() const noexcept override { return what_.c_str(); }
    /// What the device had latched when this was thrown, where that is the cause.
    const std::optional<LatchedError>& latched() const noexcept { return latched_; }

  private:
    std::string object_;
    std::optional<LatchedError> latched_;
    std::string what_;
};

/// What became of a command.
struct Result {
    std::error_code code;      ///< empty: done
    std::uint64_t detail = 0;  ///< done: bytes moved; a fault: the bus address; device_range: the offset; else 0

    /// Whether the command was done.
    explicit operator bool() const noexcept { return !code; }
    /// The bytes moved. Throws std::system_error, with the detail in its text, where the command failed.
    std::uint64_t value() const;
};
/// As one line of text.
std::string to_string(const Result&);

}  // namespace pcienic

template <>
struct std::is_error_code_enum<pcienic::Errc> : std::true_type {};
