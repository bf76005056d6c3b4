// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "text.hpp"
#include "uiovfio/error.hpp"

namespace uiovfio::detail {

/// Memory that holds zeros and takes none of the machine's before it is written to: for sizes that somebody else names.
/// Move-only.
class ZeroedMemory {
  public:
    ZeroedMemory() noexcept = default;
    /// Throws system_error in the name of `object`.
    ZeroedMemory(std::size_t size, const std::string& object) {
        void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED)
            throw Error{Errc::system_error, object, "there is no memory of " + bytes_text(size), errno,
                        "ask for less, or raise the limit with `ulimit -v`"};
        bytes_ = {static_cast<std::byte*>(at), size};
    }
    ZeroedMemory(ZeroedMemory&& other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
    ZeroedMemory& operator=(ZeroedMemory&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~ZeroedMemory() {
        if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
    }

    /// As long as asked for; page-aligned.
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

  private:
    std::span<std::byte> bytes_;
};

}  // namespace uiovfio::detail
