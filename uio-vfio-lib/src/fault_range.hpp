// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What becomes of an access to a mapped BAR that the kernel cannot serve.
///
/// While memory space is disabled or the device sleeps, the kernel answers an access with SIGBUS, at whatever
/// instruction it happens to be. The handler puts memory of ones where the fault was and returns: the access is made
/// again, reads all ones or stores to nowhere, and the program goes on with all its objects as they are. So no access
/// needs to be prepared for it; who wants to know looks at the count of faults afterwards.
///
/// A range that is covered as a whole has one mapping of a file that is empty there, whatever its length: an access to
/// it faults, and gets its ones in the same way.
///
/// The handler is installed with the first range and stays. It runs wherever a thread happens to be, and so takes no
/// lock, allocates nothing and makes no call but mmap. What is none of its faults goes to the handler before it.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "all_ones.hpp"

namespace uiovfio::detail {

class MappedRegion;

/// What the handler sees of a range. Never destroyed, so that it can be read without a lock; used again.
struct FaultSlot {
    std::atomic<std::uintptr_t> begin{0};
    std::atomic<std::uintptr_t> end{0};  ///< 0 for a slot that is free
    std::atomic<int> ones{-1};
    std::atomic<std::uint64_t> faults{0};
    /// Part of the range, or all of it, is ones.
    std::atomic<bool> is_covered{false};
    std::atomic<MappedRegion*> region{nullptr};
    FaultSlot* next = nullptr;
};

/// The slot whose range holds `address`, or null. Async-signal-safe.
FaultSlot* find_fault_slot(std::uintptr_t address) noexcept;

/// A range of addresses whose faults are handled for as long as this object lives. Move-only.
class FaultRange {
  public:
    FaultRange() noexcept = default;
    /// `base` is a multiple of the page size. `region` is for those who find the range by an address. Throws
    /// system_error.
    FaultRange(void* base, std::size_t length, MappedRegion* region = nullptr);
    FaultRange(FaultRange&& other) noexcept;
    FaultRange& operator=(FaultRange&& other) noexcept;
    ~FaultRange();

    explicit operator bool() const noexcept { return slot_ != nullptr; }
    /// Never goes down.
    [[nodiscard]] std::uint64_t faults() const noexcept { return slot_->faults.load(); }
    [[nodiscard]] bool is_covered() const noexcept { return slot_->is_covered.load(); }
    /// Told by who covers the range, or puts back what was there.
    void set_covered(bool is_covered) noexcept { slot_->is_covered.store(is_covered); }
    [[nodiscard]] int ones() const noexcept { return ones_->descriptor(); }

  private:
    void release() noexcept;

    FaultSlot* slot_ = nullptr;
    std::shared_ptr<AllOnes> ones_;
};

}  // namespace uiovfio::detail
