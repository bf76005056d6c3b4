// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// VFIO's ioctls, one function each, with what the kernel does and the traps on the way. Nothing in here decides what
/// an error means to a user: each function gives the errno, 0 for success.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend.hpp"
#include "system.hpp"

namespace uiovfio::detail::vfio {

/// A result, or the errno that came instead.
template <class T>
struct Outcome {
    T value{};
    int error = 0;

    explicit operator bool() const noexcept { return error == 0; }
};

// --- answers of variable length
// ---------------------------------------------------------------------------------------

/// A capability in the chain that follows an INFO structure.
struct ChainEntry {
    std::uint16_t id = 0;
    std::uint16_t version = 0;
    /// From its header to the end of the answer: a capability does not tell its own length.
    std::span<const std::byte> bytes;
};

/// The chain that begins at `first` (an offset in `answer`, 0 for none). It is the kernel's, and still: an entry that
/// does not lie within the answer, or one that was seen before, ends the walk.
std::vector<ChainEntry> capability_chain(std::span<const std::byte> answer, std::uint32_t first);

// --- container
// --------------------------------------------------------------------------------------------------------

/// VFIO_GET_API_VERSION: 0 is the only one that there is.
Outcome<int> get_api_version(System& system, int container);

/// VFIO_CHECK_EXTENSION: whether the container's kernel has an IOMMU type. 0 for TYPE1v2 means that the module
/// vfio_iommu_type1 is not loaded.
Outcome<bool> check_extension(System& system, int container, unsigned long extension);

/// VFIO_SET_IOMMU: chooses the IOMMU type. Possible only after a group has been attached, and only once. EPERM: the
/// IOMMU cannot keep a device's interrupts apart, and the kernel was not told to overlook it.
int set_iommu(System& system, int container, unsigned long type);

/// VFIO_IOMMU_GET_INFO: page sizes, the ranges that can be mapped, mappings left.
struct IommuInfo {
    std::uint64_t page_sizes = 4096;
    std::vector<IovaRange> ranges;  ///< empty on kernels before 5.4, which do not tell
    std::optional<std::uint64_t> mappings_left;
};
Outcome<IommuInfo> get_iommu_info(System& system, int container);

/// VFIO_IOMMU_MAP_DMA: pins the memory and has the IOMMU translate to it. EEXIST: overlaps a mapping. ENOSPC: the
/// number of mappings is used up. ENOMEM: RLIMIT_MEMLOCK (counted over all that the process has locked). EINVAL:
/// outside the ranges, or misaligned.
int map_dma(System& system, int container, Iova iova, std::span<std::byte> memory, DmaDirection direction);

/// VFIO_IOMMU_UNMAP_DMA: removes whole mappings within the range. Success does not mean that anything was removed: the
/// kernel gives the number of bytes, which is 0 where nothing was mapped. Type 1 version 2 does not split a mapping
/// (EINVAL).
Outcome<std::uint64_t> unmap_dma(System& system, int container, Iova iova, std::uint64_t length);

/// The same for everything that is mapped. EINVAL on kernels before 5.12, which do not know the flag.
Outcome<std::uint64_t> unmap_all_dma(System& system, int container);

// --- group
// ------------------------------------------------------------------------------------------------------------

/// VFIO_GROUP_GET_STATUS: whether no kernel driver has a device of the group.
Outcome<bool> is_group_viable(System& system, int group);

/// VFIO_GROUP_SET_CONTAINER: attaches the group.
int set_container(System& system, int group, int container);

/// VFIO_GROUP_GET_DEVICE_FD: opens the device, which resets it. ENODEV: the group has no such device, or it has just
/// been taken from vfio-pci.
Outcome<int> get_device_fd(System& system, int group, const std::string& name);

// --- device
// -----------------------------------------------------------------------------------------------------------

/// VFIO_DEVICE_GET_INFO.
struct DeviceInfo {
    bool is_pci = false;
    bool can_reset = false;
    unsigned regions = 0;
    unsigned interrupt_indices = 0;
};
Outcome<DeviceInfo> get_device_info(System& system, int device);

/// VFIO_DEVICE_GET_REGION_INFO: where a region is in the device's file, and which parts can be mapped.
struct RegionInfo {
    std::uint64_t size = 0;
    std::uint64_t offset = 0;  ///< in the device's file
    bool is_mappable = false;
    bool has_sparse_areas = false;  ///< then only `areas` can be mapped, otherwise all of it
    bool is_msix_mappable = false;  ///< the page of the MSI-X table may be mapped, too
    std::vector<Area> areas;
};
Outcome<RegionInfo> get_region_info(System& system, int device, unsigned index);

/// VFIO_DEVICE_GET_IRQ_INFO. EINVAL: the device has no such index (ERR, where it is not PCI Express).
struct InterruptInfo {
    unsigned count = 0;         ///< vectors; 0 also where the kernel cannot signal them on an eventfd
    bool adds_vectors = false;  ///< the flag NORESIZE is not set: vectors can be added to those in use
};
Outcome<InterruptInfo> get_interrupt_info(System& system, int device, unsigned index);

/// VFIO_DEVICE_SET_IRQS with bytes made by one of the functions below. A positive result of the kernel says that only
/// so many vectors could be had, and that none were enabled; it is `value`.
Outcome<unsigned> set_irqs(System& system, int device, std::span<std::byte> request);

/// VFIO_DEVICE_RESET. EINVAL: the device has no reset of its own.
int reset_device(System& system, int device);

// --- the bytes of VFIO_DEVICE_SET_IRQS
// --------------------------------------------------------------------------------
// argsz covers the header and the data exactly; `index` is one of VFIO_PCI_INTX_IRQ_INDEX and its kin.

/// Connects vector first + i to event_fds[i]; -1 takes its handler away. The first time also enables the index with
/// first + event_fds.size() vectors. Afterwards it may go beyond them only where the kernel adds vectors; otherwise
/// that is EINVAL. What it names is connected as a whole or not at all; the rest stays as it is.
std::vector<std::byte> bytes_to_arm(unsigned index, unsigned first, std::span<const int> event_fds);
/// Disables the index: no data and a count of 0. With any other count the same request fires the vectors. EINVAL: not
/// enabled.
std::vector<std::byte> bytes_to_disarm(unsigned index);
/// Fires one vector.
std::vector<std::byte> bytes_to_trigger(unsigned index, unsigned vector);
/// Fires vector i where fire[i] is not 0. Those without an eventfd are passed over.
std::vector<std::byte> bytes_to_trigger_some(unsigned index, std::span<const std::uint8_t> fire);
/// Masks INTx; the kernel refuses it for MSI and MSI-X (ENOTTY).
std::vector<std::byte> bytes_to_mask(unsigned index);
std::vector<std::byte> bytes_to_unmask(unsigned index);

}  // namespace uiovfio::detail::vfio
