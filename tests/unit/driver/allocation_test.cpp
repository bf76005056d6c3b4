// SPDX-License-Identifier: MIT
//
// The paths that a driver runs for every command and every interrupt do not allocate.
#include <array>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <new>
#include <pcienic/dma.hpp>
#include <thread>
#include <uiovfio/asio.hpp>
#include <uiovfio/sim.hpp>

#include "fixture.hpp"

namespace {
// Of this thread: the simulated device's thread may do as it likes.
thread_local std::size_t allocations = 0;

void* counted(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
    throw std::bad_alloc();
}
}  // namespace

// Not inlined: gcc would see free() on what came from new, and take it for a mistake.
[[gnu::noinline]] void* operator new(std::size_t size) { return counted(size); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return counted(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace pcienic::test {
namespace {

class Allocations : public OnSim {
  protected:
    template <typename Action>
    std::size_t during(Action&& action) {
        action();  // once before, so that what is made on first use is there
        const std::size_t before = allocations;
        for (int i = 0; i < 20; ++i) action();
        return allocations - before;
    }
    uiovfio::DmaBuffer memory = buffer(8192);
};

TEST_F(Allocations, AreSeenByThisTest) {
    EXPECT_EQ(during([] {
                  int* volatile number = new int;  // volatile: a compiler may drop a pair that nobody sees
                  delete number;
              }),
              20u);
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

// Asio keeps the memory of an operation for the thread's next one.
TEST_F(Allocations, NoneInAwaitingInterruptsAndEventsWithAsio) {
    driver.enable_interrupts(uiovfio::InterruptMode::msix);
    boost::asio::io_context io;
    uiovfio::AsyncVector vector{io.get_executor(), device.interrupts(), 4};
    uiovfio::AsyncDeviceEvent error{io.get_executor(), device.events(), uiovfio::DeviceEvent::error};
    std::uint64_t received = 0;
    const auto receive = [&received](boost::system::error_code, std::uint64_t count) { received += count; };
    const auto round = [&] {
        vector.async_wait(receive);  // begins before the interrupt
        error.async_wait(receive);
        io.poll();
        driver.fire(4);
        uiovfio::sim::report_error(device);
        io.restart();
        io.run();
        driver.fire(4);
        vector.async_wait(receive);  // begins after it
        io.restart();
        io.run();
        io.restart();
    };
    round();
    EXPECT_EQ(during(round), 0u);
    EXPECT_EQ(received, 3u * 22);
}

}  // namespace
}  // namespace pcienic::test
