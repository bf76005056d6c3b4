// SPDX-License-Identifier: MIT
#include "replay_memory.hpp"

#include <algorithm>
#include <utility>

namespace uiovfio::detail {

namespace {

void set_bit(std::vector<std::byte>& bits, std::size_t index) {
    bits[index / 8] |= static_cast<std::byte>(1U << (index % 8));
}

}  // namespace

std::span<std::byte> ReplayMemory::add(Iova iova, std::uint64_t length, bool is_known) {
    if (length > limit_ - used_ || mappings_.contains(iova)) return {};
    const auto zeros = [&] { return ZeroedMemory{static_cast<std::size_t>(length), "replay"}; };
    Mapping& mapping = mappings_[iova];
    try {
        mapping.memory = zeros();
        if (is_known) mapping.expected = zeros();
    } catch (...) {
        mappings_.erase(iova);
        throw;
    }
    used_ += length;
    return mapping.memory.bytes();
}

void ReplayMemory::remove(Iova iova) noexcept {
    const auto found = mappings_.find(iova);
    if (found == mappings_.end()) return;
    used_ -= found->second.memory.bytes().size();
    mappings_.erase(found);
}

std::uint64_t ReplayMemory::length(Iova iova) const noexcept {
    const auto found = mappings_.find(iova);
    return found == mappings_.end() ? 0 : found->second.memory.bytes().size();
}

std::vector<Iova> ReplayMemory::mappings() const {
    std::vector<Iova> all;
    all.reserve(mappings_.size());
    for (const auto& [iova, mapping] : mappings_) all.push_back(iova);
    return all;
}

ReplayMemory::Mapping* ReplayMemory::find(Iova iova, std::uint64_t length, std::uint64_t& offset) noexcept {
    auto found = mappings_.upper_bound(iova);
    if (found == mappings_.begin()) return nullptr;
    --found;
    Mapping& mapping = found->second;
    offset = iova - found->first;
    const std::size_t known = mapping.expected.bytes().size();
    if (offset >= known || known - offset < length) return nullptr;
    return &mapping;
}

ReplayMemory::Outcome ReplayMemory::apply(const TraceRecord& record, const std::function<bool(Iova)>& is_superseded) {
    Outcome outcome;
    std::uint64_t offset = 0;
    Mapping* mapping = find(record.iova, record.length, offset);
    if (mapping == nullptr) {
        outcome.is_mapped = false;
        return outcome;
    }
    outcome.device_bits.resize(record.changed_bits.size());
    for (std::size_t i = 0; i < record.bytes.size(); ++i) {
        if (!record.is_changed(i)) continue;
        const std::byte value = record.bytes[i];
        std::byte& now = mapping->memory.bytes()[offset + i];
        const std::byte before = std::exchange(mapping->expected.bytes()[offset + i], value);
        const bool device_wrote = now != before;
        if (record.writer == MemoryWriter::driver) {
            now = value;
        } else if (now == value) {
            if (device_wrote) {
                ++outcome.device;
                set_bit(outcome.device_bits, i);
            }
        } else if (record.writer == MemoryWriter::probably_driver ||
                   (record.writer == MemoryWriter::probably_device && !device_wrote)) {
            ++outcome.assumed;
            now = value;
        } else if (device_wrote && is_superseded(record.iova + i)) {
            set_bit(outcome.device_bits, i);
        } else {
            if (!outcome.difference) outcome.difference = {record.iova + i, value, now};
            now = value;  // so that one difference does not bring others
        }
    }
    return outcome;
}

std::optional<ReplayMemory::Difference> ReplayMemory::unexpected(Iova iova) const {
    const Mapping& mapping = mappings_.at(iova);
    const std::span known = mapping.expected.bytes();
    const std::span memory = mapping.memory.bytes();
    const auto [expected, got] = std::ranges::mismatch(known, memory);
    if (expected == known.end()) return std::nullopt;
    return Difference{iova + static_cast<std::uint64_t>(expected - known.begin()), *expected, *got};
}

}  // namespace uiovfio::detail
