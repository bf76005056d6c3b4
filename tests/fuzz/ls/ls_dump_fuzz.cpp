// SPDX-License-Identifier: GPL-2.0-or-later
// The text of a dump, which anybody may have written: it is read or refused, and every function of it stands in every
// form of output, on lines of its own.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>

#include "decode.hpp"
#include "dump_file.hpp"
#include "printable.hpp"
#include "render.hpp"
#include "topology.hpp"

namespace {

using namespace pcienic::ls;

void require(bool held) {
    if (!held) std::abort();
}

/// Nothing that a terminal obeys, but for the newlines and tabs that the form itself has.
void require_plain(const std::string& text) {
    for (const char c : text) require(c == '\n' || c == '\t' || static_cast<unsigned char>(c) >= 0x20);
}

Listing listing_of(const Dump& dump) {
    Listing listing;
    for (const DumpedFunction& dumped : dump.functions) {
        Function function;
        function.address = dumped.address;
        const Identity identity = identity_of(dumped.config);
        function.device_class.id = identity.device_class;
        function.device_text = std::to_string(identity.device);
        const DecodeContext context{.from_dump = true, .subsystem_text = [](unsigned vendor, unsigned device) {
                                        return std::to_string(vendor) + ":" + std::to_string(device);
                                    }};
        if (decode_header(dumped.config, SystemView::from(dumped.config), function))
            function.capabilities = decode_capabilities(dumped.config, context);
        function.config = dumped.config.bytes();
        listing.functions.push_back(std::move(function));
        listing.selected.push_back(listing.selected.size() % 3 != 1);
    }
    return listing;
}

/// Each function is on one bus, each bus behind one bridge or a root.
void check(const Topology& topology, std::size_t functions) {
    std::multiset<std::size_t> met;
    std::vector<std::size_t> pending(topology.roots().begin(), topology.roots().end());
    while (!pending.empty()) {
        const Topology::Bus& bus = topology.bus(pending.back());
        pending.pop_back();
        for (const std::size_t function : bus.functions) {
            met.insert(function);
            require(met.size() <= functions);
            if (const auto* behind = topology.behind(function))
                pending.insert(pending.end(), behind->begin(), behind->end());
        }
    }
    for (std::size_t function = 0; function < functions; ++function) {
        require(met.count(function) == 1);
        require(topology.path_to(function).size() < functions);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    require_plain(printable(text));
    std::istringstream in(text);
    Listing listing;
    try {
        const Dump dump = read_dump(in);
        for (const std::string& line : dump.left_out) require_plain(line);
        listing = listing_of(dump);
    } catch (const DumpError& error) {
        require_plain(error.what());
        return 0;
    }
    std::ostringstream out;
    const TextOptions options{.verbosity = kMaxVerbosity, .hex = 4, .machine_readable = 2, .path = 2};
    for (const Function& function : listing.functions) {
        render_text(out, function, options);
        render_machine(out, function, options);
        require(!render_json(function, 4).dump().empty());
    }
    check(Topology(listing.functions), listing.functions.size());
    render_tree(out, listing, options);
    require_plain(out.str());
    return 0;
}
