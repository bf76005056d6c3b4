// SPDX-License-Identifier: MIT
#include "report/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "report/text.hpp"

namespace pcienic::bench {
namespace {

constexpr double kWidth = 960;
constexpr double kLeft = 236;   // the lanes' names stand left of it
constexpr double kRight = 936;  // where the axis ends
constexpr double kTop = 76;
constexpr double kLane = 46;
constexpr double kBars = 34;  // height of a lane's highest bar

// Colours that people who see few colours tell apart (Okabe and Ito's).
constexpr std::array kColours{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"};

// Both of a reader's themes; an image in a document has no other way to know.
constexpr std::string_view kStyle = R"(
  svg { background: #fff; color: #1b1f24; font: 13px system-ui, 'DejaVu Sans', sans-serif }
  text { fill: currentColor }
  .title { font-size: 17px; font-weight: 600 }
  .small { font-size: 11px; opacity: .75 }
  .name { font-weight: 600; text-anchor: end }
  .figures { font-size: 11px; opacity: .75; text-anchor: end }
  .tick { font-size: 11px; text-anchor: middle; opacity: .75 }
  .grid { stroke: currentColor; opacity: .13 }
  .floor { stroke: currentColor; opacity: .35 }
  .p50 { stroke: currentColor; stroke-width: 2 }
  .p99 { stroke: currentColor; stroke-width: 1.5; stroke-dasharray: 3 2 }
  @media (prefers-color-scheme: dark) { svg { background: #0d1117; color: #e6edf3 } }
)";

std::string escaped(std::string_view text) {
    std::string result;
    for (const char character : text) {
        switch (character) {
            case '&':
                result += "&amp;";
                break;
            case '<':
                result += "&lt;";
                break;
            case '>':
                result += "&gt;";
                break;
            case '"':
                result += "&quot;";
                break;
            default:
                // What XML has no way to write.
                result += static_cast<unsigned char>(character) < 0x20 ? ' ' : character;
        }
    }
    return result;
}

/// Time to a place on the axis.
class Axis {
  public:
    explicit Axis(const Group& group) {
        double least = std::numeric_limits<double>::max();
        double most = 1;
        for (const Series& series : group.series) {
            if (series.time.histogram.empty()) continue;
            least = std::min(least, series.time.histogram.front().from);
            most = std::max(most, series.time.histogram.back().to);
        }
        least = std::clamp(least, 1.0, most);
        // At least a decade: less would blow up differences that are none.
        const double missing = std::max(0.0, 1 - (std::log10(most) - std::log10(least))) / 2;
        first_ = std::max(0.0, std::log10(least) - missing);
        last_ = std::max(first_ + 1, std::log10(most) + missing);
    }

    double at(double ns) const {
        const double place = (std::log10(std::max(ns, 1.0)) - first_) / (last_ - first_);
        return kLeft + std::clamp(place, 0.0, 1.0) * (kRight - kLeft);
    }

    /// 1, 2 and 5 of each decade, or 1 alone where there are many.
    std::vector<double> ticks() const {
        std::vector<double> ticks;
        for (int decade = static_cast<int>(std::floor(first_)); decade <= static_cast<int>(last_); ++decade)
            for (const double step : {1.0, 2.0, 5.0}) {
                const double tick = step * std::pow(10, decade);
                const bool is_inside = std::log10(tick) >= first_ - 1e-9 && std::log10(tick) <= last_ + 1e-9;
                if (is_inside && (step == 1.0 || last_ - first_ <= 3)) ticks.push_back(tick);
            }
        return ticks;
    }

  private:
    double first_ = 0;
    double last_ = 1;
};

/// "1 us" for a tick, whose digits are few.
std::string tick_label(double ns) {
    static constexpr std::array kUnits{"ns", "us", "ms", "s"};
    std::size_t unit = 0;
    for (; ns >= 999.5 && unit + 1 < kUnits.size(); ns /= 1000) ++unit;
    return fmt::format("{:.0f} {}", ns, kUnits[unit]);
}

std::string line(std::string_view style, double x1, double y1, double x2, double y2) {
    return fmt::format("  <line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", style, x1,
                       y1, x2, y2);
}

std::string text(std::string_view style, double x, double y, std::string_view content) {
    return fmt::format("  <text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", style, x, y, escaped(content));
}

/// The bars of one lane as one outline. What is there at all is seen.
std::string bars(const Summary& time, const Axis& axis, double floor, std::string_view colour) {
    std::size_t most = 1;
    for (const Bucket& bucket : time.histogram) most = std::max(most, bucket.count);
    std::string path;
    for (const Bucket& bucket : time.histogram) {
        if (bucket.count == 0) continue;
        const double height = std::max(1.0, kBars * static_cast<double>(bucket.count) / static_cast<double>(most));
        path += fmt::format("M{:.1f} {:.1f}V{:.1f}H{:.1f}V{:.1f}Z", axis.at(bucket.from), floor, floor - height,
                            axis.at(bucket.to), floor);
    }
    return fmt::format("  <path fill=\"{}\" d=\"{}\"/>\n", colour, path);
}

std::string lane(const Group& group, const Series& series, const Axis& axis, double floor, std::string_view colour) {
    std::string figures = fmt::format("p50 {}, p99 {}", format_time(series.time.p50), format_time(series.time.p99));
    if (const auto value = ratio(group, series)) figures += fmt::format(", x {}", format_ratio(*value));
    std::string svg = "  <g>\n";
    svg += fmt::format("  <title>{}</title>\n",
                       escaped(fmt::format(
                           "{}{}{}: {} samples, min {}, p50 {}, p90 {}, p99 {}, p99.9 {}, max {}", series.parameter,
                           series.parameter.empty() ? "" : ", ", series.name, series.time.count,
                           format_time(series.time.min), format_time(series.time.p50), format_time(series.time.p90),
                           format_time(series.time.p99), format_time(series.time.p999), format_time(series.time.max))));
    const std::string name =
        series.parameter.empty() ? series.name : fmt::format("{}, {}", series.parameter, series.name);
    svg += text("name", kLeft - 12, floor - 18, name) + text("figures", kLeft - 12, floor - 3, figures);
    svg += bars(series.time, axis, floor, colour);
    svg += line("floor", kLeft, floor, kRight, floor);
    svg += line("p50", axis.at(series.time.p50), floor - kBars - 4, axis.at(series.time.p50), floor + 3);
    svg += line("p99", axis.at(series.time.p99), floor - kBars + 8, axis.at(series.time.p99), floor + 3);
    return svg + "  </g>\n";
}

std::string legend(double y) {
    double x = kLeft;
    std::string svg = line("p50", x, y - 11, x, y + 1) + text("small", x + 6, y, "median (p50)");
    x += 110;
    svg += line("p99", x, y - 11, x, y + 1) + text("small", x + 6, y, "p99");
    x += 60;
    return svg + text("small", x, y,
                      "bars: how many samples took that long, each lane to its own scale; "
                      "x: median to that of its baseline");
}

}  // namespace

std::string to_svg(const Run& run, const Group& group) {
    const double bottom = kTop + kLane * static_cast<double>(group.series.size());
    const double height = bottom + 78;
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" "
        "role=\"img\">\n  <!-- SPDX-License-Identifier: MIT -->\n  <title>{2}</title>\n  <style>{3}</style>\n",
        kWidth, height, escaped(fmt::format("{}: {}", group.name, group.title)), kStyle);
    svg += text("title", 24, 32, group.title) + text("small", 24, 52, group.operation);
    if (group.series.empty()) {
        svg += text("small", 24, kTop, "nothing was measured");
    } else {
        const Axis axis{group};
        for (const double tick : axis.ticks()) {
            svg += line("grid", axis.at(tick), kTop - 8, axis.at(tick), bottom);
            svg += text("tick", axis.at(tick), bottom + 16, tick_label(tick));
        }
        std::map<std::string_view, std::string_view> colours;
        double floor = kTop;
        for (const Series& series : group.series) {
            const auto colour =
                colours.try_emplace(series.name, kColours[colours.size() % kColours.size()]).first->second;
            svg += lane(group, series, axis, floor += kLane, colour);
        }
        svg += legend(bottom + 40);
    }
    svg += text("small", 24, bottom + 64,
                fmt::format("pcienic-bench {}, {}, {}, {}", environment(run, "library"), environment(run, "kernel"),
                            environment(run, "accelerator"), environment(run, "date")));
    return svg + "</svg>\n";
}

std::vector<Picture> pictures(const Report& report) {
    std::vector<Picture> pictures;
    for (const Run& run : report.runs) {
        const std::string infix = report.runs.size() > 1 ? fmt::format("{}.", environment(run, "kernel")) : "";
        for (const Group& group : run.groups)
            pictures.push_back({fmt::format("{}.{}svg", group.name, infix), to_svg(run, group)});
    }
    return pictures;
}

}  // namespace pcienic::bench
