// SPDX-License-Identifier: MIT
#include "dma_memory.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "text.hpp"

namespace uiovfio::detail {

DmaMemory huge_memory(std::size_t size) noexcept {
    const std::size_t length = round_up(size, kHugePage);
    void* at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT), -1, 0);
    if (at == MAP_FAILED) return {};
    // The pages are promised, and still a control group's limit or the memory node's may forbid them: that shows here,
    // not as a SIGBUS on first touch. Kernels before 5.14 do not know the request (EINVAL) and keep to the promise.
    if (::madvise(at, length, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
        ::munmap(at, length);
        return {};
    }
    return {{static_cast<std::byte*>(at), length}, kHugePage};
}

DmaMemory ordinary_memory(std::size_t size) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t length = round_up(size, page);
    // The boundary is found by mapping too much and giving back both ends.
    const std::size_t slack = length >= kHugePage ? kHugePage : 0;
    void* mapped = ::mmap(nullptr, length + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        throw Error{Errc::system_error, "DMA memory", fmt::format("cannot allocate {}", bytes_text(length)), errno};
    auto* at = static_cast<std::byte*>(mapped);
    if (slack != 0) {
        const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(at) % kHugePage) % kHugePage;
        if (before != 0) ::munmap(at, before);
        if (slack != before) ::munmap(at + before + length, slack - before);
        at += before;
        ::madvise(at, length, MADV_HUGEPAGE);  // a wish; page_size() tells of what is certain
    }
    return {{at, length}, page};
}

void free_memory(std::span<std::byte> bytes) noexcept { ::munmap(bytes.data(), bytes.size()); }

}  // namespace uiovfio::detail
