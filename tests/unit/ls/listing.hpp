// SPDX-License-Identifier: GPL-2.0-or-later
/// pcienic-ls beside the lspci of this machine, letter by letter.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pci_access.hpp"
#include "render.hpp"

namespace pcienic::test {

/// A file that its destructor removes.
class TemporaryFile {
  public:
    explicit TemporaryFile(const std::string& contents);
    ~TemporaryFile();
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

/// A dump of functions with these bytes, at dump_address(0) and on.
std::string dump_of(const std::vector<std::vector<std::uint8_t>>& spaces);

/// What pcienic-ls prints about each function.
std::vector<std::string> our_functions(const ls::ScanOptions& scan, const ls::TextOptions& text);

/// The same without the lines that lspci has not: the IOMMU group's members and what keeps VFIO from it.
std::string without_own_lines(const std::string& function);

/// Fails for each function whose text is not lspci's, the first few in full. A lspci with other words than 3.9's is
/// compared field by field.
void expect_same(const std::vector<std::string>& ours, const std::vector<std::string>& theirs, const std::string& what);

}  // namespace pcienic::test
