// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include "system.hpp"

namespace uiovfio::detail {

/// An open file of a System. Move-only; closes when destroyed.
class File {
  public:
    File() noexcept = default;
    File(System& system, int descriptor) noexcept : system_{&system}, descriptor_{descriptor} {}
    File(File&& other) noexcept : system_{other.system_}, descriptor_{std::exchange(other.descriptor_, -1)} {}
    File& operator=(File&& other) noexcept {
        if (this != &other) {
            close();
            system_ = other.system_;
            descriptor_ = std::exchange(other.descriptor_, -1);
        }
        return *this;
    }
    ~File() { close(); }

    [[nodiscard]] int get() const noexcept { return descriptor_; }
    void close() noexcept {
        if (descriptor_ >= 0) system_->close(std::exchange(descriptor_, -1));
    }

  private:
    System* system_ = nullptr;
    int descriptor_ = -1;
};

}  // namespace uiovfio::detail
