// SPDX-License-Identifier: MIT
/// A run that was recorded on one simulated device is done again on another. What was altered in between is found.

#include <array>
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

class Replay : public test::Replay {};

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
