// SPDX-License-Identifier: MIT
#include "iova_allocator.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

namespace uiovfio::detail {

namespace {

constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();

}  // namespace

// Everywhere below, ranges are [first, last] and lengths are compared as length - 1: the range may end at 2^64 - 1,
// where one past the end is no number.

IovaAllocator::IovaAllocator(const std::vector<IovaRange>& ranges, std::uint64_t granule) {
    std::vector<IovaRange> sorted;
    for (const IovaRange& range : ranges) {
        const std::uint64_t first = to_integer(range.first);
        const std::uint64_t last = to_integer(range.last);
        if (first > kTop - (granule - 1) || last < granule - 1) continue;
        const std::uint64_t first_whole = (first + (granule - 1)) & ~(granule - 1);
        // last + 1 wraps to 0 at the top, and the - 1 wraps it back.
        const std::uint64_t last_whole = ((last + 1) & ~(granule - 1)) - 1;
        if (first_whole < last_whole) sorted.push_back({Iova{first_whole}, Iova{last_whole}});
    }
    std::sort(sorted.begin(), sorted.end(),
              [](const IovaRange& left, const IovaRange& right) { return left.first < right.first; });
    for (const IovaRange& range : sorted) {
        const bool joins = !ranges_.empty() && (to_integer(ranges_.back().last) == kTop ||
                                                to_integer(range.first) <= to_integer(ranges_.back().last) + 1);
        if (joins)
            ranges_.back().last = std::max(ranges_.back().last, range.last);
        else
            ranges_.push_back(range);
    }
    for (const IovaRange& range : ranges_) free_.emplace(to_integer(range.first), to_integer(range.last));
}

std::optional<Iova> IovaAllocator::allocate(std::uint64_t size, std::uint64_t alignment, std::uint64_t offset) {
    for (auto range = free_.begin(); range != free_.end(); ++range) {
        const auto [first, last] = *range;
        const std::uint64_t lowest = std::max<std::uint64_t>(first, 1);
        const std::uint64_t skipped = (offset - lowest) & (alignment - 1);
        if (lowest > kTop - skipped) break;
        const std::uint64_t start = lowest + skipped;
        if (start > last || last - start < size - 1) continue;
        take(range, start, start + (size - 1));
        return Iova{start};
    }
    return std::nullopt;
}

IovaAllocator::Reservation IovaAllocator::reserve(Iova iova, std::uint64_t size) {
    const std::uint64_t first = to_integer(iova);
    if (first > kTop - (size - 1)) return Reservation::outside;
    const std::uint64_t last = first + (size - 1);
    const bool inside = std::any_of(ranges_.begin(), ranges_.end(), [&](const IovaRange& range) {
        return to_integer(range.first) <= first && last <= to_integer(range.last);
    });
    if (!inside) return Reservation::outside;
    auto range = free_.upper_bound(first);
    if (range == free_.begin()) return Reservation::overlap;
    --range;
    if (range->second < last) return Reservation::overlap;
    take(range, first, last);
    return Reservation::ok;
}

void IovaAllocator::take(FreeRanges::iterator range, std::uint64_t first, std::uint64_t last) {
    const auto [range_first, range_last] = *range;
    free_.erase(range);
    if (range_first < first) free_.emplace(range_first, first - 1);
    if (last < range_last) free_.emplace(last + 1, range_last);
}

void IovaAllocator::release(Iova iova, std::uint64_t size) {
    std::uint64_t first = to_integer(iova);
    std::uint64_t last = first + (size - 1);
    auto next = free_.upper_bound(first);
    if (next != free_.begin()) {
        const auto previous = std::prev(next);
        if (previous->second + 1 == first) {
            first = previous->first;
            free_.erase(previous);
        }
    }
    if (next != free_.end() && last != kTop && next->first == last + 1) {
        last = next->second;
        free_.erase(next);
    }
    free_.emplace(first, last);
}

std::vector<IovaRange> IovaAllocator::free_ranges() const {
    std::vector<IovaRange> found;
    for (const auto& [first, last] : free_) found.push_back({Iova{first}, Iova{last}});
    return found;
}

}  // namespace uiovfio::detail
