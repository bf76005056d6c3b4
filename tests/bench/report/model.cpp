// SPDX-License-Identifier: MIT
#include "report/model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/exit.hpp"
#include "cli/tool.hpp"

namespace pcienic::bench {
namespace {

/// A picosecond is far below what any clock here tells; more digits would only look exact.
double rounded(double value) { return std::round(value * 1e3) / 1e3; }

Json to_json(const Summary& time) {
    Json buckets = Json::array();
    for (const Bucket& bucket : time.histogram)
        buckets.push_back({{"from", rounded(bucket.from)}, {"to", rounded(bucket.to)}, {"count", bucket.count}});
    return {{"count", time.count},      {"min", rounded(time.min)}, {"p50", rounded(time.p50)},
            {"p90", rounded(time.p90)}, {"p99", rounded(time.p99)}, {"p99.9", rounded(time.p999)},
            {"max", rounded(time.max)}, {"histogram", buckets}};
}

Json to_json(const Group& group, const Series& series) {
    Json json{{"name", series.name}};
    if (!series.parameter.empty()) json["parameter"] = series.parameter;
    if (!series.baseline.empty()) json["baseline"] = series.baseline;
    if (const auto value = ratio(group, series)) json["ratio"] = rounded(*value);
    json["ns"] = to_json(series.time);
    if (series.bytes != 0) json["bytes"] = series.bytes;
    if (series.allocations) json["allocations"] = *series.allocations;
    if (series.must_not_allocate) json["must_not_allocate"] = true;
    if (!series.system_calls.empty()) json["system_calls"] = series.system_calls;
    return json;
}

Json to_json(const Group& group) {
    Json json{{"name", group.name}, {"title", group.title}, {"operation", group.operation}};
    json["series"] = Json::array();
    for (const Series& series : group.series) json["series"].push_back(to_json(group, series));
    json["skipped"] = Json::array();
    for (const Skipped& skipped : group.skipped)
        json["skipped"].push_back({{"name", skipped.name}, {"reason", skipped.reason}});
    return json;
}

Json to_json(const Run& run) {
    Json json{{"environment", Json::object()}, {"groups", Json::array()}};
    for (const auto& [key, value] : run.environment) json["environment"][key] = value;
    for (const Group& group : run.groups) json["groups"].push_back(to_json(group));
    return json;
}

Summary parse_summary(const Json& json) {
    Summary time{.count = json.at("count"),
                 .min = json.at("min"),
                 .p50 = json.at("p50"),
                 .p90 = json.at("p90"),
                 .p99 = json.at("p99"),
                 .p999 = json.at("p99.9"),
                 .max = json.at("max"),
                 .histogram = {}};
    for (const Json& bucket : json.at("histogram"))
        time.histogram.push_back({bucket.at("from"), bucket.at("to"), bucket.at("count")});
    return time;
}

Series parse_series(const Json& json) {
    Series series{.name = json.at("name"),
                  .parameter = json.value("parameter", ""),
                  .baseline = json.value("baseline", ""),
                  .time = parse_summary(json.at("ns")),
                  .bytes = json.value("bytes", std::uint64_t{0}),
                  .allocations = {},
                  .must_not_allocate = json.value("must_not_allocate", false),
                  .system_calls = json.value("system_calls", std::map<std::string, double>{})};
    if (json.contains("allocations")) series.allocations = json.at("allocations").get<std::uint64_t>();
    return series;
}

Run parse_run(const Json& json) {
    Run run;
    for (const auto& [key, value] : json.at("environment").items()) run.environment.emplace_back(key, value);
    for (const Json& item : json.at("groups")) {
        Group group{.name = item.at("name"),
                    .title = item.at("title"),
                    .operation = item.at("operation"),
                    .series = {},
                    .skipped = {}};
        for (const Json& series : item.at("series")) group.series.push_back(parse_series(series));
        for (const Json& skipped : item.at("skipped"))
            group.skipped.push_back({skipped.at("name"), skipped.at("reason")});
        run.groups.push_back(std::move(group));
    }
    return run;
}

}  // namespace

const std::vector<Claim>& claims() {
    static const std::vector<Claim> kClaims{
        {"registers.read", "typed register", 1.02, "reading a typed register takes at most 1.02 times a raw load"},
        {"registers.write", "typed register", 1.02, "writing a typed register takes at most 1.02 times a raw store"},
        {"interrupts.wake", "Asio coroutine", 1.25,
         "a coroutine's wait takes at most 1.25 times the blocking read's median"},
        {"interrupts.wake", "Asio coroutine, hybrid, looking", 1.25,
         "a coroutine's wait that looks first takes at most 1.25 times the blocking read's median"},
    };
    return kClaims;
}

const Series* find(const Group& group, std::string_view name, std::string_view parameter) {
    const auto found = std::ranges::find_if(
        group.series, [&](const Series& series) { return series.name == name && series.parameter == parameter; });
    return found == group.series.end() ? nullptr : &*found;
}

const Group* find(const Run& run, std::string_view name) {
    const auto found = std::ranges::find(run.groups, name, &Group::name);
    return found == run.groups.end() ? nullptr : &*found;
}

std::optional<double> ratio(const Group& group, const Series& series) {
    if (series.baseline.empty()) return std::nullopt;
    const Series* baseline = find(group, series.baseline, series.parameter);
    if (baseline == nullptr || baseline->time.p50 <= 0) return std::nullopt;
    return series.time.p50 / baseline->time.p50;
}

std::string_view environment(const Run& run, std::string_view key) {
    const auto found = std::ranges::find(run.environment, key, &std::pair<std::string, std::string>::first);
    return found == run.environment.end() ? std::string_view{} : found->second;
}

std::vector<std::string> forbidden_allocations(const Report& report) {
    std::vector<std::string> found;
    for (const Run& run : report.runs)
        for (const Group& group : run.groups)
            for (const Series& series : group.series)
                if (series.must_not_allocate && series.allocations.value_or(0) != 0)
                    found.push_back(fmt::format("{}, {}{}{}: {} allocations in {} samples", group.name, series.name,
                                                series.parameter.empty() ? "" : ", ", series.parameter,
                                                *series.allocations, series.time.count));
    return found;
}

Json to_json(const Report& report) {
    Json json{{"schema", kSchema}, {"tool", fmt::format("pcienic-bench {}", cli::version())}, {"runs", Json::array()}};
    for (const Run& run : report.runs) json["runs"].push_back(to_json(run));
    return json;
}

Report parse_report(std::string_view text, std::string_view source) {
    const auto refuse = [&](std::string_view why) {
        return cli::Failure(cli::Exit::usage,
                            fmt::format("{}: no result of pcienic-bench: {}: give a bench.json", source, why));
    };
    try {
        const Json json = Json::parse(text);
        if (!json.is_object() || json.value("schema", "") != kSchema)
            throw refuse(fmt::format("its schema is not {}", kSchema));
        Report report;
        for (const Json& run : json.at("runs")) report.runs.push_back(parse_run(run));
        return report;
    } catch (const Json::exception& error) {
        throw refuse(error.what());
    }
}

}  // namespace pcienic::bench
