// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A trace as it lies in its file: docs/reference/trace.md describes it. All numbers are little-endian.
///
/// The file begins with a FileHead, which sections follow, each a SectionHead and its bytes; then records, each a
/// RecordHead and its payload. Sections and payloads are filled up with zeros to a multiple of 8 bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "uiovfio/trace.hpp"

namespace uiovfio::detail::trace {

inline constexpr std::array<char, 8> kMagic{'U', 'I', 'O', 'V', 'F', 'I', 'O', '\n'};
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kAlignment = 8;

struct FileHead {
    std::array<char, 8> magic = kMagic;
    std::uint32_t version = kVersion;
    std::uint32_t header_bytes = 0;  ///< to the first record
    std::int64_t started = 0;        ///< nanoseconds since 1970
    std::uint64_t granule = 0;       ///< as in TraceHeader
    std::uint64_t file_limit = 0;
    std::uint64_t memory_limit = 0;
    std::uint32_t domain = 0;
    std::uint8_t bus = 0;
    std::uint8_t device = 0;
    std::uint8_t function = 0;
    std::uint8_t reserved = 0;
};
static_assert(sizeof(FileHead) == 56 && std::is_trivially_copyable_v<FileHead>);

enum class Section : std::uint32_t {
    backend = 1,  ///< text
    kernel,       ///< text
    library,      ///< text
    bars,         ///< six times Bar
    config,       ///< configuration space
};

struct SectionHead {
    Section kind{};
    std::uint32_t bytes = 0;  ///< without the head and what fills it up
};
static_assert(sizeof(SectionHead) == 8);

struct Bar {
    std::uint64_t size = 0;
    std::uint64_t flags = 0;  ///< 1: 64 bits wide, 2: prefetchable, 4: I/O space
};
static_assert(sizeof(Bar) == 16);

struct RecordHead {
    TraceKind kind{};
    std::uint8_t detail = 0;  ///< width in bytes, InterruptMode, DmaDirection, MemoryWriter or DeviceEvent
    std::uint16_t index = 0;  ///< BAR or vector; dma_map: 1 where contents are followed
    std::uint16_t error = 0;  ///< an Errc, or 0
    std::uint16_t thread = 0;
    std::uint32_t duration = 0;       ///< nanoseconds, saturated
    std::uint32_t payload_bytes = 0;  ///< without what fills it up
    std::uint64_t at = 0;             ///< nanoseconds since the beginning
    std::uint64_t address = 0;        ///< offset or IOVA; arm: 1 where counts are kept
    std::uint64_t value = 0;          ///< value, length or count
};
static_assert(sizeof(RecordHead) == 40 && std::is_trivially_copyable_v<RecordHead>);

/// The most bytes of memory in one record; a memory record's payload is its bytes, and a bit for each.
inline constexpr std::size_t kMostBytes = std::size_t{32} << 10;
inline constexpr std::size_t kMostPayload = kMostBytes + kMostBytes / 8;

constexpr std::size_t padded(std::size_t bytes) noexcept { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
    requires std::is_trivially_copyable_v<T>
std::span<const std::byte> bytes_of(const T& value) noexcept {
    return std::as_bytes(std::span{&value, 1});
}

/// The whole of a header, as it lies in the file.
std::vector<std::byte> encode_header(const TraceHeader& header);

/// Reads a header and gives where the records begin. Throws bad_trace in the name of `object`.
std::size_t decode_header(std::span<const std::byte> file, const std::string& object, TraceHeader& header);

}  // namespace uiovfio::detail::trace
