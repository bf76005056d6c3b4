// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Measures several ways to do the same thing in turns, so that whatever slows the machine down slows all of them:
///
///     Contest contest{"registers.read", "Reading a register", "one 32-bit load"};
///     contest.enter({.name = "raw pointer"}, [&](Recorder& recorder) { recorder.time(256, [&] { ... }); });
///     contest.enter({.name = "typed register", .baseline = "raw pointer"}, ...);
///     contest.run(2000);
///     Group group = contest.group();

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "measure/allocations.hpp"
#include "report/model.hpp"

namespace pcienic::bench {

using Clock = std::chrono::steady_clock;

inline double nanoseconds(Clock::duration duration) {
    return std::chrono::duration<double, std::nano>(duration).count();
}

/// What one way's rounds have measured. Adding to it allocates only where more is added than was reserved.
class Recorder {
  public:
    void reserve(std::size_t more) { samples_.reserve(samples_.size() + more); }
    void add(double ns) { samples_.push_back(ns); }
    void add_allocations(std::size_t count) {
        allocations_ += count;
        counted_ = true;
    }

    void set_system_calls(std::map<std::string, double> of_one_operation) {
        system_calls_ = std::move(of_one_operation);
    }

    /// Runs `action`, which does `operations` at a stretch, and adds what one of them took.
    template <class Action>
    void time(std::size_t operations, Action&& action) {
        const std::size_t before = bench::allocations();
        const auto start = Clock::now();
        action();
        const auto end = Clock::now();
        add_allocations(bench::allocations() - before);
        add(nanoseconds(end - start) / static_cast<double>(operations));
    }

  private:
    friend class Contest;
    void clear() noexcept {
        samples_.clear();
        allocations_ = 0;
    }

    std::vector<double> samples_;
    std::size_t allocations_ = 0;
    bool counted_ = false;
    std::map<std::string, double> system_calls_;
};

/// The fields of Series that are known before anything is measured.
struct Entry {
    std::string name;
    std::string parameter = {};
    std::string baseline = {};
    std::uint64_t bytes = 0;
    bool must_not_allocate = false;
};

class Contest {
  public:
    Contest(std::string name, std::string title, std::string operation)
        : group_{std::move(name), std::move(title), std::move(operation), {}, {}} {}

    /// Without a round, the recorder that is returned is for another contest's rounds to fill.
    Recorder& enter(Entry entry, std::function<void(Recorder&)> round = {});
    void skip(std::string name, std::string reason);
    /// Has rounds of its own.
    [[nodiscard]] bool has_entries() const noexcept { return !contenders_.empty(); }

    /// Runs one round of everybody to warm up, which leaves nothing but what allocated, and then `rounds` of them, in
    /// an order that changes from round to round but not from run to run.
    void run(unsigned rounds);
    /// Forgets what was recorded so far; what run() does after the warm-up.
    void forget() noexcept;
    /// The group as measured so far.
    [[nodiscard]] Group group() const;

  private:
    struct Contender {
        Entry entry;
        std::function<void(Recorder&)> round;
        Recorder recorder = {};
    };

    Group group_;
    std::deque<Contender> contenders_;  // a deque: enter() gives references away
};

}  // namespace pcienic::bench
