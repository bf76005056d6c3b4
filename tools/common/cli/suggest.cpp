// SPDX-License-Identifier: MIT
#include "cli/suggest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <utility>

namespace pcienic::cli {
namespace {

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before;  // the row of a[i - 2], for neighbours that changed places
    std::vector<std::size_t> above(b.size() + 1);
    std::iota(above.begin(), above.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::vector<std::size_t> row(b.size() + 1, i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const bool same = lower(a[i - 1]) == lower(b[j - 1]);
            row[j] = std::min({above[j - 1] + (same ? 0 : 1), above[j] + 1, row[j - 1] + 1});
            const bool swapped =
                i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
        }
        before = std::exchange(above, std::move(row));
    }
    return above.back();
}

std::vector<std::string> suggestions(std::string_view text, const std::vector<std::string>& known) {
    const std::size_t limit = std::max<std::size_t>(1, text.size() / 3);
    std::multimap<std::size_t, std::string> near;  // by distance; names of one distance in their order
    for (const std::string& name : known) {
        const std::size_t distance = edit_distance(text, name);
        if (distance <= limit) near.emplace(distance, name);
    }
    std::vector<std::string> names;
    for (auto& [distance, name] : near) {
        if (names.size() < 3) names.push_back(std::move(name));
    }
    return names;
}

std::string did_you_mean(std::string_view text, const std::vector<std::string>& known) {
    const std::vector<std::string> names = suggestions(text, known);
    return names.empty() ? std::string{} : fmt::format(" (did you mean {}?)", fmt::join(names, " or "));
}

}  // namespace pcienic::cli
