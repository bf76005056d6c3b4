// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the backends need of the machine, whatever the device. Each function named lacks_ looks at one such thing, and
/// returns what is lacking and what to do, or nothing.

#include <filesystem>
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
/// Of a node that the kernel has made, and which this /dev lacks, as in a container.
Lack not_in_dev(const std::filesystem::path& node);
/// Of a VFIO that is loaded and has made none.
Lack no_vfio_device_nodes();
/// VFIO's mode for devices without an IOMMU.
std::optional<Lack> lacks_noiommu_mode(const SysfsRoot& root);
/// x86 alone has interrupt remapping as a thing of its own. The chips' names in /proc/interrupts say it: "IR-PCI-MSI",
/// "IR-IO-APIC".
enum class InterruptRemapping { on, off, not_told };
InterruptRemapping interrupt_remapping(const SysfsRoot& root);

/// What the kernel's refusal of a device whose interrupts are not remapped is waived by.
enum class UnsafeInterrupts {
    type1,    ///< vfio_iommu_type1's parameter, for the backend vfio
    iommufd,  ///< iommufd's, for the backend of that name
};
[[nodiscard]] bool allows_unsafe_interrupts(const SysfsRoot& root, UnsafeInterrupts parameter);
/// Whether nothing about interrupts keeps a device from userspace: they are remapped, or the administrator does not
/// mind.
[[nodiscard]] bool may_pass_interrupts(const SysfsRoot& root, UnsafeInterrupts parameter);
/// Interrupts that the IOMMU remaps, or leave to go without. Empty also if the kernel does not show which it is.
std::optional<Lack> lacks_interrupt_remapping(const SysfsRoot& root, UnsafeInterrupts parameter);
/// Of a kernel that has refused for that reason, whatever it shows.
Lack no_interrupt_remapping(const SysfsRoot& root, UnsafeInterrupts parameter);
/// Devices' own files: a kernel that protects itself from root gives neither configuration space nor resources.
std::optional<Lack> lacks_device_files(const SysfsRoot& root);

}  // namespace uiovfio::detail
