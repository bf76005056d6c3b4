// SPDX-License-Identifier: MIT
#include "reserved_regions.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "kernel_text.hpp"

namespace uiovfio::detail {

namespace {

std::optional<Iova> take_address(std::string_view& line) noexcept {
    const std::string_view word = take_word(line);
    const auto value = word.starts_with("0x") ? to_number(word, 16) : std::nullopt;
    return value ? std::optional{Iova{*value}} : std::nullopt;
}

}  // namespace

std::vector<ReservedRegion> parse_reserved_regions(std::string_view text) {
    std::vector<ReservedRegion> regions;
    while (!text.empty()) {
        std::string_view line = take_line(text);
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
