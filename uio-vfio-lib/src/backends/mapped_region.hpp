// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A BAR as it lies in the process: what the backends that map a file of the kernel's share.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "backend.hpp"
#include "fault_range.hpp"
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

    /// "0000:01:00.0 BAR0"
    [[nodiscard]] const std::string& object() const noexcept { return object_; }
    [[nodiscard]] bool is_mappable(std::uint64_t offset, std::uint64_t length) const noexcept;

    /// The address of byte 0. The whole region gets its addresses at once, and each part that can be mapped is put
    /// there: pieces of one BAR lie as far from each other as in the device, and nothing is mapped twice.
    /// `file_offset` is the region's in the file. Throws not_mappable, system_error.
    [[nodiscard]] std::byte* map(int descriptor, std::uint64_t file_offset);

    /// Where the device is gone, puts memory that reads all ones in its place, so that a window that is still in use
    /// sees what a device that is gone looks like. Stores go to pages that nobody else sees. A fault does the same for
    /// what it concerns. Where the device is back, uncovers.
    void presence_changed(bool is_present) noexcept;
    /// Covers it as a device that is gone, for good: the file is about to be closed.
    void close() noexcept;
    /// The same in a forked child, which did not get the mapping.
    void cover_in_child() noexcept;
    /// Puts the device back where a fault has covered it. False when it cannot be: the region is closed or lost, or the
    /// kernel refuses.
    bool uncover() noexcept;

    /// What a guard compares: how often an access could not be served, and whether what is read may be ones.
    [[nodiscard]] std::uint64_t faults() const noexcept { return range_ ? range_.faults() : 0; }
    [[nodiscard]] bool is_covered() const noexcept { return range_ && range_.is_covered(); }
    [[nodiscard]] bool has_faulted_since(std::uint64_t faults) const noexcept {
        return this->faults() != faults || is_covered();
    }
    [[nodiscard]] bool is_closed() const noexcept { return is_closed_.load(); }

  private:
    void map_whole();
    /// Null, or the first that the kernel refuses.
    const Area* map_areas(std::byte* base) noexcept;
    void cover_locked() noexcept;  ///< with the lock, or in a child

    System& system_;
    std::string object_;
    std::uint64_t size_ = 0;
    std::vector<Area> mappable_;
    std::mutex mutex_;  // guards what follows, and what is mapped
    int descriptor_ = -1;
    std::uint64_t file_offset_ = 0;
    std::byte* base_ = nullptr;
    std::size_t length_ = 0;
    bool is_lost_ = false;
    FaultRange range_;  // set before map() gives the address, and never again
    std::atomic<bool> is_closed_{false};
};

/// One load or store of `width` bytes (1, 2, 4 or 8) at a mapped address.
[[nodiscard]] std::uint64_t load_width(const volatile void* at, unsigned width) noexcept;
void store_width(volatile void* at, unsigned width, std::uint64_t value) noexcept;

}  // namespace uiovfio::detail
