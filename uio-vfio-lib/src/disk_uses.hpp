// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What has a disk without a mount or swap space that names it.

#include <string>
#include <vector>

#include "uiovfio/sysfs.hpp"
#include "uiovfio/use.hpp"

namespace uiovfio::detail {

/// The block device behind "/dev/sda2" as sysfs names it: "sda2"; empty for none. What /dev has may be a link
/// (/dev/mapper/root), to a node outside of a fake tree's.
std::string block_of(const std::string& node, const SysfsRoot& root);

/// Uses of these block devices, disks and partitions by their names in sysfs: what stands on them, which process writes
/// to them, and what the kernel claims for one that does not say so. `passages` are the character devices that lead to
/// their data as well, with their class: "nvme-generic/ng0n1". A disk that is in `known` already is not asked for more
/// than what stands on it.
std::vector<Use> disk_uses(const std::vector<std::string>& blocks, const std::vector<std::string>& passages,
                           const std::vector<Use>& known, const SysfsRoot& root);

}  // namespace uiovfio::detail
