// SPDX-License-Identifier: MIT
// wait, watch
#include <fmt/format.h>
#include <fmt/ostream.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <ostream>
#include <utility>

#include "cli/interruption.hpp"
#include "cli/json_text.hpp"
#include "cli/number.hpp"
#include "cli/removal.hpp"
#include "operation.hpp"
#include "policy.hpp"
#include "rows.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using cli::Interruption;
using cli::Json;
using Clock = std::chrono::steady_clock;

/// Sleeps, in slices so that a signal which came just before the sleep, and the kernel's request, are noticed too.
void pause_for(std::chrono::nanoseconds time, cli::RemovalRequest& request) {
    const auto end = Clock::now() + time;
    while (!Interruption::came()) {
        if (request.came()) throw request.failure();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        if (left <= 0) return;
        poll(nullptr, 0, static_cast<int>(std::min<std::int64_t>(left, 100)));
    }
}

enum class Comparison { equal, unequal, at_most, at_least };

/// "STATUS.READY==1"
struct Condition {
    std::string text;
    Place place;
    Comparison comparison = Comparison::equal;
    std::uint64_t value = 0;

    static Condition parse(const std::string& text, const Scope& scope) {
        static constexpr std::array<std::pair<std::string_view, Comparison>, 4> kOperators{
            {{"==", Comparison::equal},
             {"!=", Comparison::unequal},
             {"<=", Comparison::at_most},
             {">=", Comparison::at_least}}};
        for (const auto& [symbol, comparison] : kOperators) {
            const std::size_t at = text.find(symbol);
            if (at == std::string::npos) continue;
            Place place = parse_place(std::string_view{text}.substr(0, at), scope);
            const std::uint64_t value = parse_value(std::string_view{text}.substr(at + 2), place);
            return {.text = text, .place = std::move(place), .comparison = comparison, .value = value};
        }
        throw Failure{Exit::usage,
                      fmt::format("'{}': is not a condition: write NAME==V, NAME!=V, NAME<=V or NAME>=V", text)};
    }

    [[nodiscard]] bool holds(std::uint64_t raw) const {
        const std::uint64_t now = (raw & place.mask()) >> place.shift();
        switch (comparison) {
            case Comparison::equal:
                return now == value;
            case Comparison::unequal:
                return now != value;
            case Comparison::at_most:
                return now <= value;
            case Comparison::at_least:
                return now >= value;
        }
        return false;
    }
};

class Wait : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("condition", text_, "NAME==V, NAME.FIELD!=V, OFFSET<=V, OFFSET>=V")
            .required()
            .type_name("CONDITION");
        options.add_option("--timeout", timeout_, "Give up after this time (exit code 6); default 1s")
            .type_name("TIME");
        options.add_option("--interval", interval_, "Time between two looks; default 1ms").type_name("TIME");
        options.add_flag("--force", force_, "Also where the access policy speaks against it");
    }

    void prepare(Session& session) override {
        condition_ = Condition::parse(text_, session.scope(force_));
        check_read(condition_.place, force_);
        limit_ = cli::parse_duration(timeout_);
        step_ = cli::parse_duration(interval_);
    }

    void explain(Session& session) override {
        session.would({fmt::format("read {} bits of {} every {} until {}, for at most {}", condition_.place.width,
                                   condition_.place.name, interval_, text_, timeout_)},
                      session.device_json());
    }

    [[nodiscard]] Heeds heeds() const override { return heeds_of({text_}); }

    Exit run(Session& session) override {
        const Interruption guard;
        cli::RemovalRequest request{session.device()};
        const auto start = Clock::now();
        for (;;) {
            const auto elapsed =
                Clock::now() - start;  // before the load, so that the last look comes after the deadline
            const std::uint64_t raw = session.bus().load(condition_.place);
            if (condition_.holds(raw)) return report(session, raw, elapsed);
            if (Interruption::came()) return Exit::interrupted;
            if (elapsed >= limit_) {
                throw Failure{Exit::timeout,
                              fmt::format("{}: not so within {}, it is {}: give it longer with --timeout", text_,
                                          timeout_, value_row(condition_.place, raw)["value_hex"].get<std::string>())};
            }
            pause_for(step_, request);
        }
    }

  private:
    Exit report(Session& session, std::uint64_t raw, Clock::duration elapsed) const {
        Json row = value_row(condition_.place, raw);
        row["condition"] = text_;
        row["seconds"] = std::chrono::duration<double>(elapsed).count();
        session.emit({.schema = "pcienic.wait/1",
                      .device = session.device_json(),
                      .columns = value_columns(),
                      .rows = Json::array({row}),
                      .raw_key = "value_hex",
                      .line = [](const Json& line) { return line["value_hex"].get<std::string>(); }});
        return Exit::ok;
    }

    std::string text_;
    std::string timeout_ = "1s";
    std::string interval_ = "1ms";
    bool force_ = false;
    Condition condition_{};
    std::chrono::nanoseconds limit_{};
    std::chrono::nanoseconds step_{};
};

class Watch : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("what", operands_, "NAME, NAME.FIELD or OFFSET[.w]; a line whenever one changes")
            .required()
            .type_name("WHAT");
        options.add_option("--interval", interval_, "Time between two looks; default 1s").type_name("TIME");
        options.add_option("--count", count_, "Stop after so many looks; default: until interrupted").type_name("N");
        options.add_flag("--force", force_, "Also where the access policy speaks against it");
    }

    void prepare(Session& session) override {
        if (session.is_one_document())
            throw Failure{Exit::usage,
                          "watch: writes a line whenever something changes, which is no part of one JSON document: "
                          "use -o jsonl, or give it an invocation of its own"};
        places_.clear();
        for (const std::string& operand : operands_) {
            for (Place& place : parse_places(operand, session.scope(force_))) {
                check_read(place, force_);
                places_.push_back(std::move(place));
            }
        }
        step_ = cli::parse_duration(interval_);
        looks_ = count_.empty() ? std::numeric_limits<std::uint64_t>::max() : cli::parse_number(count_);
        previous_.assign(places_.size(), std::nullopt);
    }

    void explain(Session& session) override {
        std::vector<std::string> steps;
        for (const Place& place : places_)
            steps.push_back(fmt::format("read {} bits of {} every {}", place.width, place.name, interval_));
        session.would(steps, session.device_json());
    }

    [[nodiscard]] Heeds heeds() const override { return heeds_of(operands_); }

    Exit run(Session& session) override {
        const Interruption guard;
        cli::RemovalRequest request{session.device()};
        const auto start = Clock::now();
        for (std::uint64_t look = 0; look != looks_ && !Interruption::came(); ++look) {
            if (look != 0) pause_for(step_, request);
            this->look(session, Clock::now() - start);
        }
        return Interruption::came() ? Exit::interrupted : Exit::ok;
    }

  private:
    /// One look at every place. A stream has no end to wait for, so its JSON form is a line a change.
    void look(Session& session, Clock::duration elapsed) {
        for (std::size_t i = 0; i < places_.size(); ++i) {
            const std::uint64_t raw = session.bus().load(places_[i]);
            const std::uint64_t meant = raw & places_[i].mask();
            if (previous_[i] == meant) continue;
            previous_[i] = meant;
            Json row{{"seconds", std::chrono::duration<double>(elapsed).count()}};
            row.update(value_row(places_[i], raw));
            write(session.output(), row);
        }
    }

    static void write(const cli::Output& output, const Json& row) {
        using enum cli::Format;
        std::ostream& out = output.stream();
        const std::string value = row["value_hex"].get<std::string>();
        if (output.format() == json || output.format() == jsonl) {
            out << cli::json_text(row) << '\n';
        } else if (output.format() == raw) {
            out << value << '\n';
        } else {
            const char* separator = output.format() == tsv ? "\t" : "  ";
            fmt::print(out, "{:.6f}{}{}{}{}{}{}\n", row["seconds"].get<double>(), separator,
                       row["name"].get<std::string>(), separator, value, separator, row["decoded"].get<std::string>());
        }
        out.flush();
    }

    std::vector<std::string> operands_;
    std::string interval_ = "1s";
    std::string count_;
    bool force_ = false;
    std::vector<Place> places_;
    std::chrono::nanoseconds step_{};
    std::uint64_t looks_ = 0;
    std::vector<std::optional<std::uint64_t>> previous_;
};

}  // namespace

void add_observe_operations(cli::Options& line, Chosen& chosen) {
    add_operation<Wait>(line, chosen, "wait", "Wait until a register or field has a value");
    add_operation<Watch>(line, chosen, "watch", "Show registers or fields whenever they change");
}

}  // namespace pcienic::ctl
