// SPDX-License-Identifier: GPL-2.0-or-later
/// From a scan to the whole model of every function.
#pragma once

#include "model.hpp"
#include "pci_access.hpp"

namespace pcienic::ls {

Listing collect(const ScanOptions& options);

}  // namespace pcienic::ls
