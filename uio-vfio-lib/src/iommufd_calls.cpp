// SPDX-License-Identifier: MIT
#include "iommufd_calls.hpp"

#include <cerrno>
#include <cstddef>

#include "kernel_abi.hpp"

namespace uiovfio::detail::iommufd {

namespace {

// The ranges may become more each time they are asked for, when a device is attached in between; not for ever.
constexpr int kRangesAttempts = 4;

// A machine has dozens; who has more than this is no kernel that we know, and gets no memory of ours for it.
constexpr std::uint32_t kMostRanges = 65536;

std::uint64_t address_of(const void* memory) noexcept { return reinterpret_cast<std::uintptr_t>(memory); }

}  // namespace

Outcome<unsigned> bind(System& system, int device, int iommufd) {
    abi::vfio_device_bind_iommufd request{};
    request.argsz = sizeof request;
    request.iommufd = iommufd;
    if (system.ioctl(device, abi::kVfioDeviceBindIommufd, &request) < 0) return {.value = 0, .error = errno};
    return {.value = request.out_devid, .error = 0};
}

int attach(System& system, int device, unsigned ioas) {
    abi::vfio_device_attach_iommufd_pt request{};
    request.argsz = sizeof request;
    request.pt_id = ioas;
    return system.ioctl(device, abi::kVfioDeviceAttachIommufdPt, &request) < 0 ? errno : 0;
}

Outcome<unsigned> ioas_alloc(System& system, int iommufd) {
    abi::iommu_ioas_alloc request{};
    request.size = sizeof request;
    if (system.ioctl(iommufd, abi::kIommuIoasAlloc, &request) < 0) return {.value = 0, .error = errno};
    return {.value = request.out_ioas_id, .error = 0};
}

Outcome<IovaRanges> ioas_iova_ranges(System& system, int iommufd, unsigned ioas) {
    std::vector<abi::iommu_iova_range> room;
    for (int attempt = 0; attempt < kRangesAttempts; ++attempt) {
        abi::iommu_ioas_iova_ranges request{};
        request.size = sizeof request;
        request.ioas_id = ioas;
        request.num_iovas = static_cast<std::uint32_t>(room.size());
        request.allowed_iovas = address_of(room.data());
        if (system.ioctl(iommufd, abi::kIommuIoasIovaRanges, &request) < 0) {
            if (errno != EMSGSIZE) return {.value = {}, .error = errno};
            if (request.num_iovas > kMostRanges) break;
            room.resize(request.num_iovas);
            continue;
        }
        IovaRanges found;
        found.alignment = request.out_iova_alignment;
        for (std::size_t i = 0; i < room.size() && i < request.num_iovas; ++i)
            if (room[i].start <= room[i].last) found.ranges.push_back({Iova{room[i].start}, Iova{room[i].last}});
        return {.value = std::move(found), .error = 0};
    }
    return {.value = {}, .error = EMSGSIZE};
}

int ioas_allow_iovas(System& system, int iommufd, unsigned ioas, std::span<const IovaRange> ranges) {
    std::vector<abi::iommu_iova_range> list;
    for (const IovaRange& range : ranges) list.push_back({to_integer(range.first), to_integer(range.last)});
    abi::iommu_ioas_allow_iovas request{};
    request.size = sizeof request;
    request.ioas_id = ioas;
    request.num_iovas = static_cast<std::uint32_t>(list.size());
    request.allowed_iovas = address_of(list.data());
    return system.ioctl(iommufd, abi::kIommuIoasAllowIovas, &request) < 0 ? errno : 0;
}

Outcome<Iova> ioas_map(System& system, int iommufd, unsigned ioas, std::optional<Iova> wanted,
                       std::span<std::byte> memory, DmaDirection direction) {
    abi::iommu_ioas_map request{};
    request.size = sizeof request;
    request.ioas_id = ioas;
    if (wanted) request.flags |= abi::kIommuIoasMapFixedIova;
    if (direction != DmaDirection::from_device) request.flags |= abi::kIommuIoasMapReadable;
    if (direction != DmaDirection::to_device) request.flags |= abi::kIommuIoasMapWriteable;
    request.user_va = address_of(memory.data());
    request.length = memory.size();
    request.iova = wanted ? to_integer(*wanted) : 0;
    if (system.ioctl(iommufd, abi::kIommuIoasMap, &request) < 0) return {.value = {}, .error = errno};
    return {.value = Iova{request.iova}, .error = 0};
}

Outcome<std::uint64_t> ioas_unmap(System& system, int iommufd, unsigned ioas, Iova iova, std::uint64_t length) {
    abi::iommu_ioas_unmap request{};
    request.size = sizeof request;
    request.ioas_id = ioas;
    request.iova = to_integer(iova);
    request.length = length;
    if (system.ioctl(iommufd, abi::kIommuIoasUnmap, &request) < 0) return {.value = 0, .error = errno};
    return {.value = request.length, .error = 0};
}

int destroy(System& system, int iommufd, unsigned id) {
    abi::iommu_destroy request{};
    request.size = sizeof request;
    request.id = id;
    return system.ioctl(iommufd, abi::kIommuDestroy, &request) < 0 ? errno : 0;
}

}  // namespace uiovfio::detail::iommufd
