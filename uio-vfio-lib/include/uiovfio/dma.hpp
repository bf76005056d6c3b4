// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Memory that the device may read and write.
///
///     auto& dma = device.dma();
///     auto ring = dma.allocate(64 * 1024);                       // memory of the library's, mapped for the device
///     device_register.write(window, uiovfio::to_integer(ring.iova()));
///     auto mapping = dma.map(std::as_writable_bytes(std::span{my_buffer}));   // memory of one's own
///
/// A bus address (IOVA) is what the device uses; it comes from the ranges that the IOMMU can translate and the platform
/// does not reserve. It is not the virtual address, but lies as far behind a 2 MiB boundary as that does (1 GiB for
/// what is large enough), so that the IOMMU can use pages of that size wherever the memory has them.
///
/// A device reaches memory only while it is a bus master: see OpenOptions::bus_master.
///
/// Stop the device's use of a piece of memory before its mapping ends: what the device does to an unmapped address is
/// an IOMMU fault. A driver that hands memory to the device has the library see to that, with a lease:
///
///     uiovfio::DmaLease lease = ring.lease();   // before the device learns of the address
///     ...                                       // ring.unmap() now fails; ring's destructor leaves it to the lease
///     lease.release();                          // once the device has said that it is done

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <vector>

#include "uiovfio/iova.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio {

namespace detail {
class DmaRecord;
class DmaState;
}  // namespace detail

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

/// The device's hold on memory: while it exists, a mapping does not end. Move-only; given back when destroyed.
///
/// Taking a lease and giving it back neither allocates nor locks, so that it can be done for every command. One lease
/// for each use of the memory: they are counted. Where the mapping's owner was destroyed meanwhile, giving back the
/// last lease unmaps, and frees what the library allocated. Distinct leases may be used from any threads.
class DmaLease {
  public:
    DmaLease() noexcept = default;
    DmaLease(DmaLease&& other) noexcept;
    DmaLease& operator=(DmaLease&& other) noexcept;
    ~DmaLease();

    /// Gives it back. Twice is fine.
    void release() noexcept;

    /// False once given back or moved from.
    explicit operator bool() const noexcept { return record_ != nullptr; }

  private:
    friend class DmaMapping;
    explicit DmaLease(detail::DmaRecord* record) noexcept : record_{record} {}

    detail::DmaRecord* record_ = nullptr;
};

/// Memory of the caller's that the device may use for as long as this object lives, or a lease on it. Move-only; ends
/// the mapping when destroyed. The memory must outlive it, and the leases. A mapping that outlives its Device is over,
/// and destroying it does nothing. The same memory may be mapped several times, at addresses of its own each time.
class DmaMapping {
  public:
    DmaMapping() noexcept = default;
    DmaMapping(DmaMapping&& other) noexcept;
    DmaMapping& operator=(DmaMapping&& other) noexcept;
    ~DmaMapping();

    /// The bus address of its first byte; 0, which is never given to a mapping, once unmapped or moved from.
    [[nodiscard]] Iova iova() const noexcept { return iova_; }
    /// The bus address of a byte of it. Throws out_of_bounds; offset == size() is allowed, as "the end". Throws closed
    /// once unmapped or moved from.
    [[nodiscard]] Iova iova_at(std::size_t offset) const;
    Iova iova_at(std::size_t offset, std::error_code& ec) const noexcept;
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

    /// Keeps the mapping from ending. Throws closed once unmapped or moved from, and after Device::close().
    [[nodiscard]] DmaLease lease() const;
    DmaLease lease(std::error_code& ec) const noexcept;
    /// How many leases there are.
    [[nodiscard]] unsigned leases() const noexcept;

    /// Ends the mapping now, and says what went wrong. Throws buffer_leased, in which case the mapping is as it was;
    /// short_unmap, system_error. Twice is fine.
    void unmap();
    void unmap(std::error_code& ec) noexcept;

    /// False once unmapped or moved from.
    explicit operator bool() const noexcept { return record_ != nullptr; }

  private:
    friend class DmaSpace;
    DmaMapping(detail::DmaRecord* record, std::span<std::byte> bytes) noexcept;

    detail::DmaRecord* record_ = nullptr;
    std::span<std::byte> bytes_;
    Iova iova_{};
};

/// Zeroed memory of the library's, mapped for the device. Move-only; unmaps, then frees, or leaves that to the last
/// lease. The memory stays readable until it is destroyed, even when the Device goes first.
class DmaBuffer {
  public:
    DmaBuffer() noexcept = default;
    DmaBuffer(DmaBuffer&& other) noexcept;
    DmaBuffer& operator=(DmaBuffer&& other) noexcept;
    ~DmaBuffer() = default;

    /// As DmaMapping's.
    [[nodiscard]] Iova iova() const noexcept { return mapping_.iova(); }
    [[nodiscard]] Iova iova_at(std::size_t offset) const { return mapping_.iova_at(offset); }
    Iova iova_at(std::size_t offset, std::error_code& ec) const noexcept { return mapping_.iova_at(offset, ec); }
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return mapping_.bytes(); }
    /// At least what was asked for: rounded up to whole pages.
    [[nodiscard]] std::size_t size() const noexcept { return mapping_.size(); }
    /// Size of the pages that it was given: 2 MiB where huge pages were had, else the ordinary one.
    [[nodiscard]] std::size_t page_size() const noexcept { return page_size_; }
    /// Itself, for what takes memory of either kind.
    [[nodiscard]] const DmaMapping& mapping() const noexcept { return mapping_; }

    /// As DmaMapping's.
    [[nodiscard]] DmaLease lease() const { return mapping_.lease(); }
    DmaLease lease(std::error_code& ec) const noexcept { return mapping_.lease(ec); }
    [[nodiscard]] unsigned leases() const noexcept { return mapping_.leases(); }

    /// Takes it from the device, and frees the memory. Throws buffer_leased, in which case the buffer is as it was;
    /// short_unmap, system_error. Twice is fine.
    void unmap();
    void unmap(std::error_code& ec) noexcept;

    /// False once unmapped or moved from.
    explicit operator bool() const noexcept { return static_cast<bool>(mapping_); }

  private:
    friend class DmaSpace;

    DmaMapping mapping_;
    std::size_t page_size_ = 0;
};

/// The bus addresses of an open device; Device::dma() gives it. All functions may be called from any thread.
class DmaSpace {
  public:
    /// What can be mapped, in order: the IOMMU's aperture without what the platform reserves (the MSI window).
    [[nodiscard]] std::vector<IovaRange> ranges() const;
    std::vector<IovaRange> ranges(std::error_code& ec) const noexcept;

    /// What the platform keeps for itself, and why, in order: the gaps between the ranges, and what of it lies beyond.
    /// Empty where the backend does not know.
    [[nodiscard]] std::vector<ReservedRegion> reserved() const;
    std::vector<ReservedRegion> reserved(std::error_code& ec) const noexcept;

    /// A bit for each page size that the IOMMU can use; the lowest is the granule of addresses and lengths.
    [[nodiscard]] std::uint64_t page_sizes() const;
    std::uint64_t page_sizes(std::error_code& ec) const noexcept;
    /// The smallest page: what map() wants addresses and lengths to be multiples of.
    [[nodiscard]] std::size_t granule() const noexcept;

    /// How many more mappings the kernel would allow; nothing where it does not tell.
    [[nodiscard]] std::optional<std::uint64_t> mappings_left() const;
    std::optional<std::uint64_t> mappings_left(std::error_code& ec) const noexcept;

    /// How many allocations since the device was opened were to have huge pages and got ordinary ones: more than 0 says
    /// that the system is short of them (/proc/sys/vm/nr_hugepages).
    [[nodiscard]] std::uint64_t huge_page_fallbacks() const noexcept;

    /// Lets the device use memory of the caller's; start and length are multiples of granule(). The memory is pinned,
    /// and counts against RLIMIT_MEMLOCK unless the process has CAP_IPC_LOCK.
    /// It must not be unmapped from the process nor given to madvise(MADV_DONTNEED) meanwhile; a forked child does not
    /// get it (MADV_DONTFORK, also after the mapping's end): copy-on-write would leave the device with pages that the
    /// parent no longer sees. Throws misaligned, invalid_argument, memory_lock_limit, mapping_overlap, mapping_limit,
    /// iova_out_of_aperture, iova_exhausted, closed, system_error; unsupported where the backend has no way to map.
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
