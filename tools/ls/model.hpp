// SPDX-License-Identifier: GPL-2.0-or-later
/// What pcienic-ls knows about a PCI function, as data.
///
/// The decoders build this model from configuration space; the text and the JSON renderer only read it. A field holds
/// its value once, and both renderers derive what they print from it. Where lspci writes a sentence, each has its own
/// form: line() is for text alone, fields() and silent() for JSON alone, and nothing but tests keeps the two together.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pcienic::ls {

/// A number in decimal (`digits` 0) or in hexadecimal with at least `digits` digits. In JSON it stays a number; a
/// hexadecimal one also has a sibling string, since JSON readers lose bits beyond 2^53.
struct Number {
    std::uint64_t value = 0;
    int digits = 0;
};

/// A count of bytes: 131072 is "128K" in text and 131072 in JSON.
struct Bytes {
    std::uint64_t value = 0;
};

/// Something that is said only where it holds: "[disabled]" in text or nothing, always a boolean in JSON.
struct Mark {
    bool set = false;
};

/// A value that is not there, and how text says so: "<unassigned>"; null in JSON.
struct Absent {
    std::string text;
};

/// A boolean is a flag: + or - in text.
using Value = std::variant<bool, Number, Bytes, Mark, Absent, std::string>;

inline constexpr int kMaxVerbosity = 3;

/// One named value. Its text is `before`, the value, `after`.
struct Field {
    std::string key;
    Value value;
    std::string before;
    std::string after;
    int min_verbosity = 0;
};

/// A flag's name and its bits in the register.
using FlagBits = std::pair<std::string_view, std::uint32_t>;

/// Fields that stand on one line of text.
class Row {
  public:
    Row& add(std::string key, Value value, std::string before, std::string after = {}, int min_verbosity = 0);

    /// " KEY+" or " KEY-", as lspci writes flags.
    Row& flag(std::string_view key, bool set) { return add(std::string(key), set, " " + std::string(key)); }
    Row& flags(std::uint32_t word, std::initializer_list<FlagBits> bits);

    Row& decimal(std::string key, std::uint64_t value, std::string before, std::string after = {}) {
        return add(std::move(key), Number{value, 0}, std::move(before), std::move(after));
    }
    Row& hex(std::string key, std::uint64_t value, int digits, std::string before, std::string after = {}) {
        return add(std::move(key), Number{value, digits}, std::move(before), std::move(after));
    }
    Row& text(std::string key, std::string value, std::string before, std::string after = {}) {
        return add(std::move(key), std::move(value), std::move(before), std::move(after));
    }

    /// In JSON alone: a value that text has in another form.
    Row& silent(std::string key, Value value) {
        return add(std::move(key), std::move(value), {}, {}, kMaxVerbosity + 1);
    }

    const std::vector<Field>& fields() const { return fields_; }
    bool empty() const { return fields_.empty(); }

  private:
    std::vector<Field> fields_;
};

/// What stands between a register's name and its fields, and where its further rows begin: below the first one's fields
/// (`space`, `tab`, `none`) or at the next tab.
enum class Gap { space, tab, none, space_then_tab };

/// A register (or another group of fields) with a name of its own: one line of text, or several.
struct Register {
    std::string name;
    Gap gap = Gap::space;
    std::vector<Row> rows;
    int min_verbosity = 2;
    int max_verbosity = kMaxVerbosity;

    Row& row() { return rows.emplace_back(); }
};

struct Capability {
    unsigned offset = 0;
    unsigned id = 0;
    bool extended = false;
    unsigned version = 0;  ///< extended capabilities only
    std::string name;
    Row summary;                       ///< the rest of the first line
    std::vector<Register> registers;   ///< the lines that follow it
    std::string fault;                 ///< why the walk ended here: "chain looped"; such an entry has nothing else
    bool out_of_reach = false;         ///< the fault is that nothing of it could be read
    std::vector<std::string> remarks;  ///< sentences about what is wrong with it, for JSON; text has them as lines

    /// A line in text alone.
    void line(std::string text) { registers.emplace_back(Register{.name = std::move(text), .rows = {}}); }
    /// A sentence in both.
    void remark(const std::string& text);
    /// A register in JSON alone: what lines say in text.
    Register& fields(std::string register_name) {
        return registers.emplace_back(
            Register{.name = std::move(register_name), .rows = {}, .min_verbosity = kMaxVerbosity + 1});
    }
    /// The new register is the last one; the reference lasts until the next one is added.
    Register& add(std::string register_name, Gap gap = Gap::space) {
        return registers.emplace_back(Register{.name = std::move(register_name), .gap = gap, .rows = {}});
    }
};

enum class RegionKind { bar, rom };

/// A BAR or the expansion ROM, as lspci's "Region 0: Memory at ..." line says it.
struct Region {
    RegionKind kind = RegionKind::bar;
    unsigned index = 0;
    Row fields;
};

/// An identifier and the name that the PCI ID database has for it (empty: none).
struct Named {
    unsigned id = 0;
    std::string name;
};

struct Address {
    unsigned domain = 0;
    unsigned bus = 0;
    unsigned device = 0;
    unsigned function = 0;

    auto operator<=>(const Address&) const = default;
};

/// What the operating system says about the function; nothing of it when a dump is read.
struct Binding {
    std::string driver;
    std::vector<std::string> modules;
    std::string iommu_group;
    std::vector<std::string> group_members;  ///< the others in the group: "0000:00:1f.3 (snd_hda_intel)"
    bool vfio_usable = false;
    std::string vfio;  ///< "yes", or what must be done first
};

struct Function {
    Address address;
    Named vendor, device, device_class, programming_interface;
    std::optional<std::pair<Named, Named>> subsystem;  ///< vendor and device
    unsigned revision = 0;
    bool has_programming_interface = false;  ///< its code or its name says something

    // As they stand in text, numeric or not as asked for. `device_text` has the vendor's name, too, and so has
    // `subsystem_text`; what stands alone in machine-readable text follows.
    std::string class_text, device_text, subsystem_text, programming_interface_text;
    std::string vendor_alone, device_alone, subsystem_vendor_alone, subsystem_device_alone;

    std::string physical_slot, label;
    std::string device_tree_node;
    int numa_node = -1;
    std::string iommu_group;  ///< empty: none, or a dump
    unsigned header_type = 0;
    std::string header_fault;  ///< "Unknown header type 7f"; nothing behind it was decoded then
    std::vector<Register> header;
    std::vector<Region> regions;
    std::vector<Register> bridge;  ///< bus numbers and windows; lspci prints the ROM in their midst
    std::vector<Register> bridge_control;
    std::vector<Capability> capabilities;

    unsigned secondary_bus = 0, subordinate_bus = 0;  ///< bridges
    bool is_bridge = false;
    std::optional<Address> parent;  ///< the bridge that the system has it behind, if it says so
    std::vector<Address> path;      ///< the bridges that lead to it, from the root on; only if it was asked for

    std::optional<Binding> binding;
    std::vector<std::uint8_t> config;  ///< configuration space as far as it could be read
};

/// Every function of the machine (or of the dump), decoded, in the order of their addresses; `selected[i]` says whether
/// the i-th was asked for.
struct Listing {
    std::vector<Function> functions;
    std::vector<bool> selected;
    std::vector<std::string> warnings;  ///< what could not be read, one line each
};

/// Names for what a device may say twice, each once: the second of a name is "NAME (2)".
class FreshNames {
  public:
    std::string operator()(const std::string& name);

  private:
    std::map<std::string, unsigned> used_;
};

/// A field's value as text writes it.
std::string to_text(const Value& value);

/// "128K" for 131072: binary units where they divide without a rest.
std::string size_text(std::uint64_t bytes);

}  // namespace pcienic::ls
