// SPDX-License-Identifier: MIT
#include "pcienic/command.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "pcienic/error.hpp"
#include "uiovfio/error.hpp"

namespace pcienic {

Piece piece(const uiovfio::DmaMapping& memory, std::size_t offset, std::uint32_t length) {
    const uiovfio::Iova address = memory.iova_at(offset);
    detail::check_room(memory.size() - offset, length);
    return {.address = address, .length = length, .memory = &memory};
}

void detail::throw_no_room(std::uint64_t room, std::uint32_t length) {
    throw uiovfio::Error(uiovfio::Errc::out_of_bounds, "DMA command",
                         fmt::format("{} bytes where the memory ends after {}", length, room));
}

ScatterList::ScatterList(uiovfio::DmaSpace& space, std::size_t capacity)
    : capacity_(std::clamp<std::size_t>(capacity, 1, 0xffff)),
      buffer_(space.allocate(capacity_ * sizeof(ScatterEntry))) {
    leases_.reserve(capacity_);
}

void ScatterList::assign(std::span<const Piece> pieces) {
    if (pieces.size() > capacity_)
        throw Error(Errc::list_too_long, fmt::format("list of {} pieces with room for {}", pieces.size(), capacity_));
    if (buffer_.leases() != 0)
        throw Error(Errc::buffer_in_use, fmt::format("list at bus address {:#x}", uiovfio::to_integer(address())));
    leases_.clear();
    size_ = 0;
    ScatterEntry* out = entries();
    for (const Piece& piece : pieces) {
        if (piece.memory != nullptr) leases_.push_back(piece.memory->lease());
        *out++ = {.address = static_cast<std::uint64_t>(piece.address), .length = piece.length, .reserved = 0};
    }
    size_ = static_cast<std::uint16_t>(pieces.size());
}

Piece ScatterList::operator[](std::size_t index) const noexcept {
    const ScatterEntry& entry = entries()[index];
    return {.address = uiovfio::Iova{entry.address}, .length = entry.length};
}

ScatterEntry* ScatterList::entries() const noexcept {
    return reinterpret_cast<ScatterEntry*>(const_cast<std::byte*>(buffer_.bytes().data()));
}

}  // namespace pcienic
