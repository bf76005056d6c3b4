// SPDX-License-Identifier: MIT
#include "place.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

#include "cli/exit.hpp"
#include "cli/number.hpp"
#include "cli/suggest.hpp"
#include "pcienic/registers.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;

bool same(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b,
                              [](unsigned char x, unsigned char y) { return std::toupper(x) == std::toupper(y); });
}

const RegisterInfo* find_register(std::string_view name) {
    const auto found = std::ranges::find_if(kRegisters, [&](const RegisterInfo& reg) { return same(reg.name, name); });
    return found == kRegisters.end() ? nullptr : &*found;
}

const FieldInfo* find_field(const RegisterInfo& reg, std::string_view name) {
    const auto found = std::ranges::find_if(reg.fields, [&](const FieldInfo& field) { return same(field.name, name); });
    return found == reg.fields.end() ? nullptr : &*found;
}

template <class Infos>
std::vector<std::string> names_of(const Infos& infos) {
    std::vector<std::string> names;
    for (const auto& info : infos) names.emplace_back(info.name);
    return names;
}

/// b, h, w, q as devmem and pcimem have them, or the number of bits.
std::optional<unsigned> width_of_suffix(std::string_view suffix) {
    static constexpr std::array<std::pair<std::string_view, unsigned>, 8> kWidths{
        {{"b", 8}, {"h", 16}, {"w", 32}, {"q", 64}, {"8", 8}, {"16", 16}, {"32", 32}, {"64", 64}}};
    for (const auto& [name, width] : kWidths) {
        if (same(name, suffix)) return width;
    }
    return std::nullopt;
}

std::string_view suffix_of_width(unsigned width) {
    return width == 8 ? "b" : width == 16 ? "h" : width == 32 ? "w" : "q";
}

/// An array and the index that a name such as IRQ_MASK3 or IRQ_MASK[3] has.
std::optional<Element> split_index(std::string_view name) {
    std::string_view base = name;
    std::string_view digits;
    if (name.ends_with(']')) {
        const std::size_t open = name.find('[');
        if (open == std::string_view::npos) return std::nullopt;
        base = name.substr(0, open);
        digits = name.substr(open + 1, name.size() - open - 2);
    } else {
        const std::size_t last = name.find_last_not_of("0123456789");
        if (last == std::string_view::npos) return std::nullopt;
        base = name.substr(0, last + 1);
        digits = name.substr(last + 1);
    }
    const RegisterInfo* reg = find_register(base);
    if (reg == nullptr || reg->count == 1 || digits.empty()) return std::nullopt;
    unsigned index = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    if (index >= reg->count) {
        throw Failure{Exit::usage, fmt::format("{}: {} has {} elements: write {}0 to {}{}", name, reg->name, reg->count,
                                               reg->name, reg->name, reg->count - 1)};
    }
    return Element{reg, index};
}

std::vector<Element> elements_of(const RegisterInfo& reg) {
    std::vector<Element> elements;
    for (unsigned i = 0; i < reg.count; ++i) elements.push_back({&reg, i});
    return elements;
}

Bits shifted(const RegisterInfo& reg, std::uint64_t byte, std::uint64_t mask, unsigned by) {
    const auto cut = [&](std::uint64_t bits) { return ((bits >> byte * 8) & mask) << by; };
    using enum uiovfio::Access;
    Bits bits;
    bits.ro = cut(reg.mask_of(ro));
    bits.rw = cut(reg.mask_of(rw));
    bits.wo = cut(reg.mask_of(wo));
    bits.w1c = cut(reg.mask_of(rw1c));
    bits.w1s = cut(reg.mask_of(rw1s));
    bits.rc = cut(reg.mask_of(rc));
    bits.defined = cut(reg.defined);
    return bits;
}

void add(Bits& sum, const Bits& bits) {
    sum.ro |= bits.ro;
    sum.rw |= bits.rw;
    sum.wo |= bits.wo;
    sum.w1c |= bits.w1c;
    sum.w1s |= bits.w1s;
    sum.rc |= bits.rc;
    sum.defined |= bits.defined;
}

/// An 8-byte access to two 32-bit registers touches both, so the table is asked for each half.
Bits bits_at(std::uint64_t offset, unsigned width) {
    const unsigned lane = std::min(width, 32u);
    Bits sum;
    for (unsigned at = 0; at < width; at += lane) {
        const std::uint64_t address = offset + at / 8;
        if (const auto element = element_at(address)) {
            add(sum, shifted(*element->reg, address - element->offset(), ~std::uint64_t{0} >> (64 - lane), at));
        } else {
            sum.unmapped = true;
        }
    }
    return sum;
}

[[noreturn]] void unknown_register(std::string_view text, std::string_view name) {
    throw Failure{Exit::usage, fmt::format("'{}': unknown register{}: 'pcienic-ctl regs' lists them", text,
                                           cli::did_you_mean(name, register_names()))};
}

[[noreturn]] void unknown_field(std::string_view text, const RegisterInfo& reg, std::string_view name) {
    if (reg.fields.empty()) {
        throw Failure{Exit::usage, fmt::format("'{}': {} has no fields: name the register alone", text, reg.name)};
    }
    const std::vector<std::string> names = names_of(reg.fields);
    throw Failure{Exit::usage, fmt::format("'{}': {} has no field {}{}: it has {}", text, reg.name, name,
                                           cli::did_you_mean(name, names), fmt::join(names, ", "))};
}

std::vector<Place> parse_named(std::string_view text, const Scope& scope) {
    const std::size_t dot = text.find('.');
    const std::string_view name = text.substr(0, dot);
    if (!scope.is_pcienic) {
        throw Failure{Exit::usage, fmt::format("'{}': device {} has no register names here: write BARn:OFFSET[.w]",
                                               text, scope.device)};
    }
    std::vector<Element> elements;
    if (const RegisterInfo* reg = find_register(name)) {
        elements = elements_of(*reg);
    } else if (const auto element = split_index(name)) {
        elements = {*element};
    } else {
        unknown_register(text, name);
    }
    const RegisterInfo& reg = *elements.front().reg;
    std::vector<Place> places;
    for (const Element& element : elements) places.push_back(place_of(element));
    if (dot == std::string_view::npos) return places;

    const std::string_view suffix = text.substr(dot + 1);
    if (const FieldInfo* field = find_field(reg, suffix)) {
        for (Place& place : places) {
            place.field = field;
            place.name += fmt::format(".{}", field->name);
        }
        return places;
    }
    const auto width = width_of_suffix(suffix);
    if (!width) unknown_field(text, reg, suffix);
    if (*width != reg.width) {
        throw Failure{
            Exit::usage,
            fmt::format("'{}': {} is {} bits wide, not {}: write {}, or {:#x}.{} for a part of it", text, reg.name,
                        reg.width, *width, name, elements.front().offset(), suffix_of_width(*width))};
    }
    return places;
}

struct RawOperand {
    unsigned bar = 0;
    std::uint64_t offset = 0;
    std::optional<unsigned> width;
    std::optional<std::uint64_t> length;
};

RawOperand parse_raw(std::string_view text, const Scope& scope) {
    RawOperand raw{.bar = scope.bar.value_or(kBarRegisters), .offset = 0, .width = {}, .length = {}};
    std::string_view rest = text;
    if (const std::size_t colon = rest.find(':'); colon != std::string_view::npos) {
        const std::string_view bar = rest.substr(0, colon);
        if (bar.size() != 4 || !same(bar.substr(0, 3), "BAR") || bar[3] < '0' || bar[3] > '5') {
            throw Failure{Exit::usage, fmt::format("'{}': '{}' is not a BAR: write BAR0 to BAR5", text, bar)};
        }
        raw.bar = static_cast<unsigned>(bar[3] - '0');
        rest.remove_prefix(colon + 1);
    }
    if (const std::size_t plus = rest.find('+'); plus != std::string_view::npos) {
        raw.length = cli::parse_number(rest.substr(plus + 1));
        rest = rest.substr(0, plus);
    }
    if (rest.find('-', 1) != std::string_view::npos) {
        throw Failure{
            Exit::usage,
            fmt::format("'{}': ranges are START+BYTES here (tools disagree whether START-END includes the end)", text)};
    }
    if (const std::size_t dot = rest.find('.'); dot != std::string_view::npos) {
        raw.width = width_of_suffix(rest.substr(dot + 1));
        if (!raw.width) {
            throw Failure{Exit::usage,
                          fmt::format("'{}': '{}' is not a width: write .b, .h, .w or .q for 8, 16, 32 or 64 bits",
                                      text, rest.substr(dot + 1))};
        }
        rest = rest.substr(0, dot);
    }
    raw.offset = cli::parse_number(rest);
    return raw;
}

void check_bounds(std::string_view text, const RawOperand& raw, unsigned width, std::uint64_t length,
                  const Scope& scope) {
    const unsigned bytes = width / 8;
    if (raw.offset % bytes != 0) {
        throw Failure{Exit::usage, fmt::format("'{}': {:#x} is not aligned to {} bytes: use {:#x} or a narrower access",
                                               text, raw.offset, bytes, raw.offset / bytes * bytes)};
    }
    if (length == 0 || length % bytes != 0) {
        throw Failure{Exit::usage,
                      fmt::format("'{}': the length {} is not a multiple of {} bytes", text, length, bytes)};
    }
    const std::uint64_t size = scope.bar_size ? scope.bar_size(raw.bar) : 0;
    if (size == 0) {
        throw Failure{Exit::usage,
                      fmt::format("'{}': the device has no BAR{}: 'pcienic-ctl info' lists its BARs", text, raw.bar)};
    }
    if (raw.offset >= size || size - raw.offset < length) {
        throw Failure{Exit::usage,
                      fmt::format("'{}': is beyond the end of BAR{}, which has {:#x} bytes", text, raw.bar, size)};
    }
}

/// The register BAR of a pcienic takes only what its table describes; anything else would be latched as an error.
void check_table(std::string_view text, const Place& place) {
    if (place.width < 32) {
        throw Failure{Exit::usage,
                      fmt::format("'{}': the registers take accesses of 4 and 8 bytes: use .w or .q, or --force to "
                                  "see the device refuse it",
                                  text)};
    }
    if (place.bits->unmapped) {
        throw Failure{Exit::usage,
                      fmt::format("'{}': there is no register at {:#x}: 'pcienic-ctl regs' lists them, --force does "
                                  "it all the same",
                                  text, place.offset)};
    }
}

}  // namespace

std::string Element::name() const {
    return reg->count > 1 ? fmt::format("{}{}", reg->name, index) : std::string{reg->name};
}

std::optional<Element> element_at(std::uint64_t offset) {
    for (const RegisterInfo& reg : kRegisters) {
        if (offset < reg.offset || offset >= reg.offset + std::uint64_t{reg.count} * reg.bytes()) continue;
        return Element{&reg, static_cast<unsigned>((offset - reg.offset) / reg.bytes())};
    }
    return std::nullopt;
}

std::vector<Element> elements_matching(std::string_view pattern) {
    const std::string text{pattern};
    std::vector<Element> found;
    for (const RegisterInfo& reg : kRegisters) {
        const bool whole = fnmatch(text.c_str(), std::string{reg.name}.c_str(), FNM_CASEFOLD) == 0;
        for (const Element& element : elements_of(reg)) {
            if (whole || fnmatch(text.c_str(), element.name().c_str(), FNM_CASEFOLD) == 0) found.push_back(element);
        }
    }
    return found;
}

std::vector<std::string> register_names() { return names_of(kRegisters); }

std::string Place::address() const {
    return bits ? fmt::format("{:#05x}", offset) : fmt::format("BAR{}:{:#05x}", bar, offset);
}

Place place_of(const Element& element) {
    return {.name = element.name(),
            .bar = kBarRegisters,
            .offset = element.offset(),
            .width = element.reg->width,
            .field = nullptr,
            .element = element,
            .bits = bits_at(element.offset(), element.reg->width)};
}

Place Range::bare(std::uint64_t index) const {
    return {.name = {}, .bar = bar, .offset = offset + index * (width / 8), .width = width};
}

Place Range::place(std::uint64_t index) const {
    Place place = bare(index);
    if (described) {
        place.bits = bits_at(place.offset, width);
        const auto here = element_at(place.offset);
        if (here && here->offset() == place.offset && here->reg->width == width) place.element = here;
    }
    place.name = place.element ? place.element->name() : fmt::format("BAR{}:{:#05x}", bar, place.offset);
    return place;
}

Range parse_range(std::string_view text, const Scope& scope) {
    const RawOperand raw = parse_raw(text, scope);
    const bool described = scope.is_pcienic && raw.bar == kBarRegisters;
    const auto element = described ? element_at(raw.offset) : std::nullopt;
    const bool exact = element && element->offset() == raw.offset;
    const unsigned width = raw.width.value_or(exact && !raw.length ? element->reg->width : 32);
    const std::uint64_t length = raw.length.value_or(width / 8);
    check_bounds(text, raw, width, length, scope);
    const Range range{
        .bar = raw.bar, .offset = raw.offset, .width = width, .accesses = length / (width / 8), .described = described};
    if (described && !scope.force) {
        for (std::uint64_t i = 0; i < range.accesses; ++i) check_table(text, range.place(i));
    }
    return range;
}

bool is_offset(std::string_view text) {
    return text.find(':') != std::string_view::npos ||
           (!text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0);
}

bool takes_default_bar(std::string_view text) { return is_offset(text) && text.find(':') == std::string_view::npos; }

void check_count(std::string_view text, std::uint64_t accesses) {
    if (accesses <= kMaxPlaces) return;
    throw Failure{Exit::usage,
                  fmt::format("'{}': is {} accesses, and at most {} are listed: name a shorter range, or save the "
                              "bytes with 'dump --bin FILE {}'",
                              text, accesses, kMaxPlaces, text)};
}

std::vector<Place> parse_places(std::string_view text, const Scope& scope) {
    if (text.empty()) throw Failure{Exit::usage, "'': is not a register: write a name, NAME.FIELD or OFFSET[.w]"};
    if (!is_offset(text)) return parse_named(text, scope);
    const Range range = parse_range(text, scope);
    check_count(text, range.accesses);
    std::vector<Place> places;
    for (std::uint64_t i = 0; i < range.accesses; ++i) places.push_back(range.place(i));
    return places;
}

Place parse_place(std::string_view text, const Scope& scope) {
    std::vector<Place> places = parse_places(text, scope);
    if (places.size() == 1) return std::move(places.front());
    throw Failure{Exit::usage, fmt::format("'{}': names {} places: name one, {} to {}", text, places.size(),
                                           places.front().name, places.back().name)};
}

std::uint64_t parse_value(std::string_view text, const Place& place) {
    if (place.field != nullptr) {
        for (const EnumInfo& value : place.field->enums) {
            if (same(value.name, text)) return value.value;
        }
        if (!place.field->enums.empty() && !text.empty() &&
            std::isalpha(static_cast<unsigned char>(text.front())) != 0) {
            const std::vector<std::string> names = names_of(place.field->enums);
            throw Failure{Exit::usage, fmt::format("'{}': is not a value of {}{}: write {} or a number", text,
                                                   place.name, cli::did_you_mean(text, names), fmt::join(names, ", "))};
        }
    }
    const std::uint64_t value = cli::parse_number(text);
    const std::uint64_t most = place.mask() >> place.shift();
    if (value > most) {
        throw Failure{Exit::usage,
                      fmt::format("'{}': does not fit into {}, which has {} bits: the most is {:#x}", text, place.name,
                                  place.field != nullptr ? place.field->width() : place.width, most)};
    }
    return value;
}

}  // namespace pcienic::ctl
