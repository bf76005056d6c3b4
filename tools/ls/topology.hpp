// SPDX-License-Identifier: GPL-2.0-or-later
/// Which bus is behind which bridge.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "model.hpp"

namespace pcienic::ls {

/// The buses as the bridges connect them, by lspci's rules: a function is on the bus of its number that is on a root or
/// behind the last bridge whose range of numbers has it, unless the system itself says which bridge it is behind. A bus
/// that no bridge leads to is a root, and so is one that only leads to itself: each function is on one bus, and each
/// bus can be reached.
class Topology {
  public:
    struct Bus {
        unsigned domain = 0, number = 0;
        std::vector<std::size_t> functions;  ///< by their places in the listing
    };

    explicit Topology(const std::vector<Function>& functions);

    const Bus& bus(std::size_t index) const { return buses_[index]; }

    /// The buses that no bridge leads to. The first is domain 0's bus 0, which may be empty, as lspci 3.9 has it.
    const std::vector<std::size_t>& roots() const { return bridges_.front().buses; }

    /// The buses behind this function: its secondary one, and those that no other bridge explains. Null if it is no
    /// bridge.
    const std::vector<std::size_t>* behind(std::size_t function) const;

    /// The numbers of the buses behind this function, which is a bridge.
    struct Range {
        unsigned secondary = 0, subordinate = 0;
    };
    Range range_behind(std::size_t function) const;

    /// The bridges that lead to this function, from the root on.
    std::vector<std::size_t> path_to(std::size_t function) const;

  private:
    static constexpr std::size_t kRoot = 0;  ///< the first of the bridges: what leads to the roots

    struct Bridge {
        std::optional<std::size_t> function;  ///< nothing: the root
        unsigned domain = 0, secondary = 0, subordinate = 0;
        std::vector<std::size_t> buses;
        std::vector<std::size_t> children;  ///< bridges
    };

    std::optional<std::size_t> bus_of(const Bridge& bridge, unsigned domain, unsigned number) const;
    std::size_t new_bus(std::size_t bridge, unsigned domain, unsigned number);
    std::size_t place_for(const Function& function);
    void find_bridges(const std::vector<Function>& functions);
    void root_the_unreachable();

    std::vector<Bridge> bridges_;
    std::vector<std::optional<std::size_t>> bridge_of_;         ///< of a function that is one
    std::vector<std::optional<std::size_t>> parent_of_;         ///< the function that the system has it behind
    std::vector<std::size_t> bus_of_function_, bridge_of_bus_;  ///< `bridge_of_bus_`: which leads to it
    std::vector<Bus> buses_;
};

}  // namespace pcienic::ls
