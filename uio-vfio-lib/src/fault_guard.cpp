// SPDX-License-Identifier: MIT
#include "uiovfio/fault_guard.hpp"

#include "backend.hpp"
#include "backends/mapped_region.hpp"
#include "fault_range.hpp"

namespace uiovfio {

FaultGuard::FaultGuard(const MappedWindow& window) noexcept { watch(window.data()); }

FaultGuard::FaultGuard(const Window& window) noexcept {
    if (window.is_mapped()) {
        watch(window.mapped_);
    } else if (window.backend_) {
        backend_ = window.backend_.get();
        before_ = backend_->unanswered();
        refused_before_ = backend_->refused();
    }
}

void FaultGuard::watch(const volatile void* mapped) noexcept {
    detail::FaultSlot* slot = detail::find_fault_slot(reinterpret_cast<std::uintptr_t>(mapped));
    slot_ = slot;
    if (slot == nullptr) return;
    before_ = slot->faults.load();
    // The device may answer again without anybody having noticed.
    if (detail::MappedRegion* region = slot->region.load(); region != nullptr) region->uncover();
}

std::error_code FaultGuard::status() const noexcept {
    if (backend_ != nullptr) {
        if (const std::error_code ec = backend_->status()) return ec;
        if (backend_->unanswered() != before_) return Errc::device_gone;
        return backend_->refused() != refused_before_ ? make_error_code(backend_->refusal()) : std::error_code{};
    }
    if (slot_ == nullptr) return {};
    const detail::MappedRegion* region = slot_->region.load();
    if (region != nullptr && region->is_closed()) return Errc::closed;
    return slot_->faults.load() != before_ || slot_->is_covered.load() ? make_error_code(Errc::device_gone)
                                                                       : std::error_code{};
}

}  // namespace uiovfio
