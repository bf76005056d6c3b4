// SPDX-License-Identifier: MIT
/// A run of the driver on the real path, recorded, and replayed into the simulated device: both devices are one model,
/// so all that came back has to come back again.
///
/// The trace stays in the guest's folder for temporary files; tests/unit/trace/data tells how to fetch it.
#include <pcienic/dma.hpp>
#include <pcienic/replay.hpp>
#include <uiovfio/sim.hpp>

#include "fixture.hpp"

namespace pcienic::test {
namespace {

using uiovfio::InterruptMode;
using uiovfio::ReplayReport;
using uiovfio::Trace;
using uiovfio::TraceEnd;

constexpr std::size_t kSize = 3000;

class GuestTrace : public testing::Test {
  protected:
    static void run(uiovfio::Device& device) {
        Driver driver{device};
        driver.set_scratch(0x5eed);
        EXPECT_EQ(driver.scratch(), 0x5eedu);
        ASSERT_EQ(driver.enable_interrupts(InterruptMode::msix, 4), 4u);
        driver.fire(2);
        EXPECT_EQ(device.interrupts().wait(2, kPatience), 1u);

        const auto source = device.dma().allocate(kSize);
        const auto destination = device.dma().allocate(kSize);
        for (std::size_t i = 0; i < kSize; ++i) source.bytes()[i] = static_cast<std::byte>(1 + i % 255);  // no zeros
        DmaEngine engine{driver, {.entries = 4, .vector = 1}};
        EXPECT_THAT(engine.run(copy(source.iova(), destination.iova(), kSize), kPatience), Moved(kSize));
        EXPECT_TRUE(equal(source.bytes().first(kSize), destination.bytes().first(kSize)));
    }

    const std::filesystem::path file = std::filesystem::path{testing::TempDir()} / "driver.trace";
};

TEST_F(GuestTrace, OfARunOnVfioComesOutTheSameInTheSimulatedDevice) {
    auto device = uiovfio::Device::open(device_under_test(), {.trace = {.file = file}});
    run(device);
    const auto recording = uiovfio::trace_status(device);
    device.close();
    ASSERT_TRUE(recording);
    EXPECT_EQ(recording->missing, 0u);

    const Trace trace = Trace::read(file);
    EXPECT_EQ(trace.end(), TraceEnd::closed);
    EXPECT_EQ(trace.header().backend, "vfio");
    auto simulated = uiovfio::open_sim(uiovfio::sim_options(trace.header()));
    const ReplayReport report = uiovfio::replay(trace, simulated, replay_options());
    for (const auto& mismatch : report.mismatches) ADD_FAILURE() << mismatch.text();
    EXPECT_TRUE(report.matched());
    EXPECT_EQ(report.records, trace.records().size());
    EXPECT_GE(report.interrupts, 1u) << "the one that was fired; that of the DMA may have been left";
    EXPECT_GE(report.device_bytes, kSize);
}

}  // namespace
}  // namespace pcienic::test
