// SPDX-License-Identifier: MIT
#include "vfio_calls.hpp"

#include <linux/vfio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <type_traits>

namespace uiovfio::detail::vfio {

namespace {

// The kernel may need more space each time it is asked, when something changes in between; not for ever.
constexpr int kInfoAttempts = 4;

// The longest answers are lists of areas or ranges, 16 bytes each, of which a machine has dozens. Who wants more than
// this is no kernel that we know, and gets no memory of ours for it.
constexpr std::uint32_t kLongestAnswer = std::uint32_t{1} << 20;

/// Reads a structure at an offset; nothing when it does not lie within the bytes.
template <class T>
bool read_at(std::span<const std::byte> bytes, std::size_t offset, T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return false;
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return true;
}

/// The argsz protocol: the kernel fills what it has room for, and says in argsz how much it would have needed.
/// `head` comes with its input members set; the answer begins with the kernel's version of it.
template <class Head>
Outcome<std::vector<std::byte>> ask(System& system, int descriptor, unsigned long request, Head head) {
    std::uint32_t size = sizeof(Head);
    for (int attempt = 0; attempt < kInfoAttempts; ++attempt) {
        std::vector<std::byte> answer(size);
        head.argsz = size;
        std::memcpy(answer.data(), &head, sizeof head);
        if (system.ioctl(descriptor, request, answer.data()) < 0) return {.value = {}, .error = errno};
        std::uint32_t wanted = 0;
        std::memcpy(&wanted, answer.data(), sizeof wanted);
        if (wanted <= size) return {.value = std::move(answer), .error = 0};
        if (wanted > kLongestAnswer) break;
        size = wanted;
    }
    return {.value = {}, .error = E2BIG};
}

template <class Head>
Head head_of(const std::vector<std::byte>& answer) {
    Head head{};
    std::memcpy(&head, answer.data(), sizeof head);
    return head;
}

std::vector<std::byte> irq_set(std::uint32_t flags, unsigned index, unsigned start, unsigned count,
                               std::span<const std::byte> data = {}) {
    vfio_irq_set header{};
    header.argsz = static_cast<std::uint32_t>(sizeof header + data.size());
    header.flags = flags;
    header.index = index;
    header.start = start;
    header.count = count;
    std::vector<std::byte> bytes(sizeof header + data.size());
    std::memcpy(bytes.data(), &header, sizeof header);
    std::copy(data.begin(), data.end(), bytes.begin() + sizeof header);
    return bytes;
}

}  // namespace

std::vector<ChainEntry> capability_chain(std::span<const std::byte> answer, std::uint32_t first) {
    std::vector<ChainEntry> chain;
    std::vector<std::uint32_t> seen;
    for (std::uint32_t offset = first; offset != 0;) {
        vfio_info_cap_header header{};
        if (!read_at(answer, offset, header)) break;
        if (std::find(seen.begin(), seen.end(), offset) != seen.end()) break;
        seen.push_back(offset);
        chain.push_back({.id = header.id, .version = header.version, .bytes = answer.subspan(offset)});
        offset = header.next;
    }
    return chain;
}

Outcome<int> get_api_version(System& system, int container) {
    const int version = system.ioctl(container, VFIO_GET_API_VERSION, 0UL);
    return {.value = version, .error = version < 0 ? errno : 0};
}

Outcome<bool> check_extension(System& system, int container, unsigned long extension) {
    const int answer = system.ioctl(container, VFIO_CHECK_EXTENSION, extension);
    return {.value = answer > 0, .error = answer < 0 ? errno : 0};
}

int set_iommu(System& system, int container, unsigned long type) {
    return system.ioctl(container, VFIO_SET_IOMMU, type) < 0 ? errno : 0;
}

Outcome<IommuInfo> get_iommu_info(System& system, int container) {
    const auto answer = ask(system, container, VFIO_IOMMU_GET_INFO, vfio_iommu_type1_info{});
    if (!answer) return {.value = {}, .error = answer.error};
    const auto head = head_of<vfio_iommu_type1_info>(answer.value);
    IommuInfo info;
    if ((head.flags & VFIO_IOMMU_INFO_PGSIZES) != 0 && head.iova_pgsizes != 0) info.page_sizes = head.iova_pgsizes;
    if ((head.flags & VFIO_IOMMU_INFO_CAPS) == 0) return {.value = std::move(info), .error = 0};
    for (const ChainEntry& entry : capability_chain(answer.value, head.cap_offset)) {
        if (entry.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
            vfio_iommu_type1_info_cap_iova_range ranges{};
            if (!read_at(entry.bytes, 0, ranges)) continue;
            for (std::uint32_t i = 0; i < ranges.nr_iovas; ++i) {
                vfio_iova_range range{};
                if (!read_at(entry.bytes, sizeof ranges + i * sizeof range, range)) break;
                if (range.start <= range.end) info.ranges.push_back({Iova{range.start}, Iova{range.end}});
            }
        } else if (entry.id == VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL) {
            vfio_iommu_type1_info_dma_avail available{};
            if (read_at(entry.bytes, 0, available)) info.mappings_left = available.avail;
        }
    }
    return {.value = std::move(info), .error = 0};
}

int map_dma(System& system, int container, Iova iova, std::span<std::byte> memory, DmaDirection direction) {
    vfio_iommu_type1_dma_map request{};
    request.argsz = sizeof request;
    if (direction != DmaDirection::from_device) request.flags |= VFIO_DMA_MAP_FLAG_READ;
    if (direction != DmaDirection::to_device) request.flags |= VFIO_DMA_MAP_FLAG_WRITE;
    request.vaddr = reinterpret_cast<std::uintptr_t>(memory.data());
    request.iova = to_integer(iova);
    request.size = memory.size();
    return system.ioctl(container, VFIO_IOMMU_MAP_DMA, &request) < 0 ? errno : 0;
}

Outcome<std::uint64_t> unmap_dma(System& system, int container, Iova iova, std::uint64_t length) {
    vfio_iommu_type1_dma_unmap request{};
    request.argsz = sizeof request;
    request.iova = to_integer(iova);
    request.size = length;
    if (system.ioctl(container, VFIO_IOMMU_UNMAP_DMA, &request) < 0) return {.value = 0, .error = errno};
    return {.value = request.size, .error = 0};
}

Outcome<std::uint64_t> unmap_all_dma(System& system, int container) {
    vfio_iommu_type1_dma_unmap request{};
    request.argsz = sizeof request;
    request.flags = VFIO_DMA_UNMAP_FLAG_ALL;
    if (system.ioctl(container, VFIO_IOMMU_UNMAP_DMA, &request) < 0) return {.value = 0, .error = errno};
    return {.value = request.size, .error = 0};
}

Outcome<bool> is_group_viable(System& system, int group) {
    vfio_group_status status{};
    status.argsz = sizeof status;
    if (system.ioctl(group, VFIO_GROUP_GET_STATUS, &status) < 0) return {.value = false, .error = errno};
    return {.value = (status.flags & VFIO_GROUP_FLAGS_VIABLE) != 0, .error = 0};
}

int set_container(System& system, int group, int container) {
    return system.ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0 ? errno : 0;
}

Outcome<int> get_device_fd(System& system, int group, const std::string& name) {
    std::string writable = name;  // the kernel only reads it, but ioctl() takes what it may write
    const int device = system.ioctl(group, VFIO_GROUP_GET_DEVICE_FD, writable.data());
    return {.value = device, .error = device < 0 ? errno : 0};
}

Outcome<DeviceInfo> get_device_info(System& system, int device) {
    const auto answer = ask(system, device, VFIO_DEVICE_GET_INFO, vfio_device_info{});
    if (!answer) return {.value = {}, .error = answer.error};
    const auto head = head_of<vfio_device_info>(answer.value);
    return {.value = {.is_pci = (head.flags & VFIO_DEVICE_FLAGS_PCI) != 0,
                      .can_reset = (head.flags & VFIO_DEVICE_FLAGS_RESET) != 0,
                      .regions = head.num_regions,
                      .interrupt_indices = head.num_irqs},
            .error = 0};
}

Outcome<RegionInfo> get_region_info(System& system, int device, unsigned index) {
    vfio_region_info question{};
    question.index = index;
    const auto answer = ask(system, device, VFIO_DEVICE_GET_REGION_INFO, question);
    if (!answer) return {.value = {}, .error = answer.error};
    const auto head = head_of<vfio_region_info>(answer.value);
    RegionInfo info;
    info.size = head.size;
    info.offset = head.offset;
    info.is_mappable = (head.flags & VFIO_REGION_INFO_FLAG_MMAP) != 0;
    if ((head.flags & VFIO_REGION_INFO_FLAG_CAPS) == 0) return {.value = std::move(info), .error = 0};
    for (const ChainEntry& entry : capability_chain(answer.value, head.cap_offset)) {
        if (entry.id == VFIO_REGION_INFO_CAP_MSIX_MAPPABLE) {
            info.is_msix_mappable = true;
        } else if (entry.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
            vfio_region_info_cap_sparse_mmap sparse{};
            if (!read_at(entry.bytes, 0, sparse)) continue;
            info.has_sparse_areas = true;
            for (std::uint32_t i = 0; i < sparse.nr_areas; ++i) {
                vfio_region_sparse_mmap_area area{};
                if (!read_at(entry.bytes, sizeof sparse + i * sizeof area, area)) break;
                if (area.size != 0) info.areas.push_back({.offset = area.offset, .length = area.size});
            }
        }
    }
    return {.value = std::move(info), .error = 0};
}

Outcome<InterruptInfo> get_interrupt_info(System& system, int device, unsigned index) {
    vfio_irq_info info{};
    info.argsz = sizeof info;
    info.index = index;
    if (system.ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0) return {.value = {}, .error = errno};
    return {.value = {.count = (info.flags & VFIO_IRQ_INFO_EVENTFD) != 0 ? info.count : 0,
                      .adds_vectors = (info.flags & VFIO_IRQ_INFO_NORESIZE) == 0},
            .error = 0};
}

Outcome<unsigned> set_irqs(System& system, int device, std::span<std::byte> request) {
    const int result = system.ioctl(device, VFIO_DEVICE_SET_IRQS, request.data());
    if (result < 0) return {.value = 0, .error = errno};
    return {.value = static_cast<unsigned>(result), .error = 0};
}

int reset_device(System& system, int device) { return system.ioctl(device, VFIO_DEVICE_RESET, 0UL) < 0 ? errno : 0; }

std::vector<std::byte> bytes_to_arm(unsigned index, unsigned first, std::span<const int> event_fds) {
    static_assert(sizeof(int) == 4, "the kernel takes descriptors as 32-bit numbers");
    return irq_set(VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, index, first,
                   static_cast<unsigned>(event_fds.size()), std::as_bytes(event_fds));
}

std::vector<std::byte> bytes_to_disarm(unsigned index) {
    return irq_set(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, 0);
}

std::vector<std::byte> bytes_to_trigger(unsigned index, unsigned vector) {
    return irq_set(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER, index, vector, 1);
}

std::vector<std::byte> bytes_to_trigger_some(unsigned index, std::span<const std::uint8_t> fire) {
    return irq_set(VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_ACTION_TRIGGER, index, 0, static_cast<unsigned>(fire.size()),
                   std::as_bytes(fire));
}

std::vector<std::byte> bytes_to_mask(unsigned index) {
    return irq_set(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK, index, 0, 1);
}

std::vector<std::byte> bytes_to_unmask(unsigned index) {
    return irq_set(VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK, index, 0, 1);
}

}  // namespace uiovfio::detail::vfio
