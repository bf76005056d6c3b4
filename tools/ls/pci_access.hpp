// SPDX-License-Identifier: GPL-2.0-or-later
/// libpci, with its C ways kept to one file: scanning, selection, names, and reading configuration space.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config_image.hpp"
#include "decode.hpp"
#include "model.hpp"

struct pci_access;  // NOLINT(readability-identifier-naming)
struct pci_dev;     // NOLINT(readability-identifier-naming)

namespace pcienic::ls {

/// How identifiers become text.
enum class Naming { names, numbers, both };

struct ScanOptions {
    std::string dump_file;  ///< read this output of `lspci -x` instead of the machine; "-" is stdin
    std::string slot;       ///< -s
    std::string id;         ///< -d
    Naming naming = Naming::names;
    bool details = true;  ///< configuration space and what the system says; a plain list does without
};

/// What a scan found out about one function.
struct ScannedFunction {
    Function function;  ///< identity, names, binding as far as libpci knows it
    ConfigImage config;
    SystemView system;
    std::string module_alias;
    std::string driver;
    bool selected = true;
};

class PciAccess {
  public:
    /// Throws cli::Failure: usage for a filter or file that cannot be read as one, failure when the machine refuses.
    explicit PciAccess(const ScanOptions& options);
    ~PciAccess();
    PciAccess(const PciAccess&) = delete;
    PciAccess& operator=(const PciAccess&) = delete;

    /// Every function, in the order of their addresses.
    std::vector<ScannedFunction> scan();

    /// "Red Hat, Inc. QEMU Virtual Machine", in the naming that was asked for.
    std::string subsystem_text(unsigned vendor, unsigned device, unsigned subsystem_vendor, unsigned subsystem_device);

  private:
    ScannedFunction read(pci_dev* device);
    std::string lookup(int flags, unsigned a, unsigned b = 0, unsigned c = 0, unsigned d = 0);

    struct Release {
        void operator()(pci_access* access) const noexcept;
    };
    ScanOptions options_;
    std::unique_ptr<pci_access, Release> access_;
};

}  // namespace pcienic::ls
