// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Memory that the device may read and write.
///
///     auto& dma = device.dma();
///     auto ring = dma.allocate(64 * 1024);                       // memory of the library's, mapped for the device
///     device_register.write(window, uiovfio::to_integer(ring.iova()));
///     auto lease = dma.map(std::as_writable_bytes(std::span{my_buffer}));   // memory of one's own
///
/// A bus address (IOVA) is what the device uses; it comes from the ranges that the IOMMU can translate and the platform
/// does not reserve, and is unrelated to the virtual address. Stop the device's use of a piece of memory before its
/// mapping ends: what the device does to an unmapped address is an IOMMU fault.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <vector>

#include "uiovfio/iova.hpp"

namespace uiovfio {

namespace detail {
class DmaState;
}

/// What the device may do with the memory.
enum class DmaDirection {
    bidirectional,
    to_device,    ///< the device may read it
    from_device,  ///< the device may write it
};

/// How memory is mapped.
struct MapOptions {
    DmaDirection direction = DmaDirection::bidirectional;
    /// A bus address of the caller's choice; otherwise the library chooses one.
    std::optional<Iova> iova = {};
};

/// Whether an allocation is made of huge pages.
enum class HugePages {
    prefer,   ///< 2 MiB pages for allocations of at least that size where the system has them, else ordinary ones
    require,  ///< Errc::hugepages_unavailable where there are none
    never,
};

/// How memory is allocated and mapped.
struct AllocateOptions {
    DmaDirection direction = DmaDirection::bidirectional;
    HugePages huge_pages = HugePages::prefer;
};

/// Memory of the caller's that the device may use for as long as this object lives. Move-only; ends the mapping when
/// destroyed. The memory must outlive it. A mapping that outlives its Device is over, and destroying it does nothing.
class DmaMapping {
  public:
    DmaMapping() noexcept = default;
    DmaMapping(DmaMapping&& other) noexcept;
    DmaMapping& operator=(DmaMapping&& other) noexcept;
    ~DmaMapping();

    /// The bus address of its first byte.
    [[nodiscard]] Iova iova() const noexcept { return iova_; }
    /// The bus address of a byte of it. Throws out_of_bounds; offset == size() is allowed, as "the end".
    [[nodiscard]] Iova iova_at(std::size_t offset) const;
    Iova iova_at(std::size_t offset, std::error_code& ec) const noexcept;
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

    /// Ends the mapping now, and says what went wrong. Throws short_unmap, system_error. Twice is fine.
    void unmap();
    void unmap(std::error_code& ec) noexcept;

    /// False once unmapped or moved from.
    explicit operator bool() const noexcept { return state_ != nullptr; }

  private:
    friend class DmaSpace;
    DmaMapping(std::shared_ptr<detail::DmaState> state, std::span<std::byte> bytes, Iova iova) noexcept;

    std::shared_ptr<detail::DmaState> state_;
    std::span<std::byte> bytes_;
    Iova iova_{};
};

/// Zeroed memory of the library's, mapped for the device. Move-only; unmaps, then frees. The memory stays readable
/// until it is destroyed, even when the Device goes first.
class DmaBuffer {
  public:
    DmaBuffer() noexcept = default;
    DmaBuffer(DmaBuffer&& other) noexcept;
    DmaBuffer& operator=(DmaBuffer&& other) noexcept;
    ~DmaBuffer();

    /// As DmaMapping's.
    [[nodiscard]] Iova iova() const noexcept { return mapping_.iova(); }
    [[nodiscard]] Iova iova_at(std::size_t offset) const { return mapping_.iova_at(offset); }
    Iova iova_at(std::size_t offset, std::error_code& ec) const noexcept { return mapping_.iova_at(offset, ec); }
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return memory_; }
    /// At least what was asked for: rounded up to whole pages.
    [[nodiscard]] std::size_t size() const noexcept { return memory_.size(); }
    /// Size of the pages that it was given: 2 MiB where huge pages were had, else the ordinary one.
    [[nodiscard]] std::size_t page_size() const noexcept { return page_size_; }

    /// Takes it from the device, and frees the memory. Throws short_unmap, system_error. Twice is fine.
    void unmap();
    void unmap(std::error_code& ec) noexcept;

    /// False once unmapped or moved from.
    explicit operator bool() const noexcept { return !memory_.empty(); }

  private:
    friend class DmaSpace;
    void free() noexcept;

    DmaMapping mapping_;
    std::span<std::byte> memory_;
    std::size_t page_size_ = 0;
};

/// The bus addresses of an open device; Device::dma() gives it. All functions may be called from any thread.
class DmaSpace {
  public:
    /// What can be mapped, in order: the IOMMU's aperture without what the platform reserves (the MSI window).
    [[nodiscard]] std::vector<IovaRange> ranges() const;
    std::vector<IovaRange> ranges(std::error_code& ec) const noexcept;

    /// A bit for each page size that the IOMMU can use; the lowest is the granule of addresses and lengths.
    [[nodiscard]] std::uint64_t page_sizes() const;
    std::uint64_t page_sizes(std::error_code& ec) const noexcept;
    /// The smallest page: what map() wants addresses and lengths to be multiples of.
    [[nodiscard]] std::size_t granule() const noexcept;

    /// How many more mappings the kernel would allow; nothing where it does not tell.
    [[nodiscard]] std::optional<std::uint64_t> mappings_left() const;
    std::optional<std::uint64_t> mappings_left(std::error_code& ec) const noexcept;

    /// Lets the device use memory of the caller's; start and length are multiples of granule(). The memory is pinned,
    /// and counts against RLIMIT_MEMLOCK unless the process has CAP_IPC_LOCK.
    /// It must not be unmapped from the process nor given to madvise(MADV_DONTNEED) meanwhile; a forked child does not
    /// get it (MADV_DONTFORK, also after the mapping's end): copy-on-write would leave the device with pages that the
    /// parent no longer sees. Throws misaligned, invalid_argument, memory_lock_limit, mapping_overlap, mapping_limit,
    /// iova_out_of_aperture, iova_exhausted, closed.
    [[nodiscard]] DmaMapping map(std::span<std::byte> memory, const MapOptions& options = {});
    DmaMapping map(std::span<std::byte> memory, const MapOptions& options, std::error_code& ec) noexcept;

    /// Memory of the library's, zeroed, rounded up to whole pages. Throws what map() does and hugepages_unavailable.
    [[nodiscard]] DmaBuffer allocate(std::size_t size, const AllocateOptions& options = {});
    DmaBuffer allocate(std::size_t size, const AllocateOptions& options, std::error_code& ec) noexcept;

    DmaSpace(const DmaSpace&) = delete;
    DmaSpace& operator=(const DmaSpace&) = delete;
    ~DmaSpace();

  private:
    friend class Device;
    explicit DmaSpace(std::shared_ptr<detail::DmaState> state) noexcept;

    std::shared_ptr<detail::DmaState> state_;
};

}  // namespace uiovfio
