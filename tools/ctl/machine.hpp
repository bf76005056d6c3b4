// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a machine offers to a userspace driver, as its kernel's files show it. Nothing is opened but them, and it needs
/// no rights; what a file does not tell in the form that it should have counts as not there.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "uiovfio/iova.hpp"
#include "uiovfio/sysfs.hpp"

namespace pcienic::ctl {

enum class State { ok, missing, note };

/// "ok", "missing", "note".
std::string_view to_string(State state) noexcept;

/// One thing that was looked at.
struct Check {
    std::string subject;
    State state = State::note;
    std::string what;
    std::string remedy{};                      ///< empty where there is nothing to do
    std::vector<std::string_view> backends{};  ///< that cannot do without it
};

/// "64 KiB", "4.0 GiB": the largest unit that it has one of.
std::string size_text(std::uint64_t bytes);

/// All of them, from the hardware upwards.
std::vector<Check> examine_machine(const uiovfio::SysfsRoot& root);

/// How many bits of a bus address the machine's IOMMUs translate, where they say so (Intel's do).
std::optional<unsigned> iommu_width(const uiovfio::SysfsRoot& root);
/// As iommu_width(), of the unit that translates for this function; where the kernel does not tell which, of all.
std::optional<unsigned> iommu_width(const uiovfio::SysfsRoot& root, const uiovfio::Bdf& bdf);

/// A part of the bus addresses: free for mappings, or what the platform has it for.
struct Span {
    uiovfio::IovaRange range;
    std::string use;  ///< "free", or the kernel's word for the reserved region: "msi", "direct" and so on

    friend bool operator==(const Span&, const Span&) = default;
};

/// The bus addresses of a device's group up to `width` bits, in order and without gaps.
std::vector<Span> spans(unsigned width, const std::vector<uiovfio::ReservedRegion>& reserved);

}  // namespace pcienic::ctl
