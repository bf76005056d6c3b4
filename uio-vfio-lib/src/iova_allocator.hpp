// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Which bus addresses are free.

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "uiovfio/dma.hpp"

namespace uiovfio::detail {

/// Gives out runs of bus addresses from the ranges that can be mapped, the lowest that fits. Address 0 is never chosen,
/// because devices and drivers use it for "none"; it can still be reserved by name. Not thread-safe.
///
/// Sizes and addresses are multiples of the granule that the allocator was made with; the caller sees to that.
class IovaAllocator {
  public:
    enum class Reservation { ok, outside, overlap };

    /// `ranges` in any order, adjacent or overlapping ones are joined; parts that are no whole granule are left out.
    IovaAllocator(const std::vector<IovaRange>& ranges, std::uint64_t granule);

    /// A free run of `size` > 0 bytes, `offset` behind a multiple of `alignment` (a power of two, and more than
    /// `offset`), or nothing.
    std::optional<Iova> allocate(std::uint64_t size, std::uint64_t alignment, std::uint64_t offset = 0);

    /// Takes exactly [iova, iova + size).
    Reservation reserve(Iova iova, std::uint64_t size);

    /// Gives back what allocate() or reserve() gave.
    void release(Iova iova, std::uint64_t size);

    /// What is free, in order.
    [[nodiscard]] std::vector<IovaRange> free_ranges() const;
    /// What was there to give out at the beginning, in order.
    [[nodiscard]] const std::vector<IovaRange>& ranges() const noexcept { return ranges_; }

  private:
    using FreeRanges = std::map<std::uint64_t, std::uint64_t>;  // first -> last, both included

    void take(FreeRanges::iterator range, std::uint64_t first, std::uint64_t last);

    std::vector<IovaRange> ranges_;
    FreeRanges free_;
};

}  // namespace uiovfio::detail
