// SPDX-License-Identifier: MIT
#include "cli/tool.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ostream>

namespace pcienic::cli {
namespace {

/// CLI11's layout with the examples directly under the usage line, where a reader looks first.
class ExamplesFirst : public CLI::Formatter {
  public:
    explicit ExamplesFirst(std::string examples) : examples_{std::move(examples)} {}

    std::string make_usage(const CLI::App* app, std::string name) const override {
        std::string usage = CLI::Formatter::make_usage(app, std::move(name));
        if (app->get_parent() == nullptr && !examples_.empty()) usage += "\nExamples:\n" + examples_;
        return usage;
    }

  private:
    std::string examples_;
};

}  // namespace

std::string_view version() noexcept { return PCIENIC_VERSION; }

void dress(CLI::App& app, std::string_view name, std::string_view examples, std::string_view see_also) {
    app.name(std::string{name});
    app.set_help_flag("-h,--help", "Show this help");
    app.set_version_flag("--version", fmt::format("{} {}", name, version()), "Show the version");
    const auto formatter = std::make_shared<ExamplesFirst>(std::string{examples});
    formatter->column_width(34);
    formatter->label("SUBCOMMAND", "COMMAND");
    formatter->label("SUBCOMMANDS", "COMMANDS");
    app.formatter(formatter);
    app.footer(fmt::format("{}\nSee also: {}", kExitCodesHelp, see_also));
}

std::optional<Exit> parse(CLI::App& app, std::vector<std::string> arguments, std::ostream& out) {
    std::ranges::reverse(arguments);  // CLI11 takes them from the back
    try {
        app.parse(arguments);
    } catch (const CLI::Success& request) {  // help and version
        app.exit(request, out, out);
        return Exit::ok;
    } catch (const CLI::ParseError& error) {
        throw Failure{Exit::usage, fmt::format("{}: see {} --help", error.what(), app.get_name())};
    }
    return std::nullopt;
}

}  // namespace pcienic::cli
