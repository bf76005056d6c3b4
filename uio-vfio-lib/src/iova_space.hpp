// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The bus addresses of one IOMMU domain, which the devices in it share. For the backends whose kernel interface leaves
/// the choice of addresses to its user.

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "iova_allocator.hpp"
#include "uiovfio/dma.hpp"

namespace uiovfio::detail {

/// Bus addresses as far behind a boundary of 2 MiB (or 1 GiB) as the memory is, so that whole pages of that size in it
/// can be whole in the IOMMU; nothing where it contains none, or where there is no such room.
std::optional<Iova> allocate_around_large_pages(IovaAllocator& allocator, std::uint64_t granule,
                                                std::span<const std::byte> memory);

/// An IovaAllocator for several threads, whose refusals are errors. All functions may be called from any thread.
class IovaSpace {
  public:
    /// `granule`: the smallest page that can be mapped, a power of two.
    IovaSpace(const std::vector<IovaRange>& ranges, std::uint64_t granule)
        : granule_{granule}, allocator_{ranges, granule} {}

    /// Takes bus addresses for the memory, at `wanted` or wherever there is room: as far behind a boundary of 2 MiB (or
    /// 1 GiB) as the memory is, where it contains whole pages of that size. Throws iova_out_of_aperture,
    /// mapping_overlap, iova_exhausted, in the name of `object`.
    Iova take(const std::string& object, std::optional<Iova> wanted, std::span<const std::byte> memory);
    /// Gives back what take() took.
    void give_back(Iova iova, std::uint64_t size);

    [[nodiscard]] std::vector<IovaRange> ranges() const { return allocator_.ranges(); }

  private:
    [[nodiscard]] Iova choose(const std::string& object, std::span<const std::byte> memory);

    const std::uint64_t granule_;
    std::mutex mutex_;  // guards the allocator's free ranges
    IovaAllocator allocator_;
};

}  // namespace uiovfio::detail
