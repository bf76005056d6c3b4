// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Reading and writing the small files that sysfs is made of.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "uiovfio/bdf.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

/// The file's text without white space at its end; nothing when it cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& file);

/// The last component of what a symbolic link points to; empty when there is none. (".../driver" -> "vfio-pci")
std::string link_name(const std::filesystem::path& link);

/// Writes in one call, as sysfs wants it. The errno of the failure, 0 for none.
int write_text(const std::filesystem::path& file, std::string_view text);

/// For tests on a fake tree, where no kernel acts on what is written: replaces what write_text() does; null restores
/// it.
void replace_write_text(std::function<int(const std::filesystem::path&, std::string_view)> replacement);

inline std::filesystem::path device_directory(const SysfsRoot& root, const Bdf& bdf) {
    return root.sys / "bus/pci/devices" / to_string(bdf);
}

}  // namespace uiovfio::detail
