// SPDX-License-Identifier: MIT
#include "reserved_regions.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace uiovfio::detail {

namespace {

/// Takes the text up to the next blank off its beginning, and the blanks before it.
std::string_view take_word(std::string_view& line) noexcept {
    constexpr std::string_view kBlanks = " \t\r";
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
    line.remove_prefix(word.size());
    return word;
}

std::optional<Iova> take_address(std::string_view& line) noexcept {
    std::string_view word = take_word(line);
    if (!word.starts_with("0x")) return std::nullopt;
    word.remove_prefix(2);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, 16);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return Iova{value};
}

}  // namespace

std::vector<ReservedRegion> parse_reserved_regions(std::string_view text) {
    std::vector<ReservedRegion> regions;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        const auto first = take_address(line);
        const auto last = take_address(line);
        const std::string_view type = take_word(line);
        if (first && last && *first <= *last && !type.empty()) regions.push_back({*first, *last, std::string{type}});
    }
    std::ranges::sort(regions, {}, [](const ReservedRegion& region) { return std::pair{region.first, region.last}; });
    return regions;
}

std::vector<IovaRange> without_reserved(const IovaRange& aperture, const std::vector<ReservedRegion>& reserved) {
    std::vector<IovaRange> ranges{aperture};
    for (const ReservedRegion& region : reserved) {
        if (region.is_mappable()) continue;
        std::vector<IovaRange> left;
        for (const IovaRange& range : ranges) {
            if (region.last < range.first || region.first > range.last) {
                left.push_back(range);
                continue;
            }
            if (range.first < region.first) left.push_back({range.first, Iova{to_integer(region.first) - 1}});
            if (region.last < range.last) left.push_back({region.last + 1, range.last});
        }
        ranges = std::move(left);
    }
    return ranges;
}

}  // namespace uiovfio::detail
