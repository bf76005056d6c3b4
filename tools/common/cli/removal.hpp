// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The kernel's request to give the device back.

#include <chrono>
#include <uiovfio/device.hpp>

#include "cli/exit.hpp"

namespace pcienic::cli {

/// Whether the kernel wants the device back. It holds up whoever unbinds or removes it until the device is closed.
class RemovalRequest {
  public:
    explicit RemovalRequest(uiovfio::Device& device) : device_{device} {}

    /// Cheap enough for every step of a loop: it looks ten times a second at most, for a look is a system call.
    bool came();

    /// What a tool ends with then.
    [[nodiscard]] Failure failure() const;

  private:
    uiovfio::Device& device_;
    std::chrono::steady_clock::time_point next_{};
    bool came_ = false;
};

}  // namespace pcienic::cli
