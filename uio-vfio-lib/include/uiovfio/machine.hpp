// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a machine offers to a userspace driver, as its kernel's files show it. Nothing is opened but them, and it needs
/// no rights; what a file does not tell in the form that it should have counts as not there. Of one device, why_not()
/// tells (uiovfio/sysfs.hpp). The functions throw nothing but std::bad_alloc, and may be called from any thread.
///
///     for (const uiovfio::MachineCheck& check : uiovfio::examine_machine())
///         if (check.state == uiovfio::CheckState::missing && std::ranges::count(check.backends, "vfio") != 0)
///             std::cout << check.subject << ": " << check.what << "; " << check.remedy << '\n';

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "uiovfio/bdf.hpp"
#include "uiovfio/iova.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio {

/// What came of looking at a thing: it is there, a backend lacks it, or there is something to know about it.
enum class CheckState { ok, missing, note };

/// "ok", "missing", "note".
std::string_view to_string(CheckState state) noexcept;

/// One thing that was looked at.
struct MachineCheck {
    std::string subject;  ///< "IOMMU", "memory lock"
    CheckState state = CheckState::note;
    std::string what;                          ///< as a clause: "none is in use"
    std::string remedy{};                      ///< empty where there is nothing to do
    std::vector<std::string_view> backends{};  ///< that cannot do without it; to all others it is nothing
};

/// All of them, from the hardware upwards: kernel, IOMMU, interrupt remapping, VFIO, its drivers and nodes, IOMMUFD,
/// no-IOMMU mode, UIO, lockdown, this process's memory lock, and a line for each size of hugepages.
std::vector<MachineCheck> examine_machine(const SysfsRoot& root = {});

/// How many bits of a bus address the machine's IOMMUs translate (the least of them), where they say so: Intel's do.
std::optional<unsigned> iommu_width(const SysfsRoot& root = {});
/// As iommu_width(), of the unit that translates for this function; where the kernel does not tell which, of all.
std::optional<unsigned> iommu_width(const Bdf& bdf, const SysfsRoot& root = {});

/// A part of the bus addresses: free for mappings, or what the platform has it for.
struct IovaSpan {
    IovaRange range;
    std::string use;  ///< "free", or ReservedRegion::type

    friend bool operator==(const IovaSpan&, const IovaSpan&) = default;
};

/// The bus addresses of a device's group up to `width` bits (64 at most), in order and without gaps. `reserved` is in
/// ascending order, as PciFunction::reserved_regions is; where regions overlap, the first one counts.
std::vector<IovaSpan> iova_spans(unsigned width, const std::vector<ReservedRegion>& reserved);

}  // namespace uiovfio
