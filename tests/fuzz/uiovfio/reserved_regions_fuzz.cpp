// SPDX-License-Identifier: MIT
// The group's file "reserved_regions": whatever it says, what is left of the aperture is in order, within it and free
// of what is reserved.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "reserved_regions.hpp"

namespace {

using uiovfio::Iova;
using uiovfio::IovaRange;

void check(bool holds) {
    if (!holds) std::abort();
}

bool overlap(const IovaRange& range, const uiovfio::ReservedRegion& region) {
    return range.first <= region.last && region.first <= range.last;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const auto regions = uiovfio::detail::parse_reserved_regions(text);
    for (std::size_t i = 0; i < regions.size(); ++i) {
        check(regions[i].first <= regions[i].last && !regions[i].type.empty());
        check(i == 0 || regions[i - 1].first <= regions[i].first);
    }
    const IovaRange aperture{Iova{0x1000}, Iova{(std::uint64_t{1} << 39) - 1}};
    const auto ranges = uiovfio::detail::without_reserved(aperture, regions);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        check(aperture.first <= ranges[i].first && ranges[i].first <= ranges[i].last &&
              ranges[i].last <= aperture.last);
        check(i == 0 || ranges[i - 1].last < ranges[i].first);
        for (const auto& region : regions) check(region.is_mappable() || !overlap(ranges[i], region));
    }
    return 0;
}
