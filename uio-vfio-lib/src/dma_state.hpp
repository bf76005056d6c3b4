// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What DmaSpace and the mappings made of it share.

#include <atomic>
#include <memory>
#include <mutex>
#include <span>

#include "backend.hpp"
#include "uiovfio/dma.hpp"

namespace uiovfio::detail {

class DmaState {
  public:
    explicit DmaState(std::shared_ptr<Backend> backend);

    [[nodiscard]] Backend& backend() const noexcept { return *backend_; }
    [[nodiscard]] std::uint64_t granule() const noexcept { return granule_; }
    /// The backend, open and able to map. Throws closed, unsupported.
    [[nodiscard]] Backend& usable() const;

    /// Checks what no kernel could map, and has the backend map the rest. Throws.
    Iova map(std::span<std::byte> memory, const MapOptions& options);
    /// Throws; the bus addresses are free afterwards only if the kernel unmapped them.
    void unmap(Iova iova, std::uint64_t length);
    /// Unmaps everything: from here on there is nothing to unmap.
    void close() noexcept;

    void count_huge_page_fallback() noexcept { huge_page_fallbacks_.fetch_add(1, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t huge_page_fallbacks() const noexcept {
        return huge_page_fallbacks_.load(std::memory_order_relaxed);
    }

  private:
    std::shared_ptr<Backend> backend_;
    const std::uint64_t granule_;
    std::atomic<std::uint64_t> huge_page_fallbacks_{0};
    std::mutex mutex_;  // guards closed_, and keeps the backend open while it unmaps
    bool closed_ = false;
};

}  // namespace uiovfio::detail
