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

/// CLI11 gives these words a meaning of its own, by which they or a part of them would be lost; a user who writes one
/// has most often a variable that is not set.
void refuse_words(const std::vector<std::string>& arguments, const std::string& tool) {
    for (const std::string& word : arguments) {
        if (word.empty())
            throw Failure{Exit::usage,
                          fmt::format("'': an empty word means nothing to {}: is a variable not set?", tool)};
        const bool is_list = (word.front() == '[' && word.back() == ']') || (word.front() == '{' && word.back() == '}');
        if (is_list || word == "++")
            throw Failure{Exit::usage, fmt::format("'{}': means nothing to {}: see {} --help", word, tool, tool)};
        if (word.starts_with("--") && word.find('=') == word.size() - 1)
            throw Failure{Exit::usage, fmt::format("{}: no value follows: is a variable not set?", word)};
    }
}

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
    refuse_words(arguments, app.get_name());
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
