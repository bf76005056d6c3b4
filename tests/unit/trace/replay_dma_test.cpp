// SPDX-License-Identifier: MIT
/// What the device wrote to memory, found again, missing, or otherwise.

#include <fmt/format.h>

#include <pcienic/dma.hpp>

#include "replay_fixture.hpp"

namespace uiovfio {
namespace {

using test::error_of;
using test::kPatience;
using test::replayed;
using test::texts;
using test::TraceBuilder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ReplayOfDma : public test::Replay {
  protected:
    static constexpr std::size_t kSize = 4096;

    Trace copy_by_interrupt() {
        return recorded([](pcienic::Driver& driver, Device& device) {
            driver.enable_interrupts(InterruptMode::msix);
            DmaBuffer source = device.dma().allocate(kSize);
            DmaBuffer destination = device.dma().allocate(kSize);
            std::ranges::fill(source.bytes(), std::byte{0x11});
            pcienic::DmaEngine engine{driver, {.entries = 4, .vector = 0}};
            EXPECT_FALSE(engine.run(pcienic::copy(source.iova(), destination.iova(), kSize), kPatience).code);
        });
    }

    /// With the writers of memory known.
    static Trace settled(const Trace& trace) { return Trace::parse(resolved(trace, replayed(trace))); }

    static bool is_by_device(const TraceRecord& record) {
        return record.kind == TraceKind::memory &&
               (record.writer == MemoryWriter::device || record.writer == MemoryWriter::probably_device);
    }
};

TEST_F(ReplayOfDma, TellsWhereTheDeviceWritesOtherThanItDid) {
    const Trace trace = settled(copy_by_interrupt());
    const std::size_t written =
        find(trace, [](const TraceRecord& record) { return is_by_device(record) && record.length == kSize; });
    const Iova iova = trace.records()[written].iova;
    const Trace other = altered(trace, written, [](auto&, auto payload) { payload[100] = std::byte{0x12}; });
    EXPECT_THAT(texts(replayed(other)),
                ElementsAre("record " + std::to_string(written) + ": memory at " +
                            fmt::format("{:#x}", to_integer(iova) + 100) + ": expected 0x12, got 0x11"));
}

TEST_F(ReplayOfDma, TellsWhereTheDeviceNoLongerWrites) {
    const Trace trace = settled(copy_by_interrupt());
    const std::size_t doorbell = find(
        trace, [](const TraceRecord& record) { return record.kind == TraceKind::store && record.offset == 0x1000; });
    // The doorbell becomes a store without effect: nothing is copied, completed or fired.
    const auto report = replayed(altered(trace, doorbell, [](auto& head, auto) { head.address = 0x10; }));
    EXPECT_THAT(texts(report), testing::Contains(HasSubstr("memory at")));
    // The driver may have found the command completed before it waited: then its interrupt was never taken.
    EXPECT_THAT(texts(report),
                testing::Contains(testing::ContainsRegex("vector 0.*: expected 1 interrupt, got 0 interrupts")));
}

TEST_F(ReplayOfDma, TellsWhereTheDeviceWritesAndDidNot) {
    const Trace trace = settled(copy_by_interrupt());
    const std::size_t written =
        find(trace, [](const TraceRecord& record) { return is_by_device(record) && record.length == kSize; });
    // As if it had not been seen: none of the bytes is among those that changed.
    const Trace other = altered(
        trace, written, [](auto& head, auto payload) { std::ranges::fill(payload.subspan(head.value), std::byte{0}); });
    const ReplayReport report = replayed(other);
    ASSERT_EQ(report.mismatches.size(), 1u);
    EXPECT_EQ(other.records()[report.mismatches[0].record].kind, TraceKind::dma_unmap);
    EXPECT_THAT(report.mismatches[0].text(), HasSubstr("expected 0x00, got 0x11"));
}

TEST_F(ReplayOfDma, ResolvesWhoWroteWhat) {
    const Trace trace = copy_by_interrupt();
    const ReplayReport first = replayed(trace);
    EXPECT_THAT(texts(first), IsEmpty());
    EXPECT_GE(first.assumed_bytes, kSize) << "the source";
    const Trace known = Trace::parse(resolved(trace, first));
    EXPECT_EQ(known.end(), TraceEnd::closed);
    for (const TraceRecord& record : known.records()) {
        if (record.kind != TraceKind::memory) continue;
        EXPECT_TRUE(record.writer == MemoryWriter::driver || record.writer == MemoryWriter::device);
    }
    const ReplayReport second = replayed(known);
    EXPECT_THAT(texts(second), IsEmpty());
    EXPECT_EQ(second.assumed_bytes, 0u);
    EXPECT_EQ(second.device_bytes, first.device_bytes);
    EXPECT_THAT(second.device_wrote, IsEmpty()) << "nothing is left to be found out";
}

TEST_F(ReplayOfDma, ResolvesNothingThatDidNotMatch) {
    const Trace trace = copy_by_interrupt();
    ReplayReport report = replayed(trace);
    report.mismatch_count = 1;
    const auto error = error_of([&] { (void)resolved(trace, report); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::invalid_argument);
    std::error_code ec;
    EXPECT_THAT(resolved(trace, report, ec), IsEmpty());
    EXPECT_EQ(ec, Errc::invalid_argument);
}

TEST_F(ReplayOfDma, ReportsTheFirstMismatchesAndCountsAll) {
    TraceBuilder builder;
    builder.config_store(4, 6).store(0x10, 1);
    for (int i = 0; i < 10; ++i) builder.load(0x10, 2);
    ReplayOptions options = pcienic::replay_options();
    options.most_mismatches = 3;
    const ReplayReport report = replayed(builder.trace(), options);
    EXPECT_EQ(report.mismatch_count, 10u);
    EXPECT_EQ(report.mismatches.size(), 3u);
}

}  // namespace
}  // namespace uiovfio
