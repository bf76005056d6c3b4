// SPDX-License-Identifier: MIT
/// Waits whose handlers run elsewhere than the object is used: Asio frees an operation in the thread of its handler,
/// and takes its own steps there. ThreadSanitizer looks at these; so that it has something to see, each has many
/// rounds.

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <thread>
#include <uiovfio/asio.hpp>
#include <uiovfio/asio_hybrid.hpp>
#include <uiovfio/sim.hpp>
#include <utility>
#include <vector>

namespace uiovfio {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

// Each round shows the fault that it is for; more of them try other orders of the threads.
constexpr int kRounds = 100;

/// A thread in which an io_context runs, until this ends.
class Loop {
  public:
    Loop() = default;
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop() { end(); }

    void end() {
        work_.reset();
        if (thread_.joinable()) thread_.join();
    }
    asio::any_io_executor executor() { return io_.get_executor(); }

  private:
    asio::io_context io_;
    asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
    std::thread thread_{[this] { io_.run(); }};
};

/// What a handler leaves for the thread that waits for it, which goes on at once: while the handler's own is on its way
/// out of the operation.
class Mailbox {
  public:
    void put(error_code ec, std::uint64_t count) {
        ec_ = ec;
        count_ = count;
        is_full_.store(true);
        is_full_.notify_one();
    }
    std::uint64_t take(error_code& ec) {
        is_full_.wait(false);
        is_full_.store(false);
        ec = ec_;
        return count_;
    }
    /// Without an error.
    std::uint64_t take() {
        error_code ec;
        const std::uint64_t count = take(ec);
        EXPECT_FALSE(ec) << ec.message();
        return count;
    }
    auto handler() {
        return [this](error_code ec, std::uint64_t count) { put(ec, count); };
    }
    /// One that stays until the next wait has begun(): so that its operation ends beside that one. The look is relaxed:
    /// another would put the two into an order, and ThreadSanitizer would see no race.
    auto lingering_handler() {
        return [this, number = begun_.load(std::memory_order_relaxed)](error_code ec, std::uint64_t count) {
            put(ec, count);
            while (begun_.load(std::memory_order_relaxed) < number + 2) std::this_thread::yield();
        };
    }
    void has_begun() { begun_.fetch_add(1, std::memory_order_relaxed); }

  private:
    std::atomic<int> begun_{0};
    error_code ec_;
    std::uint64_t count_ = 0;
    std::atomic<bool> is_full_{false};
};

/// So that the sleep begins in the handler's thread.
struct LooksOnce {
    [[nodiscard]] static constexpr std::chrono::nanoseconds budget() noexcept { return std::chrono::nanoseconds{1}; }
    static constexpr void learn(std::chrono::nanoseconds /*waited*/, bool /*came*/) noexcept {}
};

}  // namespace

class AsyncThreads : public testing::Test {
  protected:
    AsyncThreads() { interrupts.enable(InterruptMode::msix, 2); }
    ~AsyncThreads() override { pool.join(); }

    Device device = open_sim();
    Interrupts& interrupts = device.interrupts();
    asio::thread_pool pool{3};  // two may linger
    // Handlers look at them until the pool has ended.
    Mailbox mailbox;
    Mailbox second;
};

TEST_F(AsyncThreads, GiveMemoryBackInTheHandlersThread) {
    Loop loop;
    AsyncVector vector{loop.executor(), interrupts, 0};
    for (int round = 0; round < kRounds; ++round) {
        vector.async_wait(asio::bind_executor(pool, mailbox.lingering_handler()));
        mailbox.has_begun();
        interrupts.trigger(0);
        EXPECT_EQ(mailbox.take(), 1u);
    }
    mailbox.has_begun();
}

TEST_F(AsyncThreads, GiveMemoryBackOfAWaitThatLooksFirst) {
    Loop loop;
    AsyncHybridWait looking{loop.executor(), interrupts.subscribe(0), AlwaysPoll{}};
    AsyncHybridWait sleeping{loop.executor(), interrupts.subscribe(1), AlwaysInterrupt{}};
    for (int round = 0; round < kRounds; ++round) {
        looking.async_wait(asio::bind_executor(pool, mailbox.lingering_handler()));
        mailbox.has_begun();
        interrupts.trigger(0);
        EXPECT_EQ(mailbox.take(), 1u);
        sleeping.async_wait(asio::bind_executor(pool, second.lingering_handler()));
        second.has_begun();
        interrupts.trigger(1);
        EXPECT_EQ(second.take(), 1u);
    }
    mailbox.has_begun();
    second.has_begun();
}

// Of a wait that fails before it has begun, the whole is posted.
TEST_F(AsyncThreads, GiveMemoryBackOfAWaitThatFailsAtOnce) {
    Loop loop;
    AsyncVector vector{loop.executor(), interrupts, 0};
    interrupts.disable();
    for (int round = 0; round < kRounds; ++round) {
        vector.async_wait(asio::bind_executor(pool, mailbox.lingering_handler()));
        mailbox.has_begun();
        error_code ec;
        mailbox.take(ec);
        EXPECT_EQ(ec, make_error_code(Errc::interrupts_not_enabled));
    }
    mailbox.has_begun();
}

TEST_F(AsyncThreads, ServeALoopThatSeveralThreadsRun) {
    asio::io_context io;
    AsyncVector vector{io.get_executor(), interrupts, 0};
    std::atomic<std::uint64_t> received{0};
    std::atomic<int> begun{0};
    std::function<void()> next = [&] {
        const int number = begun.fetch_add(1, std::memory_order_relaxed);
        vector.async_wait([&, number](error_code ec, std::uint64_t count) {
            ASSERT_FALSE(ec) << ec.message();
            if ((received += count) < kRounds) next();
            // A while, for the other thread to be at the next but one: if it comes at all.
            for (int i = 0; i < 10 && begun.load(std::memory_order_relaxed) < number + 3; ++i)
                std::this_thread::yield();
        });
    };
    next();
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] { io.run(); });
    for (int round = 0; round < kRounds; ++round) interrupts.trigger(0);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(received, static_cast<std::uint64_t>(kRounds));
}

// The wait's own steps, which resets without an interrupt cause, run in the pool. cancel() is called elsewhere, at any
// point of theirs: none may miss it, and none may end a wait that began later.
TEST_F(AsyncThreads, AreCancelledWhileTheyTakeAStep) {
    Loop loop;
    AsyncVector vector{loop.executor(), interrupts, 0};
    AsyncHybridWait hybrid{loop.executor(), interrupts.subscribe(1), LooksOnce{}};
    for (int round = 0; round < kRounds; ++round) {
        device.reset();  // its mark ends the first read
        vector.async_wait(asio::bind_executor(pool, mailbox.handler()));
        for (int i = 0; i < round % 8; ++i) std::this_thread::yield();
        vector.cancel();
        error_code ec;
        mailbox.take(ec);
        EXPECT_EQ(ec, asio::error::operation_aborted);

        hybrid.async_wait(asio::bind_executor(pool, mailbox.handler()));
        for (int i = 0; i < round % 8; ++i) std::this_thread::yield();
        hybrid.cancel();
        mailbox.take(ec);
        EXPECT_EQ(ec, asio::error::operation_aborted);

        vector.async_wait(asio::bind_executor(pool, mailbox.handler()));
        interrupts.trigger(0);
        EXPECT_EQ(mailbox.take(), 1u);
    }
}

// Once the handler is called, nothing of the operation touches the object or its loop, which may be gone by then.
TEST_F(AsyncThreads, LetGoOfTheLoopBeforeTheHandlerIsCalled) {
    for (int round = 0; round < kRounds; ++round) {
        std::optional<Loop> loop{std::in_place};
        std::optional<AsyncVector> vector{std::in_place, loop->executor(), interrupts, 0};
        std::optional hybrid{AsyncHybridWait{loop->executor(), interrupts.subscribe(1), AlwaysPoll{}}};
        vector->async_wait(asio::bind_executor(pool, mailbox.handler()));
        hybrid->async_wait(asio::bind_executor(pool, second.handler()));
        interrupts.trigger(0);
        interrupts.trigger(1);
        EXPECT_EQ(mailbox.take(), 1u);
        EXPECT_EQ(second.take(), 1u);
        vector.reset();
        hybrid.reset();
        loop.reset();
    }
}

namespace {

/// An executor of a user's own, which keeps its functions in the memory that their allocator gives, and gives that back
/// when all else is over.
class Later {
  public:
    struct Queue {
        std::vector<std::function<void()>> run;
        std::vector<std::function<void()>> give_back;
    };

    Later(asio::execution_context& context, Queue& queue, std::allocator<void> allocator = {}) noexcept
        : context_{&context}, queue_{&queue} {
        (void)allocator;
    }
    asio::execution_context& query(asio::execution::context_t) const noexcept { return *context_; }
    static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
        return asio::execution::blocking.never;
    }
    template <class Function>
    void execute(Function function) const {
        auto allocator = asio::get_associated_allocator(function);
        using Allocator = typename std::allocator_traits<decltype(allocator)>::template rebind_alloc<Function>;
        Allocator own{allocator};
        Function* kept = own.allocate(1);
        new (kept) Function(std::move(function));
        queue_->run.push_back([kept] {
            Function taken{std::move(*kept)};
            kept->~Function();
            taken();
        });
        queue_->give_back.push_back([own, kept]() mutable { own.deallocate(kept, 1); });
    }
    friend bool operator==(const Later& left, const Later& right) noexcept { return left.queue_ == right.queue_; }
    friend bool operator!=(const Later& left, const Later& right) noexcept { return !(left == right); }

  private:
    asio::execution_context* context_;
    Queue* queue_;
};

}  // namespace

TEST_F(AsyncThreads, KeepMemoryForAnExecutorThatOutlivesAllElse) {
    Later::Queue queue;
    std::uint64_t received = 0;
    {
        asio::io_context io;
        AsyncVector vector{io.get_executor(), interrupts, 0};
        vector.async_wait(
            asio::bind_executor(Later{pool, queue}, [&](error_code, std::uint64_t count) { received = count; }));
        interrupts.trigger(0);
        io.poll();
        ASSERT_FALSE(queue.run.empty());
        while (!queue.run.empty()) {
            const auto run = std::exchange(queue.run, {});
            for (const auto& function : run) function();
            io.poll();
        }
    }
    EXPECT_EQ(received, 1u);
    for (const auto& give_back : queue.give_back) give_back();
}

}  // namespace uiovfio
