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
  public:
    void add(Iova iova, std::uint64_t length) {
        const std::lock_guard lock{mutex_};
        lengths_.emplace(to_integer(iova), length);
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
    [[nodiscard]] std::map<std::uint64_t, std::uint64_t> all() const {
        const std::lock_guard lock{mutex_};
        return lengths_;
    }

    /// All of it; the record is empty afterwards.
    [[nodiscard]] std::map<std::uint64_t, std::uint64_t> take() noexcept {
        const std::lock_guard lock{mutex_};
        bytes_ = 0;
        return std::exchange(lengths_, {});
    }

  private:
    mutable std::mutex mutex_;
    std::map<std::uint64_t, std::uint64_t> lengths_;
    std::uint64_t bytes_ = 0;
};

}  // namespace uiovfio::detail
