// SPDX-License-Identifier: MIT
//
// pcienic-bench: what the library costs, next to the same done by hand and by others, in one run.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <pcienic/registers.hpp>
#include <uiovfio/uiovfio.hpp>

#include "cli/exit.hpp"
#include "cli/selector.hpp"
#include "cli/tool.hpp"
#include "measure/environment.hpp"
#include "measure/plan.hpp"
#include "report/model.hpp"
#include "report/svg.hpp"
#include "report/text.hpp"

namespace {

using namespace pcienic::bench;
namespace cli = pcienic::cli;

constexpr std::string_view kName = "pcienic-bench";
constexpr std::string_view kExamples =
    "  pcienic-bench run                                  everything, on the first pcienic\n"
    "  pcienic-bench run --quick --only interrupts --json\n"
    "  pcienic-bench show bench.json --svg pictures       the tables again, and the distributions drawn\n"
    "  pcienic-bench show bench.json --compare old.json   what became of the ratios\n";

struct RunOptions {
    cli::DeviceSelector selector;
    std::string second;
    std::string backend = "auto";
    std::vector<std::string> only;
    bool quick = false;
    bool json = false;

    void add_to(CLI::App& app) {
        std::vector<std::string> names;
        std::string help = "Only these; may be repeated:";
        for (const Subject& subject : kSubjects) {
            names.emplace_back(subject.name);
            help += fmt::format("\n{} ({})", subject.name, subject.summary);
        }
        app.add_option("--only", only, help)->type_name("SUBJECT")->check(CLI::IsMember(names));
        app.add_flag("--quick", quick, "Few rounds: shows that all works, and not how fast");
        selector.add_options(app);
        app.add_option("--second", second,
                       "Another pcienic, which is given to other drivers meanwhile; default: the next")
            ->type_name("BDF");
        app.add_option("--backend", backend, "One of uiovfio's; sim needs neither device nor root");
        app.add_flag("--json", json, "Print the JSON document instead of tables");
    }
};

struct ShowOptions {
    std::vector<std::string> files;
    std::string svg;
    std::string json;
    std::string compare;

    void add_to(CLI::App& app) {
        app.add_option("FILE", files, "What run --json printed; the runs of several are put together")->required();
        app.add_option("--svg", svg, "Draw each group's distributions into this folder")->type_name("DIR");
        app.add_option("--json", json, "Write the runs together into this file")->type_name("FILE");
        app.add_option("--compare", compare, "An earlier result: print what became of the ratios")->type_name("FILE");
    }
};

bool colour() {
    const char* no_color = std::getenv("NO_COLOR");
    return (no_color == nullptr || *no_color == '\0') && isatty(STDOUT_FILENO) == 1;
}

std::string read_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    std::string text{std::istreambuf_iterator<char>{file}, {}};
    if (!file) throw cli::Failure(cli::Exit::failure, fmt::format("{}: cannot be read", path));
    return text;
}

void write_file(const std::filesystem::path& path, const std::string& text) {
    std::ofstream file{path, std::ios::binary};
    file << text << std::flush;
    if (!file) throw cli::Failure(cli::Exit::failure, fmt::format("{}: cannot be written", path.string()));
}

bool is_pcienic(const uiovfio::PciFunction& function) {
    return function.vendor == pcienic::kVendorId && function.device == pcienic::kDeviceId;
}

Plan make_plan(const RunOptions& options) {
    Plan plan{.device = {}, .backend = options.backend, .quick = options.quick};
    if (options.backend == "sim") return plan;
    std::vector<uiovfio::PciFunction> functions = uiovfio::enumerate();
    std::erase_if(functions, [](const auto& function) { return !is_pcienic(function); });
    const bool takes_first = !options.selector.given() && functions.size() > 1;
    plan.device = takes_first ? functions.front().bdf : options.selector.choose(functions).bdf;
    if (!options.second.empty()) {
        plan.second = uiovfio::Bdf::parse(options.second);
    } else {
        const auto other = std::ranges::find_if(functions, [&](const auto& f) { return f.bdf != plan.device; });
        if (other != functions.end()) plan.second = other->bdf;
    }
    return plan;
}

cli::Exit verdict(const Report& report) {
    const std::vector<std::string> allocations = forbidden_allocations(report);
    for (const std::string& line : allocations) std::cerr << kName << ": allocates where it must not: " << line << '\n';
    return allocations.empty() ? cli::Exit::ok : cli::Exit::check_failed;
}

cli::Exit measure(const RunOptions& options) {
    const Plan plan = make_plan(options);
    Run run{describe_environment(plan), {}};
    for (const Subject& subject : kSubjects) {
        if (!options.only.empty() && std::ranges::find(options.only, subject.name) == options.only.end()) continue;
        std::cerr << kName << ": " << subject.name << ": " << subject.summary << std::endl;
        std::ranges::move(subject.measure(plan), std::back_inserter(run.groups));
    }
    const Report report{{std::move(run)}};
    if (options.json)
        std::cout << to_json(report).dump(1) << '\n';
    else
        std::cout << to_text(report.runs.front(), colour()) << '\n' << claims_text(report, colour());
    return verdict(report);
}

cli::Exit show(const ShowOptions& options) {
    Report report;
    for (const std::string& file : options.files)
        std::ranges::move(parse_report(read_file(file), file).runs, std::back_inserter(report.runs));
    std::optional<Report> earlier;
    if (!options.compare.empty()) earlier = parse_report(read_file(options.compare), options.compare);

    for (const Run& run : report.runs) std::cout << to_text(run, colour()) << '\n';
    std::cout << claims_text(report, colour());
    if (earlier) std::cout << '\n' << comparison_text(*earlier, report);
    if (!options.json.empty()) write_file(options.json, to_json(report).dump(1) + '\n');
    if (!options.svg.empty()) {
        std::filesystem::create_directories(options.svg);
        for (const Picture& picture : pictures(report))
            write_file(std::filesystem::path{options.svg} / picture.name, picture.svg);
    }
    return verdict(report);
}

}  // namespace

int main(int argc, char** argv) {
    return cli::guarded(kName, std::cout, std::cerr, [&] {
        RunOptions run_options;
        ShowOptions show_options;
        CLI::App app(
            "Measures what the library costs, next to the same done by hand and by others, in turns in one run.");
        app.require_subcommand(1);
        CLI::App* run = app.add_subcommand("run", "Measure");
        run_options.add_to(*run);
        CLI::App* shown = app.add_subcommand("show", "Show, draw and compare what was measured");
        show_options.add_to(*shown);
        cli::dress(app, kName, kExamples, "./pcienic bench, docs/reference/benchmarks.md");
        if (const auto done = cli::parse(app, {argv + 1, argv + argc}, std::cout)) return *done;
        return *run ? measure(run_options) : show(show_options);
    });
}
