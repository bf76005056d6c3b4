// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a run of the benchmarks has to tell, and its JSON, schema "pcienic.bench/1". docs/reference/benchmarks.md
/// describes the fields for readers.

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report/statistics.hpp"

namespace pcienic::bench {

using Json = nlohmann::ordered_json;

inline constexpr std::string_view kSchema = "pcienic.bench/1";

/// One way to do an operation.
struct Series {
    std::string name;       ///< "typed register"
    std::string parameter;  ///< what else tells it from its neighbours, such as a size; may be empty
    std::string baseline;   ///< name of the series with the same parameter that it is compared with; empty for none
    Summary time;
    /// What the operation moves, for a throughput; 0 for none.
    std::uint64_t bytes = 0;
    /// Heap allocations in the measured part of all operations together; nothing where they are not counted.
    std::optional<std::uint64_t> allocations;
    /// Whether one is a fault.
    bool must_not_allocate = false;
    /// System calls of one operation, by name, averaged; empty where they are not counted.
    std::map<std::string, double> system_calls;

    friend bool operator==(const Series&, const Series&) = default;
};

/// A series that could not be measured, and why.
struct Skipped {
    std::string name;
    std::string reason;

    friend bool operator==(const Skipped&, const Skipped&) = default;
};

/// Ways to do the same thing, measured in turns in one run, so that their ratios compare like with like.
struct Group {
    std::string name;       ///< "registers.read"
    std::string title;      ///< "Reading a register"
    std::string operation;  ///< what one sample is the time of, as a clause
    std::vector<Series> series;
    std::vector<Skipped> skipped;

    friend bool operator==(const Group&, const Group&) = default;
};

/// One process on one machine.
struct Run {
    /// Machine, kernel, compiler and so on, in the order in which they are shown.
    std::vector<std::pair<std::string, std::string>> environment;
    std::vector<Group> groups;

    friend bool operator==(const Run&, const Run&) = default;
};

struct Report {
    std::vector<Run> runs;

    friend bool operator==(const Report&, const Report&) = default;
};

/// What the project claims of a ratio.
struct Claim {
    std::string_view group;
    std::string_view series;
    double limit;
    std::string_view sentence;
};
const std::vector<Claim>& claims();

/// Null where there is none.
const Series* find(const Group& group, std::string_view name, std::string_view parameter);
const Group* find(const Run& run, std::string_view name);
/// Median by median of the baseline. Nothing for a series without one, or whose baseline was not measured.
std::optional<double> ratio(const Group& group, const Series& series);
/// The value of `key`, or empty.
std::string_view environment(const Run& run, std::string_view key);
/// Those that were counted where none may be: "registers.read, typed register: 3 allocations".
std::vector<std::string> forbidden_allocations(const Report& report);

Json to_json(const Report& report);
/// Throws cli::Failure(usage) that names `source` where the text is no document of this schema.
Report parse_report(std::string_view text, std::string_view source);

}  // namespace pcienic::bench
