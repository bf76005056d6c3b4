// SPDX-License-Identifier: GPL-2.0-or-later
// pcienic-ls: lists PCI functions as lspci does, and says what keeps a userspace driver from having one.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit.hpp"
#include "cli/output.hpp"
#include "cli/tool.hpp"
#include "collect.hpp"
#include "render.hpp"

namespace {

using namespace pcienic;

constexpr std::string_view kExamples =
    "  pcienic-ls -nnk                     every function: names, numbers, driver, and whether VFIO could have it\n"
    "  pcienic-ls -vvv -s 01:00.0          one function in full, in lspci's words\n"
    "  pcienic-ls --json -d 1af4: | jq '.data[].capabilities[].name'\n";

struct Options {
    ls::ScanOptions scan;
    ls::TextOptions text;
    int numeric = 0;
    bool tree = false;
};

void add_options(CLI::App& app, Options& options) {
    app.add_option("-s", options.scan.slot, "Only these slots: [[[[DOMAIN]:]BUS]:][DEVICE][.[FUNCTION]], as lspci's")
        ->type_name("SLOT");
    app.add_option("-d", options.scan.id, "Only these IDs: [VENDOR]:[DEVICE][:CLASS[:INTERFACE]], as lspci's")
        ->type_name("ID");
    app.add_flag("-v", options.text.verbosity,
                 "Tell more: -v flags, regions and capabilities; -vv their fields; -vvv all");
    app.add_flag("-x", options.text.hex, "Hex dump: -x the first 64 bytes, -xxx 256, -xxxx 4096");
    app.add_flag("-k", options.text.kernel, "Driver, modules, IOMMU group, and whether VFIO could open it");
    app.add_flag("-n", options.numeric, "-n: numbers in place of names; -nn: both");
    app.add_flag("-t", options.tree, "Draw a tree of buses");
    app.add_flag("-D", options.text.domains, "Always write the domain");
    app.add_option("-F", options.scan.dump_file, "Read the output of lspci -x from FILE (- for stdin), not the machine")
        ->type_name("FILE");
}

cli::Document document_of(const ls::Listing& listing, int hex) {
    cli::Document document;
    document.schema = "pcienic.ls/1";
    document.columns = {{.key = "address", .title = "ADDRESS"},
                        {.key = "driver", .title = "DRIVER"},
                        {.key = "iommu_group", .title = "GROUP"}};
    document.raw_key = "address";
    for (std::size_t index = 0; index < listing.functions.size(); ++index)
        if (listing.selected[index]) document.rows.push_back(ls::render_json(listing.functions[index], hex));
    return document;
}

std::string selection_text(const ls::ScanOptions& scan) {
    std::string text;
    if (!scan.slot.empty()) text += " -s " + scan.slot;
    if (!scan.id.empty()) text += " -d " + scan.id;
    return text;
}

cli::Exit run(std::vector<std::string> arguments) {
    CLI::App app{"Lists PCI functions as lspci does, and tells whether a userspace driver could have them."};
    Options options;
    cli::Output output("pcienic-ls", std::cout);
    cli::dress(app, "pcienic-ls", kExamples, "lspci(8), pcienic-ctl(1), pcienic-irqtest(1)");
    add_options(app, options);
    output.add_options(app);
    if (const std::optional<cli::Exit> done = cli::parse(app, std::move(arguments), std::cout)) return *done;

    options.scan.naming = options.numeric > 1    ? ls::Naming::both
                          : options.numeric == 1 ? ls::Naming::numbers
                                                 : ls::Naming::names;
    options.scan.details =
        !output.is_text() || options.text.verbosity > 0 || options.text.hex > 0 || options.text.kernel;
    const ls::Listing listing = ls::collect(options.scan);
    std::size_t chosen = 0;
    for (const bool selected : listing.selected) chosen += selected ? 1 : 0;
    if (chosen == 0 && !selection_text(options.scan).empty())
        throw cli::Failure(cli::Exit::no_device,
                           fmt::format("no function matches{}: see all {} of them with pcienic-ls -D -nn",
                                       selection_text(options.scan), listing.functions.size()));

    // lspci shows domains for all as soon as one function is outside domain 0.
    for (const ls::Function& function : listing.functions)
        if (function.address.domain != 0) options.text.domains = true;
    if (!output.is_text()) {
        output.write(document_of(listing, options.text.hex));
    } else if (options.tree) {
        ls::render_tree(std::cout, listing, options.text);
    } else {
        for (std::size_t index = 0; index < listing.functions.size(); ++index)
            if (listing.selected[index]) ls::render_text(std::cout, listing.functions[index], options.text);
    }
    return cli::Exit::ok;
}

}  // namespace

int main(int argc, char** argv) {
    return cli::guarded("pcienic-ls", std::cout, std::cerr,
                        [&] { return run(std::vector<std::string>(argv + 1, argv + argc)); });
}
