// SPDX-License-Identifier: MIT
#include "latency.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace irqtest {

void Latencies::add(std::chrono::nanoseconds latency) {
    constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
    samples_.push_back(static_cast<std::uint32_t>(std::clamp<std::int64_t>(latency.count(), 0, kMost)));
    sorted_ = false;
}

void Latencies::add(const Latencies& other) {
    samples_.insert(samples_.end(), other.samples_.begin(), other.samples_.end());
    sorted_ = false;
}

std::uint64_t Latencies::percentile(double percent) const {
    if (samples_.empty()) return 0;
    if (!sorted_) std::sort(samples_.begin(), samples_.end());
    sorted_ = true;
    const auto rank = static_cast<std::size_t>(std::ceil(percent / 100.0 * static_cast<double>(samples_.size())));
    return samples_[std::clamp<std::size_t>(rank, 1, samples_.size()) - 1];
}

std::vector<Latencies::Bucket> Latencies::histogram() const {
    std::array<std::size_t, 33> counts{};
    for (const std::uint32_t sample : samples_) ++counts[static_cast<std::size_t>(std::bit_width(sample))];
    std::vector<Bucket> buckets;
    for (std::size_t width = 0; width < counts.size(); ++width) {
        const std::uint64_t from = width == 0 ? 0 : std::uint64_t{1} << (width - 1);
        if (counts[width] != 0 || !buckets.empty()) buckets.push_back({from, std::uint64_t{1} << width, counts[width]});
    }
    while (!buckets.empty() && buckets.back().count == 0) buckets.pop_back();
    return buckets;
}

std::string format_ns(std::uint64_t ns) {
    const auto value = static_cast<double>(ns);
    if (ns < 1000) return fmt::format("{} ns", ns);
    if (ns < 1000000) return fmt::format("{:.1f} us", value / 1e3);
    if (ns < 1000000000) return fmt::format("{:.2f} ms", value / 1e6);
    return fmt::format("{:.2f} s", value / 1e9);
}

std::string bar(double fraction, unsigned width) {
    static constexpr std::array<const char*, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const auto eighths = static_cast<unsigned>(std::lround(std::clamp(fraction, 0.0, 1.0) * width * 8));
    std::string text;
    for (unsigned i = 0; i < eighths / 8; ++i) text += "█";
    text += kEighths[eighths % 8];
    // What is there at all is seen.
    return text.empty() && fraction > 0 ? "▏" : text;
}

}  // namespace irqtest
