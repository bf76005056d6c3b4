// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Times of one operation, and what is told of many of them.

#include <cstddef>
#include <vector>

namespace pcienic::bench {

/// Samples of which the histogram's bucket holds `count`; in ns, `to` excluded.
struct Bucket {
    double from = 0;
    double to = 0;
    std::size_t count = 0;

    friend bool operator==(const Bucket&, const Bucket&) = default;
};

/// Percentiles are by nearest rank: the smallest sample that so many percent of the samples do not exceed. In ns.
struct Summary {
    std::size_t count = 0;
    double min = 0;
    double p50 = 0;
    double p90 = 0;
    double p99 = 0;
    double p999 = 0;
    double max = 0;
    /// From the first bucket that holds something to the last one, with no gap in between.
    std::vector<Bucket> histogram;

    friend bool operator==(const Summary&, const Summary&) = default;
};

/// Buckets to a doubling: each is 9 % wider than the one before, finer than what two runs agree on.
inline constexpr int kBucketsPerOctave = 8;

/// All zero where there are no samples. Negative ones, which a clock that was set back could give, count as 0.
Summary summarise(std::vector<double> samples_ns);

}  // namespace pcienic::bench
