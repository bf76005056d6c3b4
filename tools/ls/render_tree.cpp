// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <map>
#include <ostream>
#include <set>

#include "render.hpp"

namespace pcienic::ls {
namespace {

using BusKey = std::pair<unsigned, unsigned>;  // domain, bus

/// The buses as the bridges connect them. A bus that names itself or an ancestor as its own secondary bus must not
/// make the drawing endless, so each bus is drawn once.
class Tree {
  public:
    Tree(std::ostream& out, const Listing& listing, const TextOptions& options) : out_(out), options_(options) {
        for (std::size_t index = 0; index < listing.functions.size(); ++index) {
            const Function& function = listing.functions[index];
            const Address& at = function.address;
            buses_[{at.domain, at.bus}].push_back(&function);
            if (listing.selected[index]) selected_.insert(&function);
            if (function.is_bridge && function.secondary_bus > at.bus)
                below_.insert({at.domain, function.secondary_bus});
        }
    }

    void draw() {
        std::vector<BusKey> roots;
        for (const auto& [key, functions] : buses_)
            if (!below_.contains(key) && bus_shows(key, {})) roots.push_back(key);
        for (std::size_t index = 0; index < roots.size(); ++index) {
            const bool last = index + 1 == roots.size();
            const std::string lead = roots.size() == 1 ? "-" : last ? "\\-" : "+-";
            const std::string name = fmt::format("[{:04x}:{:02x}]", roots[index].first, roots[index].second);
            bus(roots[index], lead + name + "-",
                (roots.size() == 1 || last ? " " : "|") + std::string(lead.size() + name.size(), ' '));
        }
    }

  private:
    /// Whether something that was asked for is on the bus or behind it; `seen` ends a loop of bridges.
    bool bus_shows(const BusKey& key, std::set<BusKey> seen) const {
        const auto found = buses_.find(key);
        if (found == buses_.end() || !seen.insert(key).second) return false;
        for (const Function* function : found->second)
            if (shows(*function, seen)) return true;
        return false;
    }

    bool shows(const Function& function, const std::set<BusKey>& seen) const {
        if (selected_.contains(&function)) return true;
        return function.is_bridge && bus_shows({function.address.domain, function.secondary_bus}, seen);
    }

    /// Draws the bus's functions; `line` is what stands on the line already, `below` what the lines below begin with.
    void bus(const BusKey& key, const std::string& line, const std::string& below) {
        std::vector<const Function*> shown;
        if (drawn_.insert(key).second)
            for (const Function* function : buses_.contains(key) ? buses_.at(key) : std::vector<const Function*>())
                if (shows(*function, {})) shown.push_back(function);
        if (shown.empty()) {
            out_ << line << '\n';
        } else if (shown.size() == 1) {
            function(*shown.front(), line + "--", below + "  ");
        } else {
            for (std::size_t index = 0; index < shown.size(); ++index) {
                const bool last = index + 1 == shown.size();
                const std::string lead = index == 0 ? line + "+-" : below + (last ? "\\-" : "+-");
                function(*shown[index], lead, below + (last ? "  " : "| "));
            }
        }
    }

    void function(const Function& one, const std::string& line, const std::string& below) {
        const std::string name = fmt::format("{:02x}.{:x}", one.address.device, one.address.function);
        if (one.is_bridge) {
            const std::string range = one.secondary_bus == one.subordinate_bus
                                          ? fmt::format("-[{:02x}]-", one.secondary_bus)
                                          : fmt::format("-[{:02x}-{:02x}]-", one.secondary_bus, one.subordinate_bus);
            bus({one.address.domain, one.secondary_bus}, line + name + range + "-",
                below + std::string(name.size() + range.size() + 1, ' '));
        } else {
            out_ << line << name;
            if (options_.verbosity > 0) out_ << "  " << one.device_text;
            out_ << '\n';
        }
    }

    std::ostream& out_;
    const TextOptions& options_;
    std::map<BusKey, std::vector<const Function*>> buses_;
    std::set<BusKey> below_, drawn_;
    std::set<const Function*> selected_;
};

}  // namespace

void render_tree(std::ostream& out, const Listing& listing, const TextOptions& options) {
    Tree(out, listing, options).draw();
}

}  // namespace pcienic::ls
