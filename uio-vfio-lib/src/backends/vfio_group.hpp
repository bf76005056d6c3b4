// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// VFIO's groups and containers: how a device is opened through them, and what devices of one group share.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "backends/file.hpp"
#include "backends/group_members.hpp"
#include "iova_space.hpp"
#include "system.hpp"
#include "uiovfio/device.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

/// A group that this process holds, in a container of its own.
struct VfioGroup {
    File container;  // before the group: it closes after it
    File group;
    std::uint64_t page_sizes = 0;
    std::optional<IovaSpace> space;  ///< none without an IOMMU
    std::vector<ReservedRegion> reserved;

    /// In a forked child: the parent keeps its own.
    void close_files() noexcept {
        group.close();
        container.close();
    }
};

using VfioMember = GroupMembers<VfioGroup>::Member;

/// The two kinds of groups that there are.
struct VfioGroupKind {
    std::string_view backend;       ///< whose why_not() has to be clear
    std::string_view node_prefix;   ///< of the group's number, in /dev/vfio
    unsigned long iommu_type;       ///< for VFIO_SET_IOMMU
    std::string_view missing_type;  ///< what a kernel without that type has not, and how to get it
    std::string_view type_remedy;
};
extern const VfioGroupKind kType1Group;
extern const VfioGroupKind kNoIommuGroup;

/// A device's file, and its part in its group.
struct VfioOpened {
    VfioMember member;  // before the device: it leaves after that is closed
    File device;
};

/// Opens the function, and its group if this process has not done so yet. A group or a device that is busy is tried
/// again for OpenOptions::busy_timeout. Throws what Device::open() does.
VfioOpened open_in_group(const VfioGroupKind& kind, const Bdf& bdf, const OpenOptions& options, System& system);

}  // namespace uiovfio::detail
