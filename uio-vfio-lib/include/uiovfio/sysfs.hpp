// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the kernel tells about PCI functions without opening them.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "uiovfio/bdf.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/iova.hpp"

namespace uiovfio {

/// Where the kernel's trees are. Tests point it at a fake one.
struct SysfsRoot {
    std::filesystem::path sys = "/sys";
    std::filesystem::path dev = "/dev";
    std::filesystem::path run = "/run/uiovfio";  ///< where bind() remembers previous drivers
    std::filesystem::path proc = "/proc";
};

/// A BAR as sysfs describes it (the file "resource").
struct PciResource {
    unsigned index = 0;
    std::uint64_t address = 0;
    std::uint64_t size = 0;
    bool is_io = false;
    bool is_64bit = false;
    bool is_prefetchable = false;
};

/// Bus addresses that the platform keeps for itself, as the kernel tells it of an IOMMU group: what a device does there
/// never reaches memory that was mapped for it.
struct ReservedRegion {
    Iova first{};
    Iova last{};  ///< included
    /// Why, in the kernel's word: "msi" (a write there is an interrupt), "direct" (the firmware uses it with the
    /// device, and it must stay mapped one to one), "direct-relaxable" (as direct, but a driver of its own may have
    /// it), "reserved" (for another reason).
    std::string type;

    /// Whether the kernel lets userspace map there all the same: direct-relaxable.
    [[nodiscard]] bool is_mappable() const noexcept { return type == "direct-relaxable"; }

    friend bool operator==(const ReservedRegion&, const ReservedRegion&) = default;
};

/// A PCI function. Empty strings and optionals stand for what it does not have.
struct PciFunction {
    Bdf bdf;
    std::uint16_t vendor = 0;
    std::uint16_t device = 0;
    std::uint16_t subsystem_vendor = 0;
    std::uint16_t subsystem_device = 0;
    std::uint32_t class_code = 0;  ///< base class, subclass, programming interface
    std::uint8_t revision = 0;
    std::string driver;           ///< name of the kernel driver that has it, or empty
    std::string driver_override;  ///< the only driver that may take it, or empty
    std::optional<unsigned> iommu_group;
    /// Whether an IOMMU translates for it. VFIO's no-IOMMU mode makes groups, too, for devices without one.
    bool is_behind_iommu = false;
    std::vector<Bdf> group_members;                ///< all functions of the group, itself included, in order
    std::vector<ReservedRegion> reserved_regions;  ///< of the group, in order
    std::optional<int> numa_node;
    std::vector<PciResource> resources;  ///< BARs 0 to 5 that exist
    bool is_bridge = false;
};

/// Every PCI function of the machine, ordered by address. Throws system_error when sysfs has no PCI bus.
std::vector<PciFunction> enumerate(const SysfsRoot& root = {});
std::vector<PciFunction> enumerate(const SysfsRoot& root, std::error_code& ec) noexcept;

/// One function. Throws no_such_device.
PciFunction describe(const Bdf& bdf, const SysfsRoot& root = {});
PciFunction describe(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept;

/// The one function that `selector` names: an address ("01:00.0", "0000:01:00.0") or a vendor and device in hexadecimal
/// ("1af4:10f2"). Throws invalid_bdf, no_such_device, and ambiguous_device, which names the candidates.
PciFunction find_function(std::string_view selector, const SysfsRoot& root = {});
PciFunction find_function(std::string_view selector, const SysfsRoot& root, std::error_code& ec) noexcept;

/// The function that a kernel object belongs to, by the name that a user knows: a network interface, a disk
/// or partition, or anything else in /dev or a class of sysfs ("enp3s0", "nvme0n1p2", "/dev/disk/by-label/home").
/// Nothing where it is of no PCI function, or of several.
std::optional<Bdf> function_behind(std::string_view name, const SysfsRoot& root = {}) noexcept;

/// Whether a function with this driver (empty for none) may stay in an IOMMU group that userspace uses: the drivers of
/// VFIO may, and those that the kernel lets do so because they leave DMA alone (its driver_managed_dma).
[[nodiscard]] bool may_stay_in_group(std::string_view driver) noexcept;

/// Why something cannot be done, in the words that an Error has.
struct Obstacle {
    Errc errc{};
    std::string object;
    std::string what_was_wrong;
    std::string remedy;
};

/// What would keep Device::open from opening the function through that backend (a name, as OpenOptions::backend has
/// it), or nothing. Looks at modules, lockdown, IOMMU, group, drivers and rights to nodes, in the order in which one
/// would put them right; it opens nothing. For "auto": nothing where any of those that it may choose would do, else the
/// obstacle that Device::open would tell. No other process is looked for: the device may still be busy.
std::optional<Obstacle> why_not(const PciFunction& function, std::string_view backend, const SysfsRoot& root = {});
std::optional<Obstacle> why_not(const Bdf& bdf, std::string_view backend, const SysfsRoot& root = {});

/// why_not() for "vfio".
std::optional<Obstacle> why_not_vfio(const PciFunction& function, const SysfsRoot& root = {});
std::optional<Obstacle> why_not_vfio(const Bdf& bdf, const SysfsRoot& root = {});

}  // namespace uiovfio
