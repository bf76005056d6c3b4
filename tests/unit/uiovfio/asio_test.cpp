// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <optional>
#include <pcienic/registers.hpp>
#include <thread>
#include <uiovfio/asio.hpp>
#include <uiovfio/sim.hpp>

namespace uiovfio {

namespace asio = boost::asio;
namespace regs = pcienic::regs;
using boost::system::error_code;

namespace {

constexpr std::chrono::seconds kPatience{120};

struct Outcome {
    error_code ec;
    std::uint64_t count = 0;
};

}  // namespace

class Async : public testing::Test {
  protected:
    Async() { interrupts.enable(InterruptMode::msix, 4); }

    /// Starts a wait whose outcome lands in the returned place.
    std::shared_ptr<std::optional<Outcome>> wait(AsyncVector& vector) {
        auto outcome = std::make_shared<std::optional<Outcome>>();
        vector.async_wait([outcome](error_code ec, std::uint64_t count) { *outcome = Outcome{ec, count}; });
        return outcome;
    }

    /// Runs until nothing is left to do.
    void run() {
        io.restart();
        io.run_for(kPatience);
    }

    Device device = open_sim();
    Interrupts& interrupts = device.interrupts();
    asio::io_context io;
};

TEST_F(Async, CompletesACallbackWithTheCount) {
    AsyncVector vector{io.get_executor(), interrupts, 2};
    const auto outcome = wait(vector);
    io.poll();
    EXPECT_FALSE(*outcome);
    interrupts.trigger(2);
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_FALSE((*outcome)->ec);
    EXPECT_EQ((*outcome)->count, 1u);
}

TEST_F(Async, CompletesAWaitForWhatHasFiredBefore) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    for (int i = 0; i < 3; ++i) interrupts.trigger(0);
    const auto outcome = wait(vector);
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->count, 3u);
}

TEST_F(Async, NeverCallsBackFromTheInitiatingFunction) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    interrupts.trigger(0);
    const auto outcome = wait(vector);
    EXPECT_FALSE(*outcome);
    run();
    EXPECT_TRUE(*outcome);
}

TEST_F(Async, CompletesAFuture) {
    AsyncVector vector{io.get_executor(), interrupts, 1};
    auto future = vector.async_wait(asio::use_future);
    interrupts.trigger(1);
    run();
    EXPECT_EQ(future.get(), 1u);
    auto failing = vector.async_wait(asio::use_future);
    vector.cancel();
    run();
    EXPECT_THROW(failing.get(), boost::system::system_error);
}

TEST_F(Async, CompletesACoroutineForEachInterruptOfTheDevice) {
    const auto window = device.bar(pcienic::kBarRegisters).window();
    std::uint64_t received = 0;
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
            AsyncVector vector{co_await asio::this_coro::executor, interrupts, 3};
            for (int i = 0; i < 100; ++i) {
                regs::IrqTest::write(window, 3);
                received += co_await vector.async_wait(asio::use_awaitable);
            }
        },
        asio::detached);
    run();
    EXPECT_EQ(received, 100u);
}

TEST_F(Async, DoesNothingBeforeADeferredOperationIsStarted) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    auto operation = vector.async_wait(asio::deferred);
    interrupts.trigger(0);
    EXPECT_EQ(io.poll(), 0u);
    std::uint64_t received = 0;
    std::move(operation)([&](error_code, std::uint64_t count) { received = count; });
    run();
    EXPECT_EQ(received, 1u);
}

// A wait begins when it is started: each start of a copy is a wait of its own.
TEST_F(Async, IsNotToldOfAResetBeforeADeferredOperationIsStarted) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    const auto operation = vector.async_wait(asio::deferred);
    for (int start = 0; start < 2; ++start) {
        device.reset();
        auto copy = operation;
        std::optional<Outcome> outcome;
        std::move(copy)([&](error_code ec, std::uint64_t count) { outcome = Outcome{ec, count}; });
        io.restart();
        io.poll();
        EXPECT_FALSE(outcome) << outcome->ec.message();
        interrupts.trigger(0);
        run();
        ASSERT_TRUE(outcome);
        EXPECT_FALSE(outcome->ec) << outcome->ec.message();
        EXPECT_EQ(outcome->count, 1u);
    }
}

TEST_F(Async, TellsADeferredOperationOfAResetAfterItsStart) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    auto operation = vector.async_wait(asio::deferred);
    std::optional<Outcome> outcome;
    std::move(operation)([&](error_code ec, std::uint64_t count) { outcome = Outcome{ec, count}; });
    io.poll();
    device.reset();
    run();
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->ec, make_error_code(Errc::device_reset));
}

TEST_F(Async, LosesNoCountBetweenWaits) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    constexpr std::uint64_t kFirings = 5000;
    std::uint64_t received = 0;
    std::function<void()> next = [&] {
        vector.async_wait([&](error_code ec, std::uint64_t count) {
            ASSERT_FALSE(ec);
            received += count;
            if (received < kFirings) next();
        });
    };
    next();
    std::thread firing{[&] {
        for (std::uint64_t i = 0; i < kFirings; ++i) interrupts.trigger(0);
    }};
    run();
    firing.join();
    EXPECT_EQ(received, kFirings);
}

TEST_F(Async, IsCancelledAsAnObject) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    const auto outcome = wait(vector);
    io.poll();
    vector.cancel();
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, asio::error::operation_aborted);
    EXPECT_EQ((*outcome)->count, 0u);
    interrupts.trigger(0);
    const auto again = wait(vector);
    run();
    EXPECT_EQ((*again)->count, 1u);
}

class AsyncCancellation : public Async, public testing::WithParamInterface<asio::cancellation_type> {};

TEST_P(AsyncCancellation, EndsThatOperation) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    asio::cancellation_signal signal;
    std::optional<Outcome> outcome;
    vector.async_wait(asio::bind_cancellation_slot(
        signal.slot(), [&](error_code ec, std::uint64_t count) { outcome = Outcome{ec, count}; }));
    io.poll();
    ASSERT_FALSE(outcome);
    signal.emit(GetParam());
    run();
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->ec, asio::error::operation_aborted);
    // What fires afterwards is not lost to the operation that ended.
    interrupts.trigger(0);
    EXPECT_EQ(interrupts.wait(0, kPatience), 1u);
}

INSTANTIATE_TEST_SUITE_P(Types, AsyncCancellation,
                         testing::Values(asio::cancellation_type::terminal, asio::cancellation_type::partial,
                                         asio::cancellation_type::total));

TEST_F(Async, IsCancelledByItsDestruction) {
    std::optional<AsyncVector> vector{std::in_place, io.get_executor(), interrupts, 0};
    const auto outcome = wait(*vector);
    io.poll();
    vector.reset();
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, asio::error::operation_aborted);
}

// The mark of a reset that nobody awaited ends the first read; a cancel() before its handler runs finds no read to end.
TEST_F(Async, IsCancelledBetweenTwoReads) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    device.reset();
    const auto outcome = wait(vector);
    vector.cancel();
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, asio::error::operation_aborted);
}

TEST_F(Async, IsCancelledByItsDestructionBetweenTwoReads) {
    std::shared_ptr<std::optional<Outcome>> outcome;
    device.reset();
    {
        AsyncVector vector{io.get_executor(), interrupts, 0};
        outcome = wait(vector);
    }
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, asio::error::operation_aborted);
}

TEST_F(Async, KeepsItsWaitWhenMoved) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    const auto outcome = wait(vector);
    AsyncVector moved = std::move(vector);
    EXPECT_THROW(wait(vector), Error);
    interrupts.trigger(0);
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->count, 1u);
    const auto cancelled = wait(moved);
    moved = AsyncVector{io.get_executor(), interrupts, 1};
    run();
    EXPECT_EQ((*cancelled)->ec, asio::error::operation_aborted);
}

TEST_F(Async, TellsOfAReset) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    const auto outcome = wait(vector);
    io.poll();
    device.reset();
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, make_error_code(Errc::device_reset));
    interrupts.trigger(0);
    const auto again = wait(vector);
    run();
    EXPECT_EQ((*again)->count, 1u);
}

TEST_F(Async, WaitsOnAfterAResetThatNobodyAwaited) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    device.reset();
    const auto outcome = wait(vector);
    io.poll();
    EXPECT_FALSE(*outcome);
    interrupts.trigger(0);
    run();
    EXPECT_EQ((*outcome)->count, 1u);
    EXPECT_FALSE((*outcome)->ec);
}

TEST_F(Async, EndsWithTheModeItBelongsTo) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    const auto outcome = wait(vector);
    io.poll();
    interrupts.disable();
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, make_error_code(Errc::interrupts_not_enabled));
    const auto again = wait(vector);
    EXPECT_FALSE(*again);
    run();
    EXPECT_EQ((*again)->ec, make_error_code(Errc::interrupts_not_enabled));
}

TEST_F(Async, EndsWithTheDevice) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    const auto outcome = wait(vector);
    io.poll();
    device = Device{};
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, make_error_code(Errc::closed));
}

TEST_F(Async, RefusesVectorsThatAreNotEnabled) {
    EXPECT_THROW((AsyncVector{io.get_executor(), interrupts, 4}), Error);
    interrupts.disable();
    EXPECT_THROW((AsyncVector{io.get_executor(), interrupts, 0}), Error);
}

TEST_F(Async, CallsBackOnTheHandlersExecutor) {
    asio::thread_pool pool{2};
    const auto strand = asio::make_strand(pool);
    AsyncVector vector{io.get_executor(), interrupts, 0};
    std::promise<bool> in_strand;
    const auto handler = [&](error_code, std::uint64_t) { in_strand.set_value(strand.running_in_this_thread()); };
    vector.async_wait(asio::bind_executor(strand, handler));
    interrupts.trigger(0);
    run();
    EXPECT_TRUE(in_strand.get_future().get());

    // Also where the wait fails before it has begun.
    interrupts.disable();
    std::promise<bool> failed_in_strand;
    vector.async_wait(asio::bind_executor(
        strand, [&](error_code, std::uint64_t) { failed_in_strand.set_value(strand.running_in_this_thread()); }));
    run();
    EXPECT_TRUE(failed_in_strand.get_future().get());
    pool.join();
}

TEST_F(Async, ServesSeveralVectorsFromOneThread) {
    std::vector<AsyncVector> vectors;
    for (unsigned vector = 0; vector < 4; ++vector) vectors.emplace_back(io.get_executor(), interrupts, vector);
    std::array<std::uint64_t, 4> counts{};
    for (unsigned vector = 0; vector < 4; ++vector)
        vectors[vector].async_wait([&counts, vector](error_code, std::uint64_t count) { counts[vector] += count; });
    for (unsigned vector = 0; vector < 4; ++vector)
        for (unsigned i = 0; i <= vector; ++i) interrupts.trigger(vector);
    run();
    EXPECT_THAT(counts, testing::ElementsAre(1, 2, 3, 4));
}

TEST_F(Async, KeepsItsWaitWhileTheVectorsGrow) {
    AsyncVector vector{io.get_executor(), interrupts, 0};
    const auto outcome = wait(vector);
    io.poll();
    EXPECT_EQ(interrupts.grow(8), Growth::in_place);
    io.poll();
    EXPECT_FALSE(*outcome);
    AsyncVector added{io.get_executor(), interrupts, 7};
    const auto of_added = wait(added);
    interrupts.trigger(0);
    interrupts.trigger(7);
    run();
    EXPECT_EQ((*outcome)->count, 1u);
    EXPECT_EQ((*of_added)->count, 1u);
}

/// The events as I/O objects; what they have in common with vectors is tested above.
class AsyncEvents : public Async {
  protected:
    std::shared_ptr<std::optional<Outcome>> wait(AsyncDeviceEvent& event) {
        auto outcome = std::make_shared<std::optional<Outcome>>();
        event.async_wait([outcome](error_code ec, std::uint64_t count) { *outcome = Outcome{ec, count}; });
        return outcome;
    }

    AsyncDeviceEvent removal{io.get_executor(), device.events(), DeviceEvent::removal_request};
    AsyncDeviceEvent error{io.get_executor(), device.events(), DeviceEvent::error};
};

TEST_F(AsyncEvents, CompleteWithTheCount) {
    const auto of_removal = wait(removal);
    const auto of_error = wait(error);
    io.poll();
    EXPECT_FALSE(*of_removal);
    sim::request_removal(device);
    io.run_one();
    ASSERT_TRUE(*of_removal);
    EXPECT_FALSE((*of_removal)->ec);
    EXPECT_EQ((*of_removal)->count, 1u);
    EXPECT_FALSE(*of_error);
    sim::report_error(device);
    run();
    ASSERT_TRUE(*of_error);
    EXPECT_EQ((*of_error)->count, 1u);
}

TEST_F(AsyncEvents, AreNotLostBetweenWaits) {
    for (int i = 0; i < 3; ++i) sim::request_removal(device);
    const auto outcome = wait(removal);
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->count, 3u);
}

TEST_F(AsyncEvents, AreNotInterruptedByAReset) {
    const auto outcome = wait(error);
    io.poll();
    device.reset();
    io.poll();
    EXPECT_FALSE(*outcome);
    sim::report_error(device);
    run();
    EXPECT_FALSE((*outcome)->ec);
}

TEST_F(AsyncEvents, EndWithTheDevice) {
    const auto outcome = wait(error);
    io.poll();
    device.close();
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, make_error_code(Errc::closed));
    const auto again = wait(error);
    run();
    EXPECT_EQ((*again)->ec, make_error_code(Errc::closed));
}

TEST_F(AsyncEvents, AreCancelled) {
    const auto outcome = wait(removal);
    io.poll();
    removal.cancel();
    run();
    ASSERT_TRUE(*outcome);
    EXPECT_EQ((*outcome)->ec, asio::error::operation_aborted);
}

// The states that device_events.hpp describes, as a driver goes through them.
TEST_F(AsyncEvents, LeadADriverFromTheRequestToTheRelease) {
    std::uint64_t interrupts_taken = 0;
    bool released = false;
    const auto drive = [&]() -> asio::awaitable<void> {
        AsyncVector vector{co_await asio::this_coro::executor, interrupts, 1};
        for (;;) {
            const auto [ec, count] = co_await vector.async_wait(asio::as_tuple(asio::use_awaitable));
            if (ec == make_error_code(Errc::closed)) co_return;
            interrupts_taken += count;
        }
    };
    const auto let_go_when_asked = [&]() -> asio::awaitable<void> {
        co_await removal.async_wait(asio::use_awaitable);
        device.config().set_bus_master(false);  // drained
        device.close();
        released = true;
    };
    asio::co_spawn(io, drive(), asio::detached);
    asio::co_spawn(io, let_go_when_asked(), asio::detached);
    interrupts.trigger(1);
    while (interrupts_taken == 0) io.run_one();
    sim::request_removal(device);
    run();
    EXPECT_TRUE(released);
    EXPECT_EQ(interrupts_taken, 1u);
    EXPECT_TRUE(io.stopped()) << "somebody still waits";
}

}  // namespace uiovfio
