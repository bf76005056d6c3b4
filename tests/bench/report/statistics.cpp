// SPDX-License-Identifier: MIT
#include "report/statistics.hpp"

#include <algorithm>
#include <cmath>

namespace pcienic::bench {
namespace {

double percentile(const std::vector<double>& sorted, double percent) {
    // 99.9 % of 1000 is 999, whatever floating point makes of it.
    constexpr double kRoundingError = 1e-9;
    const double exact = percent * static_cast<double>(sorted.size()) / 100.0;
    const auto rank = static_cast<std::size_t>(std::ceil(exact - kRoundingError));
    return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

double boundary(int index) { return std::exp2(static_cast<double>(index) / kBucketsPerOctave); }

/// The bucket of a time. What is below 1 ns shares one with it: no clock here tells such times apart.
int bucket_of(double ns) {
    int index = static_cast<int>(std::floor(std::log2(std::max(ns, 1.0)) * kBucketsPerOctave));
    // The logarithm of a boundary may fall on either side of it.
    while (ns >= boundary(index + 1)) ++index;
    while (index > 0 && ns < boundary(index)) --index;
    return index;
}

std::vector<Bucket> histogram(const std::vector<double>& sorted) {
    const int first = bucket_of(sorted.front());
    const int last = bucket_of(sorted.back());
    std::vector<Bucket> buckets;
    for (int index = first; index <= last; ++index) buckets.push_back({boundary(index), boundary(index + 1), 0});
    for (const double sample : sorted) ++buckets[static_cast<std::size_t>(bucket_of(sample) - first)].count;
    return buckets;
}

}  // namespace

Summary summarise(std::vector<double> samples_ns) {
    if (samples_ns.empty()) return {};
    for (double& sample : samples_ns) sample = std::max(sample, 0.0);
    std::ranges::sort(samples_ns);
    return {.count = samples_ns.size(),
            .min = samples_ns.front(),
            .p50 = percentile(samples_ns, 50),
            .p90 = percentile(samples_ns, 90),
            .p99 = percentile(samples_ns, 99),
            .p999 = percentile(samples_ns, 99.9),
            .max = samples_ns.back(),
            .histogram = histogram(samples_ns)};
}

}  // namespace pcienic::bench
