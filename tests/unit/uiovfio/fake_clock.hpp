// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// For the waits that look before they sleep: a clock that goes as the tests want it, and a policy that does as it is
/// told.

#include <chrono>
#include <functional>

namespace uiovfio::test {

/// Each look at it takes a microsecond, and does what a test wants besides.
struct FakeClock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<FakeClock>;
    static constexpr bool is_steady = true;

    static time_point now() {
        if (at_look) at_look();
        return time_point{now_ += std::chrono::microseconds{1}};
    }
    static inline std::function<void()> at_look;
    static inline duration now_{0};
};

/// Looks for as long as it is told, and keeps what it learns.
struct Scripted {
    std::chrono::nanoseconds to_look{0};
    int learnt = 0;
    bool came = false;

    [[nodiscard]] std::chrono::nanoseconds budget() const noexcept { return to_look; }
    void learn(std::chrono::nanoseconds /*waited*/, bool has_come) noexcept {
        ++learnt;
        came = has_come;
    }
};

}  // namespace uiovfio::test
