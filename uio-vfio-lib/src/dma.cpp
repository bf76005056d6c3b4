// SPDX-License-Identifier: MIT
#include "uiovfio/dma.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <utility>

#include "dma_state.hpp"
#include "guarded.hpp"
#include "text.hpp"

namespace uiovfio {

namespace {

// What an x86-64 or arm64 (4 KiB granule) page table calls a block of the second level, in the processor and in the
// IOMMU: memory and bus address that are both aligned to it need one entry instead of 512.
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t ordinary_page() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

constexpr std::size_t round_up(std::size_t size, std::size_t unit) noexcept { return (size + unit - 1) / unit * unit; }

struct Memory {
    std::span<std::byte> bytes;
    std::size_t page_size = 0;
};

Memory huge_memory(std::size_t size) noexcept {
    const std::size_t length = round_up(size, kHugePage);
    // MAP_POPULATE: a pool that has been promised but is empty shows here, not as a SIGBUS on first touch.
    void* at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << MAP_HUGE_SHIFT) | MAP_POPULATE, -1, 0);
    if (at == MAP_FAILED) return {};
    return {{static_cast<std::byte*>(at), length}, kHugePage};
}

Memory ordinary_memory(std::size_t size) {
    const std::size_t page = ordinary_page();
    const std::size_t length = round_up(size, page);
    // Large pieces start at a huge page's boundary, so that transparent huge pages can back them: found by mapping too
    // much and giving back both ends.
    const std::size_t slack = length >= kHugePage ? kHugePage : 0;
    void* mapped = ::mmap(nullptr, length + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        throw Error{Errc::system_error, "DMA memory", fmt::format("cannot allocate {}", detail::bytes_text(length)),
                    errno};
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

}  // namespace

namespace detail {

DmaState::DmaState(std::shared_ptr<Backend> backend)
    : backend_{std::move(backend)}, granule_{backend_->iova_page_sizes() & (~backend_->iova_page_sizes() + 1)} {}

Backend& DmaState::usable() const {
    backend_->require_open();
    backend_->require(Feature::dma);
    return *backend_;
}

Iova DmaState::map(std::span<std::byte> memory, const MapOptions& options) {
    Backend& backend = usable();
    if (memory.empty()) throw Error{Errc::invalid_argument, backend.object() + " DMA", "no memory to map"};
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::uint64_t wanted = options.iova ? to_integer(*options.iova) : 0;
    if ((address | memory.size() | wanted) % granule_ != 0)
        throw Error{Errc::misaligned, backend.object() + " DMA",
                    fmt::format("{:#x} bytes at {:#x}, bus address {:#x}", memory.size(), address, wanted), 0,
                    fmt::format("make them multiples of the IOMMU's page, {}", bytes_text(granule_))};
    const Iova iova = backend.dma_map(options.iova, memory, options.direction);
    // Best effort: a child that inherits the pages would make the next write of the parent move them away from the
    // device. It fails for memory that cannot be forked anyway.
    ::madvise(memory.data(), memory.size(), MADV_DONTFORK);
    return iova;
}

void DmaState::unmap(Iova iova, std::uint64_t length) {
    const std::lock_guard lock{mutex_};
    if (!closed_) backend_->dma_unmap(iova, length);
}

void DmaState::close() noexcept {
    const std::lock_guard lock{mutex_};
    closed_ = true;
}

}  // namespace detail

DmaMapping::DmaMapping(std::shared_ptr<detail::DmaState> state, std::span<std::byte> bytes, Iova iova) noexcept
    : state_{std::move(state)}, bytes_{bytes}, iova_{iova} {}

DmaMapping::DmaMapping(DmaMapping&& other) noexcept
    : state_{std::move(other.state_)}, bytes_{std::exchange(other.bytes_, {})}, iova_{other.iova_} {}

DmaMapping& DmaMapping::operator=(DmaMapping&& other) noexcept {
    if (this != &other) {
        std::error_code lost;  // nobody is there to be told
        unmap(lost);
        state_ = std::move(other.state_);
        bytes_ = std::exchange(other.bytes_, {});
        iova_ = other.iova_;
    }
    return *this;
}

DmaMapping::~DmaMapping() {
    std::error_code lost;
    unmap(lost);
}

Iova DmaMapping::iova_at(std::size_t offset) const {
    if (offset > bytes_.size())
        throw Error{Errc::out_of_bounds, "DMA mapping",
                    fmt::format("offset {:#x} lies beyond its {:#x} bytes", offset, bytes_.size())};
    return iova_ + offset;
}

Iova DmaMapping::iova_at(std::size_t offset, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return iova_at(offset); });
}

void DmaMapping::unmap() {
    const auto state = std::move(state_);
    const auto bytes = std::exchange(bytes_, {});
    if (state) state->unmap(iova_, bytes.size());
}

void DmaMapping::unmap(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { unmap(); });
}

DmaBuffer::DmaBuffer(DmaBuffer&& other) noexcept
    : mapping_{std::move(other.mapping_)},
      memory_{std::exchange(other.memory_, {})},
      page_size_{std::exchange(other.page_size_, 0)} {}

DmaBuffer& DmaBuffer::operator=(DmaBuffer&& other) noexcept {
    if (this != &other) {
        free();
        mapping_ = std::move(other.mapping_);
        memory_ = std::exchange(other.memory_, {});
        page_size_ = std::exchange(other.page_size_, 0);
    }
    return *this;
}

DmaBuffer::~DmaBuffer() { free(); }

void DmaBuffer::free() noexcept {
    std::error_code lost;
    unmap(lost);
}

void DmaBuffer::unmap() {
    const auto memory = std::exchange(memory_, {});
    // When this throws, the memory is lost: better that than giving somebody else what the device can still reach.
    mapping_.unmap();
    if (!memory.empty()) ::munmap(memory.data(), memory.size());
}

void DmaBuffer::unmap(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { unmap(); });
}

DmaSpace::DmaSpace(std::shared_ptr<detail::DmaState> state) noexcept : state_{std::move(state)} {}
DmaSpace::~DmaSpace() = default;

std::vector<IovaRange> DmaSpace::ranges() const { return state_->usable().iova_ranges(); }

std::vector<IovaRange> DmaSpace::ranges(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return ranges(); });
}

std::uint64_t DmaSpace::page_sizes() const { return state_->usable().iova_page_sizes(); }

std::uint64_t DmaSpace::page_sizes(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return page_sizes(); });
}

std::size_t DmaSpace::granule() const noexcept { return state_->granule(); }

std::optional<std::uint64_t> DmaSpace::mappings_left() const { return state_->usable().mappings_left(); }

std::optional<std::uint64_t> DmaSpace::mappings_left(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return mappings_left(); });
}

DmaMapping DmaSpace::map(std::span<std::byte> memory, const MapOptions& options) {
    return DmaMapping{state_, memory, state_->map(memory, options)};
}

DmaMapping DmaSpace::map(std::span<std::byte> memory, const MapOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return map(memory, options); });
}

DmaBuffer DmaSpace::allocate(std::size_t size, const AllocateOptions& options) {
    [[maybe_unused]] const auto& backend = state_->usable();
    if (size == 0) throw Error{Errc::invalid_argument, "DMA buffer", "a size of 0"};
    if (size > std::numeric_limits<std::size_t>::max() / 2)
        throw Error{Errc::iova_exhausted, "DMA buffer", fmt::format("{:#x} bytes", size)};
    const bool wants_huge =
        options.huge_pages == HugePages::require || (options.huge_pages == HugePages::prefer && size >= kHugePage);
    Memory memory = wants_huge ? huge_memory(size) : Memory{};
    if (memory.bytes.empty()) {
        if (options.huge_pages == HugePages::require)
            throw Error{Errc::hugepages_unavailable, "DMA buffer",
                        fmt::format("there are no {} free huge pages of 2 MiB", round_up(size, kHugePage) / kHugePage)};
        memory = ordinary_memory(round_up(size, granule()));
    }
    DmaBuffer buffer;
    try {
        buffer.mapping_ = map(memory.bytes, {.direction = options.direction, .iova = {}});
    } catch (...) {
        ::munmap(memory.bytes.data(), memory.bytes.size());
        throw;
    }
    buffer.memory_ = memory.bytes;
    buffer.page_size_ = memory.page_size;
    return buffer;
}

DmaBuffer DmaSpace::allocate(std::size_t size, const AllocateOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return allocate(size, options); });
}

}  // namespace uiovfio
