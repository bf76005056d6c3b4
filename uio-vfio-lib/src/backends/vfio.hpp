// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "backend.hpp"
#include "system.hpp"

namespace uiovfio::detail {

/// As open_vfio() and open_vfio_noiommu() of backend.hpp, on a system of the caller's.
std::shared_ptr<Backend> open_vfio(const Bdf& bdf, const OpenOptions& options, System& system);
std::shared_ptr<Backend> open_vfio_noiommu(const Bdf& bdf, const OpenOptions& options, System& system);

}  // namespace uiovfio::detail
