// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The address of a PCI function: domain, bus, device, function.

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace uiovfio {

/// A PCI address. Parsing checks the ranges: domain 0 to ffffffff (wide domains exist behind VMD), bus 0 to ff,
/// device 0 to 1f, function 0 to 7.
struct Bdf {
    std::uint32_t domain = 0;
    std::uint8_t bus = 0;
    std::uint8_t device = 0;
    std::uint8_t function = 0;

    /// Reads "0000:01:00.0" or, with domain 0, "01:00.0". Throws Errc::invalid_bdf, which shows the text.
    static Bdf parse(std::string_view text);
    static Bdf parse(std::string_view text, std::error_code& ec) noexcept;
    /// Nothing instead of an exception.
    static std::optional<Bdf> try_parse(std::string_view text) noexcept;

    friend constexpr auto operator<=>(const Bdf&, const Bdf&) = default;
};

/// The long form, as sysfs spells it: "0000:01:00.0".
std::string to_string(const Bdf& bdf);

/// Writes to_string(bdf).
std::ostream& operator<<(std::ostream& out, const Bdf& bdf);

}  // namespace uiovfio

template <>
struct std::hash<uiovfio::Bdf> {
    std::size_t operator()(const uiovfio::Bdf& bdf) const noexcept {
        const std::uint64_t key = std::uint64_t{bdf.domain} << 16 | std::uint64_t{bdf.bus} << 8 |
                                  std::uint64_t{bdf.device} << 3 | bdf.function;
        return std::hash<std::uint64_t>{}(key);
    }
};
