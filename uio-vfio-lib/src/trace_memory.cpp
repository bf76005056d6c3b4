// SPDX-License-Identifier: MIT
#include "trace_memory.hpp"

#include <algorithm>
#include <new>

#include "trace_format.hpp"

namespace uiovfio::detail {

namespace {

constexpr std::size_t kWord = sizeof(std::uint64_t);

// Words that did not change, and yet are recorded, where a record of their own for what follows would be longer.
constexpr std::size_t kWidestGap = 4;

/// A word of memory that a device may be writing to. That is a race by its nature, which ThreadSanitizer sees where the
/// device is a thread; the words are loaded whole, and nothing is concluded from their order.
__attribute__((no_sanitize("thread"), noinline)) std::size_t first_difference(const std::uint64_t* memory,
                                                                              const std::uint64_t* seen,
                                                                              std::size_t words) noexcept {
    for (std::size_t i = 0; i < words; ++i)
        if (__atomic_load_n(memory + i, __ATOMIC_RELAXED) != seen[i]) return i;
    return words;
}

__attribute__((no_sanitize("thread"), noinline)) std::uint64_t word_at(const std::uint64_t* memory) noexcept {
    return __atomic_load_n(memory, __ATOMIC_RELAXED);
}

/// A bit for each byte of a word in which two differ.
std::byte changed_bytes(std::uint64_t one, std::uint64_t other) noexcept {
    unsigned bits = 0;
    for (unsigned i = 0; i < kWord; ++i) bits |= ((one ^ other) >> (8 * i) & 0xff) != 0 ? 1U << i : 0U;
    return static_cast<std::byte>(bits);
}

}  // namespace

TraceMemory::TraceMemory(std::uint64_t limit) : limit_{limit} { bits_.reserve(trace::kMostBytes / kWord); }

bool TraceMemory::add(Iova iova, std::span<std::byte> memory, DmaDirection direction) {
    if (memory.size() > limit_ - followed()) return false;
    try {
        mappings_.insert_or_assign(iova, Mapping{memory, direction, std::vector<std::uint64_t>(memory.size() / kWord)});
    } catch (const std::bad_alloc&) {
        return false;  // the mapping itself is good
    }
    return true;
}

std::uint64_t TraceMemory::followed() const noexcept {
    std::uint64_t bytes = 0;
    for (const auto& [iova, mapping] : mappings_) bytes += mapping.memory.size();
    return bytes;
}

void TraceMemory::look(const OnChange& on_change) {
    for (auto& [iova, mapping] : mappings_) look_at(iova, mapping, on_change);
}

void TraceMemory::look_at(Iova iova, Mapping& mapping, const OnChange& on_change) {
    const auto* memory = reinterpret_cast<const std::uint64_t*>(mapping.memory.data());
    std::vector<std::uint64_t>& seen = mapping.seen;
    for (std::size_t at = 0; at < seen.size();) {
        const std::size_t first = at + first_difference(memory + at, seen.data() + at, seen.size() - at);
        if (first == seen.size()) return;
        // From there on as far as changes lie close together. What is looked at twice may have changed in between: what
        // is reported is what is remembered.
        bits_.clear();
        std::size_t end = first;
        const std::size_t most = std::min(seen.size(), first + trace::kMostBytes / kWord);
        for (std::size_t i = first; i < most && i - end <= kWidestGap; ++i) {
            const std::uint64_t now = word_at(memory + i);
            bits_.push_back(changed_bytes(now, seen[i]));
            seen[i] = now;
            if (bits_.back() != std::byte{0}) end = i + 1;
        }
        at = std::max(end, first + 1);
        if (end == first) continue;  // it changed back
        const std::span words{seen.data() + first, end - first};
        on_change({.iova = iova + first * kWord,
                   .bytes = std::as_bytes(words),
                   .changed_bits = std::span{bits_}.first(words.size()),
                   .direction = mapping.direction});
    }
}

}  // namespace uiovfio::detail
