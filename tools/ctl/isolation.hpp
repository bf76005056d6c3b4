// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Whether the IOMMU keeps a device to the memory that is mapped for it. The kernel takes mappings, and does not say
/// whether the hardware heeds them; so a pcienic's DMA engine, of which it is known what it does, tries to go
/// elsewhere.
///
/// A trial must do no harm where the IOMMU does not translate: a write to a bus address is then one to that physical
/// address, whatever lies there. So every address that the engine is given is mapped at its own physical address, and
/// what it must not reach is a page of this process, pinned by a mapping at another address.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pcienic/driver.hpp"
#include "uiovfio/sysfs.hpp"

namespace pcienic::ctl {

/// What the engine had to do, and what came of it.
struct Trial {
    std::string what;
    std::uint64_t address = 0;  ///< on the bus
    std::string seen;
    bool held = false;  ///< it was as it has to be
};

/// The trials in the order in which they were made, up to the first that did not hold.
struct Proof {
    enum class Outcome { isolated, exposed, unknown };

    Outcome outcome = Outcome::unknown;
    std::string what;
    std::string remedy;
    std::vector<Trial> trials{};
};
/// "isolated", "exposed", "unknown".
std::string_view to_string(Proof::Outcome outcome) noexcept;

/// The physical address of a page of this process; nothing where the kernel hides it.
using PhysicalAddress = std::function<std::optional<std::uint64_t>(std::span<std::byte> page)>;
/// As /proc/self/pagemap shows it to a process with CAP_SYS_ADMIN.
PhysicalAddress physical_addresses(const uiovfio::SysfsRoot& root);
/// As a simulated device's machine has it.
PhysicalAddress physical_addresses(const uiovfio::Device& simulated);

/// Has the engine try. Throws what Driver and DmaSpace throw where the device fails otherwise.
Proof prove_isolation(Driver& driver, const PhysicalAddress& physical);

}  // namespace pcienic::ctl
