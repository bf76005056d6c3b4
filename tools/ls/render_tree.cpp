// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "render.hpp"
#include "topology.hpp"

namespace pcienic::ls {
namespace {

/// Draws from the left to the right: a line holds what leads to a function, and once it is written, what of it stands
/// above the next line's own part. No bus is reached twice, so the drawing ends.
class Drawing {
  public:
    Drawing(std::ostream& out, const Listing& listing, const TextOptions& options)
        : out_(out),
          listing_(listing),
          options_(options),
          topology_(listing.functions),
          filtered_(std::ranges::find(listing.selected, false) != listing.selected.end()) {}

    void draw() {
        std::string line;
        buses(topology_.roots(), true, !filtered_, line);
    }

  private:
    /// Whether something that was asked for is on the bus, or behind a bridge on it.
    bool shows(const Topology::Bus& bus) const {
        return std::ranges::any_of(bus.functions, [&](std::size_t function) { return shows(function); });
    }

    bool shows(std::size_t function) const {
        if (listing_.selected[function]) return true;
        const auto* behind = topology_.behind(function);
        return behind != nullptr &&
               std::ranges::any_of(*behind, [&](std::size_t bus) { return shows(topology_.bus(bus)); });
    }

    /// The stroke that leads to one of several things side by side.
    static const char* branch(std::size_t index, std::size_t count, const char* alone) {
        return count == 1 ? alone : index + 1 == count ? "\\-" : "+-";
    }

    /// The buses behind one bridge, or the roots. A bridge's only bus needs no name: the bridge's range has it. `all`:
    /// everything is shown from here on, since it was asked for or no filter is.
    void buses(const std::vector<std::size_t>& behind, bool roots, bool all, std::string& line) {
        line += '-';
        std::vector<std::size_t> shown;
        for (const std::size_t index : behind)
            if (all || shows(topology_.bus(index))) shown.push_back(index);
        if (shown.empty()) finish(line);
        for (std::size_t index = 0; index < shown.size(); ++index) {
            const Topology::Bus& bus = topology_.bus(shown[index]);
            std::string here = line;
            if (roots || behind.size() > 1)
                here += fmt::format("{}[{:04x}:{:02x}]-", branch(index, shown.size(), ""), bus.domain, bus.number);
            functions(bus, all, here);
            keep_strokes(here, line);
        }
    }

    void functions(const Topology::Bus& bus, bool all, std::string& line) {
        std::vector<std::size_t> shown;
        for (const std::size_t function : bus.functions)
            if (all || shows(function)) shown.push_back(function);
        if (shown.empty()) finish(line);
        for (std::size_t index = 0; index < shown.size(); ++index) {
            std::string here = line + branch(index, shown.size(), "--");
            function(shown[index], all, here);
            keep_strokes(here, line);
        }
    }

    void function(std::size_t index, bool all, std::string& line) {
        const Function& one = listing_.functions[index];
        line += fmt::format("{:02x}.{:x}", one.address.device, one.address.function);
        if (const auto* behind = topology_.behind(index)) {
            const auto [secondary, subordinate] = topology_.range_behind(index);
            if (secondary == 0)
                line += '-';
            else if (secondary == subordinate)
                line += fmt::format("-[{:02x}]-", secondary);
            else
                line += fmt::format("-[{:02x}-{:02x}]-", secondary, subordinate);
            buses(*behind, false, all || listing_.selected[index], line);
            return;
        }
        if (options_.verbosity > 0) line += "  " + one.device_text;
        finish(line);
    }

    /// Writes the line; only the strokes that lead further down stay of it.
    void finish(std::string& line) {
        out_ << line << '\n';
        std::ranges::transform(line, line.begin(), [](char c) { return c == '+' || c == '|' ? '|' : ' '; });
    }

    /// Takes over what became of a longer line's beginning.
    static void keep_strokes(const std::string& longer, std::string& line) { line = longer.substr(0, line.size()); }

    std::ostream& out_;
    const Listing& listing_;
    const TextOptions& options_;
    Topology topology_;
    bool filtered_;
};

}  // namespace

void render_tree(std::ostream& out, const Listing& listing, const TextOptions& options) {
    Drawing(out, listing, options).draw();
}

}  // namespace pcienic::ls
