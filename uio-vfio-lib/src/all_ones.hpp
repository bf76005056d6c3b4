// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "file_descriptor.hpp"

namespace uiovfio::detail {

/// Memory that reads all ones, to be put where a device was: what a bus gives for an access that goes unanswered.
/// Stores go to a private copy. One file for the whole process, for as long as something needs it.
class AllOnes {
  public:
    /// A cover reaches no further than this from the last multiple of it.
    static constexpr std::size_t kChunk = std::size_t{2} << 20;
    /// From this offset the file never has a byte: what is mapped from there faults, with SIGBUS, however long it is.
    static constexpr std::uint64_t kBeyond = kChunk;
    /// The flags for that. Shared, because a private mapping counts as memory that the process may come to need.
    static constexpr int kBeyondFlags = MAP_SHARED | MAP_NORESERVE;

    /// Enough of it for regions of `length` bytes. Throws system_error.
    static std::shared_ptr<AllOnes> for_regions_of(std::size_t length);

    /// For mmap(): ones, private, from offset 0 up to the length asked for, and kChunk; or nothing, from kBeyond.
    [[nodiscard]] int descriptor() const noexcept { return file_.get(); }

  private:
    void grow(std::size_t length);

    FileDescriptor file_;
    std::size_t length_ = 0;
};

}  // namespace uiovfio::detail
