// SPDX-License-Identifier: GPL-2.0-or-later
// pcienic-ls's decoder on an image of configuration space that a hostile or broken device might show: it must end, stay
// within the image, and give text and JSON that hold together.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "decode.hpp"
#include "render.hpp"

namespace {

using namespace pcienic::ls;

void require(bool held) {
    if (!held) std::abort();
}

void check(const Function& function) {
    // 48 capabilities fit into the first 256 bytes and 960 behind them; one entry more may report a loop.
    require(function.capabilities.size() <= 64 + 960 + 2);
    std::ostringstream text;
    render_text(text, function, {.verbosity = kMaxVerbosity, .hex = 4});
    require(!text.str().empty());
    const auto json = render_json(function, 4);
    require(json["capabilities"].size() == function.capabilities.size());
    require(nlohmann::ordered_json::parse(json.dump(-1, ' ', true)) == json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ConfigImage config(std::vector<std::uint8_t>(data, data + size));
    const DecodeContext context{
        .has_memory_bar = size % 2 == 0,
        .first_function = size % 3 == 0,
        .subsystem_text = [](unsigned vendor,
                             unsigned device) { return std::to_string(vendor) + ":" + std::to_string(device); },
        // Vital Product Data is what stands behind the standard header.
        .read_vpd =
            [&](unsigned at, std::uint8_t* to, unsigned count) {
                if (size < 64 || at > size - 64 || count > size - 64 - at) return false;
                std::copy_n(data + 64 + at, count, to);
                return true;
            }};
    Function function;
    if (decode_header(config, SystemView::from(config), function))
        function.capabilities = decode_capabilities(config, context);
    function.config = config.bytes();
    check(function);

    Listing listing;
    listing.functions.push_back(function);
    listing.functions.push_back(function);
    listing.functions.back().address.bus = function.secondary_bus;
    listing.selected = {true, true};
    std::ostringstream tree;
    render_tree(tree, listing, {});
    return 0;
}
