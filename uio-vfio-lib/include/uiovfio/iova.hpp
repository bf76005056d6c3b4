// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Bus addresses.

#include <cstdint>

namespace uiovfio {

/// A bus address, as the device uses it. Not an integer, so that it is not mistaken for an offset or a pointer.
enum class Iova : std::uint64_t {};

/// As a device's register takes it.
constexpr std::uint64_t to_integer(Iova iova) noexcept { return static_cast<std::uint64_t>(iova); }
/// The address so many bytes on, and the bytes between two addresses. Neither is checked against overflow.
constexpr Iova operator+(Iova iova, std::uint64_t offset) noexcept { return Iova{to_integer(iova) + offset}; }
constexpr std::uint64_t operator-(Iova left, Iova right) noexcept { return to_integer(left) - to_integer(right); }

/// Bus addresses from first to last, both included: a range may end at the very top.
struct IovaRange {
    Iova first{};
    Iova last{};

    friend bool operator==(const IovaRange&, const IovaRange&) = default;
};

}  // namespace uiovfio
