// SPDX-License-Identifier: MIT
#include "cli/number.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "cli/exit.hpp"

namespace pcienic::cli {
namespace {

[[noreturn]] void refuse(std::string_view text, std::string_view wrong) {
    throw Failure{Exit::usage,
                  fmt::format("'{}': {}: write a number as 42, 0x2a, 0b101010, 1_000 or 64k", text, wrong)};
}

int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// Takes k, M, G, with or without "iB", off the end and gives the shift.
unsigned take_unit(std::string_view& text) {
    if (text.size() > 3 && text.ends_with("iB")) text.remove_suffix(2);
    const char unit = text.empty() ? '\0' : text.back();
    const unsigned shift = unit == 'k' || unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0;
    if (shift != 0) text.remove_suffix(1);
    return shift;
}

unsigned take_base(std::string_view& text) {
    if (text.starts_with("0x") || text.starts_with("0X")) {
        text.remove_prefix(2);
        return 16;
    }
    if (text.starts_with("0b") || text.starts_with("0B")) {
        text.remove_prefix(2);
        return 2;
    }
    return 10;
}

}  // namespace

std::uint64_t parse_number(std::string_view text) {
    constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
    std::string_view rest = text;
    const unsigned shift = take_unit(rest);
    const unsigned base = take_base(rest);
    if (rest.empty()) refuse(text, "has no digits");
    std::uint64_t value = 0;
    bool separator = true;  // one may stand between digits only
    for (const char c : rest) {
        if (c == '_' && !separator) {
            separator = true;
            continue;
        }
        const int digit = digit_value(c);
        if (digit < 0 || static_cast<unsigned>(digit) >= base) refuse(text, "is not a number");
        if (value > (kMax - static_cast<unsigned>(digit)) / base) refuse(text, "does not fit into 64 bits");
        value = value * base + static_cast<unsigned>(digit);
        separator = false;
    }
    if (separator) refuse(text, "is not a number");
    if (value > kMax >> shift) refuse(text, "does not fit into 64 bits");
    return value << shift;
}

std::chrono::nanoseconds parse_duration(std::string_view text) {
    using Unit = std::pair<std::string_view, std::uint64_t>;
    static constexpr std::array<Unit, 5> kUnits{
        {{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}}};
    for (const auto& [unit, nanoseconds] : kUnits) {
        if (!text.ends_with(unit) || text.size() == unit.size()) continue;
        const std::string_view digits = text.substr(0, text.size() - unit.size());
        if (digit_value(digits.back()) < 0) continue;  // "ms" ends with "s"
        const std::uint64_t count = parse_number(digits);
        if (count > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / nanoseconds) break;
        return std::chrono::nanoseconds{static_cast<std::int64_t>(count * nanoseconds)};
    }
    throw Failure{Exit::usage, fmt::format("'{}': is not a time: write it as 100ns, 10us, 500ms, 2s or 1m", text)};
}

std::vector<unsigned> parse_ranges(std::string_view text, unsigned limit) {
    std::vector<unsigned> result;
    for (std::size_t at = 0; at <= text.size();) {
        const std::string_view part = text.substr(at, text.find(',', at) - at);
        at += part.size() + 1;
        const std::size_t dash = part.find('-');
        const std::uint64_t first = parse_number(part.substr(0, dash));
        const std::uint64_t last = dash == std::string_view::npos ? first : parse_number(part.substr(dash + 1));
        if (first > last)
            throw Failure{Exit::usage, fmt::format("'{}': runs backwards: write {}-{}", part, last, first)};
        if (last > limit)
            throw Failure{Exit::usage, fmt::format("'{}': the highest is {}: choose from 0-{}", part, limit, limit)};
        for (std::uint64_t i = first; i <= last; ++i) result.push_back(static_cast<unsigned>(i));
    }
    return result;
}

unsigned parse_index(std::string_view text, unsigned limit) {
    if (text.find_first_of(",-") != std::string_view::npos)
        throw Failure{Exit::usage, fmt::format("'{}': names several: give one number from 0-{}", text, limit)};
    return parse_ranges(text, limit).front();
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::array kUnits{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    const std::size_t unit = bytes == 0 ? 0 : static_cast<std::size_t>(std::bit_width(bytes) - 1) / 10;
    if (const std::uint64_t one = std::uint64_t{1} << 10 * unit; bytes % one != 0)
        return fmt::format("{:.1f} {}", static_cast<double>(bytes) / static_cast<double>(one), kUnits[unit]);
    return fmt::format("{} {}", bytes >> 10 * unit, kUnits[unit]);
}

}  // namespace pcienic::cli
