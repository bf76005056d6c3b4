// SPDX-License-Identifier: MIT
#include "report/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "cli/output.hpp"

namespace pcienic::bench {
namespace {

using cli::paint;
using cli::Style;

/// Three digits of a value that is at least 0.
std::string three_digits(double value) {
    return fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

/// Rows of cells, the first row being the titles. Columns that nobody filled are left out.
class Table {
  public:
    explicit Table(std::vector<std::string> titles) : rows_{std::move(titles)} {}
    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

    /// The first `left` columns and the last one begin at their left, the others end at their right.
    std::string text(std::size_t left, bool colour) const {
        const std::vector<std::size_t> widths = column_widths();
        std::string text;
        for (const auto& row : rows_) {
            std::string line;
            for (std::size_t column = 0; column < row.size(); ++column) {
                if (widths[column] == 0) continue;
                const bool is_left = column < left || column + 1 == row.size();
                line += is_left ? fmt::format("{:<{}}", row[column], widths[column])
                                : fmt::format("{:>{}}", row[column], widths[column]);
                line += "  ";
            }
            line.erase(line.find_last_not_of(' ') + 1);
            text += "  " + paint(line, &row == &rows_.front() ? Style::dim : Style::plain, colour) + '\n';
        }
        return text;
    }

  private:
    /// 0 for a column without content.
    std::vector<std::size_t> column_widths() const {
        std::vector<std::size_t> widths(rows_.front().size());
        for (std::size_t column = 0; column < widths.size(); ++column) {
            for (std::size_t row = 1; row < rows_.size(); ++row)
                widths[column] = std::max(widths[column], rows_[row][column].size());
            if (widths[column] != 0) widths[column] = std::max(widths[column], rows_.front()[column].size());
        }
        return widths;
    }

    std::vector<std::vector<std::string>> rows_;
};

std::string throughput(const Series& series) {
    if (series.bytes == 0 || series.time.p50 <= 0) return {};
    return three_digits(static_cast<double>(series.bytes) / (1 << 20) / (series.time.p50 * 1e-9));
}

std::string ratio_cell(const Group& group, const Series& series) {
    if (const auto value = ratio(group, series)) return format_ratio(*value);
    const auto is_its_baseline = [&](const Series& other) {
        return other.baseline == series.name && other.parameter == series.parameter;
    };
    return std::ranges::any_of(group.series, is_its_baseline) ? "1" : "";
}

std::string to_text(const Group& group, bool colour) {
    std::string text =
        fmt::format("{}  {}: {}\n", paint(group.name, Style::bold, colour), group.title, group.operation);
    Table table({"", "", "p50", "p90", "p99", "p99.9", "max", "MiB/s", "ratio", "heap", "system calls"});
    std::string_view parameter;
    for (const Series& series : group.series) {
        table.add({series.parameter == parameter ? "" : series.parameter, series.name, format_time(series.time.p50),
                   format_time(series.time.p90), format_time(series.time.p99), format_time(series.time.p999),
                   format_time(series.time.max), throughput(series), ratio_cell(group, series),
                   series.allocations ? std::to_string(*series.allocations) : "", format_calls(series.system_calls)});
        parameter = series.parameter;
    }
    if (!group.series.empty()) text += table.text(2, colour);
    for (const Skipped& skipped : group.skipped)
        text += fmt::format("  {}: not measured: {}\n", skipped.name, skipped.reason);
    return text;
}

/// The run of `report` that is most like this one: of the same kernel, or the only one.
const Run* counterpart(const Report& report, const Run& run) {
    for (const Run& candidate : report.runs)
        if (environment(candidate, "kernel") == environment(run, "kernel")) return &candidate;
    return report.runs.size() == 1 ? &report.runs.front() : nullptr;
}

std::string full_name(const Series& series) {
    return series.parameter.empty() ? series.name : fmt::format("{}, {}", series.parameter, series.name);
}

std::string comparison_text(const Run& then, const Run& now) {
    std::string text = fmt::format("{}, now against {}, {}\n", environment(now, "kernel"), environment(then, "kernel"),
                                   environment(then, "date"));
    Table table({"", "", "then", "now", "change", ""});
    for (const Group& group : now.groups) {
        const Group* before = find(then, group.name);
        for (const Series& series : group.series) {
            const auto value = ratio(group, series);
            if (!value) continue;
            const Series* match = before != nullptr ? find(*before, series.name, series.parameter) : nullptr;
            std::string old = "-";
            std::string change = "new";
            if (match != nullptr) {
                if (const auto former = ratio(*before, *match)) {
                    old = format_ratio(*former);
                    change = fmt::format("x {}", format_ratio(*value / *former));
                }
            }
            table.add({group.name, full_name(series), old, format_ratio(*value), change, ""});
        }
    }
    return text + table.text(2, false);
}

}  // namespace

std::string format_time(double ns) {
    static constexpr std::array kUnits{std::pair{1.0, "ns"}, std::pair{1e3, "us"}, std::pair{1e6, "ms"},
                                       std::pair{1e9, "s"}};
    // 999.6 ns is 1.00 us: what counts is the figure that is shown.
    const auto* unit = kUnits.begin();
    while (unit + 1 != kUnits.end() && ns / unit->first >= 999.5) ++unit;
    return fmt::format("{} {}", three_digits(ns / unit->first), unit->second);
}

std::string format_ratio(double ratio) {
    return fmt::format("{:.{}f}", ratio, ratio < 2 ? 3 : ratio < 9.995 ? 2 : ratio < 99.95 ? 1 : 0);
}

std::string format_size(std::uint64_t bytes) {
    static constexpr std::array kUnits{"B", "KiB", "MiB", "GiB"};
    const auto* unit = kUnits.begin();
    for (; bytes >= 1024 && bytes % 1024 == 0 && unit + 1 != kUnits.end(); bytes /= 1024) ++unit;
    return fmt::format("{} {}", bytes, *unit);
}

std::string format_calls(const std::map<std::string, double>& calls) {
    std::string text;
    for (const auto& [name, count] : calls)
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name,
                            count == std::round(count) ? fmt::format("{:.0f}", count) : fmt::format("{:.2f}", count));
    return text;
}

std::string to_text(const Run& run, bool colour) {
    std::size_t width = 0;
    for (const auto& [key, value] : run.environment) width = std::max(width, key.size());
    std::string text;
    for (const auto& [key, value] : run.environment) text += fmt::format("{:<{}}  {}\n", key, width, value);
    for (const Group& group : run.groups) text += '\n' + to_text(group, colour);
    return text;
}

std::string claims_text(const Report& report, bool colour) {
    std::string text;
    for (const Run& run : report.runs) {
        if (environment(run, "rounds").starts_with("few")) continue;  // --quick: not enough to judge by
        for (const Claim& claim : claims()) {
            const Group* group = find(run, claim.group);
            const Series* series = group != nullptr ? find(*group, claim.series, "") : nullptr;
            const auto value = series != nullptr ? ratio(*group, *series) : std::nullopt;
            if (!value) continue;
            const bool holds = *value <= claim.limit;
            text +=
                fmt::format("  {}: {}: {}, on {}\n",
                            holds ? paint("holds", Style::green, colour) : paint("does not hold", Style::red, colour),
                            claim.sentence, format_ratio(*value), environment(run, "kernel"));
        }
    }
    return text.empty() ? text : "Claims\n" + text;
}

std::string comparison_text(const Report& then, const Report& now) {
    std::string text;
    for (const Run& run : now.runs) {
        if (!text.empty()) text += '\n';
        const Run* before = counterpart(then, run);
        text += before != nullptr
                    ? comparison_text(*before, run)
                    : fmt::format("{}: the earlier report has no run on this kernel\n", environment(run, "kernel"));
    }
    return text;
}

}  // namespace pcienic::bench
