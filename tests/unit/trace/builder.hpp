// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Traces as a test wants them, byte by byte.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <uiovfio/trace.hpp>
#include <vector>

#include "trace_format.hpp"

namespace uiovfio::test {

using detail::trace::RecordHead;

/// The header of a simulated pcienic with that much memory: no configuration space beyond what a replay looks at.
inline TraceHeader sim_header(std::uint64_t memory_size = std::uint64_t{16} << 20) {
    TraceHeader header{.bdf = {0, 0, 1, 0}, .backend = "vfio", .kernel = "Linux", .library = "0.1.0", .started = {}};
    header.bars[0].size = 0x10000;
    header.bars[2].size = 4096;
    header.bars[4].size = memory_size;
    header.config.resize(64);
    const auto put16 = [&](std::size_t at, std::uint16_t value) { std::memcpy(&header.config[at], &value, 2); };
    put16(0, 0x1af4);
    put16(2, 0x10f2);
    header.granule = 4096;
    return header;
}

class TraceBuilder {
  public:
    explicit TraceBuilder(const TraceHeader& header = sim_header()) : bytes_{detail::trace::encode_header(header)} {}

    TraceBuilder& add(RecordHead head, std::span<const std::byte> payload = {}) {
        head.payload_bytes = static_cast<std::uint32_t>(payload.size());
        return raw(head, payload);
    }
    /// As it stands, whatever the head says.
    TraceBuilder& raw(const RecordHead& head, std::span<const std::byte> payload = {}) {
        append(detail::trace::bytes_of(head));
        append(payload);
        bytes_.resize(detail::trace::padded(bytes_.size()));
        return *this;
    }
    /// All bytes changed.
    TraceBuilder& memory(std::uint64_t iova, std::string_view text,
                         MemoryWriter writer = MemoryWriter::probably_driver) {
        std::vector<std::byte> payload;
        for (const char c : text) payload.push_back(static_cast<std::byte>(c));
        payload.resize(text.size() + (text.size() + 7) / 8, std::byte{0xff});
        return add({.kind = TraceKind::memory,
                    .detail = static_cast<std::uint8_t>(writer),
                    .address = iova,
                    .value = text.size()},
                   payload);
    }
    TraceBuilder& store(std::uint64_t offset, std::uint64_t value, std::uint8_t width = 4, std::uint16_t bar = 0) {
        return add({.kind = TraceKind::store, .detail = width, .index = bar, .address = offset, .value = value});
    }
    TraceBuilder& load(std::uint64_t offset, std::uint64_t value, std::uint8_t width = 4, std::uint16_t bar = 0) {
        return add({.kind = TraceKind::load, .detail = width, .index = bar, .address = offset, .value = value});
    }
    TraceBuilder& config_store(std::uint64_t offset, std::uint64_t value, std::uint8_t width = 2) {
        return add({.kind = TraceKind::config_store, .detail = width, .address = offset, .value = value});
    }
    TraceBuilder& map(std::uint64_t iova, std::uint64_t length, bool has_contents = true) {
        return add({.kind = TraceKind::dma_map,
                    .index = static_cast<std::uint16_t>(has_contents ? 1 : 0),
                    .address = iova,
                    .value = length});
    }
    TraceBuilder& unmap(std::uint64_t iova, std::uint64_t length) {
        return add({.kind = TraceKind::dma_unmap, .address = iova, .value = length});
    }
    TraceBuilder& arm(InterruptMode mode, unsigned vectors) {
        return add({.kind = TraceKind::arm, .detail = static_cast<std::uint8_t>(mode), .value = vectors},
                   std::vector<std::byte>(vectors, std::byte{1}));
    }
    TraceBuilder& disarm(InterruptMode mode) {
        return add({.kind = TraceKind::disarm, .detail = static_cast<std::uint8_t>(mode)});
    }
    TraceBuilder& count(TraceKind kind, unsigned vector, std::uint64_t count) {
        return add({.kind = kind, .index = static_cast<std::uint16_t>(vector), .value = count});
    }
    TraceBuilder& close() { return add({.kind = TraceKind::close}); }

    [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }
    [[nodiscard]] Trace trace() const { return Trace::parse(bytes_); }

  private:
    void append(std::span<const std::byte> more) { bytes_.insert(bytes_.end(), more.begin(), more.end()); }

    std::vector<std::byte> bytes_;
};

}  // namespace uiovfio::test
