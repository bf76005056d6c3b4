// SPDX-License-Identifier: MIT
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <exception>
#include <functional>
#include <future>
#include <optional>
#include <pcienic/dma_async.hpp>
#include <thread>
#include <vector>

#include "fixture.hpp"

namespace pcienic::test {
namespace {

namespace asio = boost::asio;
using uiovfio::InterruptMode;

class AsyncOnSim : public OnSim {
  protected:
    AsyncOnSim() { put(source.bytes(), 1); }

    // Until nothing is left to do: a wait that leaves its watch behind would hang here, which the watchdog ends.
    void run() {
        io.restart();
        io.run_for(kPatience);
        EXPECT_TRUE(io.stopped()) << "something is still being waited for";
    }
    auto record(std::optional<Result>& into, boost::system::error_code* error = nullptr) {
        return [&into, error](boost::system::error_code ec, Result result) {
            if (error)
                *error = ec;
            else
                EXPECT_FALSE(ec) << ec.message();
            into = result;
        };
    }

    const unsigned enabled = driver.enable_interrupts(InterruptMode::msix);  // before anything follows a vector
    uiovfio::DmaBuffer source = buffer(10000);
    uiovfio::DmaBuffer destination = buffer(10000);
    asio::io_context io;
    DmaEngine dma{driver, {.entries = 8, .vector = std::uint16_t{3}}};
    AsyncDma async{io.get_executor(), dma};
};

TEST_F(AsyncOnSim, ACoroutineAwaitsCommands) {
    const auto story = [&]() -> asio::awaitable<void> {
        for (unsigned i = 1; i <= 30; ++i) {
            const Result result =
                co_await async.run(copy(source.iova(), destination.iova(), i * 100), asio::use_awaitable);
            EXPECT_THAT(result, Moved(i * 100));
        }
    };
    asio::co_spawn(io, story(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
    run();
    EXPECT_TRUE(equal(source.bytes().first(3000), destination.bytes().first(3000)));
}

TEST_F(AsyncOnSim, ManyWaitsAreOutstandingAtATime) {
    std::vector<std::optional<Result>> results(dma.capacity());
    for (std::size_t i = 0; i < results.size(); ++i)
        async.run(copy(source.iova_at(i * 64), destination.iova_at(i * 64), 64), record(results[i]));
    run();
    for (const auto& result : results) {
        ASSERT_TRUE(result);
        EXPECT_THAT(*result, Moved(64));
    }
}

// One watch ends and the next begins in one turn of the loop. Each has two interrupts, and no watch is left at the end.
TEST_F(AsyncOnSim, AHandlerAwaitsTheNextCommand) {
    constexpr unsigned kCommands = 500;
    unsigned done = 0;
    asio::steady_timer later{io};
    std::function<void()> next = [&] {
        async.wait(dma.post(nop()), [&](boost::system::error_code ec, Result result) {
            EXPECT_FALSE(ec) << ec.message();
            EXPECT_THAT(result, Moved(0));
            if (++done < kCommands) next();
        });
        asio::post(io, [&] {
            driver.fire(3);  // of no command
            later.expires_after(std::chrono::milliseconds(1));
            later.async_wait([&](auto) { dma.ring(); });
        });
    };
    next();
    run();
    EXPECT_EQ(done, kCommands);
}

TEST_F(AsyncOnSim, AFutureGetsTheResult) {
    auto future = async.run(nop(), asio::use_future);
    run();
    EXPECT_THAT(future.get(), Moved(0));
}

TEST_F(AsyncOnSim, NoHandlerRunsFromInsideTheCall) {
    const Ticket ticket = dma.submit(nop());
    EXPECT_THAT(dma.wait(ticket, kPatience), Moved(0));
    std::optional<Result> result;
    async.wait(ticket, record(result));
    EXPECT_FALSE(result);
    run();
    ASSERT_TRUE(result);
    EXPECT_THAT(*result, Moved(0));
}

TEST_F(AsyncOnSim, WhatTheDeviceSaysIsAResultAndNoException) {
    const uiovfio::Iova address = unmapped();
    std::optional<Result> result;
    async.run(copy(address, destination.iova(), 8), record(result));
    run();
    ASSERT_TRUE(result);
    EXPECT_THAT(*result, EndsAs(Errc::source_fault));
    EXPECT_EQ(result->detail, uiovfio::to_integer(address));
}

TEST_F(AsyncOnSim, WhatCannotBeSubmittedIsAResult) {
    for (std::size_t i = 0; i < dma.capacity(); ++i) dma.post(nop());
    std::optional<Result> result;
    async.run(nop(), record(result));
    run();
    ASSERT_TRUE(result);
    EXPECT_THAT(*result, EndsAs(Errc::ring_full));
}

TEST_F(AsyncOnSim, AWaitIsCancelledByItsOwnSlot) {
    const Ticket ticket = dma.post(nop());  // without the doorbell: it stays outstanding
    asio::cancellation_signal signal;
    std::optional<Result> cancelled, kept;
    boost::system::error_code error;
    async.wait(ticket, asio::bind_cancellation_slot(signal.slot(), record(cancelled, &error)));
    async.wait(ticket, record(kept));
    asio::post(io, [&] { signal.emit(asio::cancellation_type::terminal); });
    asio::steady_timer later(io, std::chrono::milliseconds(1));
    later.async_wait([&](auto) { dma.ring(); });
    run();
    EXPECT_EQ(error, asio::error::operation_aborted);
    ASSERT_TRUE(kept) << "the other wait goes on";
    EXPECT_THAT(*kept, Moved(0));
    EXPECT_THAT(*dma.result(ticket), Moved(0));
}

// Handlers with an executor of their own: the engine is used by the loop's thread all the same.
class AsyncElsewhere : public AsyncOnSim {
  protected:
    ~AsyncElsewhere() override { pool.join(); }

    asio::thread_pool pool{2};
};

TEST_F(AsyncElsewhere, CallsBackOnTheHandlersExecutor) {
    constexpr int kCommands = 100;
    const auto strand = asio::make_strand(pool);
    int left = kCommands;
    int chains = 4;
    std::atomic<int> done{0};
    std::function<void()> next = [&] {
        if (left == 0) {
            --chains;
            return;
        }
        --left;
        async.run(copy(source.iova(), destination.iova(), 64),
                  asio::bind_executor(strand, [&](boost::system::error_code ec, Result result) {
                      EXPECT_FALSE(ec) << ec.message();
                      EXPECT_THAT(result, Moved(64));
                      EXPECT_TRUE(strand.running_in_this_thread());
                      ++done;
                      asio::post(io, next);
                  }));
    };
    for (int i = 0; i < chains; ++i) asio::post(io, [&] { next(); });
    const auto work = asio::make_work_guard(io);
    while (chains > 0) io.run_one();
    EXPECT_EQ(done, kCommands);
}

TEST_F(AsyncElsewhere, AWaitIsCancelledFromTheHandlersExecutor) {
    constexpr int kRounds = 50;
    const Ticket ticket = dma.post(nop());  // without the doorbell: it stays outstanding
    const auto strand = asio::make_strand(pool);
    for (int round = 0; round < kRounds; ++round) {
        asio::cancellation_signal signal;
        std::atomic<bool> is_over{false};
        boost::system::error_code error;
        const auto handler = [&](boost::system::error_code ec, Result) {
            signal.emit(asio::cancellation_type::total);  // too late, and so without effect
            error = ec;
            is_over = true;
        };
        async.wait(ticket, asio::bind_cancellation_slot(signal.slot(), asio::bind_executor(strand, handler)));
        asio::post(strand, [&] { signal.emit(asio::cancellation_type::total); });
        const auto work = asio::make_work_guard(io);
        io.restart();
        while (!is_over) io.run_one_for(std::chrono::milliseconds{1});
        EXPECT_EQ(error, asio::error::operation_aborted);
        std::promise<void> settled;
        asio::post(strand, [&] { settled.set_value(); });
        settled.get_future().wait();
    }
    dma.ring();
    EXPECT_THAT(dma.wait(ticket, kPatience), Moved(0));
}

TEST_F(AsyncOnSim, CancellingEndsEveryWaitAndTheObjectIsUsableAgain) {
    const Ticket ticket = dma.post(nop());
    std::vector<boost::system::error_code> errors(3);
    std::vector<std::optional<Result>> results(3);
    for (std::size_t i = 0; i < 3; ++i) async.wait(ticket, record(results[i], &errors[i]));
    asio::post(io, [&] { async.cancel(); });
    run();
    for (const auto& error : errors) EXPECT_EQ(error, asio::error::operation_aborted);
    std::optional<Result> result;
    async.wait(ticket, record(result));
    dma.ring();
    run();
    ASSERT_TRUE(result);
    EXPECT_THAT(*result, Moved(0));
}

TEST_F(AsyncOnSim, DestroyingItCancelsItsWaits) {
    boost::system::error_code error;
    std::optional<Result> result;
    {
        AsyncDma gone(io.get_executor(), dma);
        gone.wait(dma.post(nop()), record(result, &error));
        io.poll();
    }
    run();
    EXPECT_EQ(error, asio::error::operation_aborted);
}

TEST_F(AsyncOnSim, AStoppedQueueEndsTheWaitThoughItRaisesNoInterrupt) {
    regs::DmaCtrl::write(driver.registers(), 0);
    regs::DmaCompletionBase::write(driver.registers(), uiovfio::to_integer(unmapped()));
    regs::DmaCtrl::write(driver.registers(), 1);
    std::optional<Result> result;
    async.run(nop(), record(result));
    run();
    ASSERT_TRUE(result);
    EXPECT_THAT(*result, EndsAs(Errc::completion_fault));
}

TEST_F(AsyncOnSim, AResetEndsTheWait) {
    std::optional<Result> result;
    boost::system::error_code error;
    async.wait(dma.post(nop()), record(result, &error));
    asio::post(io, [&] { driver.reset_function(); });
    run();
    ASSERT_TRUE(result);
    EXPECT_TRUE(error || result->code == Errc::cancelled);
}

TEST_F(AsyncOnSim, DisablingInterruptsEndsTheWaitWithAnError) {
    std::optional<Result> result;
    boost::system::error_code error;
    async.wait(dma.post(nop()), record(result, &error));
    asio::post(io, [&] { driver.disable_interrupts(); });
    run();
    EXPECT_TRUE(error);
}

TEST_F(AsyncOnSim, AFailedWatchEndsEveryWaitThoughAHandlerBeginsAnother) {
    constexpr unsigned kMost = 100;
    const Ticket ticket = dma.post(nop());  // without the doorbell: it stays outstanding
    unsigned begun = 0;
    bool has_ended = false;
    std::function<void()> insist = [&] {
        ++begun;
        async.wait(ticket, [&](boost::system::error_code ec, Result) {
            EXPECT_TRUE(ec);
            if (!has_ended && begun < kMost) insist();
        });
    };
    insist();
    async.wait(ticket, [&](boost::system::error_code ec, Result) {
        EXPECT_TRUE(ec);
        has_ended = true;
    });
    asio::post(io, [&] { driver.disable_interrupts(); });
    run();
    EXPECT_TRUE(has_ended);
    EXPECT_LT(begun, kMost);
}

TEST_F(AsyncOnSim, WorksWithTheSharedLine) {
    dma.stop();
    driver.disable_interrupts();
    driver.enable_interrupts(InterruptMode::intx);
    DmaEngine engine(driver, {.entries = 8, .vector = std::uint16_t{9}});
    AsyncDma line(io.get_executor(), engine);
    unsigned done = 0;
    for (unsigned i = 0; i < 8; ++i)
        line.run(copy(source.iova(), destination.iova(), 64), [&](boost::system::error_code ec, Result result) {
            EXPECT_FALSE(ec);
            EXPECT_THAT(result, Moved(64));
            ++done;
        });
    run();
    EXPECT_EQ(done, 8u);
}

TEST_F(AsyncOnSim, ALineThatNobodyAcknowledgedIsLetThroughAgain) {
    dma.stop();
    driver.disable_interrupts();
    driver.enable_interrupts(InterruptMode::intx);
    DmaEngine engine(driver, {.entries = 8, .vector = std::uint16_t{9}});
    AsyncDma line(io.get_executor(), engine);
    const Ticket ticket = engine.submit(nop());
    EXPECT_EQ(device.interrupts().wait(0, kPatience), 1u);  // taken, but not acknowledged, as by a handler too late
    std::optional<Result> result;
    line.wait(ticket, record(result));
    run();
    ASSERT_TRUE(result);
    EXPECT_THAT(*result, Moved(0));
    driver.fire(5);
    EXPECT_EQ(device.interrupts().wait(0, kPatience), 1u);
}

}  // namespace
}  // namespace pcienic::test
