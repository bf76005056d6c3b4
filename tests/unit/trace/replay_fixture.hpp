// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the tests of replays share: a run is recorded on one simulated device, and done again on another.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <pcienic/driver.hpp>
#include <pcienic/replay.hpp>
#include <span>
#include <string>
#include <uiovfio/replay.hpp>
#include <uiovfio/sim.hpp>
#include <utility>
#include <vector>

#include "builder.hpp"
#include "temporary.hpp"

namespace uiovfio::test {

constexpr std::chrono::seconds kPatience{60};

template <class Action>
std::optional<Error> error_of(Action&& action) {
    try {
        std::forward<Action>(action)();
        return std::nullopt;
    } catch (const Error& error) {
        return error;
    }
}

inline std::vector<std::string> texts(const ReplayReport& report) {
    std::vector<std::string> all;
    for (const ReplayMismatch& mismatch : report.mismatches) all.push_back(mismatch.text());
    return all;
}

inline ReplayReport replayed(const Trace& trace, const ReplayOptions& options = pcienic::replay_options()) {
    Device device = open_sim(sim_options(trace.header()));
    return replay(trace, device, options);
}

class Replay : public testing::Test {
  protected:
    /// What `run` does with a driver, as a trace.
    template <class Run>
    Trace recorded(Run&& run, SimOptions options = {}) {
        options.trace.file = folder.file("run.trace");
        {
            Device device = open_sim(options);
            pcienic::Driver driver{device};
            run(driver, device);
        }
        return Trace::read(options.trace.file);
    }

    /// A copy of the trace with one record altered.
    template <class Alter>
    static Trace altered(const Trace& trace, std::size_t record, Alter&& alter) {
        std::vector<std::byte> bytes(trace.bytes().begin(), trace.bytes().end());
        RecordHead head;
        std::memcpy(&head, &bytes[trace.position(record)], sizeof head);
        alter(head, std::span{bytes}.subspan(trace.position(record) + sizeof head, head.payload_bytes));
        std::memcpy(&bytes[trace.position(record)], &head, sizeof head);
        return Trace::parse(std::move(bytes));
    }

    template <class Predicate>
    static std::size_t find(const Trace& trace, Predicate&& is_wanted) {
        const auto found = std::ranges::find_if(trace.records(), is_wanted);
        EXPECT_NE(found, trace.records().end());
        return static_cast<std::size_t>(found - trace.records().begin());
    }

    TemporaryFolder folder;
};

}  // namespace uiovfio::test
