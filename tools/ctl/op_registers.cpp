// SPDX-License-Identifier: MIT
// regs, read, write, set, clear, toggle
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <ostream>

#include "cli/suggest.hpp"
#include "operation.hpp"
#include "policy.hpp"
#include "rows.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using cli::Json;

/// Needs no device: it says what a pcienic has.
class Regs : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("pattern", pattern_, "Only registers whose name matches, as DMA_*").type_name("PATTERN");
        options.add_flag("--desc", describe_, "Say what each register and field is for");
        options.add_flag("--fields", fields_, "A line for each field");
    }

    void prepare(Session&) override {
        if (elements_matching(pattern_).empty()) {
            throw Failure{Exit::usage, fmt::format("'{}': no register matches{}: 'pcienic-ctl regs' lists all",
                                                   pattern_, cli::did_you_mean(pattern_, register_names()))};
        }
    }

    void explain(Session& session) override { run(session); }

    [[nodiscard]] Heeds heeds() const override { return kHeedsForm; }

    Exit run(Session& session) override {
        cli::Document document{
            .schema = "pcienic.regs/1", .columns = columns(), .raw_key = fields_ ? "name" : "base_name"};
        for (const Element& element : elements_matching(pattern_)) {
            if (element.index == 0) add_rows(document.rows, *element.reg);
        }
        session.emit(document);
        return Exit::ok;
    }

  private:
    [[nodiscard]] std::vector<cli::Column> columns() const {
        std::vector<cli::Column> columns{
            {.key = "name", .title = fields_ ? "FIELD" : "REGISTER"},
            {.key = "offset_hex", .title = "OFFSET"},
            {.key = fields_ ? "bits" : "width", .title = fields_ ? "BITS" : "WIDTH", .right = true},
            {.key = "access", .title = "ACCESS"}};
        if (!fields_) {
            columns.push_back({.key = "reset_text", .title = "RESET", .right = true});
            columns.push_back({.key = "field_names", .title = "FIELDS"});
        }
        if (describe_) columns.push_back({.key = "doc", .title = "WHAT"});
        return columns;
    }

    void add_rows(Json& rows, const RegisterInfo& reg) const {
        if (!fields_) return rows.push_back(register_row(reg));
        for (const FieldInfo& field : reg.fields) {
            Json row = field_row(field);
            row["name"] = fmt::format("{}.{}", reg.name, field.name);
            row["offset_hex"] = fmt::format("{:#05x}", reg.offset);
            rows.push_back(row);
        }
    }

    static Json field_row(const FieldInfo& field) {
        Json row{{"name", field.name},
                 {"lsb", field.lsb},
                 {"msb", field.msb},
                 {"bits",
                  field.lsb == field.msb ? fmt::format("{}", field.lsb) : fmt::format("{}:{}", field.msb, field.lsb)},
                 {"access", access_name(field.access)},
                 {"doc", field.doc},
                 {"values", Json::object()}};
        for (const EnumInfo& value : field.enums) row["values"][std::string{value.name}] = value.value;
        return row;
    }

    static Json register_row(const RegisterInfo& reg) {
        Json row{{"name", reg.count > 1 ? fmt::format("{}0..{}", reg.name, reg.count - 1) : std::string{reg.name}},
                 {"base_name", reg.name},
                 {"offset", reg.offset},
                 {"offset_hex", fmt::format("{:#05x}", reg.offset)},
                 {"width", reg.width},
                 {"count", reg.count},
                 {"access", access_name(reg.access)},
                 {"reset", reg.reset_from_property ? Json{} : Json(reg.reset)},
                 {"reset_text", reg.reset_from_property ? "property" : cli::hex(reg.reset, reg.width)},
                 {"sticky", reg.sticky},
                 {"volatile", reg.is_volatile},
                 {"doc", reg.doc},
                 {"fields", Json::array()},
                 {"field_names", Json::array()}};
        for (const FieldInfo& field : reg.fields) {
            row["fields"].push_back(field_row(field));
            row["field_names"].push_back(field.name);
        }
        return row;
    }

    std::string pattern_ = "*";
    bool describe_ = false;
    bool fields_ = false;
};

class Read : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("what", operands_, "NAME, NAME.FIELD, or [BARn:]OFFSET[.b|.h|.w|.q][+BYTES]; .w is 32 bits")
            .required()
            .type_name("WHAT");
        options.add_flag("--force", force_, "Also where the access policy speaks against it");
    }

    void prepare(Session& session) override {
        places_.clear();
        for (const std::string& operand : operands_) {
            for (Place& place : parse_places(operand, session.scope(force_))) {
                check_read(place, force_);
                places_.push_back(std::move(place));
            }
        }
    }

    void explain(Session& session) override {
        std::vector<std::string> steps;
        for (const Place& place : places_)
            steps.push_back(
                fmt::format("read {} bits of {} at BAR{}+{:#05x}", place.width, place.name, place.bar, place.offset));
        session.would(steps, session.device_json());
    }

    [[nodiscard]] Heeds heeds() const override { return heeds_of(operands_); }

    Exit run(Session& session) override {
        cli::Document document{.schema = "pcienic.read/1", .columns = value_columns(), .raw_key = "value_hex"};
        for (const Place& place : places_) document.rows.push_back(value_row(place, session.bus().load(place)));
        document.device = session.device_json();
        // One value alone is what a script wants to put into a variable.
        if (places_.size() == 1) document.line = [](const Json& row) { return row["value_hex"].get<std::string>(); };
        session.emit(document);
        return Exit::ok;
    }

  private:
    std::vector<std::string> operands_;
    bool force_ = false;
    std::vector<Place> places_;
};

/// "CTRL 0x020 = 0x00000000 := 0x00000001 -> 0x00000001": what was there, what was written, what is there now.
std::string transition(const Json& row) {
    const bool plain = row["bar"] == kBarRegisters && !row["name"].get<std::string>().starts_with("BAR");
    std::string text = row["name"].get<std::string>();
    if (plain) text += fmt::format(" {}", row["offset_hex"].get<std::string>());
    if (row.contains("old_hex")) text += fmt::format(" = {}", row["old_hex"].get<std::string>());
    text += fmt::format(" := {}", row["written_hex"].get<std::string>());
    if (row.contains("now_hex")) text += fmt::format(" -> {}", row["now_hex"].get<std::string>());
    return text;
}

template <Verb kVerb>
class Change : public Operation {
  public:
    void add_options(cli::Options& options) {
        constexpr const char* kForm = kVerb == Verb::write ? "NAME=V, NAME.FIELD=V, OFFSET[.w]=V[/MASK]"
                                                           : "NAME.FIELD, NAME=BITS, OFFSET[.w]=BITS";
        options.add_option("what", operands_, kForm).required().type_name("WHAT");
        options.add_flag("--force", options_.force, "Also where the access policy speaks against it");
        options.add_flag("--verify", options_.verify, "Read back, and fail (5) where the bits are not as written");
        options.add_flag(
            "--no-readback", [this] { options_.read_back = false; },
            "Only the store: no load before or after that is not needed");
    }

    void prepare(Session& session) override {
        plans_.clear();
        for (const std::string& operand : operands_) {
            plans_.push_back(plan_write(kVerb, Assignment::parse(operand), session.scope(options_.force), options_));
        }
    }

    void explain(Session& session) override {
        std::vector<std::string> steps;
        for (const WritePlan& plan : plans_) {
            const unsigned width = plan.place.width;
            const std::string read = fmt::format("read {} bits of {}", width, plan.place.name);
            if (plan.read_before) steps.push_back(read);
            steps.push_back(
                fmt::format("write {} bits of {}: {}{}", width, plan.place.name, cli::hex(plan.value, width),
                            plan.toggle        ? ", turned in what was read"
                            : plan.needs_old() ? fmt::format(", the bits {} as read", cli::hex(plan.keep, width))
                                               : ""));
            if (plan.read_after) steps.push_back(read);
        }
        session.would(steps, session.device_json());
    }

    [[nodiscard]] Heeds heeds() const override { return heeds_of(operands_); }

    Exit run(Session& session) override {
        cli::Document document{
            .schema = "pcienic.write/1", .columns = columns(), .raw_key = "written_hex", .line = transition};
        std::string mismatch;
        for (const WritePlan& plan : plans_) {
            if (!plan.warning.empty()) session.warn(plan.warning);
            document.rows.push_back(execute(plan, session.bus(), mismatch));
        }
        document.device = session.device_json();
        session.emit(document);
        if (!mismatch.empty()) throw Failure{Exit::check_failed, mismatch};
        return Exit::ok;
    }

  private:
    static std::vector<cli::Column> columns() {
        return {{.key = "name", .title = "REGISTER"},
                {.key = "old_hex", .title = "OLD"},
                {.key = "written_hex", .title = "WRITTEN"},
                {.key = "now_hex", .title = "NOW"}};
    }

    Json execute(const WritePlan& plan, Bus& bus, std::string& mismatch) const {
        Json row = place_row(plan.place);
        std::uint64_t old = 0;
        if (plan.read_before) {
            old = bus.load(plan.place);
            put_value(row, "old", plan.place, old);
        }
        const std::uint64_t value = plan.result(old);
        bus.store(plan.place, value);
        put_value(row, "written", plan.place, value);
        if (plan.read_after) {
            const std::uint64_t now = bus.load(plan.place);
            put_value(row, "now", plan.place, now);
            if (options_.verify && ((now ^ value) & plan.verify_mask) != 0 && mismatch.empty()) {
                mismatch = fmt::format("{}: wrote {}, reads {} (--verify): the device keeps other bits or changed them",
                                       plan.place.name, row["written_hex"].template get<std::string>(),
                                       row["now_hex"].template get<std::string>());
            }
        }
        return row;
    }

    std::vector<std::string> operands_;
    WriteOptions options_;
    std::vector<WritePlan> plans_;
};

}  // namespace

void add_register_operations(cli::Options& line, Chosen& chosen) {
    add_operation<Regs>(line, chosen, "regs", "List the registers: offset, width, access, reset, fields");
    add_operation<Read>(line, chosen, "read", "Read registers, fields, or raw offsets");
    add_operation<Change<Verb::write>>(line, chosen, "write", "Write registers, fields, or raw offsets");
    add_operation<Change<Verb::set>>(line, chosen, "set", "Set a field's bits to 1");
    add_operation<Change<Verb::clear>>(line, chosen, "clear",
                                       "Clear a field's bits; rw1c bits are cleared by writing ones to them alone");
    add_operation<Change<Verb::toggle>>(line, chosen, "toggle", "Turn a field's bits around");
}

}  // namespace pcienic::ctl
