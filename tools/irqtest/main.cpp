// SPDX-License-Identifier: MIT
//
// pcienic-irqtest: does every interrupt arrive, once, on its own vector, and how soon?
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <map>
#include <numeric>
#include <optional>
#include <pcienic/driver.hpp>
#include <uiovfio/uiovfio.hpp>
#include <utility>

#include "checks.hpp"
#include "cli/backend.hpp"
#include "cli/exit.hpp"
#include "cli/interruption.hpp"
#include "cli/json_text.hpp"
#include "cli/number.hpp"
#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "cli/removal.hpp"
#include "cli/selector.hpp"
#include "cli/tool.hpp"
#include "report.hpp"

namespace {

using namespace irqtest;
namespace cli = pcienic::cli;
using uiovfio::InterruptMode;

constexpr std::string_view kName = "pcienic-irqtest";
constexpr std::string_view kExamples =
    "  pcienic-irqtest                                  every vector of the only pcienic, 100 times\n"
    "  pcienic-irqtest -s 01:00.0 --vectors 0-7,9 --latency\n"
    "  pcienic-irqtest --masked --parallel --storm      everything that can be checked\n"
    "  pcienic-irqtest -s 00:03.0 --via vfio            any device on vfio-pci, by the kernel's loopback\n";

struct Settings {
    cli::DeviceSelector selector;
    std::string backend = "auto";
    std::string vectors;
    std::string count = "100";
    std::string via = "device";
    std::string mode = "auto";
    std::string timeout = "1s";
    std::string output = "table";
    std::string color = "auto";
    bool latency = false;
    Plan plan;

    void add_options(CLI::App& app) {
        selector.add_options(app);
        cli::add_backend_option(app, backend, [](const uiovfio::BackendTraits& traits) {
            using enum uiovfio::Feature;
            return traits.can(msix) || traits.can(msi) || traits.can(intx);
        });
        app.add_option("--vectors", vectors, "Which, such as 0-7,9; default: all that can be enabled")
            ->type_name("LIST");
        app.add_option("--count", count, "Firings of each vector in each check; default 100")->type_name("N");
        app.add_option("--via", via, "Who fires: device (its IRQ_TEST register), vfio (the kernel's loopback), or both")
            ->check(CLI::IsMember({"device", "vfio", "both"}));
        app.add_option("--mode", mode, "msix, msi or intx; default auto: the first of them that there is")
            ->check(CLI::IsMember({"auto", "msix", "msi", "intx"}));
        app.add_flag("--masked", plan.masked,
                     "Fire while masked: pending, then exactly one when unmasked (via device)");
        app.add_flag("--parallel", plan.parallel, "Fire all vectors before any is looked at");
        app.add_flag("--storm", plan.storm, "Fire without waiting: never more than fired, and the last one is seen");
        app.add_flag("--latency", latency, "Show the distribution of the latencies");
        app.add_option("--timeout", timeout, "How long an interrupt may take; default 1s")->type_name("TIME");
        CLI::Option* form = app.add_option("-o,--output", output, "Form of the output: table, json or tap")
                                ->type_name("FORMAT")
                                ->check(CLI::IsMember({"table", "json", "tap"}));
        app.add_flag_callback("--json", [this] { output = "json"; }, "The same as -o json")->excludes(form);
        app.add_option("--color", color, "auto, always or never; NO_COLOR in the environment means never")
            ->type_name("WHEN")
            ->check(CLI::IsMember({"auto", "always", "never"}));
    }

    bool colour() const {
        const char* no_color = std::getenv("NO_COLOR");
        return color == "always" || (color == "auto" && (!no_color || !*no_color) && isatty(STDOUT_FILENO) == 1);
    }
};

uiovfio::Device open(const Settings& settings) {
    cli::check_backend(settings.backend, settings.selector);
    if (settings.backend == "sim") return uiovfio::Device::open({}, {.backend = "sim"});
    const uiovfio::PciFunction function = settings.selector.choose(uiovfio::enumerate());
    return uiovfio::Device::open(function.bdf, {.backend = settings.backend});
}

bool is_pcienic(const uiovfio::Device& device) {
    return device.config().vendor_id() == pcienic::kVendorId && device.config().device_id() == pcienic::kDeviceId;
}

// How many vectors the device has in that mode, reached as it is.
unsigned available(uiovfio::Device& device, InterruptMode mode) {
    const uiovfio::Feature feature = mode == InterruptMode::intx  ? uiovfio::Feature::intx
                                     : mode == InterruptMode::msi ? uiovfio::Feature::msi
                                                                  : uiovfio::Feature::msix;
    return device.can(feature) ? device.interrupts().available(mode) : 0;
}

constexpr std::array kModes{std::pair{"msix", InterruptMode::msix}, std::pair{"msi", InterruptMode::msi},
                            std::pair{"intx", InterruptMode::intx}};

// The one that is asked for, or the best that there is.
InterruptMode choose_mode(uiovfio::Device& device, std::string& wanted) {
    std::string others;
    for (const auto& [name, mode] : kModes) {
        const unsigned count = available(device, mode);
        if (count == 0) continue;
        if (wanted == "auto") wanted = name;
        if (wanted == name) return mode;
        others += fmt::format("{}{} {}", others.empty() ? "" : ", ", to_string(mode), count);
    }
    const std::string object = fmt::format("{} through {}", to_string(device.bdf()), device.backend());
    if (others.empty())
        throw cli::Failure(cli::Exit::skipped, object + ": there are no interrupts, so there is nothing to test");
    throw cli::Failure(
        cli::Exit::skipped,
        fmt::format("{}: there is no --mode {}, so there is nothing to test: there is {}", object, wanted, others));
}

// With INTx the device's vectors all share the one line, so they can be told apart only by the device.
std::vector<unsigned> choose_vectors(const std::string& list, unsigned limit) {
    std::vector<unsigned> vectors(limit);
    std::iota(vectors.begin(), vectors.end(), 0u);
    if (list.empty()) return vectors;
    vectors = cli::parse_ranges(list, limit - 1);
    std::ranges::sort(vectors);
    vectors.erase(std::unique(vectors.begin(), vectors.end()), vectors.end());
    return vectors;
}

void show(const Settings& settings, const uiovfio::Device& device, const std::vector<SourceReport>& sources) {
    if (settings.output == "json") {
        cli::Document document;
        document.schema = "pcienic.irqtest/1";
        document.device = {{"bdf", to_string(device.bdf())},
                           {"backend", device.backend()},
                           {"vendor", device.config().vendor_id()},
                           {"device", device.config().device_id()}};
        document.rows = to_json(sources);
        cli::Json json = cli::Output(std::string(kName), std::cout).envelope(document);
        json["mode"] = settings.mode;
        json["passed"] = std::ranges::all_of(sources, &SourceReport::passed);
        std::cout << cli::json_text(json, 2) << '\n';
    } else if (settings.output == "tap") {
        std::cout << to_tap(sources);
    } else {
        std::cout << fmt::format("{} {:04x}:{:04x} through {}, {}, {} vector{}, {} firings each\n",
                                 to_string(device.bdf()), device.config().vendor_id(), device.config().device_id(),
                                 device.backend(), to_string(device.interrupts().mode()), settings.plan.vectors.size(),
                                 settings.plan.vectors.size() == 1 ? "" : "s", settings.plan.count)
                  << to_table(sources, settings.latency, settings.colour());
    }
}

cli::Exit test(Settings& settings) {
    settings.plan.count = cli::parse_number(settings.count);
    settings.plan.timeout = cli::parse_duration(settings.timeout);
    if (settings.plan.count == 0)
        throw cli::Failure(cli::Exit::usage, "--count 0: there is nothing to fire: give at least 1");

    if (settings.plan.masked && settings.via == "vfio")
        throw cli::Failure(cli::Exit::usage, "--masked: only the device masks its vectors: use --via device or both");

    uiovfio::Device device = open(settings);
    std::optional<pcienic::Driver> driver;
    if (is_pcienic(device)) driver.emplace(device);
    if (!driver && settings.via != "vfio")
        throw cli::Failure(
            cli::Exit::usage,
            fmt::format("{}: only a pcienic can be told to fire a vector: use --via vfio", to_string(device.bdf())));
    const InterruptMode mode = choose_mode(device, settings.mode);
    const unsigned enabled = driver ? driver->enable_interrupts(mode)
                                    : pcienic::enable_granted(device.interrupts(), mode, available(device, mode));
    const bool shared = mode == InterruptMode::intx && driver;
    const bool by_device = settings.via != "vfio";
    settings.plan.vectors =
        choose_vectors(settings.vectors, shared && by_device ? driver->identity().vectors : enabled);

    const cli::Interruption interruption;
    std::optional<cli::Progress> progress{std::in_place, std::string{kName}, std::cerr, isatty(STDERR_FILENO) == 1};
    cli::RemovalRequest request{device};
    std::vector<SourceReport> sources;
    const auto check = [&](Via via) {
        Plan plan = settings.plan;
        // The loopback knows the line, and none of the vectors behind it.
        if (shared && via == Via::vfio) plan.vectors = {0};
        plan.go_on = [&, what = fmt::format("firings via {}", name(via))](auto done, auto total) {
            progress->at(done, total, what);
            return !cli::Interruption::came() && !request.came();
        };
        sources.push_back(run(device, driver ? &*driver : nullptr, via, plan));
        return sources.back().complete;
    };
    const bool goes_on = !by_device || check(Via::device);
    if (goes_on && settings.via != "device") check(Via::vfio);
    progress.reset();  // its line goes before the table comes
    show(settings, device, sources);
    if (std::ranges::all_of(sources, &SourceReport::passed)) return cli::Exit::ok;
    const bool held = std::ranges::all_of(sources, &SourceReport::held);
    if (held && request.came()) throw request.failure();
    return held ? cli::Exit::interrupted : cli::Exit::check_failed;
}

}  // namespace

int main(int argc, char** argv) {
    return cli::guarded(kName, std::cout, std::cerr, [&] {
        Settings settings;
        CLI::App app("Fires interrupt vectors and checks that each arrives, once, on its own eventfd, and how soon.");
        settings.add_options(app);
        cli::dress(app, kName, kExamples, "pcienic-ls, pcienic-ctl");
        if (const auto done = cli::parse(app, {argv + 1, argv + argc}, std::cout)) return *done;
        return test(settings);
    });
}
