// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A mapping, as its owner and the leases on it share it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "dma_state.hpp"

namespace uiovfio::detail {

/// Lives as long as its owner (a DmaMapping) or a lease has an interest in it; whoever is the last ends the mapping and
/// this object. What is counted is one word, so that leasing neither locks nor allocates.
class DmaRecord {
  public:
    enum class Memory {
        callers,
        ours,  ///< to be freed, once it is unmapped
    };

    DmaRecord(std::shared_ptr<DmaState> state, std::span<std::byte> bytes) noexcept
        : state_{std::move(state)}, bytes_{bytes} {}

    /// Maps the memory, before anybody else knows of this object. Throws.
    void map(const MapOptions& options) { iova_ = state_->map(bytes_, options); }
    void own_memory() noexcept { memory_ = Memory::ours; }

    [[nodiscard]] Iova iova() const noexcept { return iova_; }
    /// Empty while the device is open.
    [[nodiscard]] std::error_code status() const noexcept { return state_->backend().status(); }
    void require_usable() const { state_->backend().require_present(); }
    [[nodiscard]] unsigned leases() const noexcept { return users_.load(std::memory_order_acquire) & ~kOwner; }

    // The owner's.

    /// Only through the owner, who keeps the object alive meanwhile.
    void lease() noexcept { users_.fetch_add(1, std::memory_order_relaxed); }
    /// Takes it from the leases, which there must be none of. Throws buffer_leased, and nothing has changed.
    void claim();
    /// After claim(): ends the mapping and this object, also where it throws.
    void end();
    /// Ends the mapping, or leaves that to the last lease.
    void abandon() noexcept { leave(kOwner); }

    // A lease's.

    void give_back() noexcept { leave(1); }

  private:
    static constexpr std::uint32_t kOwner = 1U << 31;

    void leave(std::uint32_t user) noexcept;
    void finish();

    const std::shared_ptr<DmaState> state_;
    const std::span<std::byte> bytes_;
    Iova iova_{};
    Memory memory_ = Memory::callers;
    std::atomic<std::uint32_t> users_{kOwner};  // leases in the lower bits
};

}  // namespace uiovfio::detail
