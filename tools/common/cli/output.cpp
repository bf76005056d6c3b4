// SPDX-License-Identifier: MIT
#include "cli/output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>

#include "cli/json_text.hpp"
#include "cli/options.hpp"
#include "cli/tool.hpp"

namespace pcienic::cli {
namespace {

/// One member of a row as text.
std::string cell(const Json& row, const std::string& key) {
    const auto member = row.find(key);
    if (member == row.end() || member->is_null()) return "-";
    if (member->is_string()) return member->get<std::string>();
    if (member->is_boolean()) return member->get<bool>() ? "yes" : "no";
    if (!member->is_array()) return json_text(*member);
    std::string joined;
    for (const Json& element : *member) {
        if (!joined.empty()) joined += ',';
        joined += element.is_string() ? element.get<std::string>() : json_text(element);
    }
    return joined.empty() ? "-" : joined;
}

}  // namespace

std::string hex(std::uint64_t value, unsigned bits) { return fmt::format("0x{:0{}x}", value, bits / 4); }

void put_number(Json& object, const std::string& key, std::uint64_t value, unsigned bits) {
    object[key] = value;
    object[key + "_hex"] = hex(value, bits);
}

std::string paint(std::string_view text, Style style, bool colour) {
    static const std::map<Style, std::string_view> kCodes{
        {Style::bold, "1"}, {Style::dim, "2"}, {Style::red, "31"}, {Style::green, "32"}, {Style::yellow, "33"}};
    const auto code = kCodes.find(style);
    if (!colour || code == kCodes.end()) return std::string{text};
    return fmt::format("\x1b[{}m{}\x1b[0m", code->second, text);
}

void Output::add_options(CLI::App& app) {
    Options options{app};
    static const std::map<std::string, Format> kFormats{{"table", Format::table},
                                                        {"json", Format::json},
                                                        {"jsonl", Format::jsonl},
                                                        {"tsv", Format::tsv},
                                                        {"raw", Format::raw}};
    const Option form = options
                            .add_option(
                                "-o,--output", [this](const std::string& name) { format_ = kFormats.at(name); },
                                "Form of the output: table, json, jsonl, tsv, or raw (values only, one a line)")
                            .type_name("FORMAT")
                            .one_of({"table", "json", "jsonl", "tsv", "raw"});
    options.add_flag("--json", [this] { format_ = Format::json; }, "The same as -o json").excludes(form);
    options.add_option("--color", color_, "auto, always or never; NO_COLOR in the environment means never")
        .type_name("WHEN")
        .one_of({"auto", "always", "never"});
}

bool Output::colour() const {
    if (!is_text() || color_ == "never") return false;
    if (color_ == "always") return true;
    const char* no_color = std::getenv("NO_COLOR");
    return (no_color == nullptr || *no_color == '\0') && out_ == &std::cout && isatty(STDOUT_FILENO) == 1;
}

Json Output::envelope(const Document& document) const {
    return {{"schema", document.schema},
            {"tool", fmt::format("{} {}", tool_, version())},
            {"device", document.device},
            {"data", document.rows}};
}

void Output::write(const Document& document) const {
    switch (format_) {
        case Format::json:
            *out_ << json_text(envelope(document), 2) << '\n';
            break;
        case Format::jsonl:
            for (const Json& row : document.rows) *out_ << json_text(row) << '\n';
            break;
        case Format::tsv:
            write_tsv(document);
            break;
        case Format::raw:
            for (const Json& row : document.rows) *out_ << cell(row, document.raw_key) << '\n';
            break;
        case Format::table:
            if (document.line) {
                for (const Json& row : document.rows) *out_ << document.line(row) << '\n';
            } else {
                write_table(document);
            }
            break;
    }
    out_->flush();
}

void Output::write_tsv(const Document& document) const {
    const auto line = [&](const auto& text_of) {
        for (std::size_t i = 0; i < document.columns.size(); ++i)
            *out_ << (i == 0 ? "" : "\t") << text_of(document.columns[i]);
        *out_ << '\n';
    };
    line([](const Column& column) { return column.key; });
    for (const Json& row : document.rows) line([&](const Column& column) { return cell(row, column.key); });
}

void Output::write_table(const Document& document) const {
    std::vector<std::size_t> widths;
    for (const Column& column : document.columns) {
        std::size_t width = column.title.size();
        for (const Json& row : document.rows) width = std::max(width, cell(row, column.key).size());
        widths.push_back(width);
    }
    const auto line = [&](const auto& text_of, const auto& style_of) {
        for (std::size_t i = 0; i < widths.size(); ++i) {
            const Column& column = document.columns[i];
            const std::string text = text_of(column);
            const std::string padding(widths[i] - text.size(), ' ');
            const bool last = i + 1 == widths.size();
            if (column.right) *out_ << padding;
            *out_ << paint(text, style_of(column), colour());
            if (!last) *out_ << (column.right ? "" : padding) << "  ";
        }
        *out_ << '\n';
    };
    line([](const Column& column) { return column.title; }, [](const Column&) { return Style::bold; });
    for (const Json& row : document.rows) {
        line([&](const Column& column) { return cell(row, column.key); },
             [&](const Column& column) { return column.style ? column.style(row) : Style::plain; });
    }
}

}  // namespace pcienic::cli
