// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the backends need of the machine, whatever the device. Each function named lacks_ looks at one such thing, and
/// returns what is lacking and what to do, or nothing.

#include <optional>
#include <string>

#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

struct Lack {
    std::string what;    ///< as a clause
    std::string remedy;  ///< what to do
};

/// An IOMMU in use.
std::optional<Lack> lacks_iommu(const SysfsRoot& root);
/// VFIO's container.
std::optional<Lack> lacks_vfio(const SysfsRoot& root);
/// IOMMUFD, which VFIO can use from Linux 6.6 on.
std::optional<Lack> lacks_iommufd(const SysfsRoot& root);
/// Nodes of VFIO devices' own.
std::optional<Lack> lacks_vfio_device_nodes(const SysfsRoot& root);
/// Of a VFIO that is loaded and has made none.
Lack no_vfio_device_nodes();
/// VFIO's mode for devices without an IOMMU.
std::optional<Lack> lacks_noiommu_mode(const SysfsRoot& root);
/// Devices' own files: a kernel that protects itself from root gives neither configuration space nor resources.
std::optional<Lack> lacks_device_files(const SysfsRoot& root);

}  // namespace uiovfio::detail
