// SPDX-License-Identifier: MIT
/// Compares kernel_abi.hpp with the kernel's own headers as far as the compiler has them. With UIOVFIO_WHOLE_KERNEL_ABI
/// it has to have them all: so a test compiles this file with the headers of the kernel that the guest boots.

#include "kernel_abi.hpp"

#include <linux/vfio.h>

#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#define UIOVFIO_HAS_IOMMUFD
#endif

#ifdef UIOVFIO_WHOLE_KERNEL_ABI
#ifndef UIOVFIO_HAS_IOMMUFD
#error "no linux/iommufd.h"
#endif
#ifndef VFIO_DEVICE_ATTACH_IOMMUFD_PT
#error "this linux/vfio.h is from before Linux 6.6"
#endif
#endif

namespace uiovfio::detail::abi {

// Later kernels may append members, never move one.
#define SAME_MEMBER(type, member)                                                                         \
    static_assert(offsetof(type, member) == offsetof(::type, member) && sizeof(type) <= sizeof(::type) && \
                  sizeof(type::member) == sizeof(::type::member))

#ifdef VFIO_DEVICE_BIND_IOMMUFD
static_assert(kVfioDeviceBindIommufd == VFIO_DEVICE_BIND_IOMMUFD);
SAME_MEMBER(vfio_device_bind_iommufd, argsz);
SAME_MEMBER(vfio_device_bind_iommufd, flags);
SAME_MEMBER(vfio_device_bind_iommufd, iommufd);
SAME_MEMBER(vfio_device_bind_iommufd, out_devid);
#endif

#ifdef VFIO_DEVICE_ATTACH_IOMMUFD_PT
static_assert(kVfioDeviceAttachIommufdPt == VFIO_DEVICE_ATTACH_IOMMUFD_PT);
SAME_MEMBER(vfio_device_attach_iommufd_pt, argsz);
SAME_MEMBER(vfio_device_attach_iommufd_pt, flags);
SAME_MEMBER(vfio_device_attach_iommufd_pt, pt_id);
#endif

#ifdef UIOVFIO_HAS_IOMMUFD
static_assert(kIommuDestroy == IOMMU_DESTROY);
SAME_MEMBER(iommu_destroy, size);
SAME_MEMBER(iommu_destroy, id);

static_assert(kIommuIoasAlloc == IOMMU_IOAS_ALLOC);
SAME_MEMBER(iommu_ioas_alloc, size);
SAME_MEMBER(iommu_ioas_alloc, flags);
SAME_MEMBER(iommu_ioas_alloc, out_ioas_id);

SAME_MEMBER(iommu_iova_range, start);
SAME_MEMBER(iommu_iova_range, last);

static_assert(kIommuIoasAllowIovas == IOMMU_IOAS_ALLOW_IOVAS);
SAME_MEMBER(iommu_ioas_allow_iovas, size);
SAME_MEMBER(iommu_ioas_allow_iovas, ioas_id);
SAME_MEMBER(iommu_ioas_allow_iovas, num_iovas);
SAME_MEMBER(iommu_ioas_allow_iovas, allowed_iovas);

static_assert(kIommuIoasIovaRanges == IOMMU_IOAS_IOVA_RANGES);
SAME_MEMBER(iommu_ioas_iova_ranges, size);
SAME_MEMBER(iommu_ioas_iova_ranges, ioas_id);
SAME_MEMBER(iommu_ioas_iova_ranges, num_iovas);
SAME_MEMBER(iommu_ioas_iova_ranges, allowed_iovas);
SAME_MEMBER(iommu_ioas_iova_ranges, out_iova_alignment);

static_assert(kIommuIoasMapFixedIova == IOMMU_IOAS_MAP_FIXED_IOVA);
static_assert(kIommuIoasMapWriteable == IOMMU_IOAS_MAP_WRITEABLE);
static_assert(kIommuIoasMapReadable == IOMMU_IOAS_MAP_READABLE);
static_assert(kIommuIoasMap == IOMMU_IOAS_MAP);
SAME_MEMBER(iommu_ioas_map, size);
SAME_MEMBER(iommu_ioas_map, flags);
SAME_MEMBER(iommu_ioas_map, ioas_id);
SAME_MEMBER(iommu_ioas_map, user_va);
SAME_MEMBER(iommu_ioas_map, length);
SAME_MEMBER(iommu_ioas_map, iova);

static_assert(kIommuIoasUnmap == IOMMU_IOAS_UNMAP);
SAME_MEMBER(iommu_ioas_unmap, size);
SAME_MEMBER(iommu_ioas_unmap, ioas_id);
SAME_MEMBER(iommu_ioas_unmap, iova);
SAME_MEMBER(iommu_ioas_unmap, length);
#endif

}  // namespace uiovfio::detail::abi
