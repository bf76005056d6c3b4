// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the memory that is mapped for a traced device holds, and what of it has changed.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "uiovfio/dma.hpp"

namespace uiovfio::detail {

/// Copies of mapped memory, to compare it with. The device writes to it meanwhile, as it likes: what is found is what
/// each byte held at some moment of the look. Not thread-safe.
class TraceMemory {
  public:
    /// Follows at most `limit` bytes.
    explicit TraceMemory(std::uint64_t limit);

    /// A piece that changed. The spans are good until the callback returns.
    struct Change {
        Iova iova{};
        std::span<const std::byte> bytes;
        std::span<const std::byte> changed_bits;  ///< a bit for each byte, the lowest first
        DmaDirection direction{};
    };
    using OnChange = std::function<void(const Change&)>;

    /// Whether its contents are followed: not where the limit is in the way. A new mapping is taken to hold zeros.
    bool add(Iova iova, std::span<std::byte> memory, DmaDirection direction);
    void remove(Iova iova) noexcept { mappings_.erase(iova); }
    void clear() noexcept { mappings_.clear(); }
    [[nodiscard]] bool empty() const noexcept { return mappings_.empty(); }

    /// Calls back for each piece that has changed since the last time, in the order of the bus addresses.
    void look(const OnChange& on_change);

  private:
    struct Mapping {
        std::span<std::byte> memory;
        DmaDirection direction;
        std::vector<std::uint64_t> seen;
    };

    [[nodiscard]] std::uint64_t followed() const noexcept;
    void look_at(Iova iova, Mapping& mapping, const OnChange& on_change);

    std::uint64_t limit_;
    std::map<Iova, Mapping> mappings_;
    std::vector<std::byte> bits_;
};

}  // namespace uiovfio::detail
