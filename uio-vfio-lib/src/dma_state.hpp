// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What DmaSpace and the mappings made of it share: the backend and the record of bus addresses in use.

#include <memory>
#include <mutex>
#include <span>

#include "backend.hpp"
#include "iova_allocator.hpp"
#include "uiovfio/dma.hpp"

namespace uiovfio::detail {

class DmaState {
  public:
    explicit DmaState(std::shared_ptr<Backend> backend);

    [[nodiscard]] Backend& backend() const noexcept { return *backend_; }
    [[nodiscard]] std::uint64_t granule() const noexcept { return granule_; }
    [[nodiscard]] std::vector<IovaRange> ranges() const { return allocator_.ranges(); }

    /// Chooses or takes the bus address, and has the kernel map it. Throws.
    Iova map(std::span<std::byte> memory, const MapOptions& options);
    /// Throws; the bus addresses are free afterwards only if the kernel unmapped them.
    void unmap(Iova iova, std::uint64_t length);
    /// From here on there is nothing to unmap: the kernel does it when the container is closed.
    void close() noexcept;

  private:
    std::shared_ptr<Backend> backend_;
    const std::uint64_t granule_;
    std::mutex mutex_;  // guards what follows
    IovaAllocator allocator_;
    bool closed_ = false;
};

}  // namespace uiovfio::detail
