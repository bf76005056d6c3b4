// SPDX-License-Identifier: MIT
#include <poll.h>

#include <atomic>
#include <thread>

#include "conformance.hpp"

namespace uiovfio::conformance {

namespace regs = pcienic::regs;

namespace {

struct ModeCase {
    InterruptMode mode;
    unsigned vectors;
};

void PrintTo(const ModeCase& mode, std::ostream* out) { *out << to_string(mode.mode); }

std::string mode_name(const testing::TestParamInfo<ModeCase>& info) {
    switch (info.param.mode) {
        case InterruptMode::intx:
            return "Intx";
        case InterruptMode::msi:
            return "Msi";
        case InterruptMode::msix:
            return "Msix";
    }
    return "Unknown";
}

bool is_readable_now(int descriptor) {
    pollfd entry{.fd = descriptor, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1;
}

}  // namespace

class ConformanceInterrupts : public Conformance {};

/// Cases that hold in each of the three modes, with all vectors that the device has.
class ConformanceInterruptModes : public Conformance, public testing::WithParamInterface<ModeCase> {
  protected:
    void SetUp() override {
        const InterruptMode mode = GetParam().mode;
        NEEDS_FEATURE(feature_of(mode));
        interrupts.enable(mode, GetParam().vectors);
    }

    /// Has the vector fire: by software, or by the device where the backend cannot; then it is INTx's line that is
    /// raised, until settle().
    void raise(unsigned vector) {
        if (device.can(Feature::trigger)) return interrupts.trigger(vector);
        fire(vector);
        pollfd entry{.fd = interrupts.event_fd(0), .events = POLLIN, .revents = 0};
        ::poll(&entry, 1, static_cast<int>(std::chrono::milliseconds{kPatience}.count()));
    }
    void settle() {
        if (device.can(Feature::trigger)) return;
        const auto window = registers();
        regs::IrqCause::write(window, 0, ~0u);
        interrupts.unmask();
    }

    Interrupts& interrupts = device.interrupts();
};

INSTANTIATE_TEST_SUITE_P(Modes, ConformanceInterruptModes,
                         testing::Values(ModeCase{InterruptMode::intx, 1}, ModeCase{InterruptMode::msi, 32},
                                         ModeCase{InterruptMode::msix, 32}),
                         mode_name);

TEST_P(ConformanceInterruptModes, TellWhatIsEnabled) {
    EXPECT_EQ(interrupts.available(GetParam().mode), GetParam().vectors);
    EXPECT_EQ(interrupts.mode(), GetParam().mode);
    EXPECT_EQ(interrupts.count(), GetParam().vectors);
}

TEST_P(ConformanceInterruptModes, DeliverEachVectorByLoopbackToItselfAlone) {
    NEEDS(trigger);
    for (unsigned vector = 0; vector < interrupts.count(); ++vector) {
        interrupts.trigger(vector);
        EXPECT_EQ(interrupts.wait(vector, kPatience), 1u) << "vector " << vector;
        for (unsigned other = 0; other < interrupts.count(); ++other)
            EXPECT_EQ(interrupts.try_take(other), 0u) << "vector " << other << " after " << vector;
    }
}

TEST_P(ConformanceInterruptModes, AddUpWhatNobodyWaitedFor) {
    NEEDS(trigger);
    for (int i = 0; i < 3; ++i) interrupts.trigger(0);
    EXPECT_TRUE(is_readable_now(interrupts.event_fd(0)));
    EXPECT_EQ(interrupts.wait(0, kPatience), 3u);
    EXPECT_EQ(interrupts.try_take(0), 0u);
    EXPECT_FALSE(is_readable_now(interrupts.event_fd(0)));
}

TEST_P(ConformanceInterruptModes, DeliverAgainAfterTheyWereDisabled) {
    interrupts.disable();
    interrupts.disable();
    EXPECT_EQ(interrupts.count(), 0u);
    interrupts.enable(GetParam().mode, 1);
    EXPECT_EQ(interrupts.count(), 1u);
    raise(0);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
    settle();
}

TEST_P(ConformanceInterruptModes, DeliverAfterAReset) {
    device.reset();
    EXPECT_EQ(interrupts.mode(), GetParam().mode);
    EXPECT_EQ(interrupts.count(), GetParam().vectors);
    const unsigned last = interrupts.count() - 1;
    raise(last);
    EXPECT_EQ(interrupts.wait(last, kPatience), 1u);
    settle();
    fire(last);
    EXPECT_EQ(interrupts.wait(last, kPatience), 1u);
}

TEST_P(ConformanceInterruptModes, KeepAcrossAResetWhatCameBeforeIt) {
    raise(0);
    device.reset();
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
}

TEST_P(ConformanceInterruptModes, RefuseASecondMode) {
    for (const InterruptMode second : {InterruptMode::msix, InterruptMode::intx}) {
        const Errc expected = device.can(feature_of(second)) ? Errc::interrupt_mode_busy : Errc::unsupported;
        EXPECT_EQ(errc_of([&] { interrupts.enable(second, 1); }), expected) << to_string(second);
    }
}

TEST_P(ConformanceInterruptModes, RefuseVectorsThatAreNotEnabled) {
    const unsigned beyond = interrupts.count();
    EXPECT_EQ(errc_of([&] { interrupts.wait(beyond, kAtOnce); }), Errc::no_such_vector);
    EXPECT_EQ(errc_of([&] { interrupts.trigger(beyond); }), Errc::no_such_vector);
    EXPECT_EQ(errc_of([&] { (void)interrupts.event_fd(beyond); }), Errc::no_such_vector);
    EXPECT_EQ(errc_of([&] { (void)interrupts.subscribe(beyond); }), Errc::no_such_vector);
    EXPECT_EQ(interrupts.try_take(beyond), 0u);
}

// However often, and whenever the device is reset: a wait that is in progress is told.
TEST_P(ConformanceInterruptModes, TellThoseWhoWaitOfAReset) {
    std::atomic<bool> told{false};
    std::error_code ec;
    std::thread waiter{[&] {
        interrupts.wait(0, kPatience, ec);
        told = true;
    }};
    while (!told) device.reset();
    waiter.join();
    EXPECT_EQ(ec, Errc::device_reset);
    raise(0);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
}

TEST_P(ConformanceInterruptModes, TellThoseWhoWaitThatTheyWereDisabled) {
    std::error_code ec;
    std::thread waiter{[&] { interrupts.wait(0, kPatience, ec); }};
    interrupts.disable();
    waiter.join();
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
}

TEST_P(ConformanceInterruptModes, WakeAWaitThatHasBegun) {
    std::uint64_t count = 0;
    std::thread waiter{[&] { count = interrupts.wait(0, kPatience); }};
    fire(0);
    waiter.join();
    EXPECT_EQ(count, 1u);
}

TEST_F(ConformanceInterrupts, AreRefusedWhereTheyCannotBeHad) {
    NEEDS(msix);
    auto& interrupts = device.interrupts();
    EXPECT_EQ(errc_of([&] { interrupts.enable(InterruptMode::msix, 0); }), Errc::invalid_argument);
    EXPECT_EQ(errc_of([&] { interrupts.enable(InterruptMode::msix, kVectors + 1); }), Errc::interrupt_capacity);
    EXPECT_EQ(errc_of([&] { interrupts.enable(InterruptMode::intx, 2); }), Errc::interrupt_capacity);
    EXPECT_EQ(errc_of([&] { interrupts.enable(InterruptMode::msi, 33); }), Errc::interrupt_capacity);
    EXPECT_EQ(interrupts.count(), 0u);
    interrupts.enable(InterruptMode::msix, kVectors);
}

TEST_F(ConformanceInterrupts, AreAnErrorBeforeTheyAreEnabled) {
    auto& interrupts = device.interrupts();
    EXPECT_EQ(errc_of([&] { interrupts.wait(0, kAtOnce); }), Errc::interrupts_not_enabled);
    EXPECT_EQ(errc_of([&] { interrupts.trigger(0); }), Errc::interrupts_not_enabled);
    EXPECT_EQ(errc_of([&] { (void)interrupts.mode(); }), Errc::interrupts_not_enabled);
    EXPECT_EQ(errc_of([&] { (void)interrupts.event_fd(0); }), Errc::interrupts_not_enabled);
    EXPECT_EQ(errc_of([&] { (void)interrupts.subscribe(0); }), Errc::interrupts_not_enabled);
    EXPECT_EQ(errc_of([&] { interrupts.mask(); }), Errc::interrupts_not_enabled);
    std::error_code ec;
    EXPECT_EQ(interrupts.event_fd(0, ec), -1);
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
    interrupts.disable();
}

TEST_F(ConformanceInterrupts, TimeOut) {
    NEEDS(intx);
    auto& interrupts = device.interrupts();
    interrupts.enable(device.can(Feature::msix) ? InterruptMode::msix : InterruptMode::intx, 1);
    EXPECT_EQ(errc_of([&] { interrupts.wait(0, kAtOnce); }), Errc::timed_out);
    EXPECT_EQ(errc_of([&] { interrupts.wait(0, std::chrono::milliseconds{1}); }), Errc::timed_out);
}

TEST_F(ConformanceInterrupts, GoFromModeToModeAndToMoreVectors) {
    NEEDS(msix);
    auto& interrupts = device.interrupts();
    for (const auto& [mode, count] :
         {ModeCase{InterruptMode::msix, 2}, ModeCase{InterruptMode::intx, 1}, ModeCase{InterruptMode::msi, 4},
          ModeCase{InterruptMode::msix, kVectors}, ModeCase{InterruptMode::msi, 1}, ModeCase{InterruptMode::msi, 32}}) {
        interrupts.enable(mode, count);
        interrupts.trigger(count - 1);
        EXPECT_EQ(interrupts.wait(count - 1, kPatience), 1u) << to_string(mode) << " with " << count;
        interrupts.disable();
    }
}

TEST_F(ConformanceInterrupts, ComeFromTheDeviceAsMsix) {
    NEEDS(msix);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, kVectors);
    for (unsigned vector = 0; vector < kVectors; ++vector) {
        fire(vector);
        EXPECT_EQ(interrupts.wait(vector, kPatience), 1u) << "vector " << vector;
        for (unsigned other = 0; other < kVectors; ++other) EXPECT_EQ(interrupts.try_take(other), 0u);
    }
}

TEST_F(ConformanceInterrupts, ComeFromTheDeviceAsMsi) {
    NEEDS(msi);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msi, kVectors);
    for (unsigned vector = 0; vector < kVectors; ++vector) {
        fire(vector);
        EXPECT_EQ(interrupts.wait(vector, kPatience), 1u) << "vector " << vector;
    }
}

TEST_F(ConformanceInterrupts, ComeFromTheDeviceAsIntxOnceUntilUnmasked) {
    NEEDS(intx);
    auto& interrupts = device.interrupts();
    const auto window = registers();
    interrupts.enable(InterruptMode::intx, 1);
    fire(7);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
    EXPECT_EQ(regs::IrqCause::read(window, 0).raw(), 1u << 7);
    // The line is still driven: it fires as soon as the kernel lets it.
    interrupts.unmask();
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
    // Quiet at last: the cause goes first, then the mask.
    regs::IrqCause::write(window, 0, 1u << 7);
    interrupts.unmask();
    fire(9);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
    regs::IrqCause::write(window, 0, 1u << 9);
    interrupts.unmask();
    EXPECT_EQ(interrupts.try_take(0), 0u);
}

TEST_F(ConformanceInterrupts, StayBehindTheIntxMask) {
    NEEDS(intx);
    auto& interrupts = device.interrupts();
    const auto window = registers();
    interrupts.enable(InterruptMode::intx, 1);
    interrupts.mask();
    fire(0);
    EXPECT_EQ(regs::IrqCause::read(window, 0).raw(), 1u);
    EXPECT_EQ(interrupts.try_take(0), 0u);
    interrupts.unmask();
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
    regs::IrqCause::write(window, 0, 1u);
}

TEST_F(ConformanceInterrupts, AreMaskedByTheKernelOnlyAsIntx) {
    NEEDS(msix);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 1);
    EXPECT_EQ(errc_of([&] { interrupts.mask(); }), Errc::unsupported);
    EXPECT_EQ(errc_of([&] { interrupts.unmask(); }), Errc::unsupported);
}

TEST_F(ConformanceInterrupts, WaitInTheMsixTableWhileMasked) {
    NEEDS(msix);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 4);
    // An entry's vector control and the pending bits (PCI Local Bus 3.0, 6.8.2); the table comes first in BAR2, and the
    // capability says where the pending bits are.
    constexpr std::size_t kControlOf2 = 2 * 16 + 12;
    const auto capability = device.config().find(capability::kMsix);
    ASSERT_TRUE(capability);
    const std::uint32_t pba = device.config().read32(static_cast<std::uint16_t>(capability->offset + 8)) & ~7u;
    const auto table = device.bar(pcienic::kBarMsix).window();
    EXPECT_EQ(table.load<std::uint32_t>(kControlOf2) & 1u, 0u);
    EXPECT_EQ(table.load<std::uint32_t>(20 * 16 + 12) & 1u, 1u) << "a vector that is not enabled is masked";

    table.store<std::uint32_t>(kControlOf2, 1);
    fire(2);
    EXPECT_EQ(table.load<std::uint32_t>(pba), 1u << 2);
    EXPECT_EQ(interrupts.try_take(2), 0u);
    table.store<std::uint32_t>(kControlOf2, 0);
    EXPECT_EQ(interrupts.wait(2, kPatience), 1u);
    EXPECT_EQ(table.load<std::uint32_t>(pba), 0u);
}

TEST_F(ConformanceInterrupts, AreHeldBackWithoutBusMastering) {
    NEEDS(msix);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, kVectors);
    device.config().set_bus_master(false);
    fire(3);
    EXPECT_EQ(interrupts.try_take(3), 0u);
    device.config().set_bus_master(true);
    EXPECT_EQ(interrupts.wait(3, kPatience), 1u);
}

TEST_F(ConformanceInterrupts, StayBehindTheIntxMaskOverAReset) {
    NEEDS(intx);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::intx, 1);
    interrupts.mask();
    device.reset();
    const auto window = registers();
    fire(0);
    EXPECT_EQ(regs::IrqCause::read(window, 0).raw(), 1u);
    EXPECT_EQ(interrupts.try_take(0), 0u);
    interrupts.unmask();
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
    regs::IrqCause::write(window, 0, 1u);
}

TEST_P(ConformanceInterruptModes, AreFiredByLoopbackSeveralAtATime) {
    NEEDS(trigger);
    std::vector<unsigned> vectors;
    for (unsigned vector = 0; vector < interrupts.count(); vector += 3) vectors.push_back(vector);
    interrupts.trigger(vectors);
    for (unsigned vector = 0; vector < interrupts.count(); ++vector)
        EXPECT_EQ(interrupts.try_take(vector), vector % 3 == 0 ? 1u : 0u) << "vector " << vector;
}

/// The two modes of several vectors, which can be grown.
class ConformanceGrowth : public Conformance, public testing::WithParamInterface<ModeCase> {
  protected:
    void SetUp() override { NEEDS_FEATURE(feature_of(mode)); }

    Interrupts& interrupts = device.interrupts();
    const InterruptMode mode = GetParam().mode;
};

INSTANTIATE_TEST_SUITE_P(Modes, ConformanceGrowth,
                         testing::Values(ModeCase{InterruptMode::msi, 32}, ModeCase{InterruptMode::msix, 32}),
                         mode_name);

// The kernel adds the vectors to those in use, or has set them aside: what fires meanwhile has not noticed.
TEST_P(ConformanceGrowth, LosesNothingWhileTheDeviceFires) {
    interrupts.enable(mode, 2, kVectors);
    ASSERT_EQ(interrupts.capacity(), kVectors);
    std::atomic<bool> grown{false};
    std::uint64_t fired = 0;
    std::uint64_t received = 0;
    // Each is awaited before the next: hardware merges a message with one that is still pending.
    std::thread driver{[&] {
        const auto window = registers();
        std::error_code ec;
        for (bool last_round = false; !last_round && !ec;) {
            last_round = grown;
            for (const unsigned vector : {0U, 1U}) {
                regs::IrqTest::write(window, vector);
                ++fired;
                received += interrupts.wait(vector, kPatience, ec);
            }
        }
        EXPECT_FALSE(ec) << ec.message();
    }};
    for (unsigned count = 3; count <= kVectors; ++count) EXPECT_EQ(interrupts.grow(count), Growth::in_place);
    grown = true;
    driver.join();
    EXPECT_EQ(received, fired);
    EXPECT_EQ(interrupts.count(), kVectors);
    for (unsigned vector = 2; vector < kVectors; ++vector) {
        EXPECT_EQ(interrupts.try_take(vector), 0u) << "vector " << vector;
        fire(vector);
        EXPECT_EQ(interrupts.wait(vector, kPatience), 1u) << "vector " << vector;
    }
}

TEST_P(ConformanceGrowth, IsKeptOverAReset) {
    interrupts.enable(mode, 1, 4);
    interrupts.grow(3);
    device.reset();
    EXPECT_EQ(interrupts.count(), 3u);
    EXPECT_EQ(interrupts.grow(4), Growth::in_place);
    for (unsigned vector = 0; vector < 4; ++vector) {
        fire(vector);
        EXPECT_EQ(interrupts.wait(vector, kPatience), 1u) << "vector " << vector;
    }
}

// Without room, MSI is armed anew everywhere, and MSI-X where the kernel adds no vectors.
TEST_P(ConformanceGrowth, WakesEveryWaiterWhereItArmsAnew) {
    interrupts.enable(mode, 2);
    const bool in_place = interrupts.capacity() >= 8;
    EXPECT_TRUE(in_place || interrupts.capacity() == 2);
    EXPECT_TRUE(mode == InterruptMode::msix || !in_place);
    std::uint64_t count = 0;
    std::thread waiter{[&] { count = interrupts.wait(1, kPatience); }};
    EXPECT_EQ(interrupts.grow(8), in_place ? Growth::in_place : Growth::armed_anew);
    if (in_place) fire(1);
    waiter.join();
    EXPECT_EQ(count, 1u);
    for (unsigned vector = 2; vector < 8; ++vector) {
        fire(vector);
        EXPECT_EQ(interrupts.wait(vector, kPatience), 1u) << "vector " << vector;
    }
}

TEST_P(ConformanceGrowth, IsRefusedBeyondWhatTheDeviceHas) {
    EXPECT_EQ(errc_of([&] { interrupts.grow(2); }), Errc::interrupts_not_enabled);
    interrupts.enable(mode, 2);
    EXPECT_EQ(errc_of([&] { interrupts.grow(kVectors + 1); }), Errc::interrupt_capacity);
    EXPECT_EQ(interrupts.count(), 2u);
    EXPECT_EQ(interrupts.grow(1), Growth::in_place);
    EXPECT_EQ(interrupts.count(), 2u);
}

TEST_P(ConformanceGrowth, LeavesSingleVectorsToBeSilenced) {
    interrupts.enable(mode, 4);
    interrupts.disarm(2);
    fire(2);
    fire(3);
    EXPECT_EQ(interrupts.wait(3, kPatience), 1u);
    interrupts.trigger(2);
    EXPECT_EQ(interrupts.try_take(2), 0u);
    // It was pending in the device, which can mask it.
    interrupts.arm(2);
    EXPECT_EQ(interrupts.wait(2, kPatience), 1u);
    interrupts.disarm(2);
    device.reset();
    interrupts.trigger(2);
    EXPECT_EQ(interrupts.try_take(2), 0u);
    interrupts.arm(2);
    fire(2);
    EXPECT_EQ(interrupts.wait(2, kPatience), 1u);
}

TEST_F(ConformanceInterrupts, AreCountedExactlyWhenEachIsAwaited) {
    NEEDS(msix);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, kVectors);
    std::uint64_t received = 0;
    for (unsigned i = 0; i < 1000; ++i) {
        fire(i % kVectors);
        received += interrupts.wait(i % kVectors, kPatience);
    }
    EXPECT_EQ(received, 1000u);
}

}  // namespace uiovfio::conformance
