// SPDX-License-Identifier: MIT
#include "iova_space.hpp"

#include <fmt/format.h>

#include "text.hpp"
#include "uiovfio/error.hpp"

namespace uiovfio::detail {

namespace {

// What an x86-64 or arm64 (4 KiB granule) page table calls a block of the second level, in the processor and in the
// IOMMU: memory and bus address that are both aligned to it need one entry instead of 512.
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;

}  // namespace

Iova IovaSpace::take(const std::string& object, std::optional<Iova> wanted, std::uint64_t size) {
    const std::lock_guard lock{mutex_};
    if (wanted) {
        const std::uint64_t first = to_integer(*wanted);
        switch (allocator_.reserve(*wanted, size)) {
            case IovaAllocator::Reservation::outside:
                throw Error{Errc::iova_out_of_aperture, object,
                            fmt::format("bus addresses {:#x} to {:#x} cannot be mapped", first, first + (size - 1))};
            case IovaAllocator::Reservation::overlap:
                throw Error{Errc::mapping_overlap, object,
                            fmt::format("bus addresses {:#x} to {:#x} are in use", first, first + (size - 1))};
            case IovaAllocator::Reservation::ok:
                return *wanted;
        }
    }
    auto chosen = allocator_.allocate(size, size >= kHugePage ? kHugePage : granule_);
    if (!chosen) chosen = allocator_.allocate(size, granule_);
    if (!chosen)
        throw Error{Errc::iova_exhausted, object, fmt::format("no free bus addresses for {}", bytes_text(size))};
    return *chosen;
}

void IovaSpace::give_back(Iova iova, std::uint64_t size) {
    const std::lock_guard lock{mutex_};
    allocator_.release(iova, size);
}

}  // namespace uiovfio::detail
