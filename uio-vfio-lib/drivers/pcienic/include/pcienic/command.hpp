// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Commands to the DMA engine, as values:
///
///     pcienic::copy(source.iova(), destination.iova(), 4096)          host to host
///     pcienic::copy(buffer.iova(), pcienic::DeviceOffset{0}, 4096)    host to device memory
///     pcienic::copy(pcienic::DeviceOffset{0}, list, 4096)             device memory to the pieces of a list
///     pcienic::fill(buffer.iova(), 4096, 0x0123456789abcdef)
///
/// Device memory to device memory does not compile: the device has no such command.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

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
};

/// A scatter-gather list in memory that the device can read. Made once, assigned as often as wanted; a list may not be
/// assigned or destroyed while a command that names it is outstanding (DmaEngine::owns tells).
class ScatterList {
  public:
    /// Memory for `capacity` pieces, at most kMaxSgEntries. Throws what DmaSpace::allocate throws.
    explicit ScatterList(uiovfio::DmaSpace& space, std::size_t capacity = kMaxSgEntries);

    /// Replaces the list. Does not allocate. Throws Errc::list_too_long beyond the capacity.
    void assign(std::span<const Piece> pieces);

    /// Where the list lies, how many pieces it has and how many it has room for, and one of them.
    uiovfio::Iova address() const noexcept { return buffer_.iova(); }
    std::uint16_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return capacity_; }
    Piece operator[](std::size_t index) const noexcept;
    /// The memory of the list itself.
    uiovfio::DmaBuffer& buffer() noexcept { return buffer_; }

  private:
    ScatterEntry* entries() const noexcept;

    std::size_t capacity_;
    uiovfio::DmaBuffer buffer_;
    std::uint16_t size_ = 0;
};

/// One side of a command that lies in host memory: an address, or a list.
struct HostMemory {
    /// A bus address, or a list.
    HostMemory(uiovfio::Iova at) noexcept : address(at) {}  // NOLINT(*-explicit-*)
    HostMemory(const ScatterList& pieces) noexcept
        : address(pieces.address()), list(&pieces) {}  // NOLINT(*-explicit-*)

    uiovfio::Iova address;
    const ScatterList* list = nullptr;
};

/// A command as the caller has it; copy(), fill() and nop() make them.
struct Command {
    Opcode opcode = Opcode::kNop;
    std::uint64_t source = 0;  ///< a bus address, an offset in device memory, a list's address, or the fill pattern
    std::uint64_t destination = 0;
    std::uint32_t length = 0;
    const ScatterList* source_list = nullptr;
    const ScatterList* destination_list = nullptr;
    /// Raised after the completion is written; without one, the engine's own vector, where it has one.
    std::optional<std::uint16_t> vector = {};
};

/// Moves nothing: what comes back is the completion.
inline Command nop() noexcept { return {}; }

/// Copies `length` bytes within host memory.
inline Command copy(HostMemory source, HostMemory destination, std::uint32_t length) noexcept {
    return {.opcode = Opcode::kHostToHost,
            .source = static_cast<std::uint64_t>(source.address),
            .destination = static_cast<std::uint64_t>(destination.address),
            .length = length,
            .source_list = source.list,
            .destination_list = destination.list};
}

/// Copies `length` bytes into device memory.
inline Command copy(HostMemory source, DeviceOffset destination, std::uint32_t length) noexcept {
    return {.opcode = Opcode::kHostToDevice,
            .source = static_cast<std::uint64_t>(source.address),
            .destination = static_cast<std::uint64_t>(destination),
            .length = length,
            .source_list = source.list};
}

/// Copies `length` bytes out of device memory.
inline Command copy(DeviceOffset source, HostMemory destination, std::uint32_t length) noexcept {
    return {.opcode = Opcode::kDeviceToHost,
            .source = static_cast<std::uint64_t>(source),
            .destination = static_cast<std::uint64_t>(destination.address),
            .length = length,
            .destination_list = destination.list};
}

/// Writes the pattern's 8 bytes, little-endian, over and over; a length that 8 does not divide ends within one.
inline Command fill(HostMemory destination, std::uint32_t length, std::uint64_t pattern) noexcept {
    return {.opcode = Opcode::kFillHost,
            .source = pattern,
            .destination = static_cast<std::uint64_t>(destination.address),
            .length = length,
            .destination_list = destination.list};
}

/// As fill() of host memory.
inline Command fill(DeviceOffset destination, std::uint32_t length, std::uint64_t pattern) noexcept {
    return {.opcode = Opcode::kFillDevice,
            .source = pattern,
            .destination = static_cast<std::uint64_t>(destination),
            .length = length};
}

}  // namespace pcienic
