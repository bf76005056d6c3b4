// SPDX-License-Identifier: MIT
/// A run that was recorded on one simulated device is done again on another. What was altered in between is found.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <pcienic/dma.hpp>
#include <pcienic/driver.hpp>
#include <pcienic/replay.hpp>

#include "builder.hpp"
#include "temporary.hpp"

namespace uiovfio {
namespace {

using test::TraceBuilder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

std::vector<std::string> texts(const ReplayReport& report) {
    std::vector<std::string> all;
    for (const ReplayMismatch& mismatch : report.mismatches) all.push_back(mismatch.text());
    return all;
}

ReplayReport replayed(const Trace& trace, const ReplayOptions& options = pcienic::replay_options()) {
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
        test::RecordHead head;
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

    test::TemporaryFolder folder;
};

// --- what was recorded is found again -------------------------------------------------------------------------------

TEST_F(Replay, FindsRegistersAsTheyWere) {
    const Trace trace = recorded([](pcienic::Driver& driver, Device&) {
        driver.set_scratch(0xdeadbeef);
        EXPECT_EQ(driver.scratch(), 0xdeadbeef);
        driver.set_scratch64(0x0123456789abcdef);
        EXPECT_EQ(driver.scratch64(), 0x0123456789abcdef);
        driver.memory().write<std::uint64_t>(0x1000, 77);
        EXPECT_EQ(driver.memory().read<std::uint64_t>(0x1000), 77u);
        driver.reset();
    });
    const ReplayReport report = replayed(trace);
    EXPECT_THAT(texts(report), IsEmpty());
    EXPECT_EQ(report.records, trace.records().size());
    EXPECT_GT(report.loads, 10u);
    EXPECT_EQ(report.differing, 0u);
}

TEST_F(Replay, FindsInterruptsInEveryMode) {
    for (const InterruptMode mode : {InterruptMode::msix, InterruptMode::msi, InterruptMode::intx}) {
        const Trace trace = recorded([mode](pcienic::Driver& driver, Device& device) {
            Interrupts& interrupts = device.interrupts();
            driver.enable_interrupts(mode);
            const unsigned vector = mode == InterruptMode::intx ? 0 : 5;
            for (int i = 0; i < 3; ++i) {
                driver.fire(5);
                EXPECT_EQ(interrupts.wait(vector, kPatience), 1u);
                if (mode == InterruptMode::intx) {
                    driver.clear_cause(5);
                    interrupts.unmask();
                }
            }
            if (mode != InterruptMode::intx) {
                driver.fire(7);
                driver.fire(7);  // never taken
                interrupts.trigger(9);
                EXPECT_EQ(interrupts.try_take(9), 1u);
            }
            driver.disable_interrupts();
        });
        const ReplayReport report = replayed(trace);
        EXPECT_THAT(texts(report), IsEmpty()) << to_string(mode);
        EXPECT_EQ(report.interrupts, mode == InterruptMode::intx ? 3u : 4u);
    }
}

TEST_F(Replay, FindsWhatTheDeviceWroteToMemory) {
    for (const bool by_interrupt : {true, false}) {
        constexpr std::size_t kSize = 300'000;  // many pieces of work for the device
        const Trace trace = recorded([by_interrupt](pcienic::Driver& driver, Device& device) {
            if (by_interrupt) driver.enable_interrupts(InterruptMode::msix);
            DmaBuffer source = device.dma().allocate(kSize);
            DmaBuffer destination = device.dma().allocate(kSize);
            for (std::size_t i = 0; i < kSize; ++i) source.bytes()[i] = static_cast<std::byte>(i * 7 + i / 256);
            pcienic::EngineOptions options{.entries = 4};
            if (by_interrupt) options.vector = 2;
            pcienic::DmaEngine engine{driver, options};
            for (int lap = 0; lap < 6; ++lap) {  // more commands than the ring has entries
                const auto copied = engine.run(pcienic::copy(source.iova(), destination.iova(), kSize), kPatience);
                EXPECT_FALSE(copied.code) << to_string(copied);
            }
            EXPECT_TRUE(std::ranges::equal(source.bytes().first(kSize), destination.bytes().first(kSize)));
            engine.unmap(destination);
        });
        const ReplayReport report = replayed(trace);
        EXPECT_THAT(texts(report), IsEmpty()) << by_interrupt;
        EXPECT_GT(report.device_bytes, kSize / 2);
        EXPECT_GT(report.assumed_bytes, kSize / 2) << "the source";
    }
}

TEST_F(Replay, GoesOnOverAReset) {
    const Trace trace = recorded([](pcienic::Driver& driver, Device& device) {
        driver.enable_interrupts(InterruptMode::msix);
        driver.fire(3);
        driver.reset_function();
        EXPECT_EQ(device.interrupts().wait(3, kPatience), 1u) << "counts from before are kept";
        driver.fire(3);
        EXPECT_EQ(device.interrupts().wait(3, kPatience), 1u);
    });
    EXPECT_THAT(texts(replayed(trace)), IsEmpty());
}

TEST_F(Replay, SkipsWhatTheKernelDid) {
    const Trace trace = recorded([](pcienic::Driver&, Device& device) {
        device.events().trigger(DeviceEvent::removal_request);
        EXPECT_EQ(device.events().try_take(DeviceEvent::removal_request), 1u);
    });
    const ReplayReport report = replayed(trace);
    EXPECT_THAT(texts(report), IsEmpty());
    EXPECT_EQ(report.skipped, 2u);
}

TEST_F(Replay, FindsSingleVectorsAndGrowth) {
    const Trace trace = recorded([](pcienic::Driver& driver, Device& device) {
        Interrupts& interrupts = device.interrupts();
        driver.enable_interrupts(InterruptMode::msix, 2);
        interrupts.grow(6);
        driver.fire(5);
        EXPECT_EQ(interrupts.wait(5, kPatience), 1u);
        interrupts.disarm(5);
        driver.fire(5);
        EXPECT_EQ(interrupts.try_take(5), 0u);
        interrupts.arm(5);
        EXPECT_EQ(interrupts.wait(5, kPatience), 1u) << "what was pending";
    });
    const ReplayReport report = replayed(trace);
    EXPECT_THAT(texts(report), IsEmpty());
    EXPECT_EQ(report.interrupts, 2u);
}

TEST_F(Replay, SkipsWhatHadFailed) {
    const Trace trace = recorded([](pcienic::Driver&, Device& device) {
        DmaBuffer buffer = device.dma().allocate(4096);
        const auto again = error_of([&] { (void)device.dma().map(buffer.bytes(), {.iova = buffer.iova()}); });
        ASSERT_TRUE(again);
        EXPECT_EQ(again->errc(), Errc::mapping_overlap);
    });
    const ReplayReport report = replayed(trace);
    EXPECT_THAT(texts(report), IsEmpty());
    EXPECT_EQ(report.skipped, 1u);
}

TEST_F(Replay, EndsWhereTheDeviceWasLost) {
    const Trace trace = recorded([](pcienic::Driver& driver, Device& device) {
        driver.set_scratch(1);
        sim::surprise_remove(device);
        std::error_code ec;
        device.interrupts().enable(InterruptMode::msix, 1, ec);
        EXPECT_EQ(ec, Errc::device_gone);
        driver.set_scratch(2);
    });
    const ReplayReport report = replayed(trace);
    EXPECT_THAT(texts(report), IsEmpty());
    EXPECT_TRUE(report.device_was_lost);
    EXPECT_LT(report.records, trace.records().size());
}

TEST_F(Replay, CanBeRecordedItself) {
    const Trace first = recorded([](pcienic::Driver& driver, Device& device) {
        driver.enable_interrupts(InterruptMode::msix);
        DmaBuffer buffer = device.dma().allocate(8192);
        pcienic::DmaEngine engine{driver, {.entries = 4, .vector = 1}};
        EXPECT_FALSE(engine.run(pcienic::fill(buffer.iova(), 8192, 0x1122334455667788), kPatience).code);
    });
    SimOptions options = sim_options(first.header());
    options.trace.file = folder.file("second.trace");
    {
        Device device = open_sim(options);
        EXPECT_THAT(texts(replay(first, device, pcienic::replay_options())), IsEmpty());
    }
    EXPECT_THAT(texts(replayed(Trace::read(options.trace.file))), IsEmpty());
}

// --- what was altered is told ---------------------------------------------------------------------------------------

TEST_F(Replay, TellsOfARegisterThatReadsOtherwise) {
    const Trace trace = recorded([](pcienic::Driver& driver, Device&) {
        driver.set_scratch(0x2a);
        EXPECT_EQ(driver.scratch(), 0x2au);
        EXPECT_EQ(driver.scratch(), 0x2au);
    });
    const std::size_t load =
        find(trace, [](const TraceRecord& record) { return record.value == 0x2a && record.kind == TraceKind::load; });
    const ReplayReport report = replayed(altered(trace, load, [](auto& head, auto) { head.value = 0x2b; }));
    EXPECT_EQ(report.mismatch_count, 1u);
    EXPECT_FALSE(report.matched());
    ASSERT_EQ(report.mismatches.size(), 1u);
    EXPECT_EQ(report.mismatches[0].text(),
              "record " + std::to_string(load) + ": SCRATCH (BAR0 0x10): expected 0x0000002b, got 0x0000002a");
}

TEST_F(Replay, TellsOfAStoreThatWasAltered) {
    const Trace trace = recorded([](pcienic::Driver& driver, Device&) {
        driver.set_scratch(0x2a);
        EXPECT_EQ(driver.scratch(), 0x2au);
    });
    const std::size_t store = find(trace, [](const TraceRecord& record) { return record.kind == TraceKind::store; });
    const ReplayReport report = replayed(altered(trace, store, [](auto& head, auto) { head.value = 7; }));
    EXPECT_THAT(texts(report), ElementsAre(HasSubstr("SCRATCH (BAR0 0x10): expected 0x0000002a, got 0x00000007")));
}

class ReplayOfDma : public Replay {
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

// --- interrupts that are missing or too many ------------------------------------------------------------------------

class ReplayOfInterrupts : public testing::Test {
  protected:
    /// Vector 3 fired `fired` times, `taken` taken and `left` left.
    static Trace trace(unsigned fired, std::uint64_t taken, std::uint64_t left) {
        TraceBuilder builder;
        builder.config_store(4, 6).arm(InterruptMode::msix, 4);
        for (unsigned i = 0; i < fired; ++i) builder.store(0x100, 3);
        if (taken != 0) builder.count(TraceKind::taken, 3, taken);
        builder.disarm(InterruptMode::msix);
        if (left != 0) builder.count(TraceKind::left, 3, left);
        return builder.close().trace();
    }
};

TEST_F(ReplayOfInterrupts, AreAllRight) {
    EXPECT_THAT(texts(replayed(trace(3, 3, 0))), IsEmpty());
    EXPECT_THAT(texts(replayed(trace(3, 2, 1))), IsEmpty());
    EXPECT_THAT(texts(replayed(trace(0, 0, 0))), IsEmpty());
}

TEST_F(ReplayOfInterrupts, AreToldWhereTheyDoNotCome) {
    EXPECT_THAT(texts(replayed(trace(1, 3, 0))),
                ElementsAre("record 3: vector 3: expected 3 interrupts, got 1 interrupt"));
    EXPECT_THAT(texts(replayed(trace(1, 1, 2))),
                ElementsAre("record 4: vector 3, never taken: expected 2 interrupts, got 0 interrupts"));
}

TEST_F(ReplayOfInterrupts, AreToldWhereTooManyCome) {
    const Trace more = trace(5, 3, 1);
    EXPECT_THAT(texts(replayed(more)),
                ElementsAre("record 8: vector 3, never taken: expected 1 interrupt, got 2 interrupts"));
    ReplayOptions options = pcienic::replay_options();
    options.merged_interrupts = true;
    EXPECT_THAT(texts(replayed(more, options)), IsEmpty());
    EXPECT_FALSE(replayed(trace(1, 3, 0), options).matched()) << "merged ones are fewer, never more";
}

TEST_F(ReplayOfInterrupts, MayBeTakenAfterTheirVectorWasDisarmed) {
    const Trace late = TraceBuilder{}
                           .config_store(4, 6)
                           .arm(InterruptMode::msix, 1)
                           .store(0x100, 0)
                           .disarm(InterruptMode::msix)
                           .count(TraceKind::taken, 0, 1)
                           .close()
                           .trace();
    EXPECT_THAT(texts(replayed(late)), IsEmpty());
}

// --- what may differ ------------------------------------------------------------------------------------------------

TEST_F(Replay, PermitsWhatTellsHowFarTheDeviceHadCome) {
    for (const std::uint64_t status : {0x9u, 0xbu}) {  // READY and BUS_MASTER, with and without DMA_BUSY
        const ReplayReport report = replayed(TraceBuilder{}.config_store(4, 6).load(0x24, status).trace());
        EXPECT_THAT(texts(report), IsEmpty());
        EXPECT_EQ(report.differing, status == 0x9 ? 0u : 1u);
    }
    EXPECT_THAT(texts(replayed(TraceBuilder{}.config_store(4, 6).load(0x24, 0x8).trace())),
                ElementsAre(HasSubstr("STATUS (BAR0 0x24): expected 0x00000008, got 0x00000009")));
    EXPECT_TRUE(replayed(TraceBuilder{}.config_store(4, 6).load(0x420, 12345, 8).trace()).matched());
    EXPECT_TRUE(replayed(TraceBuilder{}.config_store(4, 6).load(0x404, 0x00050002).trace()).matched());
    EXPECT_FALSE(replayed(TraceBuilder{}.config_store(4, 6).load(0x404, 0x80000000).trace()).matched())
        << "a bit that DMA_STATUS does not have";
}

TEST_F(Replay, PermitsStickyRegistersUntilTheyAreWritten) {
    EXPECT_TRUE(replayed(TraceBuilder{}.config_store(4, 6).load(0x10, 5).load(0x18, 5, 8).trace()).matched());
    EXPECT_THAT(texts(replayed(TraceBuilder{}.config_store(4, 6).load(0x10, 5).store(0x10, 1).load(0x10, 5).trace())),
                ElementsAre("record 3: SCRATCH (BAR0 0x10): expected 0x00000005, got 0x00000001"));
}

TEST_F(Replay, PermitsWhatThePlatformAssigns) {
    const Trace trace = recorded([](pcienic::Driver&, Device& device) {
        device.interrupts().enable(InterruptMode::msix, 1);
        (void)device.config().read32(config::kBar0);
        (void)device.config().read8(0x3c);
        (void)device.bar(2).read<std::uint32_t>(0);
        (void)device.bar(2).read<std::uint32_t>(12);
    });
    const auto changed = [&](auto is_wanted) {
        return altered(trace, find(trace, is_wanted), [](auto& head, auto) { head.value ^= 0x10; });
    };
    EXPECT_TRUE(replayed(changed([](const TraceRecord& record) {
                    return record.kind == TraceKind::config_load && record.offset == config::kBar0;
                })).matched());
    EXPECT_TRUE(replayed(changed([](const TraceRecord& record) {
                    return record.kind == TraceKind::config_load && record.offset == 0x3c;
                })).matched());
    EXPECT_TRUE(replayed(changed([](const TraceRecord& record) {
                    return record.kind == TraceKind::load && record.bar == 2 && record.offset == 0;
                })).matched());
    EXPECT_THAT(texts(replayed(changed([](const TraceRecord& record) {
                    return record.kind == TraceKind::load && record.bar == 2 && record.offset == 12;
                }))),
                ElementsAre(HasSubstr("BAR2 0xc: expected 0x00000010, got 0x00000000")));
}

TEST(ReplayNames, AreThoseOfTheTable) {
    EXPECT_EQ(pcienic::register_name(0, 0), "ID");
    EXPECT_EQ(pcienic::register_name(0, 0x1c), "SCRATCH64");
    EXPECT_EQ(pcienic::register_name(0, 0x30c), "IRQ_MASK3");
    EXPECT_EQ(pcienic::register_name(0, 0x1000), "DMA_DOORBELL");
    EXPECT_EQ(pcienic::register_name(0, 0x2000), "");
    EXPECT_EQ(pcienic::register_name(4, 0), "");
}

// --- refusals -------------------------------------------------------------------------------------------------------

TEST(ReplayRefusals, OfADeviceThatIsAnother) {
    TraceHeader header = test::sim_header();
    Device device = open_sim();
    const auto refused = [&](const Trace& trace) { return error_of([&] { (void)replay(trace, device); }); };
    header.config[2] = std::byte{0x11};
    auto error = refused(TraceBuilder{header}.trace());
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::invalid_argument);
    EXPECT_THAT(error->what(), HasSubstr("it is 1af4:10f2, the trace is of 1af4:1011"));
    error = error_of([&] { (void)sim_options(header); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::invalid_argument);
    std::error_code ec;
    (void)sim_options(header, ec);
    EXPECT_EQ(ec, Errc::invalid_argument);

    error = refused(TraceBuilder{test::sim_header(8192)}.trace());
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), HasSubstr("its BAR4 has 0x1000000 bytes, in the trace it has 0x2000"));
}

TEST(ReplayRefusals, OfADeviceThatIsInUse) {
    Device device = open_sim();
    device.interrupts().enable(InterruptMode::msix, 1);
    std::error_code ec;
    (void)replay(TraceBuilder{}.trace(), device, {}, ec);
    EXPECT_EQ(ec, Errc::interrupt_mode_busy);
    device.close();
    (void)replay(TraceBuilder{}.trace(), device, {}, ec);
    EXPECT_EQ(ec, Errc::closed);
    Device none;
    (void)replay(TraceBuilder{}.trace(), none, {}, ec);
    EXPECT_EQ(ec, Errc::closed);
}

class ReplayContradictions : public testing::TestWithParam<std::pair<const char*, TraceBuilder>> {};

TEST_P(ReplayContradictions, AreBadTraces) {
    const Trace trace = GetParam().second.trace();
    Device device = open_sim();
    const auto error = error_of([&] { (void)replay(trace, device); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::bad_trace);
    EXPECT_THAT(error->what(), HasSubstr("record 1: ")) << "where";
    EXPECT_THAT(error->what(), HasSubstr(GetParam().first));
    EXPECT_EQ(sim::iommu_faults(device), 0u);
    device.close();
}

TraceBuilder enabled() { return TraceBuilder{}.config_store(4, 6); }
TraceBuilder mapped(std::uint64_t length = 4096) { return TraceBuilder{}.map(0x10000, length); }

INSTANTIATE_TEST_SUITE_P(
    All, ReplayContradictions,
    testing::Values(
        std::pair{"unmap of what is not mapped", mapped().unmap(0x20000, 4096)},
        std::pair{"unmap of what is not mapped", mapped(8192).unmap(0x10000, 4096)},
        std::pair{"are mapped already", mapped().map(0x10000, 4096)},
        std::pair{"more memory than", mapped().map(0x40000000, std::uint64_t{1} << 40)},
        std::pair{"no multiple of a page", enabled().map(0x10000, 5)},
        std::pair{"memory that is not mapped", mapped().memory(0x20000, "text")},
        std::pair{"memory that is not mapped", mapped().memory(0x10ffe, "text")},
        std::pair{"memory that is not mapped, or not followed",
                  TraceBuilder{}.map(0x10000, 4096, false).memory(0x10000, "text")},
        std::pair{"armed in two modes", TraceBuilder{}.arm(InterruptMode::msix, 1).arm(InterruptMode::msi, 1)},
        std::pair{"not among those armed", enabled().add({.kind = TraceKind::arm, .detail = 2, .index = 1, .value = 1},
                                                         std::vector<std::byte>(1))},
        std::pair{"more vectors than there are", enabled().arm(InterruptMode::msix, 33)},
        std::pair{"not armed", TraceBuilder{}.arm(InterruptMode::msix, 1).disarm(InterruptMode::msi)},
        std::pair{"not armed", enabled().disarm(InterruptMode::msix)},
        std::pair{"vector that was not armed", enabled().count(TraceKind::taken, 0, 1)},
        std::pair{"vector that was not armed", TraceBuilder{}.arm(InterruptMode::msix, 1).count(TraceKind::left, 1, 1)},
        std::pair{"vector that is not armed", enabled().add({.kind = TraceKind::trigger, .detail = 2})},
        std::pair{"INTx masked", enabled().add({.kind = TraceKind::mask_intx})},
        std::pair{"INTx masked", enabled().add({.kind = TraceKind::unmask_intx})}));

TEST(ReplayContradiction, OfAMappingThatTheDeviceRefuses) {
    EXPECT_THAT(texts(replayed(TraceBuilder{}.map(0xfee00000, 4096).trace())),
                ElementsAre(HasSubstr("memory at 0xfee00000: expected mapped, got bus addresses")));
}

/// A descriptor of the DMA engine (pcienic.yaml).
std::array<char, 32> descriptor(unsigned opcode, bool phase, std::uint64_t source = 0, std::uint64_t destination = 0,
                                std::uint32_t length = 0) {
    std::array<char, 32> bytes{};
    const std::uint32_t control = opcode | (phase ? 0x80000000U : 0U);
    std::memcpy(&bytes[0], &source, 8);
    std::memcpy(&bytes[8], &destination, 8);
    std::memcpy(&bytes[16], &length, 4);
    std::memcpy(&bytes[28], &control, 4);
    return bytes;
}

TEST(ReplayWatchdog, TellsOfADeviceThatNeverRests) {
    // A ring of two, whose first descriptor copies over both of them what makes them valid in the next lap.
    constexpr std::uint64_t kRing = 0x10000;
    const auto table = [](bool phase) { return kRing + (phase ? 0x200U : 0x100U); };
    const auto again = [&](bool phase) { return descriptor(3, phase, table(phase), kRing, 64); };
    const auto pair = [](const std::array<char, 32>& first, const std::array<char, 32>& second) {
        return std::string{first.begin(), first.end()} + std::string{second.begin(), second.end()};
    };
    TraceBuilder builder;
    builder.config_store(4, 6).map(kRing, 4096);
    builder.memory(kRing, pair(again(true), descriptor(0, true)));
    builder.memory(table(true), pair(again(false), descriptor(0, true)));
    builder.memory(table(false), pair(again(true), descriptor(0, false)));
    builder.store(0x408, kRing, 8).store(0x410, kRing + 0x800, 8).store(0x418, 1).store(0x400, 1).store(0x1000, 1);
    const Trace trace = builder.trace();
    Device device = open_sim();
    const auto error = error_of([&] { (void)replay(trace, device, {.patience = std::chrono::milliseconds{20}}); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::timed_out);
    EXPECT_THAT(error->what(), HasSubstr("still at work"));
    EXPECT_TRUE(sim::settle(device, kPatience)) << "what is left of the replay lets the device rest";
}

TEST(ReplayLimits, MemoryIsGivenBackWhenItIsUnmapped) {
    TraceBuilder builder;
    for (int i = 0; i < 10; ++i) builder.map(0x10000, 1 << 20).unmap(0x10000, 1 << 20);
    ReplayOptions options;
    options.memory_limit = 1 << 20;
    EXPECT_TRUE(replayed(builder.trace(), options).matched());
}

TEST(ReplayOptionsForSim, AreThoseOfTheTracedDevice) {
    test::TemporaryFolder folder;
    open_sim({.vectors = 70, .memory_size = 8192, .trace = {.file = folder.file("a")}}).close();
    const Trace trace = Trace::read(folder.file("a"));
    const SimOptions options = sim_options(trace.header());
    EXPECT_EQ(options.vectors, 70u);
    EXPECT_EQ(options.memory_size, 8192u);
    EXPECT_TRUE(replayed(trace).matched());
}

}  // namespace
}  // namespace uiovfio
