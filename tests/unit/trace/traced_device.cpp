// SPDX-License-Identifier: MIT
/// The device of the conformance suite, traced: it has to pass as any other. And what each case did is replayed when it
/// is over, and has to come out as it was.

#include <gtest/gtest.h>

#include <pcienic/replay.hpp>
#include <uiovfio/sim.hpp>
#include <utility>
#include <vector>

#include "conformance.hpp"
#include "temporary.hpp"

namespace uiovfio::conformance {

namespace {

std::vector<std::filesystem::path> traces;

class ReplaysEachCase : public testing::EmptyTestEventListener {
  public:
    void OnTestEnd(const testing::TestInfo&) override {
        for (const auto& file : std::exchange(traces, {})) {
            const Trace trace = Trace::read(file);
            EXPECT_EQ(trace.end(), TraceEnd::closed);
            Device device = open_sim(sim_options(trace.header()));
            const ReplayReport report = replay(trace, device, pcienic::replay_options());
            for (const ReplayMismatch& mismatch : report.mismatches) ADD_FAILURE() << "replayed: " << mismatch.text();
            EXPECT_EQ(report.mismatch_count, report.mismatches.size());
            std::filesystem::remove(file);
        }
    }
};

[[maybe_unused]] const bool listens = [] {
    testing::UnitTest::GetInstance()->listeners().Append(new ReplaysEachCase);
    return true;
}();

}  // namespace

Device open_device(bool bus_master) {
    static const test::TemporaryFolder folder;
    static unsigned runs = 0;
    traces.push_back(folder.file(std::to_string(runs++)));
    return open_sim({.bus_master = bus_master, .trace = {.file = traces.back()}});
}

}  // namespace uiovfio::conformance
