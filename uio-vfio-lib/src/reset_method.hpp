// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What is known of a reset by the kernel by its name.

#include <string_view>

namespace uiovfio::detail {

/// Whether a function that the kernel has reset can be counted on to have ended all its DMA. `methods` is what sysfs's
/// file reset_method holds, in the order in which the kernel tries them: the next one only where one does not exist.
/// "flr" and "af_flr" can be relied upon, and so can "bus" and what is made for one device ("acpi", "device_specific").
/// "pm" cannot: it is a change of the power state, D3hot and back, which resets only as far as the device does what it
/// says in its power management capability. QEMU's e1000e says so, and goes on with the rings that it was given.
[[nodiscard]] bool reset_ends_dma(std::string_view methods) noexcept;

}  // namespace uiovfio::detail
