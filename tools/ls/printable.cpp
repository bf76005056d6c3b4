// SPDX-License-Identifier: GPL-2.0-or-later
#include "printable.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>

namespace pcienic::ls {
namespace {

struct Character {
    std::uint32_t code = 0;
    std::size_t length = 0;  ///< in bytes; 0: no UTF-8
};

unsigned byte_at(std::string_view text, std::size_t at) { return static_cast<unsigned char>(text[at]); }

/// The first character of `text`, which is not empty (RFC 3629: shortest form, no surrogates, up to U+10FFFF).
Character first_character(std::string_view text) {
    struct Form {
        unsigned lead_mask, lead;
        std::size_t length;
        std::uint32_t least;
    };
    constexpr Form kForms[] = {
        {0x80, 0x00, 1, 0}, {0xe0, 0xc0, 2, 0x80}, {0xf0, 0xe0, 3, 0x800}, {0xf8, 0xf0, 4, 0x10000}};
    for (const Form& form : kForms) {
        const unsigned lead = byte_at(text, 0);
        if ((lead & form.lead_mask) != form.lead) continue;
        if (form.length > text.size()) return {};
        std::uint32_t code = lead & ~form.lead_mask;
        for (std::size_t at = 1; at < form.length; ++at) {
            const unsigned next = byte_at(text, at);
            if ((next & 0xc0) != 0x80) return {};
            code = code << 6 | (next & 0x3f);
        }
        const bool surrogate = code >= 0xd800 && code <= 0xdfff;
        if (code < form.least || code > 0x10ffff || surrogate) return {};
        return {code, form.length};
    }
    return {};
}

bool is_between(std::uint32_t code, std::uint32_t first, std::uint32_t last) { return code >= first && code <= last; }

/// Whether it does something to a terminal or a line rather than show.
bool is_control(std::uint32_t code) {
    return code < 0x20 || is_between(code, 0x7f, 0x9f) ||                           // C0, DEL and C1
           code == 0x061c || is_between(code, 0x200e, 0x200f) ||                    // marks of direction
           is_between(code, 0x2028, 0x202e) || is_between(code, 0x2066, 0x2069) ||  // line ends, embeddings, isolates
           code == 0xfeff;                                                          // a byte order mark
}

std::string escaped(std::uint32_t code) {
    switch (code) {
        case '\n':
            return "\\n";
        case '\r':
            return "\\r";
        case '\t':
            return "\\t";
        default:
            return code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{:04x}", code);
    }
}

}  // namespace

std::string printable(std::string_view text) {
    if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    std::string out;
    while (!text.empty()) {
        const Character character = first_character(text);
        if (character.length == 0) {
            out += fmt::format("\\x{:02x}", byte_at(text, 0));
            text.remove_prefix(1);
            continue;
        }
        if (is_control(character.code))
            out += escaped(character.code);
        else
            out += text.substr(0, character.length);
        text.remove_prefix(character.length);
    }
    return out;
}

}  // namespace pcienic::ls
