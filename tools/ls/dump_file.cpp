// SPDX-License-Identifier: GPL-2.0-or-later
// libpci reads dumps, too, but each release another set of addresses; it gives up a whole file for a line that is too
// long or has no end, and mixes up two functions if it does not know the address of one.
#include "dump_file.hpp"

#include <fmt/format.h>

#include <charconv>
#include <istream>
#include <optional>
#include <set>
#include <string_view>

#include "printable.hpp"

namespace pcienic::ls {
namespace {

bool is_hex_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/// Takes between `least` and `most` hexadecimal digits from the front of `text`, as many as there are.
std::optional<unsigned> take_hex(std::string_view& text, std::size_t least, std::size_t most) {
    std::size_t length = 0;
    while (length < text.size() && is_hex_digit(text[length])) ++length;
    if (length < least || length > most) return std::nullopt;
    unsigned value = 0;
    std::from_chars(text.data(), text.data() + length, value, 16);
    text.remove_prefix(length);
    return value;
}

bool take(std::string_view& text, char c) {
    if (text.empty() || text.front() != c) return false;
    text.remove_prefix(1);
    return true;
}

/// BUS:DEVICE.FUNCTION, the domain before it if there is one; what follows stays in `text`.
std::optional<Address> take_address(std::string_view& text) {
    std::string_view rest = text;
    unsigned domain = 0;
    if (const auto written = take_hex(rest, 4, 8)) {
        domain = *written;
        if (!take(rest, ':')) return std::nullopt;
    }
    const auto bus = take_hex(rest, 2, 2);
    if (!bus || !take(rest, ':')) return std::nullopt;
    const auto device = take_hex(rest, 2, 2);
    if (!device || !take(rest, '.')) return std::nullopt;
    const auto function = take_hex(rest, 1, 1);
    if (!function) return std::nullopt;
    text = rest;
    return Address{.domain = domain, .bus = *bus, .device = *device, .function = *function};
}

struct Heading {
    std::optional<Address> address;
    std::string why_not;  ///< if there is no address
};

/// What a line that begins with an address says; nothing if it is none. A path (lspci -PP) names the bus of every
/// function on it, and the last one is meant; lspci -P leaves the buses out.
std::optional<Heading> heading_of(std::string_view line) {
    auto address = take_address(line);
    if (!address) return std::nullopt;
    while (take(line, '/')) {
        const auto next = take_address(line);
        if (!next)
            return Heading{.address = {},
                           .why_not = "lspci -P leaves out the bus: give the output without it, or of -PP"};
        address =
            Address{.domain = address->domain, .bus = next->bus, .device = next->device, .function = next->function};
    }
    if (!line.empty() && line.front() != ' ' && line.front() != '\t') return std::nullopt;
    if (address->domain > 0x7fffffff) return Heading{.address = {}, .why_not = "domains end at 7fffffff"};
    if (address->device > 0x1f || address->function > 7)
        return Heading{.address = {}, .why_not = "devices end at 1f and functions at 7"};
    return Heading{.address = address, .why_not = {}};
}

[[noreturn]] void refuse(std::size_t number, std::string_view line, std::string_view why) {
    constexpr std::size_t kShown = 60;
    throw DumpError(fmt::format("line {}: {}: \"{}\"", number, why, printable(line.substr(0, kShown))));
}

/// Pairs of digits, and nothing else.
bool holds_bytes(std::string_view text) {
    while (!text.empty())
        if (!take_hex(text, 2, 2) || !(text.empty() || take(text, ' '))) return false;
    return true;
}

/// Where a row of bytes begins, if the line is one: "f0: 00 01". The bytes stay in `line`. A word that happens to be
/// made of digits may stand before a colon, too: two digits must follow, and behind a long word nothing but bytes.
std::optional<unsigned> take_offset(std::string_view& line, bool is_last) {
    std::string_view rest = line;
    const auto offset = take_hex(rest, 2, 8);
    if (!offset || !take(rest, ':') || !take(rest, ' ')) return std::nullopt;
    while (take(rest, ' ')) {
    }
    const bool begins = is_last ? rest.empty() || is_hex_digit(rest[0])
                                : rest.size() > 1 && is_hex_digit(rest[0]) && is_hex_digit(rest[1]);
    if (!begins || (*offset >= ConfigImage::kMaxSize && !holds_bytes(rest))) return std::nullopt;
    line = rest;
    return offset;
}

/// False if the row ends in the middle of a byte, and it is the last line of a file that was cut off.
bool read_row(std::size_t number, std::string_view line, bool is_last, std::size_t at,
              std::vector<std::uint8_t>& bytes) {
    std::string_view rest = line;
    while (!rest.empty()) {
        if (is_last && rest.size() == 1 && is_hex_digit(rest[0])) return false;
        const auto byte = take_hex(rest, 2, 2);
        if (!byte || !(rest.empty() || take(rest, ' ')))
            refuse(number, line, "a row of bytes has something else in it");
        if (at >= ConfigImage::kMaxSize) refuse(number, line, "configuration space has at most 4096 bytes");
        if (at >= bytes.size()) bytes.resize(at + 1, 0xff);
        bytes[at++] = static_cast<std::uint8_t>(*byte);
    }
    return true;
}

}  // namespace

Dump read_dump(std::istream& in) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    struct Rows {
        Address address;
        std::vector<std::uint8_t> bytes;
        std::set<unsigned> offsets;  // of the rows
    };
    Dump dump;
    std::vector<Rows> functions;
    bool inside = false;  // of a function whose address is known
    std::size_t number = 0;
    for (std::string text; std::getline(in, text);) {
        ++number;
        const bool is_last = in.eof();  // without a newline: the file may have been cut off
        std::string_view line = text;
        if (number == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty()) {
            inside = false;
        } else if (const auto heading = heading_of(line)) {
            inside = heading->address.has_value();
            if (inside)
                functions.push_back({.address = *heading->address, .bytes = {}, .offsets = {}});
            else
                dump.left_out.push_back(fmt::format("line {}: {} is left out: {}", number,
                                                    printable(line.substr(0, line.find(' '))), heading->why_not));
        } else if (inside) {
            std::string_view row = line;
            const auto offset = take_offset(row, is_last);
            if (!offset) continue;
            // The rows of one function do not repeat: these are another's, whose address was passed over.
            if (!functions.back().offsets.insert(*offset).second) {
                inside = false;
                dump.left_out.push_back(fmt::format(
                    "line {}: rows are left out: these bytes are there already, and no address that can be read is "
                    "above them",
                    number));
            } else if (!read_row(number, row, is_last, *offset, functions.back().bytes)) {
                dump.left_out.push_back(
                    fmt::format("line {}: ends in the middle of a byte: the file was cut off", number));
            }
        }
    }
    for (Rows& rows : functions) dump.functions.push_back({rows.address, ConfigImage(std::move(rows.bytes))});
    return dump;
}

}  // namespace pcienic::ls
