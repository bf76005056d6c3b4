// SPDX-License-Identifier: MIT
//
// The paths that a driver runs for every command and every interrupt do not allocate.
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdlib>
#include <memory_resource>
#include <pcienic/dma.hpp>
#include <thread>
#include <uiovfio/asio.hpp>
#include <uiovfio/asio_hybrid.hpp>
#include <uiovfio/sim.hpp>

#include "fixture.hpp"
#include "measure/allocations.hpp"

namespace pcienic::test {
namespace {

namespace asio = boost::asio;

class Allocations : public OnSim {
  protected:
    template <typename Action>
    std::size_t during(Action&& action) {
        action();  // once before, so that what is made on first use is there
        const std::size_t before = bench::allocations();
        for (int i = 0; i < 20; ++i) action();
        return bench::allocations() - before;
    }
    uiovfio::DmaBuffer memory = buffer(8192);
};

TEST_F(Allocations, AreSeenByThisTest) {
    EXPECT_EQ(during([] {
                  int* volatile number = new int;  // volatile: a compiler may drop a pair that nobody sees
                  delete number;
                  void* volatile aligned = std::aligned_alloc(64, 64);  // as Asio does
                  std::free(aligned);
              }),
              40u);
}

TEST_F(Allocations, NoneInSubmitPollAndWait) {
    DmaEngine dma(driver, {.entries = 8});
    ScatterList list(device.dma());
    bool held = true;
    EXPECT_EQ(during([&] {
                  list.assign(std::array{piece(memory, 0, 32), Piece{memory.iova(), 32}});
                  held = held && !dma.run(copy(list, DeviceOffset{0}, 64), kPatience).code;
                  const Ticket first = dma.submit(copy(memory.iova(), memory.iova_at(4096), 4096));
                  const Ticket leased = dma.submit(copy(memory, {memory, 4096}, 4096));
                  held = held && memory.leases() == 3;  // the list's, and the command's two
                  const Ticket second = dma.submit(fill(DeviceOffset{0}, 64, 1));
                  dma.poll();
                  held = held && !dma.wait(first, kPatience).code && !dma.wait(leased, kPatience).code &&
                         !dma.wait(second, kPatience).code;
              }),
              0u);
    EXPECT_TRUE(held);
}

TEST_F(Allocations, NoneWhenACommandFailsOrTheRingIsFull) {
    DmaEngine dma(driver, {.entries = 2});
    bool held = true;
    EXPECT_EQ(during([&] {
                  held = held && dma.run(copy(memory.iova(), memory.iova(), 0), kPatience).code == Errc::zero_length;
                  // After a command the device looks for another, doorbell or not: until it has, the ring may not fill.
                  while (regs::DmaStatus::State::read(driver.registers()) == regs::DmaStatus::StateValue::kBusy)
                      std::this_thread::yield();
                  std::error_code ec;
                  dma.post(nop(), ec);
                  dma.post(nop(), ec);
                  const Ticket refused = dma.post(nop(), ec);
                  held = held && ec == Errc::ring_full && refused == Ticket{};
                  dma.ring();
                  while (dma.outstanding() > 0) dma.poll();
              }),
              0u);
    EXPECT_TRUE(held);
}

TEST_F(Allocations, NoneInWaitingByInterrupt) {
    driver.enable_interrupts(uiovfio::InterruptMode::msix);
    DmaEngine dma(driver, {.entries = 8, .vector = std::uint16_t{2}});
    bool held = true;
    EXPECT_EQ(during([&] { held = held && !dma.run(nop(), kPatience).code; }), 0u);
    EXPECT_TRUE(held);
}

// DmaEngine::wait looks at the device every so often: its waits end with the time as a rule, not as an exception.
TEST_F(Allocations, NoneInAWaitThatEndsInAnError) {
    uiovfio::Interrupts& interrupts = device.interrupts();
    std::error_code not_enabled;
    EXPECT_EQ(during([&] { interrupts.wait(0, std::chrono::nanoseconds::zero(), not_enabled); }), 0u);
    EXPECT_EQ(not_enabled, uiovfio::Errc::interrupts_not_enabled);
    driver.enable_interrupts(uiovfio::InterruptMode::msix);
    std::error_code timed_out;
    std::error_code no_such_vector;
    EXPECT_EQ(during([&] {
                  interrupts.wait(4, std::chrono::microseconds{1}, timed_out);
                  interrupts.wait(1000, kPatience, no_such_vector);
              }),
              0u);
    EXPECT_EQ(timed_out, uiovfio::Errc::timed_out);
    EXPECT_EQ(no_such_vector, uiovfio::Errc::no_such_vector);
}

TEST_F(Allocations, NoneInFiringAndTakingInterrupts) {
    driver.enable_interrupts(uiovfio::InterruptMode::msix);
    std::uint64_t received = 0;
    EXPECT_EQ(during([&] {
                  driver.fire(4);
                  received += device.interrupts().wait(4, kPatience);
              }),
              0u);
    EXPECT_EQ(received, 21u);
}

TEST_F(Allocations, NoneInTakingDeviceEvents) {
    using uiovfio::DeviceEvent;
    uiovfio::DeviceEvents& events = device.events();
    std::uint64_t received = 0;
    std::error_code timed_out;
    EXPECT_EQ(during([&] {
                  uiovfio::sim::request_removal(device);
                  received += events.wait(DeviceEvent::removal_request, kPatience);
                  received += events.try_take(DeviceEvent::removal_request);
                  events.wait(DeviceEvent::error, std::chrono::microseconds{1}, timed_out);
              }),
              0u);
    EXPECT_EQ(received, 21u);
    EXPECT_EQ(timed_out, uiovfio::Errc::timed_out);
}

// In one run() of the loop, as a program has it: what Asio keeps for a thread goes when that returns.
class AllocationsWithAsio : public Allocations {
  protected:
    AllocationsWithAsio() { driver.enable_interrupts(uiovfio::InterruptMode::msix); }

    /// Runs `round` many times within the loop, and returns what those after the first few allocated. Each returns when
    /// `received` has grown by `each`.
    template <class Round>
    std::size_t during_rounds(std::uint64_t each, Round round) {
        constexpr int kWarmUp = 3;
        constexpr int kRounds = 50;
        std::size_t allocated = 0;
        const auto rounds = [&]() -> asio::awaitable<void> {
            for (int i = 0; i < kWarmUp + kRounds; ++i) {
                const std::size_t before = bench::allocations();
                const std::uint64_t due = received + each;
                co_await round();
                while (received < due) co_await asio::post(io, asio::use_awaitable);
                if (i >= kWarmUp) allocated += bench::allocations() - before;
            }
            io.stop();
        };
        asio::co_spawn(io, rounds(), asio::detached);
        io.run();
        return allocated;
    }

    /// A handler that waits again as soon as it is called.
    template <class Object>
    struct Follow {
        Object& object;
        std::uint64_t& received;
        void operator()(boost::system::error_code ec, std::uint64_t count) {
            received += count;
            if (!ec) object.async_wait(*this);
        }
    };
    template <class Object>
    void follow(Object& object) {
        object.async_wait(Follow<Object>{object, received});
    }

    asio::io_context io;
    std::uint64_t received = 0;
};

// Several objects whose operations end together and begin together: what Asio keeps for a thread would not do.
TEST_F(AllocationsWithAsio, NoneInAwaitingInterruptsAndEvents) {
    uiovfio::AsyncVector four{io.get_executor(), device.interrupts(), 4};
    uiovfio::AsyncVector five{io.get_executor(), device.interrupts(), 5};
    uiovfio::AsyncVector six{io.get_executor(), device.interrupts(), 6};
    uiovfio::AsyncDeviceEvent error{io.get_executor(), device.events(), uiovfio::DeviceEvent::error};
    const auto receive = [this](boost::system::error_code, std::uint64_t count) { received += count; };
    EXPECT_EQ(during_rounds(4,
                            [&]() -> asio::awaitable<void> {
                                four.async_wait(receive);
                                five.async_wait(receive);
                                error.async_wait(receive);
                                co_await asio::post(io, asio::use_awaitable);
                                driver.fire(4);
                                driver.fire(5);
                                uiovfio::sim::report_error(device);
                                driver.fire(6);  // this one is there before the wait begins
                                received += co_await six.async_wait(asio::use_awaitable);
                            }),
              0u);
}

/// Looks in every other wait, and for as long as it takes.
struct EveryOther {
    bool looks = true;
    [[nodiscard]] std::chrono::nanoseconds budget() const noexcept {
        return looks ? std::chrono::nanoseconds{std::chrono::hours{1}} : std::chrono::nanoseconds::zero();
    }
    void learn(std::chrono::nanoseconds /*waited*/, bool /*came*/) noexcept { looks = !looks; }
};

// Whether it looks or sleeps: which of them comes next is not the driver's choice.
TEST_F(AllocationsWithAsio, NoneInAwaitingByLookingAndSleeping) {
    uiovfio::AsyncHybridWait four{io.get_executor(), device.interrupts().subscribe(4), EveryOther{}};
    uiovfio::AsyncHybridWait five{io.get_executor(), device.interrupts().subscribe(5), EveryOther{.looks = false}};
    follow(four);
    follow(five);
    EXPECT_EQ(during_rounds(2,
                            [&]() -> asio::awaitable<void> {
                                for (int turn = 0; turn < 3; ++turn) co_await asio::post(io, asio::use_awaitable);
                                driver.fire(4);
                                driver.fire(5);
                            }),
              0u);
}

// A handler's allocator is for all that its operation needs.
TEST_F(AllocationsWithAsio, AHandlersOwnAllocatorIsUsed) {
    std::array<std::byte, 4096> room{};
    std::pmr::monotonic_buffer_resource arena{room.data(), room.size(), std::pmr::null_memory_resource()};
    uiovfio::AsyncVector four{io.get_executor(), device.interrupts(), 4};
    const auto handler = [this](boost::system::error_code, std::uint64_t count) { received += count; };
    const std::size_t before = bench::allocations();
    four.async_wait(asio::bind_allocator(std::pmr::polymorphic_allocator<std::byte>{&arena}, handler));
    EXPECT_EQ(bench::allocations() - before, 1u) << "the bytes that are read are the object's";
    driver.fire(4);
    io.run();
    EXPECT_EQ(received, 1u);
}

}  // namespace
}  // namespace pcienic::test
