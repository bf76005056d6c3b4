// SPDX-License-Identifier: MIT
#include "uiovfio/dma.hpp"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "dma_memory.hpp"
#include "dma_record.hpp"
#include "dma_state.hpp"
#include "guarded.hpp"

namespace uiovfio {

DmaLease::DmaLease(DmaLease&& other) noexcept : record_{std::exchange(other.record_, nullptr)} {}

DmaLease& DmaLease::operator=(DmaLease&& other) noexcept {
    if (this != &other) {
        release();
        record_ = std::exchange(other.record_, nullptr);
    }
    return *this;
}

DmaLease::~DmaLease() { release(); }

void DmaLease::release() noexcept {
    if (detail::DmaRecord* record = std::exchange(record_, nullptr)) record->give_back();
}

DmaMapping::DmaMapping(detail::DmaRecord* record, std::span<std::byte> bytes) noexcept
    : record_{record}, bytes_{bytes}, iova_{record->iova()} {}

DmaMapping::DmaMapping(DmaMapping&& other) noexcept
    : record_{std::exchange(other.record_, nullptr)},
      bytes_{std::exchange(other.bytes_, {})},
      iova_{std::exchange(other.iova_, {})} {}

DmaMapping& DmaMapping::operator=(DmaMapping&& other) noexcept {
    if (this != &other) {
        if (record_ != nullptr) record_->abandon();
        record_ = std::exchange(other.record_, nullptr);
        bytes_ = std::exchange(other.bytes_, {});
        iova_ = std::exchange(other.iova_, {});
    }
    return *this;
}

DmaMapping::~DmaMapping() {
    if (record_ != nullptr) record_->abandon();
}

Iova DmaMapping::iova_at(std::size_t offset) const {
    if (record_ == nullptr) throw Error{Errc::closed, "DMA mapping", "it was unmapped, or moved from"};
    if (offset > bytes_.size())
        throw Error{Errc::out_of_bounds, "DMA mapping",
                    fmt::format("offset {:#x} lies beyond its {:#x} bytes", offset, bytes_.size())};
    return iova_ + offset;
}

Iova DmaMapping::iova_at(std::size_t offset, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return iova_at(offset); });
}

DmaLease DmaMapping::lease() const {
    std::error_code ec;
    DmaLease leased = lease(ec);
    if (!ec) return leased;
    if (record_ != nullptr) record_->require_usable();
    throw Error{Errc::closed, "DMA mapping", "it was unmapped, or moved from"};
}

// Not made from the one that throws, as the other twins are: a driver calls it for every command.
DmaLease DmaMapping::lease(std::error_code& ec) const noexcept {
    ec = record_ != nullptr ? record_->status() : make_error_code(Errc::closed);
    if (ec) return {};
    record_->lease();
    return DmaLease{record_};
}

unsigned DmaMapping::leases() const noexcept { return record_ != nullptr ? record_->leases() : 0; }

void DmaMapping::unmap() {
    if (record_ == nullptr) return;
    record_->claim();
    detail::DmaRecord* record = std::exchange(record_, nullptr);
    bytes_ = {};
    iova_ = {};
    record->end();
}

void DmaMapping::unmap(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { unmap(); });
}

DmaBuffer::DmaBuffer(DmaBuffer&& other) noexcept
    : mapping_{std::move(other.mapping_)}, page_size_{std::exchange(other.page_size_, 0)} {}

DmaBuffer& DmaBuffer::operator=(DmaBuffer&& other) noexcept {
    if (this != &other) {
        mapping_ = std::move(other.mapping_);
        page_size_ = std::exchange(other.page_size_, 0);
    }
    return *this;
}

void DmaBuffer::unmap() { mapping_.unmap(); }

void DmaBuffer::unmap(std::error_code& ec) noexcept { mapping_.unmap(ec); }

DmaSpace::DmaSpace(std::shared_ptr<detail::DmaState> state) noexcept : state_{std::move(state)} {}
DmaSpace::~DmaSpace() = default;

std::vector<IovaRange> DmaSpace::ranges() const { return state_->usable().iova_ranges(); }

std::vector<IovaRange> DmaSpace::ranges(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return ranges(); });
}

std::vector<ReservedRegion> DmaSpace::reserved() const { return state_->usable().reserved_regions(); }

std::vector<ReservedRegion> DmaSpace::reserved(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return reserved(); });
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

std::uint64_t DmaSpace::huge_page_fallbacks() const noexcept { return state_->huge_page_fallbacks(); }

DmaMapping DmaSpace::map(std::span<std::byte> memory, const MapOptions& options) {
    // Before the kernel is asked: nothing may fail between its mapping and the object that ends it.
    auto record = std::make_unique<detail::DmaRecord>(state_, memory);
    record->map(options);
    return DmaMapping{record.release(), memory};
}

DmaMapping DmaSpace::map(std::span<std::byte> memory, const MapOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return map(memory, options); });
}

DmaBuffer DmaSpace::allocate(std::size_t size, const AllocateOptions& options) {
    const std::string object = state_->usable().object() + " DMA";
    if (size == 0)
        throw Error{Errc::invalid_argument, object, "a buffer of 0 bytes was asked for", 0, "ask for 1 at the least"};
    if (size > std::numeric_limits<std::size_t>::max() / 2)
        throw Error{Errc::iova_exhausted, object, fmt::format("a buffer of {:#x} bytes was asked for", size)};
    const bool prefers_huge = options.huge_pages == HugePages::prefer && size >= detail::kHugePage;
    const bool requires_huge = options.huge_pages == HugePages::require;
    detail::DmaMemory memory = prefers_huge || requires_huge ? detail::huge_memory(size) : detail::DmaMemory{};
    if (memory.bytes.empty()) {
        if (requires_huge)
            throw Error{Errc::hugepages_unavailable, object,
                        fmt::format("there are no {} free huge pages of 2 MiB",
                                    detail::round_up(size, detail::kHugePage) / detail::kHugePage)};
        if (prefers_huge) state_->count_huge_page_fallback();
        memory = detail::ordinary_memory(detail::round_up(size, granule()));
    }
    DmaBuffer buffer;
    try {
        buffer.mapping_ = map(memory.bytes, {.direction = options.direction, .iova = {}});
    } catch (...) {
        detail::free_memory(memory.bytes);
        throw;
    }
    buffer.mapping_.record_->own_memory();
    buffer.page_size_ = memory.page_size;
    return buffer;
}

DmaBuffer DmaSpace::allocate(std::size_t size, const AllocateOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return allocate(size, options); });
}

}  // namespace uiovfio
