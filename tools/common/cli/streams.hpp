// SPDX-License-Identifier: MIT
#pragma once

namespace pcienic::cli {

/// Has the numbers of those standard streams that are closed taken by something that no reading or writing gets
/// through: otherwise the next file that is opened, a device's perhaps, would be what the tool prints to. For the very
/// beginning of a program.
void occupy_closed_streams() noexcept;

}  // namespace pcienic::cli
