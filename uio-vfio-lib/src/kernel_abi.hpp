// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What this library says to kernels that are newer than the headers it may be compiled with: the interfaces of IOMMUFD
/// (Linux 6.2) and of VFIO's device nodes (6.6). Debian 12 compiles with the headers of 6.1.
///
/// Names are the kernel's, in a namespace of their own. Where the system's headers have them, the compiler compares:
/// below for linux/vfio.h and linux/iommufd.h, and a test does it with the headers of the kernel that the guest boots.

#include <linux/ioctl.h>
#include <linux/types.h>

#include <cstddef>

// NOLINTBEGIN(readability-identifier-naming,bugprone-reserved-identifier,*-dcl37-c,*-dcl51-cpp): the kernel's own names

namespace uiovfio::detail::abi {

// --- include/uapi/linux/vfio.h, since Linux 6.6

inline constexpr unsigned kVfioType = ';';
inline constexpr unsigned kVfioBase = 100;

/// Binds the device's file to an IOMMUFD. What is behind out_devid in later versions is not asked for.
struct vfio_device_bind_iommufd {
    __u32 argsz;
    __u32 flags;
    __s32 iommufd;
    __u32 out_devid;
};
inline constexpr unsigned long kVfioDeviceBindIommufd = _IO(kVfioType, kVfioBase + 18);

/// Attaches a bound device to an I/O address space. What is behind pt_id in later versions is not asked for.
struct vfio_device_attach_iommufd_pt {
    __u32 argsz;
    __u32 flags;
    __u32 pt_id;
};
inline constexpr unsigned long kVfioDeviceAttachIommufdPt = _IO(kVfioType, kVfioBase + 19);

// --- include/uapi/linux/iommufd.h, since Linux 6.2

inline constexpr unsigned kIommufdType = ';';

struct iommu_destroy {
    __u32 size;
    __u32 id;
};
inline constexpr unsigned long kIommuDestroy = _IO(kIommufdType, 0x80);

struct iommu_ioas_alloc {
    __u32 size;
    __u32 flags;
    __u32 out_ioas_id;
};
inline constexpr unsigned long kIommuIoasAlloc = _IO(kIommufdType, 0x81);

struct iommu_iova_range {
    __aligned_u64 start;
    __aligned_u64 last;
};

struct iommu_ioas_allow_iovas {
    __u32 size;
    __u32 ioas_id;
    __u32 num_iovas;
    __u32 __reserved;
    __aligned_u64 allowed_iovas;
};
inline constexpr unsigned long kIommuIoasAllowIovas = _IO(kIommufdType, 0x82);

struct iommu_ioas_iova_ranges {
    __u32 size;
    __u32 ioas_id;
    __u32 num_iovas;
    __u32 __reserved;
    __aligned_u64 allowed_iovas;
    __aligned_u64 out_iova_alignment;
};
inline constexpr unsigned long kIommuIoasIovaRanges = _IO(kIommufdType, 0x84);

inline constexpr __u32 kIommuIoasMapFixedIova = 1U << 0;
inline constexpr __u32 kIommuIoasMapWriteable = 1U << 1;
inline constexpr __u32 kIommuIoasMapReadable = 1U << 2;

struct iommu_ioas_map {
    __u32 size;
    __u32 flags;
    __u32 ioas_id;
    __u32 __reserved;
    __aligned_u64 user_va;
    __aligned_u64 length;
    __aligned_u64 iova;
};
inline constexpr unsigned long kIommuIoasMap = _IO(kIommufdType, 0x85);

struct iommu_ioas_unmap {
    __u32 size;
    __u32 ioas_id;
    __aligned_u64 iova;
    __aligned_u64 length;
};
inline constexpr unsigned long kIommuIoasUnmap = _IO(kIommufdType, 0x86);

}  // namespace uiovfio::detail::abi

// NOLINTEND(readability-identifier-naming,bugprone-reserved-identifier,*-dcl37-c,*-dcl51-cpp)
