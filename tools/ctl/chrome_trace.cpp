// SPDX-License-Identifier: MIT
#include "chrome_trace.hpp"

#include <fmt/format.h>

#include <map>
#include <ostream>
#include <set>
#include <string>

#include "cli/json_text.hpp"
#include "trace_rows.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using uiovfio::Trace;
using uiovfio::TraceKind;
using uiovfio::TraceRecord;

constexpr unsigned kProcess = 1;
// Tracks, in the order in which they are shown.
constexpr unsigned kMmio = 1;
constexpr unsigned kConfig = 2;
constexpr unsigned kDma = 3;
constexpr unsigned kControl = 4;
constexpr unsigned kFirstVector = 100;

double microseconds(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1000; }

unsigned track_of(const TraceRecord& record) {
    switch (record.kind) {
        case TraceKind::load:
        case TraceKind::store:
            return kMmio;
        case TraceKind::config_load:
        case TraceKind::config_store:
            return kConfig;
        case TraceKind::dma_map:
        case TraceKind::dma_unmap:
        case TraceKind::memory:
            return kDma;
        case TraceKind::taken:
        case TraceKind::left:
            return kFirstVector + record.vector;
        default:
            return kControl;
    }
}

/// Moments; everything else is a call, which took its time.
bool is_instant(TraceKind kind) {
    return kind == TraceKind::memory || kind == TraceKind::taken || kind == TraceKind::left ||
           kind == TraceKind::stopped;
}

std::string title_of(const Json& row) {
    const auto kind = row["kind"].get<std::string>();
    if (row.contains("register")) return fmt::format("{} {}", kind, row["register"].get<std::string>());
    if (row.contains("bar"))
        return fmt::format("{} BAR{} {}", kind, row["bar"].dump(), row["offset_hex"].get<std::string>());
    if (row.contains("offset")) return fmt::format("{} {}", kind, row["offset_hex"].get<std::string>());
    if (row.contains("writer")) return fmt::format("{} by {}", kind, row["writer"].get<std::string>());
    if (row.contains("count")) return fmt::format("{} {}", kind, row["count"].dump());
    return kind;
}

class ChromeTrace {
  public:
    ChromeTrace(std::ostream& out, const Trace& trace) : out_{out}, trace_{trace} {}

    void write() {
        const Json header = trace_header_row(trace_);
        out_ << R"({"displayTimeUnit":"ns","otherData":)" << cli::json_text(header) << ",\"traceEvents\":[";
        name("process_name", 0, trace_header_line(header));
        name("thread_name", kMmio, "MMIO");
        name("thread_name", kConfig, "configuration space");
        name("thread_name", kDma, "DMA");
        name("thread_name", kControl, "control");
        for (std::size_t i = 0; i < trace_.records().size(); ++i) record(i);
        while (!mapped_.empty()) end_mapping(mapped_.begin()->first, last_);
        out_ << "\n]}\n";
    }

  private:
    void put(const Json& event) {
        out_ << (first_ ? "\n" : ",\n") << cli::json_text(event);
        first_ = false;
    }

    void name(const char* what, unsigned track, const std::string& text) {
        put({{"ph", "M"}, {"pid", kProcess}, {"tid", track}, {"name", what}, {"args", {{"name", text}}}});
    }

    void record(std::size_t index) {
        const TraceRecord& record = trace_.records()[index];
        Json row = trace_record_row(trace_, index);
        const std::string title = title_of(row);
        for (const char* shown : {"time_ns", "duration_ns", "kind"}) row.erase(shown);
        const unsigned track = track_of(record);
        if (track >= kFirstVector && named_.insert(track).second)
            name("thread_name", track, fmt::format("vector {}", record.vector));
        last_ = microseconds(record.at);
        Json event{{"ph", is_instant(record.kind) ? "i" : "X"},
                   {"pid", kProcess},
                   {"tid", track},
                   {"cat", to_string(record.kind)},
                   {"name", title},
                   {"ts", last_}};
        if (is_instant(record.kind)) {
            event["s"] = "t";
        } else {
            event["dur"] = microseconds(record.duration);
        }
        event["args"] = std::move(row);
        put(event);
        if (record.error) return;
        if (record.kind == TraceKind::dma_map) begin_mapping(record);
        if (record.kind == TraceKind::dma_unmap) end_mapping(to_integer(record.iova), last_);
    }

    /// Mappings overlap as they like, which only asynchronous events may.
    void mapping(const char* phase, std::uint64_t iova, const std::string& title, double at) {
        put({{"ph", phase},
             {"pid", kProcess},
             {"tid", kDma},
             {"cat", "mapping"},
             {"id", fmt::format("{:#x}", iova)},
             {"name", title},
             {"ts", at}});
    }

    void begin_mapping(const TraceRecord& record) {
        const std::uint64_t iova = to_integer(record.iova);
        const std::string title = fmt::format("{} bytes at {:#x}", record.length, iova);
        if (mapped_.emplace(iova, title).second) mapping("b", iova, title, last_);
    }

    void end_mapping(std::uint64_t iova, double at) {
        const auto found = mapped_.find(iova);
        if (found == mapped_.end()) return;
        mapping("e", iova, found->second, at);
        mapped_.erase(found);
    }

    std::ostream& out_;
    const Trace& trace_;
    bool first_ = true;
    double last_ = 0;
    std::set<unsigned> named_;
    std::map<std::uint64_t, std::string> mapped_;
};

}  // namespace

void write_chrome_trace(std::ostream& out, const Trace& trace) { ChromeTrace{out, trace}.write(); }

}  // namespace pcienic::ctl
