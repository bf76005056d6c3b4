// SPDX-License-Identifier: MIT
// dump
#include <fmt/format.h>

#include <fstream>
#include <ostream>

#include "cli/suggest.hpp"
#include "operation.hpp"
#include "rows.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;

class Dump : public Operation {
  public:
    void add_options(cli::Options& options) {
        options
            .add_option("what", patterns_,
                        "PATTERN of names, as IRQ_*, or [BARn:]OFFSET[.w]+BYTES; default: every register")
            .type_name("WHAT");
        options.add_flag("-a,--all", all_, "In the table, also the elements of arrays that are 0");
        options.add_flag("--include-rc", include_rc_, "Also registers that reading clears");
        options.add_option("--bin", file_, "Write the bytes of the values, in order, to this file instead")
            .type_name("FILE");
    }

    void prepare(Session& session) override {
        shown_.clear();
        const Scope scope = session.scope(false);
        if (patterns_.empty() && !scope.is_pcienic) {
            throw Failure{Exit::usage, fmt::format("device {} has no register names here: name a range, as BAR0:0+64",
                                                   scope.device)};
        }
        if (patterns_.empty()) patterns_ = {"*"};
        std::uint64_t accesses = 0;
        for (const std::string& pattern : patterns_) {
            const std::size_t known = shown_.size();
            add(pattern, scope);
            for (std::size_t i = known; i < shown_.size(); ++i) accesses += shown_[i].range.accesses;
            if (file_.empty()) check_count(pattern, accesses);
        }
    }

    void explain(Session& session) override {
        std::vector<std::string> steps;
        for (const auto& [range, unused] : shown_)
            steps.push_back(
                fmt::format("read {} bits of {}{}", range.width, range.place(0).name,
                            range.accesses == 1 ? "" : fmt::format(", and {} more behind it", range.accesses - 1)));
        session.would(steps, session.device_json());
    }

    [[nodiscard]] Heeds heeds() const override {
        Heeds heeds = heeds_of(patterns_);
        heeds.form = file_.empty();
        return heeds;
    }

    Exit run(Session& session) override {
        if (!file_.empty()) return save(session.bus());
        cli::Document document{.schema = "pcienic.dump/1", .columns = value_columns(), .raw_key = "value_hex"};
        // A person sees that what is missing is 0; 'diff', and a script that counts lines, cannot.
        const bool shows_zeros = all_ || !session.output().is_text();
        for (const Shown& shown : shown_) {
            for (std::uint64_t i = 0; i < shown.range.accesses; ++i) {
                const Place place = shown.range.place(i);
                const std::uint64_t value = session.bus().load(place);
                if (value != 0 || shows_zeros || !shown.may_be_left_out)
                    document.rows.push_back(value_row(place, value));
            }
        }
        document.device = session.device_json();
        session.emit(document);
        return Exit::ok;
    }

  private:
    struct Shown {
        Range range;
        bool may_be_left_out = false;  ///< if it is 0: one of many that a pattern matches
    };

    void add(const std::string& pattern, const Scope& scope) {
        if (is_offset(pattern)) return add_range(parse_range(pattern, scope));
        if (!scope.is_pcienic) static_cast<void>(parse_places(pattern, scope));  // says that there are no names
        const std::vector<Element> elements = elements_matching(pattern);
        if (elements.empty()) {
            throw Failure{Exit::usage, fmt::format("'{}': no register matches{}: 'pcienic-ctl regs' lists all", pattern,
                                                   cli::did_you_mean(pattern, register_names()))};
        }
        const bool is_named = elements.size() == 1;
        for (const Element& element : elements) {
            const Place place = place_of(element);
            if (is_named) check(place);
            if (!is_dumped(place)) continue;
            const bool is_one_of_many = !is_named && element.reg->count > 1;
            shown_.push_back(
                {{.bar = place.bar, .offset = place.offset, .width = place.width, .described = true}, is_one_of_many});
        }
    }

    void add_range(const Range& range) {
        if (range.accesses == 1) check(range.place(0));
        shown_.push_back({.range = range});
    }

    [[nodiscard]] bool is_dumped(const Place& place) const {
        return !place.bits || (place.bits->wo == 0 && (place.bits->rc == 0 || include_rc_));
    }

    /// What is named by itself is not left out without a word.
    void check(const Place& place) const {
        if (is_dumped(place)) return;
        throw Failure{Exit::usage,
                      place.bits->wo != 0
                          ? fmt::format("{}: is write-only and reads as 0: leave it out, or use 'read --force {}'",
                                        place.name, place.name)
                          : fmt::format("{}: reading clears it: leave it out, or have it with "
                                        "--include-rc",
                                        place.name)};
    }

    /// As they are read, since a BAR may be larger than what one wants in memory.
    [[nodiscard]] Exit save(Bus& bus) const {
        std::ofstream stream{file_, std::ios::binary};
        for (const auto& [range, unused] : shown_) {
            for (std::uint64_t i = 0; stream && i < range.accesses; ++i) {
                const std::uint64_t value = bus.load(range.bare(i));
                for (unsigned at = 0; at < range.width; at += 8) stream.put(static_cast<char>(value >> at));
            }
        }
        stream.close();
        if (!stream)
            throw Failure{Exit::failure,
                          fmt::format("{}: could not be written: check the path and the free space", file_)};
        return Exit::ok;
    }

    std::vector<std::string> patterns_;
    bool all_ = false;
    bool include_rc_ = false;
    std::string file_;
    std::vector<Shown> shown_;
};

}  // namespace

void add_dump_operation(cli::Options& line, Chosen& chosen) {
    add_operation<Dump>(line, chosen, "dump", "Read every register that reading does not change");
}

}  // namespace pcienic::ctl
