// SPDX-License-Identifier: GPL-2.0-or-later
#include "topology.hpp"

#include <algorithm>
#include <map>
#include <ranges>

namespace pcienic::ls {
namespace {

constexpr unsigned kBridgeClass = 0x06;

}  // namespace

Topology::Topology(const std::vector<Function>& functions) {
    find_bridges(functions);
    for (std::size_t bridge = 0; bridge < bridges_.size(); ++bridge)
        new_bus(bridge, bridges_[bridge].domain, bridges_[bridge].secondary);
    for (std::size_t index = 0; index < functions.size(); ++index) {
        std::size_t bus = 0;
        const auto parent = parent_of_[index];
        if (parent && bridge_of_[*parent])
            bus = bridges_[*bridge_of_[*parent]].buses.front();
        else
            bus = place_for(functions[index]);
        buses_[bus].functions.push_back(index);
        bus_of_function_.push_back(bus);
    }
    root_the_unreachable();
}

void Topology::find_bridges(const std::vector<Function>& functions) {
    std::map<Address, std::size_t> places;
    for (std::size_t index = 0; index < functions.size(); ++index) places.emplace(functions[index].address, index);
    bridge_of_.resize(functions.size());
    parent_of_.resize(functions.size());
    for (std::size_t index = 0; index < functions.size(); ++index)
        if (const auto& parent = functions[index].parent)
            if (const auto found = places.find(*parent); found != places.end()) parent_of_[index] = found->second;

    bridges_.push_back({.function = {}, .buses = {}, .children = {}});
    const auto add = [&](std::size_t index, unsigned secondary, unsigned subordinate) {
        bridge_of_[index] = bridges_.size();
        bridges_.push_back({.function = index,
                            .domain = functions[index].address.domain,
                            .secondary = secondary,
                            .subordinate = subordinate,
                            .buses = {},
                            .children = {}});
    };
    for (std::size_t index = 0; index < functions.size(); ++index) {
        const Function& function = functions[index];
        if (function.is_bridge && function.device_class.id >> 8 == kBridgeClass)
            add(index, function.secondary_bus, function.subordinate_bus);
    }
    // What has another function behind it by the system's word is a bridge, whatever its registers say.
    for (std::size_t index = 0; index < functions.size(); ++index)
        if (const auto parent = parent_of_[index]; parent && !bridge_of_[*parent])
            add(*parent, functions[index].address.bus, functions[index].address.bus);

    for (std::size_t bridge = 1; bridge < bridges_.size(); ++bridge) {
        const auto parent = parent_of_[*bridges_[bridge].function];
        bridges_[parent ? *bridge_of_[*parent] : kRoot].children.push_back(bridge);
    }
}

std::optional<std::size_t> Topology::bus_of(const Bridge& bridge, unsigned domain, unsigned number) const {
    for (const std::size_t index : bridge.buses)
        if (buses_[index].domain == domain && buses_[index].number == number) return index;
    return std::nullopt;
}

std::size_t Topology::new_bus(std::size_t bridge, unsigned domain, unsigned number) {
    buses_.push_back({.domain = domain, .number = number, .functions = {}});
    bridge_of_bus_.push_back(bridge);
    bridges_[bridge].buses.push_back(buses_.size() - 1);
    return buses_.size() - 1;
}

std::size_t Topology::place_for(const Function& function) {
    const Address& at = function.address;
    std::size_t bridge = kRoot;
    for (;;) {
        if (const auto found = bus_of(bridges_[bridge], at.domain, at.bus)) return *found;
        // The last bridge is the deepest, since the functions stand in the order of their buses.
        const auto& children = bridges_[bridge].children;
        const auto next = std::ranges::find_if(children | std::views::reverse, [&](std::size_t child) {
            const Bridge& candidate = bridges_[child];
            return candidate.domain == at.domain && candidate.secondary <= at.bus && at.bus <= candidate.subordinate;
        });
        if (next == std::ranges::rend(children)) return new_bus(bridge, at.domain, at.bus);
        bridge = *next;
    }
}

void Topology::root_the_unreachable() {
    std::vector<bool> reached(buses_.size(), false);
    const auto reach = [&](std::size_t first) {
        std::vector<std::size_t> pending{first};
        while (!pending.empty()) {
            const std::size_t at = pending.back();
            pending.pop_back();
            if (reached[at]) continue;
            reached[at] = true;
            for (const std::size_t function : buses_[at].functions)
                if (const auto* further = behind(function))
                    pending.insert(pending.end(), further->begin(), further->end());
        }
    };
    for (const std::size_t root : roots()) reach(root);
    for (std::size_t index = 0; index < buses_.size(); ++index) {
        if (reached[index] || buses_[index].functions.empty()) continue;
        auto& siblings = bridges_[bridge_of_bus_[index]].buses;
        siblings.erase(std::ranges::find(siblings, index));
        bridges_[kRoot].buses.push_back(index);
        bridge_of_bus_[index] = kRoot;
        reach(index);
    }
}

const std::vector<std::size_t>* Topology::behind(std::size_t function) const {
    return bridge_of_[function] ? &bridges_[*bridge_of_[function]].buses : nullptr;
}

Topology::Range Topology::range_behind(std::size_t function) const {
    const Bridge& bridge = bridges_[*bridge_of_[function]];
    return {bridge.secondary, bridge.subordinate};
}

std::vector<std::size_t> Topology::path_to(std::size_t function) const {
    std::vector<std::size_t> path;
    std::size_t bridge = bridge_of_bus_[bus_of_function_[function]];
    while (bridge != kRoot) {
        path.push_back(*bridges_[bridge].function);
        bridge = bridge_of_bus_[bus_of_function_[path.back()]];
    }
    std::ranges::reverse(path);
    return path;
}

}  // namespace pcienic::ls
