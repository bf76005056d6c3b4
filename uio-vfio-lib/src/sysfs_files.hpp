// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Reading and writing the small files that sysfs is made of.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "uiovfio/bdf.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

/// No file of the kernel's that is read here is longer; what is, is cut.
inline constexpr std::size_t kTextLimit = std::size_t{16} << 20;

/// The file's text without white space at its end; nothing when it cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& file, std::size_t limit = kTextLimit);

/// False also where it cannot be told.
inline bool is_there(const std::filesystem::path& path) noexcept {
    std::error_code none;
    return std::filesystem::exists(path, none);
}

/// The names of what is in a folder, in order; none where it cannot be read.
std::vector<std::string> names_in(const std::filesystem::path& folder);

/// The last component of what a symbolic link points to; empty when there is none. (".../driver" -> "vfio-pci")
std::string link_name(const std::filesystem::path& link);

/// Writes in one call, as sysfs wants it. The errno of the failure, 0 for none.
int write_text(const std::filesystem::path& file, std::string_view text);

/// For tests on a fake tree, where no kernel acts on what is written: replaces what write_text() does; null restores
/// it.
void replace_write_text(std::function<int(const std::filesystem::path&, std::string_view)> replacement);

/// Opens for reading and writing, and closes again. The errno of the failure, 0 for none.
int try_open(const std::filesystem::path& node);

/// As replace_write_text(), for try_open().
void replace_try_open(std::function<int(const std::filesystem::path&)> replacement);

/// Opens a block device for reading, for nobody else beside, and closes it again. The errno of the failure: EBUSY where
/// the kernel has claimed it, ENODEV where the node is not that of this number ("259:0"). 0 for none.
int try_claim(const std::filesystem::path& node, const std::string& number);

/// As replace_write_text(), for try_claim().
void replace_try_claim(std::function<int(const std::filesystem::path&)> replacement);

/// The name of a process's command; empty where it does not let it be seen. Without control characters.
std::string command_of(const std::string& process, const SysfsRoot& root);

inline std::filesystem::path device_directory(const SysfsRoot& root, const Bdf& bdf) {
    return root.sys / "bus/pci/devices" / to_string(bdf);
}

}  // namespace uiovfio::detail
