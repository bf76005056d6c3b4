// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include "uiovfio/dma.hpp"

namespace uiovfio::detail {

/// What one device has mapped into bus addresses that it shares with others. All functions may be called from any
/// thread.
class MappingRecord {
    using Lengths = std::map<std::uint64_t, std::uint64_t>;

  public:
    /// Memory for one entry, to be had before the kernel maps: nothing may fail between that and add().
    class Room {
      public:
        Room() : entry_{Lengths{{0, 0}}.extract(0)} {}

      private:
        friend class MappingRecord;
        Lengths::node_type entry_;
    };

    void add(Room room, Iova iova, std::uint64_t length) noexcept {
        room.entry_.key() = to_integer(iova);
        room.entry_.mapped() = length;
        const std::lock_guard lock{mutex_};
        lengths_.insert(std::move(room.entry_));
        bytes_ += length;
    }

    void remove(Iova iova) noexcept {
        const std::lock_guard lock{mutex_};
        const auto found = lengths_.find(to_integer(iova));
        if (found == lengths_.end()) return;
        bytes_ -= found->second;
        lengths_.erase(found);
    }

    [[nodiscard]] std::uint64_t bytes() const noexcept {
        const std::lock_guard lock{mutex_};
        return bytes_;
    }

    /// All of it, bus addresses and lengths.
    [[nodiscard]] Lengths all() const {
        const std::lock_guard lock{mutex_};
        return lengths_;
    }

    /// All of it; the record is empty afterwards.
    [[nodiscard]] Lengths take() noexcept {
        const std::lock_guard lock{mutex_};
        bytes_ = 0;
        return std::exchange(lengths_, {});
    }

  private:
    mutable std::mutex mutex_;
    Lengths lengths_;
    std::uint64_t bytes_ = 0;
};

}  // namespace uiovfio::detail
