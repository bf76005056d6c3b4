// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The file behind an open device, to do by hand what the library does.

#include <cstdint>
#include <optional>

namespace pcienic::bench {

/// A descriptor of this process that stands for a VFIO device. Not owned.
struct VfioFile {
    int descriptor = -1;

    /// Where a region (0 to 5 a BAR, 7 configuration space) begins in the file; nothing where the kernel has none.
    [[nodiscard]] std::optional<std::uint64_t> region_offset(unsigned region) const noexcept;
};

/// The one that this process has; nothing where it has none, or several.
std::optional<VfioFile> find_vfio_file();

}  // namespace pcienic::bench
