// SPDX-License-Identifier: MIT
#include "trace_rows.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <span>

#include "cli/tool.hpp"
#include "pcienic/registers.hpp"
#include "pcienic/replay.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using cli::put_number;
using uiovfio::Trace;
using uiovfio::TraceEnd;
using uiovfio::TraceKind;
using uiovfio::TraceRecord;

/// A file may hold anything, a terminal should not get it.
std::string printable(std::string text) {
    std::ranges::replace_if(text, [](char c) { return c < ' ' || c > '~'; }, '?');
    return text;
}

std::string hex_of(std::span<const std::byte> bytes) {
    std::string text;
    for (const std::byte byte : bytes) text += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
    return text;
}

std::string_view name_of(TraceEnd end) {
    switch (end) {
        case TraceEnd::closed:
            return "closed";
        case TraceEnd::open:
            return "open";
        case TraceEnd::stopped:
            return "stopped";
        case TraceEnd::cut:
            return "cut";
    }
    return "unknown";
}

std::string_view name_of(uiovfio::DmaDirection direction) {
    switch (direction) {
        case uiovfio::DmaDirection::bidirectional:
            return "bidirectional";
        case uiovfio::DmaDirection::to_device:
            return "to_device";
        case uiovfio::DmaDirection::from_device:
            return "from_device";
    }
    return "unknown";
}

std::string started_text(std::chrono::system_clock::time_point started) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(started);
    const std::time_t time = std::chrono::system_clock::to_time_t(seconds);
    std::tm calendar{};
    if (::gmtime_r(&time, &calendar) == nullptr) return "unknown";
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", calendar);
}

void put_access(Json& row, const TraceRecord& record, const std::string& name) {
    put_number(row, "offset", record.offset, 16);
    row["width"] = 8 * record.width;
    if (!name.empty()) row["register"] = name;
    put_number(row, "value", record.value, 8 * record.width);
}

void put_mapping(Json& row, const TraceRecord& record) {
    put_number(row, "iova", uiovfio::to_integer(record.iova), 64);
    row["length"] = record.length;
}

/// What belongs to the kind.
void put_details(Json& row, const Trace& trace, const TraceRecord& record) {
    switch (record.kind) {
        case TraceKind::load:
        case TraceKind::store:
            row["bar"] = record.bar;
            return put_access(row, record, register_in(trace, record.bar, record.offset));
        case TraceKind::config_load:
        case TraceKind::config_store:
            return put_access(row, record, {});
        case TraceKind::dma_map:
            put_mapping(row, record);
            row["direction"] = name_of(record.direction);
            row["has_contents"] = record.has_contents;
            return;
        case TraceKind::dma_unmap:
            return put_mapping(row, record);
        case TraceKind::memory:
            put_mapping(row, record);
            row["writer"] = to_string(record.writer);
            row["bytes"] = hex_of(record.bytes);
            row["changed_bits"] = hex_of(record.changed_bits);
            return;
        case TraceKind::arm:
            row["mode"] = to_string(record.mode);
            row["vector"] = record.vector;
            row["vectors"] = record.vectors;
            row["connected"] = std::ranges::count_if(record.connected, [](std::byte b) { return b != std::byte{0}; });
            row["keeps_counts"] = record.keeps_counts;
            return;
        case TraceKind::disarm:
            row["mode"] = to_string(record.mode);
            return;
        case TraceKind::trigger:
            row["mode"] = to_string(record.mode);
            row["vector"] = record.vector;
            return;
        case TraceKind::taken:
        case TraceKind::left:
            row["vector"] = record.vector;
            row["count"] = record.count;
            return;
        case TraceKind::event_taken:
            row["event"] = to_string(record.event);
            row["count"] = record.count;
            return;
        case TraceKind::event_trigger:
            row["event"] = to_string(record.event);
            return;
        case TraceKind::stopped:
            row["missing"] = record.count;
            return;
        case TraceKind::mask_intx:
        case TraceKind::unmask_intx:
        case TraceKind::reset:
        case TraceKind::close:
            return;
    }
}

std::string text_member(const Json& row, const char* key) {
    return row.contains(key) ? row[key].get<std::string>() : std::string{};
}

std::string place_text(const Json& row) {
    const std::string offset = row["offset_hex"].get<std::string>();
    const std::string name = text_member(row, "register");
    if (!row.contains("bar")) return offset;
    const std::string place = fmt::format("BAR{} {}", row["bar"].dump(), offset);
    return name.empty() ? place : fmt::format("{} ({})", name, place);
}

std::string details_text(const Json& row, const std::string& kind) {
    if (kind == "load" || kind == "config_load")
        return fmt::format("{} -> {}", place_text(row), text_member(row, "value_hex"));
    if (kind == "store" || kind == "config_store")
        return fmt::format("{} <- {}", place_text(row), text_member(row, "value_hex"));
    if (kind == "dma_map")
        return fmt::format("{} bytes at {}, {}{}", row["length"].dump(), text_member(row, "iova_hex"),
                           text_member(row, "direction"), row["has_contents"].get<bool>() ? "" : ", not followed");
    if (kind == "dma_unmap") return fmt::format("{} bytes at {}", row["length"].dump(), text_member(row, "iova_hex"));
    if (kind == "memory") {
        constexpr std::size_t kShown = 64;
        const std::string bytes = text_member(row, "bytes");
        return fmt::format("{} bytes at {}, {}: {}{}", row["length"].dump(), text_member(row, "iova_hex"),
                           text_member(row, "writer"), bytes.substr(0, kShown), bytes.size() > kShown ? "..." : "");
    }
    if (kind == "arm")
        return fmt::format("{} vectors {}+{}", text_member(row, "mode"), row["vector"].dump(), row["vectors"].dump());
    if (kind == "disarm") return text_member(row, "mode");
    if (kind == "trigger") return fmt::format("{} vector {}", text_member(row, "mode"), row["vector"].dump());
    if (kind == "event_taken") return fmt::format("{}, {} times", text_member(row, "event"), row["count"].dump());
    if (kind == "event_trigger") return text_member(row, "event");
    if (kind == "taken" || kind == "left")
        return fmt::format("vector {}, {} times", row["vector"].dump(), row["count"].dump());
    if (kind == "stopped") return fmt::format("{} records are missing", row["missing"].dump());
    return {};
}

}  // namespace

std::string register_in(const Trace& trace, unsigned bar, std::uint64_t offset) {
    const bool is_pcienic = trace.header().vendor() == kVendorId && trace.header().device() == kDeviceId;
    return is_pcienic ? register_name(bar, offset) : std::string{};
}

Json trace_header_row(const Trace& trace) {
    const uiovfio::TraceHeader& header = trace.header();
    Json row{{"schema", "pcienic.trace/1"},
             {"tool", fmt::format("pcienic-ctl {}", cli::version())},
             {"kind", "header"},
             {"bdf", to_string(header.bdf)}};
    put_number(row, "vendor", header.vendor(), 16);
    put_number(row, "device", header.device(), 16);
    row["backend"] = printable(header.backend);
    row["kernel"] = printable(header.kernel);
    row["library"] = printable(header.library);
    row["started"] = started_text(header.started);
    row["bars"] = Json::array();
    for (std::size_t index = 0; index < header.bars.size(); ++index) {
        const uiovfio::TraceBar& bar = header.bars[index];
        if (bar.size == 0) continue;
        row["bars"].push_back({{"index", index},
                               {"size", bar.size},
                               {"width", bar.is_64bit ? 64 : 32},
                               {"prefetchable", bar.is_prefetchable},
                               {"io", bar.is_io}});
    }
    row["config"] = hex_of(header.config);
    row["granule"] = header.granule;
    row["file_limit"] = header.file_limit;
    row["memory_limit"] = header.memory_limit;
    row["records"] = trace.records().size();
    row["end"] = name_of(trace.end());
    row["missing"] = trace.missing();
    return row;
}

Json trace_record_row(const Trace& trace, std::size_t index) {
    const TraceRecord& record = trace.records()[index];
    Json row{{"record", index},
             {"time_ns", record.at.count()},
             {"duration_ns", record.duration.count()},
             {"thread", record.thread},
             {"kind", to_string(record.kind)}};
    put_details(row, trace, record);
    if (record.error) row["error"] = name(*record.error);
    return row;
}

std::string trace_line(const Json& row) {
    const auto kind = row["kind"].get<std::string>();
    const auto microseconds = static_cast<double>(row["time_ns"].get<std::int64_t>()) / 1000;
    const std::string error = row.contains("error") ? " failed: " + text_member(row, "error") : std::string{};
    std::string line = fmt::format("{:>6} {:>14.3f} {:<12} {}{}", row["record"].dump(), microseconds, kind,
                                   details_text(row, kind), error);
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

std::string trace_header_line(const Json& row) {
    std::string line = fmt::format("{} [{}:{}] through {}, {}, at {}: {} records", text_member(row, "bdf"),
                                   text_member(row, "vendor_hex").substr(2), text_member(row, "device_hex").substr(2),
                                   text_member(row, "backend"), text_member(row, "kernel"), text_member(row, "started"),
                                   row["records"].dump());
    const std::string end = text_member(row, "end");
    if (end == "open") line += ", without the device's closing";
    if (end == "cut") line += ", and its file ends within the next";
    if (end == "stopped") line += fmt::format(", then it stopped: {} are missing", row["missing"].dump());
    return line;
}

}  // namespace pcienic::ctl
