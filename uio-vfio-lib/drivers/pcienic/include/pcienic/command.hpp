// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Commands to the DMA engine, as values:
///
///     pcienic::copy(source, destination, 4096)                        host to host
///     pcienic::copy({buffer, 512}, pcienic::DeviceOffset{0}, 4096)    host to device memory, from an offset on
///     pcienic::copy(pcienic::DeviceOffset{0}, list, 4096)             device memory to the pieces of a list
///     pcienic::fill(buffer.iova(), 4096, 0x0123456789abcdef)          at a bus address
///
/// Host memory that is named by its DmaBuffer or DmaMapping is leased to the device from the command's submission to
/// its result: it cannot be unmapped meanwhile. With a bus address alone, that is for the program to see to. Device
/// memory to device memory does not compile: the device has no such command.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pcienic/registers.hpp"
#include "uiovfio/dma.hpp"

namespace pcienic {

/// What a command does.
using Opcode = Descriptor::Control::OpcodeValue;

/// An offset in the device's own memory (BAR4).
enum class DeviceOffset : std::uint64_t {};

/// A piece of host memory, as the device sees it.
struct Piece {
    uiovfio::Iova address{};
    std::uint32_t length = 0;
    const uiovfio::DmaMapping* memory = nullptr;  ///< what it lies in, where that is to be leased
};

/// A piece of a DmaBuffer or DmaMapping. Throws uiovfio::Errc::out_of_bounds, closed.
Piece piece(const uiovfio::DmaMapping& memory, std::size_t offset, std::uint32_t length);
inline Piece piece(const uiovfio::DmaBuffer& memory, std::size_t offset, std::uint32_t length) {
    return piece(memory.mapping(), offset, length);
}

/// A scatter-gather list in memory that the device can read. Made once, assigned as often as wanted. It holds leases on
/// the memory of its pieces, until it is assigned anew or destroyed; not to be destroyed while a command that names it
/// is outstanding (DmaEngine::owns tells).
class ScatterList {
  public:
    /// Memory for `capacity` pieces, at most kMaxSgEntries. Throws what DmaSpace::allocate throws.
    explicit ScatterList(uiovfio::DmaSpace& space, std::size_t capacity = kMaxSgEntries);

    /// Replaces the list. Does not allocate. Throws Errc::list_too_long beyond the capacity, buffer_in_use while a
    /// command that names the list is outstanding, uiovfio::Errc::closed for a piece of memory that is not mapped.
    void assign(std::span<const Piece> pieces);

    /// Where the list lies, how many pieces it has and how many it has room for, and one of them.
    uiovfio::Iova address() const noexcept { return buffer_.iova(); }
    std::uint16_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return capacity_; }
    Piece operator[](std::size_t index) const noexcept;
    /// The memory of the list itself.
    uiovfio::DmaBuffer& buffer() noexcept { return buffer_; }
    const uiovfio::DmaBuffer& buffer() const noexcept { return buffer_; }

  private:
    ScatterEntry* entries() const noexcept;

    std::size_t capacity_;
    uiovfio::DmaBuffer buffer_;
    std::vector<uiovfio::DmaLease> leases_;  // never grows beyond what it was made for
    std::uint16_t size_ = 0;
};

/// One side of a command that lies in host memory: mapped memory from an offset on, an address, or a list.
struct HostMemory {
    // NOLINTBEGIN(*-explicit-*): a command is to read as what it does
    /// A bus address as it is.
    HostMemory(uiovfio::Iova at) noexcept : address(at) {}
    /// Throw uiovfio::Errc::out_of_bounds, closed.
    HostMemory(const uiovfio::DmaMapping& mapping, std::size_t offset = 0)
        : address(mapping.iova_at(offset)), memory(&mapping), room(mapping.size() - offset) {}
    HostMemory(const uiovfio::DmaBuffer& buffer, std::size_t offset = 0) : HostMemory(buffer.mapping(), offset) {}
    HostMemory(const ScatterList& pieces) noexcept : address(pieces.address()), list(&pieces) {}
    // NOLINTEND(*-explicit-*)

    uiovfio::Iova address;
    const uiovfio::DmaMapping* memory = nullptr;
    const ScatterList* list = nullptr;
    std::uint64_t room = ~std::uint64_t{0};  ///< bytes to the end, where that is known
};

/// A command as the caller has it; copy(), fill() and nop() make them.
struct Command {
    Opcode opcode = Opcode::kNop;
    std::uint64_t source = 0;  ///< a bus address, an offset in device memory, a list's address, or the fill pattern
    std::uint64_t destination = 0;
    std::uint32_t length = 0;
    const ScatterList* source_list = nullptr;
    const ScatterList* destination_list = nullptr;
    /// What the engine leases when the command is posted, and has to exist until then.
    const uiovfio::DmaMapping* source_memory = nullptr;
    const uiovfio::DmaMapping* destination_memory = nullptr;
    /// Raised after the completion is written; without one, the engine's own vector, where it has one.
    std::optional<std::uint16_t> vector = {};
};

namespace detail {
void throw_no_room(std::uint64_t room, std::uint32_t length);
inline void check_room(std::uint64_t room, std::uint32_t length) {
    if (length > room) throw_no_room(room, length);
}
}  // namespace detail

/// Moves nothing: what comes back is the completion.
inline Command nop() noexcept { return {}; }

/// Copies `length` bytes within host memory. This and the following throw uiovfio::Errc::out_of_bounds where `length`
/// goes beyond the end of memory that is named by what it is.
inline Command copy(HostMemory source, HostMemory destination, std::uint32_t length) {
    detail::check_room(source.room, length);
    detail::check_room(destination.room, length);
    return {.opcode = Opcode::kHostToHost,
            .source = static_cast<std::uint64_t>(source.address),
            .destination = static_cast<std::uint64_t>(destination.address),
            .length = length,
            .source_list = source.list,
            .destination_list = destination.list,
            .source_memory = source.memory,
            .destination_memory = destination.memory};
}

/// Copies `length` bytes into device memory.
inline Command copy(HostMemory source, DeviceOffset destination, std::uint32_t length) {
    detail::check_room(source.room, length);
    return {.opcode = Opcode::kHostToDevice,
            .source = static_cast<std::uint64_t>(source.address),
            .destination = static_cast<std::uint64_t>(destination),
            .length = length,
            .source_list = source.list,
            .source_memory = source.memory};
}

/// Copies `length` bytes out of device memory.
inline Command copy(DeviceOffset source, HostMemory destination, std::uint32_t length) {
    detail::check_room(destination.room, length);
    return {.opcode = Opcode::kDeviceToHost,
            .source = static_cast<std::uint64_t>(source),
            .destination = static_cast<std::uint64_t>(destination.address),
            .length = length,
            .destination_list = destination.list,
            .destination_memory = destination.memory};
}

/// Writes the pattern's 8 bytes, little-endian, over and over; a length that 8 does not divide ends within one.
inline Command fill(HostMemory destination, std::uint32_t length, std::uint64_t pattern) {
    detail::check_room(destination.room, length);
    return {.opcode = Opcode::kFillHost,
            .source = pattern,
            .destination = static_cast<std::uint64_t>(destination.address),
            .length = length,
            .destination_list = destination.list,
            .destination_memory = destination.memory};
}

/// As fill() of host memory.
inline Command fill(DeviceOffset destination, std::uint32_t length, std::uint64_t pattern) noexcept {
    return {.opcode = Opcode::kFillDevice,
            .source = pattern,
            .destination = static_cast<std::uint64_t>(destination),
            .length = length};
}

}  // namespace pcienic
