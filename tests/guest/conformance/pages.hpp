// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>

#include "conformance.hpp"

namespace uiovfio::conformance {

/// Pages of the process's own.
class Pages {
  public:
    explicit Pages(std::size_t length)
        : bytes_{static_cast<std::byte*>(
                     ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
                 length} {
        if (bytes_.data() == MAP_FAILED) throw std::system_error{errno, std::generic_category(), "mmap"};
    }
    ~Pages() { ::munmap(bytes_.data(), bytes_.size()); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;

    [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
    [[nodiscard]] std::span<std::byte> page(std::size_t index) const { return bytes_.subspan(index * kPage, kPage); }

  private:
    std::span<std::byte> bytes_;
};

}  // namespace uiovfio::conformance
