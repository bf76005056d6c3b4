// SPDX-License-Identifier: GPL-2.0-or-later
/// libpci, with its C ways kept to one file: scanning, selection, names, and reading configuration space.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config_image.hpp"
#include "decode.hpp"
#include "dump_file.hpp"
#include "model.hpp"

struct pci_access;  // NOLINT(readability-identifier-naming)
struct pci_dev;     // NOLINT(readability-identifier-naming)

namespace pcienic::ls {

/// How identifiers become text.
enum class Naming { names, numbers, both };

struct ScanOptions {
    std::string dump_file = {};  ///< read this output of `lspci -x` instead of the machine; "-" is stdin
    std::string ids_file = {};   ///< the names are in here instead of in the system's pci.ids
    std::string slot = {};       ///< -s
    std::string id = {};         ///< -d
    Naming naming = Naming::names;
    bool details = true;  ///< what the system says of drivers and groups; a plain list does without
    /// Of configuration space, from each function that is selected; of the others the header, if there is a tree to
    /// make.
    std::size_t config_bytes = ConfigImage::kMaxSize;
    bool vital_product_data = false;     ///< slow to read, and with side effects on hardware that has it wrong
    bool topology = false;               ///< which bridge a function is behind
    std::filesystem::path sys = "/sys";  ///< where the kernel's tree is: tests have one of their own
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

    /// What the scan could not read, one line each.
    const std::vector<std::string>& warnings() const { return warnings_; }

    /// "Red Hat, Inc. QEMU Virtual Machine", in the naming that was asked for.
    std::string subsystem_text(unsigned vendor, unsigned device, unsigned subsystem_vendor, unsigned subsystem_device);

    /// Bytes of a function's Vital Product Data; false if they cannot be read.
    bool read_vpd(const Address& address, unsigned at, std::uint8_t* to, unsigned count);

  private:
    std::vector<ScannedFunction> scan_machine();
    std::vector<ScannedFunction> scan_dump();
    /// Whether sysfs has the file: libpci ends the program over one that is not there.
    bool has(const pci_dev* device, const char* file) const;
    int known_of(pci_dev* device, bool selected);
    ScannedFunction read(pci_dev* device);
    ScannedFunction take(const DumpedFunction& dumped);
    void name(Function& function, const Identity& identity);
    bool is_selected(pci_dev* device);
    std::string lookup(int flags, unsigned a, unsigned b = 0, unsigned c = 0, unsigned d = 0);

    struct Release {
        void operator()(pci_access* access) const noexcept;
        void operator()(pci_dev* device) const noexcept;
    };
    ScanOptions options_;
    std::unique_ptr<pci_access, Release> access_;
    std::vector<std::string> warnings_;
};

}  // namespace pcienic::ls
