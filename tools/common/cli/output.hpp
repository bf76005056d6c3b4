// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One data model, several renderers: a command fills rows of JSON objects, and table, tsv, jsonl and json are drawn
/// from the same rows, so that they cannot drift apart. Data go to stdout, everything else to stderr.

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace pcienic::cli {

using Json = nlohmann::ordered_json;

enum class Format { table, json, jsonl, tsv, raw };
enum class Style { plain, bold, dim, red, green, yellow };

/// A column of the table: `key` is the row's member that it shows.
struct Column {
    std::string key;
    std::string title;
    bool right = false;                             ///< align to the right, as numbers are
    std::function<Style(const Json& row)> style{};  ///< optional
};

/// What a command has to say.
struct Document {
    std::string schema;             ///< "pcienic.dump/1": fields are only ever added within a number
    Json device = nullptr;          ///< of which device; null where there is none
    std::vector<Column> columns{};  ///< of the table and the tsv form
    Json rows = Json::array();
    std::string raw_key{};                               ///< the member that `-o raw` prints, one a line
    std::function<std::string(const Json& row)> line{};  ///< optional: text lines in place of a table
};

/// "0x0000002a": padded to the width of the access.
std::string hex(std::uint64_t value, unsigned bits);

/// Adds `key` as a number and `key`_hex as text, which is exact where a reader's numbers are doubles.
void put_number(Json& object, const std::string& key, std::uint64_t value, unsigned bits);

/// Text in a style, or as it is.
std::string paint(std::string_view text, Style style, bool colour);

/// The options -o, --json and --color, and what they amount to.
class Output {
  public:
    /// `tool` is the name that the envelope carries, `out` where the data go.
    Output(std::string tool, std::ostream& out) : tool_{std::move(tool)}, out_{&out} {}

    void add_options(CLI::App& app);

    [[nodiscard]] Format format() const noexcept { return format_; }
    [[nodiscard]] bool is_text() const noexcept { return format_ == Format::table; }
    /// Colours: never in a machine's format, never with NO_COLOR, by default only to a terminal.
    [[nodiscard]] bool colour() const;
    [[nodiscard]] std::ostream& stream() const noexcept { return *out_; }

    /// The whole JSON document: {"schema":..., "tool":..., "device":..., "data":[...]}.
    [[nodiscard]] Json envelope(const Document& document) const;
    void write(const Document& document) const;

  private:
    void write_table(const Document& document) const;
    void write_tsv(const Document& document) const;

    std::string tool_;
    std::ostream* out_;
    Format format_ = Format::table;
    std::string color_ = "auto";
};

}  // namespace pcienic::cli
