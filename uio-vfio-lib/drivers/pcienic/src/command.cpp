// SPDX-License-Identifier: MIT
#include "pcienic/command.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "pcienic/error.hpp"

namespace pcienic {

ScatterList::ScatterList(uiovfio::DmaSpace& space, std::size_t capacity)
    : capacity_(std::clamp<std::size_t>(capacity, 1, 0xffff)),
      buffer_(space.allocate(capacity_ * sizeof(ScatterEntry))) {}

void ScatterList::assign(std::span<const Piece> pieces) {
    if (pieces.size() > capacity_)
        throw Error(Errc::list_too_long, fmt::format("list of {} pieces with room for {}", pieces.size(), capacity_));
    ScatterEntry* out = entries();
    for (const Piece& piece : pieces)
        *out++ = {.address = static_cast<std::uint64_t>(piece.address), .length = piece.length, .reserved = 0};
    size_ = static_cast<std::uint16_t>(pieces.size());
}

Piece ScatterList::operator[](std::size_t index) const noexcept {
    const ScatterEntry& entry = entries()[index];
    return {uiovfio::Iova{entry.address}, entry.length};
}

ScatterEntry* ScatterList::entries() const noexcept {
    return reinterpret_cast<ScatterEntry*>(const_cast<std::byte*>(buffer_.bytes().data()));
}

}  // namespace pcienic
