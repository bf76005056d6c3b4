// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "cli/output.hpp"

namespace irqtest {
namespace {

using pcienic::cli::paint;
using pcienic::cli::Style;
using Json = nlohmann::ordered_json;

constexpr unsigned kBarWidth = 40;
constexpr double kPercentiles[] = {50, 90, 99, 99.9};

struct Column {
    const char* title;
    std::optional<Verdict> VectorReport::* verdict;
};
constexpr Column kVerdicts[] = {
    {"masked", &VectorReport::masked}, {"parallel", &VectorReport::parallel}, {"storm", &VectorReport::storm}};

Latencies all_latencies(const SourceReport& source) {
    Latencies all;
    for (const VectorReport& vector : source.vectors) all.add(vector.latencies);
    return all;
}

// The columns of the checks that ran.
std::vector<Column> columns_of(const SourceReport& source) {
    std::vector<Column> columns;
    for (const Column& column : kVerdicts)
        if (std::ranges::any_of(source.vectors, [&](const auto& v) { return (v.*column.verdict).has_value(); }))
            columns.push_back(column);
    return columns;
}

std::string cell(const std::optional<Verdict>& verdict, bool colour) {
    if (!verdict) return fmt::format("{:>9}", "-");
    return paint(fmt::format("{:>9}", verdict->passed ? "ok" : "FAIL"), verdict->passed ? Style::green : Style::red,
                 colour);
}

void put_table(std::string& out, const SourceReport& source, bool colour) {
    const auto to = std::back_inserter(out);
    const std::vector<Column> columns = columns_of(source);
    std::string head =
        fmt::format("{:>6} {:>8} {:>9} {:>10} {:>10}", "vector", "fired", "received", "duplicates", "cross-talk");
    for (const Column& column : columns) head += fmt::format(" {:>9}", column.title);
    for (const char* title : {"min", "p50", "p99", "max"}) head += fmt::format(" {:>9}", title);
    fmt::format_to(to, "{}\n", paint(head + "  result", Style::bold, colour));

    VectorReport total;
    for (const VectorReport& v : source.vectors) {
        fmt::format_to(to, "{:>6} {:>8} {:>9} {:>10} {:>10}", v.vector, v.fired, v.received, v.duplicates,
                       v.cross_talk);
        for (const Column& column : columns) fmt::format_to(to, " {}", cell(v.*column.verdict, colour));
        for (const double percent : {0.0, 50.0, 99.0, 100.0})
            fmt::format_to(to, " {:>9}", v.latencies.empty() ? "-" : format_ns(v.latencies.percentile(percent)));
        fmt::format_to(to, "  {}\n",
                       !v.passed()    ? paint("FAIL", Style::red, colour)
                       : v.fired == 0 ? "-"
                                      : paint("ok", Style::green, colour));
        total.fired += v.fired;
        total.received += v.received;
        total.duplicates += v.duplicates;
        total.cross_talk += v.cross_talk;
    }
    fmt::format_to(to, "{:>6} {:>8} {:>9} {:>10} {:>10}\n", "total", total.fired, total.received, total.duplicates,
                   total.cross_talk);
}

void put_histogram(std::string& out, const Latencies& latencies) {
    const auto to = std::back_inserter(out);
    if (latencies.empty()) return;
    fmt::format_to(to, "\nlatency of {} interrupts: min {}", latencies.count(), format_ns(latencies.min()));
    for (const double percent : kPercentiles)
        fmt::format_to(to, ", p{} {}", percent, format_ns(latencies.percentile(percent)));
    fmt::format_to(to, ", max {}\n", format_ns(latencies.max()));
    const auto buckets = latencies.histogram();
    const std::size_t most = std::ranges::max(buckets, {}, &Latencies::Bucket::count).count;
    for (const auto& bucket : buckets)
        fmt::format_to(to, "{:>9} - {:<9} {:>8} {}\n", format_ns(bucket.from_ns), format_ns(bucket.to_ns), bucket.count,
                       bar(static_cast<double>(bucket.count) / static_cast<double>(most), kBarWidth));
}

Json to_json(const Latencies& latencies) {
    Json json{{"count", latencies.count()}, {"min", latencies.min()}};
    for (const double percent : kPercentiles) json[fmt::format("p{}", percent)] = latencies.percentile(percent);
    json["max"] = latencies.max();
    return json;
}

Json to_json(const VectorReport& v) {
    Json json{{"vector", v.vector},
              {"passed", v.fired == 0 ? Json{} : Json(v.passed())},
              {"fired", v.fired},
              {"received", v.received},
              {"duplicates", v.duplicates},
              {"cross_talk", v.cross_talk},
              {"latency_ns", to_json(v.latencies)}};
    for (const Column& column : kVerdicts)
        if (const auto& verdict = v.*column.verdict)
            json[column.title] = {
                {"passed", verdict->passed}, {"fired", verdict->fired}, {"received", verdict->received}};
    return json;
}

}  // namespace

std::string_view name(Via via) { return via == Via::device ? "device" : "vfio"; }

std::string to_table(const std::vector<SourceReport>& sources, bool histogram, bool colour) {
    std::string out;
    const auto to = std::back_inserter(out);
    for (const SourceReport& source : sources) {
        fmt::format_to(to, "\nvia {}: {}\n", paint(name(source.via), Style::bold, colour),
                       source.via == Via::device ? "the device raises the vector; the whole way to the eventfd"
                                                 : "the kernel signals the eventfd; the plumbing without the device");
        put_table(out, source, colour);
        if (histogram) put_histogram(out, all_latencies(source));
        for (const std::string& problem : source.problems)
            fmt::format_to(to, "{} via {}, {}\n", paint("problem:", Style::red, colour), name(source.via), problem);
    }
    const bool held = std::ranges::all_of(sources, &SourceReport::held);
    const bool complete = std::ranges::all_of(sources, &SourceReport::complete);
    if (held)
        fmt::format_to(to, "\n{}\n",
                       complete ? paint("PASS", Style::green, colour)
                                : paint("INTERRUPTED", Style::yellow, colour) + ": no problem until then");
    else
        fmt::format_to(to, "\n{}{}\n", paint("FAIL", Style::red, colour), complete ? "" : ", and interrupted");
    return out;
}

Json to_json(const std::vector<SourceReport>& sources) {
    Json data = Json::array();
    for (const SourceReport& source : sources) {
        const Latencies all = all_latencies(source);
        Json vectors = Json::array(), histogram = Json::array();
        for (const VectorReport& vector : source.vectors) vectors.push_back(to_json(vector));
        for (const auto& bucket : all.histogram())
            histogram.push_back({{"from_ns", bucket.from_ns}, {"to_ns", bucket.to_ns}, {"count", bucket.count}});
        data.push_back({{"via", name(source.via)},
                        {"passed", source.passed()},
                        {"complete", source.complete},
                        {"vectors", std::move(vectors)},
                        {"latency_ns", to_json(all)},
                        {"histogram", std::move(histogram)},
                        {"problems", source.problems}});
    }
    return data;
}

std::string to_tap(const std::vector<SourceReport>& sources) {
    std::size_t count = 0, number = 0;
    for (const SourceReport& source : sources) count += source.vectors.size();
    std::string out = fmt::format("TAP version 13\n1..{}\n", count);
    const auto to = std::back_inserter(out);
    for (const SourceReport& source : sources) {
        for (const VectorReport& v : source.vectors)
            if (v.fired != 0)
                fmt::format_to(to, "{} {} - {}: vector {}, fired {}, received {}, duplicates {}, cross-talk {}\n",
                               v.passed() ? "ok" : "not ok", ++number, name(source.via), v.vector, v.fired, v.received,
                               v.duplicates, v.cross_talk);
        for (const std::string& problem : source.problems) fmt::format_to(to, "# {}: {}\n", name(source.via), problem);
    }
    if (!std::ranges::all_of(sources, &SourceReport::complete)) out += "Bail out! interrupted\n";
    return out;
}

}  // namespace irqtest
