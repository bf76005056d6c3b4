// SPDX-License-Identifier: MIT
//
// Latencies: percentiles, and a histogram with buckets that double, since what matters of a latency is its magnitude.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace irqtest {

class Latencies {
  public:
    struct Bucket {
        std::uint64_t from_ns;
        std::uint64_t to_ns;  // exclusive
        std::size_t count;
    };

    void reserve(std::size_t count) { samples_.reserve(count); }
    void add(std::chrono::nanoseconds latency);
    void add(const Latencies& other);

    bool empty() const noexcept { return samples_.empty(); }
    std::size_t count() const noexcept { return samples_.size(); }
    std::uint64_t min() const { return percentile(0); }
    std::uint64_t max() const { return percentile(100); }
    // Nearest rank: the smallest sample that `percent` of the samples do not exceed. 0 where there is none.
    std::uint64_t percentile(double percent) const;
    // From the first bucket that holds something to the last one.
    std::vector<Bucket> histogram() const;

  private:
    mutable std::vector<std::uint32_t> samples_;  // in ns; 4.2 s is more than any timeout that makes sense
    mutable bool sorted_ = true;
};

// "870 ns", "12.3 us", "1.50 ms".
std::string format_ns(std::uint64_t ns);
// A bar of `width` characters at full scale, to an eighth of a character.
std::string bar(double fraction, unsigned width);

}  // namespace irqtest
