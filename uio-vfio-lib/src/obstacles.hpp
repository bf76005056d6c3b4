// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the backends themselves need of obstacles; the public part is in uiovfio/sysfs.hpp.

#include <filesystem>
#include <string>
#include <string_view>

#include "uiovfio/backends.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

/// vfio-pci, and the drivers for one kind of device that are built on it (mlx5_vfio_pci).
[[nodiscard]] bool is_vfio_driver(std::string_view driver) noexcept;

/// The node of a function that a VFIO driver has ("/dev/vfio/devices/vfio0"); empty while the kernel has made none.
[[nodiscard]] std::filesystem::path vfio_device_node(const Bdf& bdf, const SysfsRoot& root);
/// The node of a function that a UIO driver has ("/dev/uio0"); empty for none.
[[nodiscard]] std::filesystem::path uio_node(const Bdf& bdf, const SysfsRoot& root);

/// vfio-pci takes what has an ordinary header alone. With which drivers a bridge does no harm, may_stay_in_group()
/// knows.
inline constexpr const char* kBridgesAreNotNeeded =
    "take a device behind it: the bridge may stay with pcieport, with pci-stub or without a driver; with another it is "
    "in the way until `pcienic-ctl -s BRIDGE unbind --none`";

/// drivers/vfio/group.c asks for it at every step, of whoever may open the node, too.
inline constexpr const char* kNoIommuNeedsRoot =
    "run as root: without an IOMMU the kernel asks for the capability CAP_SYS_RAWIO";

/// "process 4711 (my-driver), process 4712": holders_of(); empty for none that may be seen.
[[nodiscard]] std::string holders_text(const Bdf& bdf, const SysfsRoot& root);

/// As the public why_not(), but for what only the kernel can say, when the device is opened.
std::optional<Obstacle> obstacle_before_opening(const PciFunction& function, std::string_view backend,
                                                const SysfsRoot& root);

[[noreturn]] void throw_obstacle(const Obstacle& obstacle);

/// The first automatic backend that has nothing in its way; where all have, the one whose driver has the device, so
/// that the obstacle that is told is the one to remove.
const BackendTraits& automatic_backend(const PciFunction& function, const SysfsRoot& root);

}  // namespace uiovfio::detail
