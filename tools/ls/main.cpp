// SPDX-License-Identifier: GPL-2.0-or-later
// pcienic-ls: lists PCI functions as lspci does, and says what keeps a userspace driver from having one.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "cli/exit.hpp"
#include "cli/output.hpp"
#include "cli/tool.hpp"
#include "collect.hpp"
#include "printable.hpp"
#include "render.hpp"

namespace {

using namespace pcienic;

constexpr std::string_view kExamples =
    "  pcienic-ls -nnk                     every function: names, numbers, driver, and whether VFIO could have it\n"
    "  pcienic-ls -vvv -s 01:00.0          one function in full, in lspci's words\n"
    "  pcienic-ls -vmmk                    for scripts: KEY:<tab>VALUE, an empty line after each function\n"
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
                 "Show more: -v flags, regions and capabilities; -vv their fields; -vvv all");
    app.add_flag("-x", options.text.hex, "Hex dump: -x the first 64 bytes, -xxx 256, -xxxx 4096");
    app.add_flag("-k", options.text.kernel, "Driver, modules, IOMMU group, and whether VFIO could open it");
    app.add_flag("-n", options.numeric, "-n: numbers in place of names; -nn: both");
    app.add_flag("-m", options.text.machine_readable,
                 "For scripts: -mm quoted words, -vmm a line for each value; -m alone as lspci's older form");
    app.add_flag("-t", options.tree, "Draw a tree of buses");
    app.add_flag("-P", options.text.path, "The path of bridges before the address; -PP with each one's bus");
    app.add_flag("-D", options.text.domains, "Always write the domain");
    app.add_option("-i", options.scan.ids_file, "Take the names from this pci.ids, not the system's")
        ->type_name("FILE");
    app.add_option("-F", options.scan.dump_file, "Read the output of lspci -x from FILE (- for stdin), not the machine")
        ->type_name("FILE");
}

/// lspci's options that this tool does not have, and what to do instead.
struct Foreign {
    const char* option;
    bool takes_value;
    const char* instead;
};
constexpr Foreign kForeign[] = {
    {"-q", false, "no name is asked for over the network: update-pciids(8) renews the system's names, -i takes a file"},
    {"-Q", false, "no name is asked for over the network: update-pciids(8) renews the system's names, -i takes a file"},
    {"-M", false, "buses that the kernel does not know are not searched: lspci -M does"},
    {"-b", false, "addresses are the kernel's: -x shows the registers, lspci -b what they say"},
    {"-p", true, "modules are the running kernel's: lspci -p reads another map"},
    {"-A", true, "libpci chooses how to get at the machine: lspci -A lets you choose"},
    {"-O", true, "libpci chooses how to get at the machine: lspci -O lets you choose"},
    {"-H", true, "libpci chooses how to get at the machine: lspci -H lets you choose"},
    {"-G", false, "lspci -G shows what libpci does"},
};

void add_foreign_options(CLI::App& app) {
    constexpr const char* kHidden = "";
    for (const Foreign& foreign : kForeign) {
        const auto refuse = [foreign] {
            throw cli::Failure(cli::Exit::usage, fmt::format("{}: {}", foreign.option, foreign.instead));
        };
        if (foreign.takes_value)
            app.add_option_function<std::string>(foreign.option, [refuse](const std::string&) { refuse(); })
                ->group(kHidden);
        else
            app.add_flag_function(foreign.option, [refuse](std::int64_t) { refuse(); })->group(kHidden);
    }
}

/// One document at a time: what would be left out without a word is refused.
void check_forms(const Options& options, bool is_text) {
    const auto refuse = [](const std::string& which) {
        throw cli::Failure(cli::Exit::usage, which + " are two forms of output: choose one");
    };
    const bool machine = options.text.machine_readable > 0;
    if (!is_text && options.tree) refuse("-t and --json (or -o)");
    if (!is_text && machine) refuse("-m and --json (or -o)");
    if (options.tree && machine) refuse("-t and -m");
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
    if (!scan.slot.empty()) text += " -s " + ls::printable(scan.slot);
    if (!scan.id.empty()) text += " -d " + ls::printable(scan.id);
    return text;
}

cli::Exit run(std::vector<std::string> arguments) {
    CLI::App app{"Lists PCI functions as lspci does, and whether a userspace driver could have them."};
    Options options;
    cli::Output output("pcienic-ls", std::cout);
    cli::dress(app, "pcienic-ls", kExamples, "lspci(8), pcienic-ctl(1), pcienic-irqtest(1)");
    add_options(app, options);
    add_foreign_options(app);
    output.add_options(app);
    if (const std::optional<cli::Exit> done = cli::parse(app, std::move(arguments), std::cout)) return *done;

    options.text.verbosity = std::min(options.text.verbosity, ls::kMaxVerbosity);  // as lspci takes -vvvv
    check_forms(options, output.is_text());
    options.scan.naming = options.numeric > 1    ? ls::Naming::both
                          : options.numeric == 1 ? ls::Naming::numbers
                                                 : ls::Naming::names;
    options.scan.details =
        !output.is_text() || options.text.verbosity > 0 || options.text.hex > 0 || options.text.kernel;
    options.scan.topology = options.tree || options.text.path > 0;
    options.scan.vital_product_data = options.text.verbosity > 1;
    const bool decodes = !output.is_text() || (options.text.verbosity > 0 && options.text.machine_readable == 0);
    options.scan.config_bytes = decodes || options.text.hex > 3 ? ls::ConfigImage::kMaxSize
                                : options.text.hex == 3         ? 256
                                                                : ls::ConfigImage::kHeaderSize;
    const ls::Listing listing = ls::collect(options.scan);
    for (const std::string& warning : listing.warnings) std::cerr << "pcienic-ls: " << warning << '\n';
    std::size_t chosen = 0;
    for (const bool selected : listing.selected) chosen += selected ? 1 : 0;
    if (chosen == 0 && !selection_text(options.scan).empty())
        throw cli::Failure(cli::Exit::no_device,
                           fmt::format("no function matches{}: see all {} of them with pcienic-ls -D -nn",
                                       selection_text(options.scan), listing.functions.size()));

    // lspci shows domains for all as soon as one function is outside domain 0, but to scripts each its own.
    if (options.text.machine_readable == 0)
        for (const ls::Function& function : listing.functions)
            if (function.address.domain != 0) options.text.domains = true;
    if (!output.is_text()) {
        output.write(document_of(listing, options.text.hex));
    } else if (options.tree) {
        ls::render_tree(std::cout, listing, options.text);
    } else {
        const auto render = options.text.machine_readable > 0 ? ls::render_machine : ls::render_text;
        for (std::size_t index = 0; index < listing.functions.size(); ++index)
            if (listing.selected[index]) render(std::cout, listing.functions[index], options.text);
    }
    return listing.warnings.empty() ? cli::Exit::ok : cli::Exit::failure;
}

}  // namespace

int main(int argc, char** argv) {
    return cli::guarded("pcienic-ls", std::cout, std::cerr,
                        [&] { return run(std::vector<std::string>(argv + 1, argv + argc)); });
}
