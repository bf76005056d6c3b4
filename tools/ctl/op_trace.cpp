// SPDX-License-Identifier: MIT
// trace
#include <fmt/format.h>
#include <fmt/ostream.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <ostream>

#include "chrome_trace.hpp"
#include "cli/input.hpp"
#include "cli/json_text.hpp"
#include "cli/number.hpp"
#include "operation.hpp"
#include "pcienic/replay.hpp"
#include "place.hpp"
#include "trace_rows.hpp"
#include "uiovfio/replay.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using cli::Json;
using uiovfio::Trace;

/// Rows that are drawn at a time, where nothing has to be known of all of them.
constexpr std::size_t kChunk = 1024;

class TraceFile : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("action", action_, "show, export or replay")
            .required()
            .type_name("ACTION")
            .one_of({"show", "export", "replay"});
        options.add_option("file", file_, "A trace, which --trace recorded").required().type_name("FILE");
        options
            .add_option("--format", format_, "Of export: jsonl, or chrome (chrome://tracing, Perfetto); default jsonl")
            .type_name("FORM")
            .one_of({"jsonl", "chrome"});
        options.add_option("--out", out_, "Where export writes to, rather than to stdout").type_name("FILE");
        options.add_option("--may-differ", may_differ_, "Of replay: registers or fields that need not read as they did")
            .type_name("PLACE")
            .one_value_each();  // else the file would be one of them
        options.add_option("--memory", memory_, "Of replay: bytes that it may take for memory; default 256M")
            .type_name("BYTES");
        options.add_flag("--merged", merged_, "Of replay: more interrupts than were counted are fine");
        options.add_option("--resolve", resolve_, "Of replay: write the trace again, with who wrote what to memory")
            .type_name("FILE");
    }

    void prepare(Session& session) override {
        only_for("export", !format_.empty(), "--format");
        only_for("export", !out_.empty(), "--out");
        only_for("replay", !may_differ_.empty(), "--may-differ");
        only_for("replay", !memory_.empty(), "--memory");
        only_for("replay", merged_, "--merged");
        only_for("replay", !resolve_.empty(), "--resolve");
        cli::refuse_same_file(file_, out_);
        cli::refuse_same_file(file_, resolve_);
        cli::refuse_same_file(file_, session.options().trace.file);
        trace_ = Trace::read(file_);
        warn_of_the_end(session);
        const cli::Format form = session.output().format();
        if (action_ == "show" && (form == cli::Format::json || form == cli::Format::tsv) &&
            trace_.records().size() > kMaxPlaces)
            throw Failure{Exit::usage, fmt::format("{}: has {} records, {} can be shown in that form: use -o jsonl, or "
                                                   "'trace export'",
                                                   file_, trace_.records().size(), kMaxPlaces)};
        if (action_ != "replay") return;
        replay_ = replay_options();
        replay_.merged_interrupts = merged_;
        if (!memory_.empty()) replay_.memory_limit = cli::parse_number(memory_);
        sim_ = uiovfio::sim_options(trace_.header(), replay_);
        sim_.trace = session.options().trace;
        for (const std::string& text : may_differ_) permit(text);
    }

    void explain(Session& session) override {
        const std::string what = action_ == "replay"   ? "replay it on a simulated device"
                                 : action_ == "export" ? "export it as " + form()
                                                       : "show it";
        session.would({fmt::format("read {}, {} records, and {}", file_, trace_.records().size(), what)});
    }

    [[nodiscard]] Heeds heeds() const override {
        Heeds heeds = kHeedsForm;
        heeds.trace = action_ == "replay";  // of the simulated device
        heeds.form = action_ != "export";   // which has --format
        return heeds;
    }

    Exit run(Session& session) override {
        if (action_ == "show") return show(session);
        return action_ == "export" ? export_to(session) : replay(session);
    }

  private:
    void only_for(std::string_view action, bool is_given, std::string_view option) const {
        if (is_given && action_ != action)
            throw Failure{Exit::usage,
                          fmt::format("{}: is for 'trace {}', not for 'trace {}'", option, action, action_)};
    }

    [[nodiscard]] std::string form() const { return format_.empty() ? "jsonl" : format_; }

    void warn_of_the_end(const Session& session) const {
        if (trace_.end() == uiovfio::TraceEnd::closed) return;
        session.warn(fmt::format("{}: {}", file_, trace_header_line(trace_header_row(trace_))));
    }

    void permit(const std::string& text) {
        const Scope scope{
            .is_pcienic = true,
            .device = "the trace",
            .bar_size =
                [this](unsigned bar) { return bar < trace_.header().bars.size() ? trace_.header().bars[bar].size : 0; },
            .force = true};
        for (const Place& place : parse_places(text, scope))
            replay_.may_differ.push_back({.bar = place.bar,
                                          .offset = place.offset,
                                          .length = place.width / 8,
                                          .mask = place.mask(),
                                          .why = "--may-differ " + text});
    }

    [[nodiscard]] Json device_json() const {
        Json row = trace_header_row(trace_);
        Json device;
        for (const char* key : {"bdf", "vendor", "vendor_hex", "device", "device_hex", "backend"})
            device[key] = row[key];
        return device;
    }

    Exit show(Session& session) const {
        const cli::Format format = session.output().format();
        if (format == cli::Format::table)
            session.output().stream() << trace_header_line(trace_header_row(trace_)) << '\n';
        const bool is_whole = format == cli::Format::json || format == cli::Format::tsv;
        const std::size_t chunk = is_whole ? std::max<std::size_t>(trace_.records().size(), 1) : kChunk;
        for (std::size_t first = 0; first < trace_.records().size() || (is_whole && first == 0); first += chunk) {
            cli::Document document{.schema = "pcienic.trace/1", .device = device_json(), .columns = columns()};
            for (std::size_t i = first; i < std::min(first + chunk, trace_.records().size()); ++i)
                document.rows.push_back(trace_record_row(trace_, i));
            document.raw_key = "value_hex";
            document.line = trace_line;
            session.emit(std::move(document));
        }
        return Exit::ok;
    }

    static std::vector<cli::Column> columns() {
        std::vector<cli::Column> all;
        for (const char* key :
             {"record", "time_ns", "duration_ns", "thread", "kind", "bar", "offset_hex", "width", "register",
              "value_hex", "iova_hex", "length", "direction", "writer", "mode", "vector", "vectors", "count", "error"})
            all.push_back({.key = key, .title = key});
        return all;
    }

    Exit export_to(Session& session) const {
        std::ofstream file;
        if (!out_.empty()) {
            const mode_t before = ::umask(077);  // it holds what the trace holds
            file.open(out_, std::ios::binary);
            ::umask(before);
            if (!file)
                throw Failure{Exit::failure, fmt::format("{}: cannot be written: check the path and the rights", out_)};
        }
        std::ostream& out = out_.empty() ? session.output().stream() : file;
        if (form() == "chrome") {
            write_chrome_trace(out, trace_);
        } else {
            out << cli::json_text(trace_header_row(trace_)) << '\n';
            for (std::size_t i = 0; i < trace_.records().size(); ++i)
                out << cli::json_text(trace_record_row(trace_, i)) << '\n';
        }
        out.flush();
        if (!out)
            throw Failure{Exit::failure, fmt::format("{}: cannot be written: see whether its file system has room",
                                                     out_.empty() ? "stdout" : out_)};
        return Exit::ok;
    }

    Exit replay(Session& session) const {
        uiovfio::Device device = uiovfio::open_sim(sim_);
        const uiovfio::ReplayReport report = uiovfio::replay(trace_, device, replay_);
        device.close();
        session.emit({.schema = "pcienic.replay/1",
                      .device = device_json(),
                      .rows = Json::array({report_row(report)}),
                      .raw_key = "matched",
                      .line = report_text});
        if (!report.matched()) return Exit::check_failed;
        if (!resolve_.empty()) write_resolved(report);
        return Exit::ok;
    }

    static Json report_row(const uiovfio::ReplayReport& report) {
        Json row{{"matched", report.matched()},
                 {"records", report.records},
                 {"skipped", report.skipped},
                 {"loads", report.loads},
                 {"differing", report.differing},
                 {"interrupts", report.interrupts},
                 {"device_bytes", report.device_bytes},
                 {"assumed_bytes", report.assumed_bytes},
                 {"device_was_lost", report.device_was_lost},
                 {"mismatch_count", report.mismatch_count},
                 {"mismatches", Json::array()}};
        for (const uiovfio::ReplayMismatch& mismatch : report.mismatches)
            row["mismatches"].push_back({{"record", mismatch.record},
                                         {"place", mismatch.place},
                                         {"expected", mismatch.expected},
                                         {"got", mismatch.got},
                                         {"text", mismatch.text()}});
        return row;
    }

    static std::string report_text(const Json& row) {
        std::string text;
        for (const Json& mismatch : row["mismatches"]) text += mismatch["text"].get<std::string>() + '\n';
        const std::uint64_t count = row["mismatch_count"];
        if (count > row["mismatches"].size()) text += fmt::format("and {} more\n", count - row["mismatches"].size());
        text += fmt::format("{} records replayed: {} loads, {} interrupts and {} bytes of the device's compared\n",
                            row["records"].dump(), row["loads"].dump(), row["interrupts"].dump(),
                            row["device_bytes"].dump());
        if (row["skipped"] != 0) text += fmt::format("{} had failed, and were skipped\n", row["skipped"].dump());
        if (row["differing"] != 0) text += fmt::format("{} loads differ, as they may\n", row["differing"].dump());
        if (row["assumed_bytes"] != 0)
            text += fmt::format("{} bytes of memory were taken for the driver's: --resolve settles who wrote them\n",
                                row["assumed_bytes"].dump());
        if (row["device_was_lost"].get<bool>()) text += "the device was lost there, and the replay ended\n";
        return text + (count == 0 ? "all as it was" : "NOT as it was");
    }

    void write_resolved(const uiovfio::ReplayReport& report) const {
        uiovfio::write_trace(resolve_, uiovfio::resolved(trace_, report));
    }

    std::string action_;
    std::string file_;
    std::string format_;
    std::string out_;
    std::vector<std::string> may_differ_;
    std::string memory_;
    bool merged_ = false;
    std::string resolve_;
    Trace trace_;
    uiovfio::SimOptions sim_;
    uiovfio::ReplayOptions replay_;
};

}  // namespace

void add_trace_options(cli::Options& line, uiovfio::TraceOptions& options) {
    const cli::Option trace = line.add_option(
                                      "--trace", [&options](const std::string& file) { options.file = file; },
                                      "Record accesses, DMA and interrupts to this file; see 'trace'")
                                  .type_name("FILE");
    const auto number = [&](const char* option, std::uint64_t& value, const char* description) {
        line.add_option(
                option, [&value](const std::string& text) { value = cli::parse_number(text); }, description)
            .type_name("BYTES")
            .needs(trace);
    };
    number("--trace-limit", options.file_limit, "Bytes that the trace may have; default 64M");
    number("--trace-memory", options.memory_limit, "Bytes of memory whose contents it follows; default 16M");
}

void add_trace_operation(cli::Options& line, Chosen& chosen) {
    add_operation<TraceFile>(line, chosen, "trace", "Show, export or replay what --trace recorded");
}

}  // namespace pcienic::ctl
