// SPDX-License-Identifier: GPL-2.0-or-later
/// From a scan to the whole model of every function.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "model.hpp"
#include "pci_access.hpp"

namespace pcienic::ls {

Listing collect(const ScanOptions& options);

/// The modules that claim a device with this alias, by a `modules.alias` file: where the kernel's modules live. Empty
/// where there is no such file.
std::vector<std::string> modules_for(const std::string& alias, const std::filesystem::path& alias_file);

}  // namespace pcienic::ls
