// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One process at a time changes a function's driver.

#include <memory>

#include "uiovfio/bdf.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

/// A lock on a file beside the function's record, which goes with the process: a child of fork() has no part in it.
/// Move-only.
class BindLock {
  public:
    enum class Span {
        change,    ///< for one change of the driver: others wait
        lifetime,  ///< for as long as a ScopedBinding lives: others are refused at once
    };

    /// Throws device_in_use where another holds it for its lifetime, or for longer than a change can take;
    /// permission_denied where SysfsRoot::run cannot be written to.
    BindLock(const Bdf& bdf, const SysfsRoot& root, Span span);

    /// Whether it is this process's: not in a child.
    [[nodiscard]] bool is_held() const noexcept;

  private:
    class Held;
    std::shared_ptr<Held> held_;
};

}  // namespace uiovfio::detail
