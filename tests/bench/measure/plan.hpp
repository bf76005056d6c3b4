// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What is to be measured, on what; and the groups of measurements that there are.

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/model.hpp"
#include "uiovfio/bdf.hpp"
#include "uiovfio/device.hpp"

namespace pcienic::bench {

struct Plan {
    /// A pcienic, and one more that can be given to other drivers meanwhile.
    uiovfio::Bdf device;
    std::optional<uiovfio::Bdf> second = {};
    /// As OpenOptions::backend.
    std::string backend = "auto";
    /// Few rounds: figures that show that all works, and not much more.
    bool quick = false;

    [[nodiscard]] unsigned rounds(unsigned full) const { return quick ? std::max(2U, full / 50) : full; }
    [[nodiscard]] uiovfio::Device open() const { return uiovfio::Device::open(device, {.backend = backend}); }
};

std::vector<Group> measure_registers(const Plan& plan);
std::vector<Group> measure_config(const Plan& plan);
std::vector<Group> measure_interrupts(const Plan& plan);
std::vector<Group> measure_mapping(const Plan& plan);
std::vector<Group> measure_dma(const Plan& plan);
std::vector<Group> measure_open(const Plan& plan);

/// A set of groups, as --only names it.
struct Subject {
    std::string_view name;
    std::string_view summary;
    std::vector<Group> (*measure)(const Plan& plan);
};

inline constexpr std::array kSubjects{
    Subject{"registers", "a register read and written", &measure_registers},
    Subject{"config", "configuration space read", &measure_config},
    Subject{"interrupts", "from the device's store to the waiter", &measure_interrupts},
    Subject{"mapping", "memory mapped for DMA, and unmapped", &measure_mapping},
    Subject{"dma", "memory copied by the device", &measure_dma},
    Subject{"open", "from opening a device to its first register", &measure_open},
};

}  // namespace pcienic::bench
