// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The ioctls of /dev/iommu and those of a VFIO device node that tie the two together, one function each, with what the
/// kernel does and the traps on the way. As in vfio_calls.hpp, each gives the errno, 0 for success, and decides
/// nothing.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "system.hpp"
#include "uiovfio/dma.hpp"
#include "vfio_calls.hpp"

namespace uiovfio::detail::iommufd {

using vfio::Outcome;

// --- on the device's file

/// VFIO_DEVICE_BIND_IOMMUFD: gives the device to the IOMMUFD, and resets it; before that, the device's file does
/// nothing else. Ends when the file is closed. Gives the device's number within the IOMMUFD. EINVAL: the device is open
/// elsewhere. EBUSY: the IOMMU group belongs to another IOMMUFD or container, or to a kernel driver. EPERM: the IOMMU
/// cannot keep the device's interrupts apart, and the kernel was not told to overlook it.
Outcome<unsigned> bind(System& system, int device, int iommufd);

/// VFIO_DEVICE_ATTACH_IOMMUFD_PT: has the IOMMU translate the device's addresses by that address space, whose ranges
/// narrow to what the device can reach. Devices of one group must be attached to the same one (EINVAL). EADDRINUSE:
/// what the device cannot reach is mapped, or allowed. Ends when the file is closed.
int attach(System& system, int device, unsigned ioas);

// --- on /dev/iommu

/// IOMMU_IOAS_ALLOC: makes an address space, and gives its number.
Outcome<unsigned> ioas_alloc(System& system, int iommufd);

/// IOMMU_IOAS_IOVA_RANGES: what can be mapped. The kernel says EMSGSIZE and how many ranges there are when there is no
/// room for all of them: asked once without room, then with it. What comes before attach() is the whole of 64 bits.
struct IovaRanges {
    std::vector<IovaRange> ranges;
    std::uint64_t alignment = 1;  ///< of addresses and lengths
};
Outcome<IovaRanges> ioas_iova_ranges(System& system, int iommufd, unsigned ioas);

/// IOMMU_IOAS_ALLOW_IOVAS: of which addresses ioas_map() chooses, instead of all that can be mapped, and which no
/// attach() may take away; none lifts that. What is allowed before is forgotten.
int ioas_allow_iovas(System& system, int iommufd, unsigned ioas, std::span<const IovaRange> ranges);

/// IOMMU_IOAS_MAP: pins the memory and has the IOMMU translate to it, at `wanted` (FIXED_IOVA), or where the kernel
/// chooses: as well aligned as the memory, up to huge pages, and maybe at 0. Gives where. EEXIST: overlaps a mapping.
/// EINVAL: outside the ranges, or misaligned. ENOSPC: the kernel finds no room. ENOMEM: RLIMIT_MEMLOCK (counted over
/// all processes of the user).
Outcome<Iova> ioas_map(System& system, int iommufd, unsigned ioas, std::optional<Iova> wanted,
                       std::span<std::byte> memory, DmaDirection direction);

/// IOMMU_IOAS_UNMAP: removes whole mappings within the range, and gives the number of bytes. ENOENT: nothing is mapped
/// there, or only a part of something.
Outcome<std::uint64_t> ioas_unmap(System& system, int iommufd, unsigned ioas, Iova iova, std::uint64_t length);

/// IOMMU_DESTROY: an address space by its number. EBUSY: a device is attached to it.
int destroy(System& system, int iommufd, unsigned id);

}  // namespace uiovfio::detail::iommufd
