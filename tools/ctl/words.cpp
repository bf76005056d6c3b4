// SPDX-License-Identifier: MIT
#include "words.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <span>

#include "cli/exit.hpp"
#include "cli/shell.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;

const CLI::Option* find_option(const CLI::App& app, const CLI::App* operation, const std::string& name) {
    const CLI::Option* option = operation != nullptr ? operation->get_option_no_throw(name) : nullptr;
    return option != nullptr ? option : app.get_option_no_throw(name);
}

bool takes_value(const CLI::Option* option) { return option != nullptr && option->get_items_expected_min() > 0; }

/// Whether the option that this word is, or the last of the short ones that it is ("-nv"), has its value in the next.
bool is_value_next(const CLI::App& app, const CLI::App* operation, const std::string& word) {
    if (word.starts_with("--"))
        return word.find('=') == std::string::npos && takes_value(find_option(app, operation, word));
    for (std::size_t i = 1; i < word.size(); ++i)
        if (takes_value(find_option(app, operation, {'-', word[i]}))) return i + 1 == word.size();
    return false;
}

const CLI::App* find_operation(const CLI::App& app, const std::string& name) {
    const auto all = app.get_subcommands([&](const CLI::App* operation) { return operation->get_name() == name; });
    return all.empty() ? nullptr : all.front();
}

bool is_separator(const std::string& word) {
    return !word.empty() && word.find_first_not_of(";&|,:") == std::string::npos;
}

bool names_files(std::string_view operation) {
    return operation == "run" || operation == "diff" || operation == "trace";
}

}  // namespace

std::vector<std::size_t> operands(const CLI::App& app, const Words& words) {
    std::vector<std::size_t> places;
    const CLI::App* operation = nullptr;
    bool are_options_over = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string& word = words[i];
        if (!are_options_over && word == "--") {
            are_options_over = true;
        } else if (!are_options_over && word.size() > 1 && word.front() == '-') {
            if (is_value_next(app, operation, word)) ++i;
        } else {
            if (places.empty()) operation = find_operation(app, word);
            places.push_back(i);
        }
    }
    return places;
}

std::string_view operation_of(const CLI::App& app, const Words& words) {
    const std::vector<std::size_t> places = operands(app, words);
    return places.empty() ? std::string_view{} : words[places.front()];
}

namespace {

/// ":read" and "read;" are what a shell, or a person in a hurry, has left of an operation and a separator.
std::string without_separators(std::string word) {
    constexpr const char* kSeparators = ";&|,:";
    const std::size_t last = word.find_last_not_of(kSeparators);
    word.erase(last == std::string::npos ? 0 : last + 1);
    return word.substr(std::min(word.find_first_not_of(kSeparators), word.size()));
}

}  // namespace

void refuse_joined(const CLI::App& app, const Words& words) {
    const std::vector<std::size_t> places = operands(app, words);
    if (places.empty() || find_operation(app, words[places.front()]) == nullptr) return;
    const std::string& operation = words[places.front()];
    for (const std::size_t place : std::span{places}.subspan(1)) {
        const bool is_operation = find_operation(app, without_separators(words[place])) != nullptr;
        if (!is_operation && !is_separator(words[place])) continue;
        Words first(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(place));
        first.back() = without_separators(first.back());
        Words rest(words.begin() + static_cast<std::ptrdiff_t>(is_operation ? place : place + 1), words.end());
        if (is_operation) rest.front() = without_separators(rest.front());
        throw Failure{Exit::usage,
                      fmt::format("'{}': is no operand of {}: separate operations with ' : ', as in `pcienic-ctl {} : "
                                  "{}`{}",
                                  words[place], operation, cli::shell_words(first), cli::shell_words(rest),
                                  is_operation && names_files(operation)
                                      ? fmt::format("; a file of that name is ./{}", words[place])
                                      : "")};
    }
}

void refuse_behind_dashes(const CLI::App& app, const Words& words) {
    const auto dashes = std::ranges::find(words, "--");
    if (dashes == words.end() || dashes + 1 == words.end()) return;
    const std::string& word = *(dashes + 1);
    const std::string operation{operation_of(app, Words(words.begin(), dashes))};
    const CLI::App* found = find_operation(app, operation);
    if (found == nullptr)
        throw Failure{Exit::usage,
                      fmt::format("'{}': stands behind --, where only operands do: name the operation first", word)};
    const auto is_operand = [](const CLI::Option* option) { return option->get_positional(); };
    if (std::ranges::none_of(found->get_options(), is_operand))
        throw Failure{Exit::usage,
                      fmt::format("'{}': stands behind --, where only operands do, and {} has none", word, operation)};
}

}  // namespace pcienic::ctl
