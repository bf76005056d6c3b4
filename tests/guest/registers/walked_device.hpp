// SPDX-License-Identifier: MIT
#pragma once

/// What the register walk needs of the place where it runs. The guest and the unit test each bring their own, so that
/// the same walk judges the device in QEMU and the one in this process.

#include "uiovfio/device.hpp"

namespace pcienic::walk {

/// Opens the device under test.
uiovfio::Device open_device();

/// This test makes the device report this mistake; `code` is a value of ERR_CODE.
void expect_latched(const char* code);

/// This test makes accesses of a width that the device refuses.
void expect_refused_access();

}  // namespace pcienic::walk
