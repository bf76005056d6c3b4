// SPDX-License-Identifier: MIT
#include "iova_space.hpp"

#include <fmt/format.h>

#include <array>

#include "mutation.hpp"
#include "text.hpp"
#include "uiovfio/error.hpp"

namespace uiovfio::detail {

namespace {

/// The larger pages of an IOMMU, largest first: a table fills a page with entries of 8 bytes, so that an entry a level
/// further up stands for granule / 8 times as much (2 MiB and 1 GiB for pages of 4 KiB).
std::array<std::uint64_t, 2> superpages_of(std::uint64_t granule) noexcept {
    const std::uint64_t entries = granule / sizeof(std::uint64_t);
    return {granule * entries * entries, granule * entries};
}

bool contains_whole(std::uintptr_t address, std::uint64_t size, std::uint64_t page) noexcept {
    const std::uint64_t before = (0 - address) & (page - 1);
    return size >= before && size - before >= page;
}

}  // namespace

std::optional<Iova> allocate_around_large_pages(IovaAllocator& allocator, std::uint64_t granule,
                                                std::span<const std::byte> memory) {
    if (mutation::kNoSuperpageAlignment) return std::nullopt;
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    for (const std::uint64_t page : superpages_of(granule)) {
        if (!contains_whole(address, memory.size(), page)) continue;
        if (const auto iova = allocator.allocate(memory.size(), page, address & (page - 1))) return iova;
    }
    return std::nullopt;
}

Iova IovaSpace::take(const std::string& object, std::optional<Iova> wanted, std::span<const std::byte> memory) {
    const std::lock_guard lock{mutex_};
    if (!wanted) return choose(object, memory);
    const auto text = [&](std::string_view what) {
        return fmt::format("bus addresses {:#x} to {:#x} {}", to_integer(*wanted),
                           to_integer(*wanted) + (memory.size() - 1), what);
    };
    switch (allocator_.reserve(*wanted, memory.size())) {
        case IovaAllocator::Reservation::outside:
            throw Error{Errc::iova_out_of_aperture, object, text("cannot be mapped")};
        case IovaAllocator::Reservation::overlap:
            throw Error{Errc::mapping_overlap, object, text("are in use")};
        case IovaAllocator::Reservation::ok:
            break;
    }
    return *wanted;
}

// The IOMMU uses a large page only where memory and bus address are aligned to it together. So the bus address is as
// far behind a large page's boundary as the memory is, wherever the memory contains a whole one.
Iova IovaSpace::choose(const std::string& object, std::span<const std::byte> memory) {
    if (const auto iova = allocate_around_large_pages(allocator_, granule_, memory)) return *iova;
    if (const auto iova = allocator_.allocate(memory.size(), granule_)) return *iova;
    throw Error{Errc::iova_exhausted, object, fmt::format("no free bus addresses for {}", bytes_text(memory.size()))};
}

void IovaSpace::give_back(Iova iova, std::uint64_t size) {
    const std::lock_guard lock{mutex_};
    allocator_.release(iova, size);
}

}  // namespace uiovfio::detail
