// SPDX-License-Identifier: MIT
#include "dma_state.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <utility>

#include "text.hpp"

namespace uiovfio::detail {

DmaState::DmaState(std::shared_ptr<Backend> backend)
    : backend_{std::move(backend)}, granule_{backend_->iova_page_sizes() & (~backend_->iova_page_sizes() + 1)} {}

Backend& DmaState::usable() const {
    backend_->require_present();
    backend_->require(Feature::dma);
    return *backend_;
}

Iova DmaState::map(std::span<std::byte> memory, const MapOptions& options) {
    Backend& backend = usable();
    if (memory.empty()) throw Error{Errc::invalid_argument, backend.object() + " DMA", "no memory to map"};
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::uint64_t wanted = options.iova ? to_integer(*options.iova) : 0;
    if ((address | memory.size() | wanted) % granule_ != 0) {
        std::string what = fmt::format("the memory is {:#x} bytes at {:#x}", memory.size(), address);
        if (options.iova) what += fmt::format(", its bus address is to be {:#x}", wanted);
        throw Error{Errc::misaligned, backend.object() + " DMA", std::move(what), 0,
                    fmt::format("make each of these a multiple of the IOMMU's page, {}; or use memory of "
                                "DmaSpace::allocate(), which is",
                                bytes_text(granule_))};
    }
    // Before the pages are pinned: a child that inherits them would make the next write of the parent move them away
    // from the device. Best effort: it fails for memory that cannot be forked anyway.
    ::madvise(memory.data(), memory.size(), MADV_DONTFORK);
    return backend.dma_map(options.iova, memory, options.direction);
}

void DmaState::unmap(Iova iova, std::uint64_t length) {
    if (backend_->is_parents()) return;
    const std::lock_guard lock{mutex_};
    if (!closed_) backend_->dma_unmap(iova, length);
}

void DmaState::close() noexcept {
    const std::lock_guard lock{mutex_};
    // Not left to the closing of the files: those may have copies in other processes, and memory may be freed from now.
    if (!closed_) backend_->dma_unmap_all();
    closed_ = true;
}

}  // namespace uiovfio::detail
