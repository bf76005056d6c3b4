// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The memory of a replay: what the driver wrote is written again, what the device writes is compared.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "uiovfio/trace.hpp"
#include "zeroed_memory.hpp"

namespace uiovfio::detail {

/// Memory that the simulated device has, with what the trace says that it held. Not thread-safe, and used only while
/// the device is at rest.
class ReplayMemory {
  public:
    explicit ReplayMemory(std::uint64_t limit) noexcept : limit_{limit} {}

    /// Zeroed memory, to be mapped there; empty where there is none within the limit. `is_known` where the trace tells
    /// what it holds. Throws system_error.
    std::span<std::byte> add(Iova iova, std::uint64_t length, bool is_known);
    void remove(Iova iova) noexcept;

    /// A byte that is not what it should be.
    struct Difference {
        Iova iova{};
        std::byte expected{};
        std::byte got{};
    };
    struct Outcome {
        bool is_mapped = true;                 ///< the record lies within a mapping whose contents are known
        std::uint64_t device = 0;              ///< bytes that the device wrote as it had
        std::uint64_t assumed = 0;             ///< bytes taken for the driver's
        std::vector<std::byte> device_bits;    ///< which bytes the device wrote, a bit for each
        std::optional<Difference> difference;  ///< the first, where the device did otherwise
    };

    /// Does what a record of memory tells. A byte that the device has written by now, as the record has it, is the
    /// device's. One that it has not is the driver's, and is written, unless the record says that the device wrote it.
    /// A byte that the device wrote otherwise is a difference, unless the record was made before a store: then the
    /// driver may have written over it. `is_superseded(iova)` is asked of such a byte: whether the record holds only a
    /// moment between two writes of the device.
    Outcome apply(const TraceRecord& record, const std::function<bool(Iova)>& is_superseded);

    /// The first byte of a mapping that the device wrote and should not have; the trace has come to its end.
    [[nodiscard]] std::optional<Difference> unexpected(Iova iova) const;
    [[nodiscard]] std::vector<Iova> mappings() const;
    /// Of the mapping that begins there; 0 for none.
    [[nodiscard]] std::uint64_t length(Iova iova) const noexcept;

  private:
    struct Mapping {
        ZeroedMemory memory;
        ZeroedMemory expected;  // as the trace has it; empty where it does not tell
    };

    /// The mapping in which these bytes lie, or none.
    [[nodiscard]] Mapping* find(Iova iova, std::uint64_t length, std::uint64_t& offset) noexcept;

    std::uint64_t limit_;
    std::uint64_t used_ = 0;
    std::map<Iova, Mapping> mappings_;
};

}  // namespace uiovfio::detail
