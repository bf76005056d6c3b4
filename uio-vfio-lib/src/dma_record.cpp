// SPDX-License-Identifier: MIT
#include "dma_record.hpp"

#include <fmt/format.h>

#include "dma_memory.hpp"
#include "guarded.hpp"
#include "text.hpp"

namespace uiovfio::detail {

void DmaRecord::claim() {
    std::uint32_t users = kOwner;
    // What those who had leases did with the memory happened before.
    if (users_.compare_exchange_strong(users, 0, std::memory_order_acq_rel)) return;
    const std::uint32_t leases = users & ~kOwner;
    throw Error{Errc::buffer_leased, state_->backend().object() + " DMA",
                fmt::format("the {} at bus address {:#x} are leased {} time{}", bytes_text(bytes_.size()),
                            to_integer(iova_), leases, leases == 1 ? "" : "s")};
}

void DmaRecord::end() {
    const std::unique_ptr<DmaRecord> last{this};
    finish();
}

void DmaRecord::leave(std::uint32_t user) noexcept {
    if (users_.fetch_sub(user, std::memory_order_acq_rel) != user) return;
    const std::unique_ptr<DmaRecord> last{this};
    std::error_code lost;  // nobody is there to be told
    guarded(lost, [this] { finish(); });
}

void DmaRecord::finish() {
    // A forked child has neither the mapping nor, at these addresses, the memory.
    if (state_->backend().is_parents()) return;
    state_->unmap(iova_, bytes_.size());
    // Where that threw, the memory is lost: better that than giving somebody else what the device can still reach.
    if (memory_ == Memory::ours) free_memory(bytes_);
}

}  // namespace uiovfio::detail
