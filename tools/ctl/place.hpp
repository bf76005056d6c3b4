// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where an access goes: what the user wrote ("SCRATCH", "IRQ_MASK3", "CTRL.RESET", "BAR4:0x100.q", "0x10+32") turned
/// into places, each one access wide, with what the register table says about their bits.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pcienic/register_table.hpp"

namespace pcienic::ctl {

/// One register, or one element of a register array.
struct Element {
    const RegisterInfo* reg = nullptr;
    unsigned index = 0;

    [[nodiscard]] std::uint64_t offset() const { return reg->offset + std::uint64_t{index} * reg->bytes(); }
    /// "SCRATCH", "IRQ_MASK3".
    [[nodiscard]] std::string name() const;
};

/// The element that holds this byte of the register BAR.
std::optional<Element> element_at(std::uint64_t offset);

/// The elements whose name matches a shell pattern, case ignored; "IRQ_MASK" alone matches all of its elements.
std::vector<Element> elements_matching(std::string_view pattern);

/// Names of all registers and arrays, for suggestions.
std::vector<std::string> register_names();

/// What the table says about the bits of one access, in the places that they have in its value.
struct Bits {
    std::uint64_t ro = 0;
    std::uint64_t rw = 0;
    std::uint64_t wo = 0;
    std::uint64_t w1c = 0;
    std::uint64_t w1s = 0;
    std::uint64_t rc = 0;
    std::uint64_t defined = 0;
    bool unmapped = false;  ///< some of the bytes hold no register

    [[nodiscard]] std::uint64_t writable() const { return rw | wo | w1c | w1s; }
};

/// One access wide.
struct Place {
    std::string name;  ///< "SCRATCH", "CTRL.RESET", "BAR4:0x100"
    unsigned bar = 0;
    std::uint64_t offset = 0;
    unsigned width = 32;               ///< bits
    const FieldInfo* field = nullptr;  ///< where the user named one
    std::optional<Element> element{};  ///< where it is exactly a register
    std::optional<Bits> bits{};        ///< nothing where no table describes this BAR

    [[nodiscard]] std::uint64_t full_mask() const { return ~std::uint64_t{0} >> (64 - width); }
    /// The bits that are meant: those of the field, or all.
    [[nodiscard]] std::uint64_t mask() const { return field != nullptr ? field->mask() : full_mask(); }
    [[nodiscard]] unsigned shift() const { return field != nullptr ? field->lsb : 0; }
    /// "0x010", and "BAR4:0x100" outside of the register BAR.
    [[nodiscard]] std::string address() const;
};

/// The device as far as syntax depends on it.
struct Scope {
    bool is_pcienic = true;                                 ///< the register names are this device's
    std::string device;                                     ///< for messages: "8086:10d3"
    std::optional<unsigned> bar{};                          ///< --bar
    std::function<std::uint64_t(unsigned bar)> bar_size{};  ///< bytes; 0 for a BAR that the device lacks
    bool force = false;                                     ///< accesses that the table speaks against are wanted
};

Place place_of(const Element& element);

/// Accesses side by side, of one width.
struct Range {
    unsigned bar = 0;
    std::uint64_t offset = 0;
    unsigned width = 32;  ///< bits of one access
    std::uint64_t accesses = 1;
    bool described = false;  ///< the register table describes this BAR

    /// The access with this number, without what is known of it: enough for a Bus, and cheap.
    [[nodiscard]] Place bare(std::uint64_t index) const;
    /// The same with its name and its bits.
    [[nodiscard]] Place place(std::uint64_t index) const;
};

/// What [BARn:]OFFSET[.w][+BYTES] names. Throws Failure(usage) for unaligned and out-of-bounds offsets, and for
/// accesses that the register table speaks against.
Range parse_range(std::string_view text, const Scope& scope);

/// An operand that is an offset, rather than a name.
bool is_offset(std::string_view text);

/// An operand whose BAR is that of --bar: an offset that names none.
bool takes_default_bar(std::string_view text);

/// The most places that are listed one by one, as rows of output.
inline constexpr std::uint64_t kMaxPlaces = 65536;

/// Throws Failure(usage) with the way to have more.
void check_count(std::string_view text, std::uint64_t accesses);

/// What an operand names, in order: one place, the elements of an array, or a range. Throws Failure(usage) for unknown
/// names, wrong widths, unaligned and out-of-bounds offsets, and for ranges of more than kMaxPlaces.
std::vector<Place> parse_places(std::string_view text, const Scope& scope);

/// As parse_places, where only one place makes sense.
Place parse_place(std::string_view text, const Scope& scope);

/// A value for a place: a number, or the name of one of the field's values. Throws Failure(usage) where it does not
/// fit.
std::uint64_t parse_value(std::string_view text, const Place& place);

}  // namespace pcienic::ctl
