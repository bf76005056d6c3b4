// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What it means when the kernel refuses a step of opening a device through VFIO: the same steps, under other names,
/// with groups and containers as with IOMMUFD.

#include <string>
#include <string_view>

#include "needs.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

/// A step of opening.
enum class VfioStep {
    ask,          ///< a question, or a file that the kernel makes
    claim_group,  ///< the group's IOMMU becomes this process's: SET_CONTAINER
    take_iommu,   ///< the device gets an address space: SET_IOMMU, ATTACH; BIND, which asks for the same things
    open_device,  ///< the device is enabled and reset: GET_DEVICE_FD; BIND, too
};

/// The error of that step: `call` is the name that the kernel has for it, `error` its errno.
[[nodiscard]] Error vfio_refusal(VfioStep step, std::string_view call, int error, const PciFunction& function,
                                 UnsafeInterrupts parameter, const SysfsRoot& root);

}  // namespace uiovfio::detail
