// SPDX-License-Identifier: MIT
#include "uiovfio/bdf.hpp"

#include <fmt/format.h>

#include <charconv>
#include <ostream>

#include "guarded.hpp"

namespace uiovfio {

namespace {

/// Takes 1 to `digits` hexadecimal digits, of a value up to `max`, off the front of `text`.
std::optional<std::uint32_t> take_hex(std::string_view& text, std::size_t digits, std::uint32_t max) noexcept {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    const auto length = static_cast<std::size_t>(end - text.data());
    if (error != std::errc{} || length > digits || value > max) return std::nullopt;
    text.remove_prefix(length);
    return value;
}

bool take(std::string_view& text, char expected) noexcept {
    if (text.empty() || text.front() != expected) return false;
    text.remove_prefix(1);
    return true;
}

}  // namespace

std::optional<Bdf> Bdf::try_parse(std::string_view text) noexcept {
    std::optional<std::uint32_t> domain = 0;
    if (text.find(':') != text.rfind(':')) {
        domain = take_hex(text, 8, 0xffffffff);
        if (!domain || !take(text, ':')) return std::nullopt;
    }
    const auto bus = take_hex(text, 2, 0xff);
    if (!bus || !take(text, ':')) return std::nullopt;
    const auto device = take_hex(text, 2, 0x1f);
    if (!device || !take(text, '.')) return std::nullopt;
    const auto function = take_hex(text, 1, 7);
    if (!function || !text.empty()) return std::nullopt;
    return Bdf{*domain, static_cast<std::uint8_t>(*bus), static_cast<std::uint8_t>(*device),
               static_cast<std::uint8_t>(*function)};
}

Bdf Bdf::parse(std::string_view text) {
    if (const auto bdf = try_parse(text)) return *bdf;
    throw Error{Errc::invalid_bdf, fmt::format("\"{}\"", text)};
}

Bdf Bdf::parse(std::string_view text, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return parse(text); });
}

std::string to_string(const Bdf& bdf) {
    return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", bdf.domain, bdf.bus, bdf.device, bdf.function);
}

std::ostream& operator<<(std::ostream& out, const Bdf& bdf) { return out << to_string(bdf); }

}  // namespace uiovfio
