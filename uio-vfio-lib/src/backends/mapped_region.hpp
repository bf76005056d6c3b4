// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A BAR as it lies in the process: what the backends that map a file of the kernel's share.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backend.hpp"
#include "system.hpp"

namespace uiovfio::detail {

/// Which parts of a region can be mapped, and how to map them. Mapped on first use. Its addresses stay the process's
/// until it is destroyed, so that a pointer into it never becomes somebody else's memory. Functions may be called from
/// any thread.
class MappedRegion {
  public:
    explicit MappedRegion(System& system) noexcept : system_{system} {}
    MappedRegion(const MappedRegion&) = delete;
    MappedRegion& operator=(const MappedRegion&) = delete;
    ~MappedRegion();

    /// Before anything else: what there is to map. `object` is the region's name in errors ("0000:01:00.0 BAR0").
    void describe(std::string object, std::uint64_t size, std::vector<Area> mappable);

    [[nodiscard]] bool is_mappable(std::uint64_t offset, std::uint64_t length) const noexcept;

    /// The address of byte 0. The whole region gets its addresses at once, and each part that can be mapped is put
    /// there: pieces of one BAR lie as far from each other as in the device, and nothing is mapped twice.
    /// `file_offset` is the region's in the file. Throws not_mappable, system_error.
    [[nodiscard]] std::byte* map(int descriptor, std::uint64_t file_offset);

    /// Puts memory that reads all ones where the device was, so that a window that is still in use sees what a device
    /// that is gone looks like. Stores go to pages that nobody else sees.
    void cover_with_all_ones() noexcept;
    /// The same in a forked child, which did not get the mapping.
    void cover_in_child() noexcept;

  private:
    void map_whole(int descriptor, std::uint64_t file_offset);
    void cover() noexcept;

    System& system_;
    std::string object_;
    std::uint64_t size_ = 0;
    std::vector<Area> mappable_;
    std::mutex mutex_;  // guards what follows
    std::byte* base_ = nullptr;
    std::size_t length_ = 0;
};

/// One load or store of `width` bytes (1, 2, 4 or 8) at a mapped address.
[[nodiscard]] std::uint64_t load_width(const volatile void* at, unsigned width) noexcept;
void store_width(volatile void* at, unsigned width, std::uint64_t value) noexcept;

}  // namespace uiovfio::detail
