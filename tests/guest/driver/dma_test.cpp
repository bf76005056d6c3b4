// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <pcienic/dma_async.hpp>
#include <vector>

#include "fixture.hpp"

namespace pcienic::test {
namespace {

using guest::ExpectDmarFault;
using guest::ExpectGuestError;
using testing::AnyOf;
using uiovfio::DmaBuffer;
using uiovfio::Iova;

constexpr std::size_t kSize = 20000;  // several pages, and not a whole number of them

class GuestDma : public OnVfio {
  protected:
    GuestDma() {
        put(source.bytes(), 1);
        put(destination.bytes(), 2);
    }

    Result run(const Command& command) { return dma.run(command, kPatience); }
    void expect_that_it_still_works() {
        EXPECT_THAT(run(copy(source.iova(), destination.iova(), kSize)), Moved(kSize));
        EXPECT_TRUE(equal(source.bytes().first(kSize), destination.bytes().first(kSize)));
    }

    // Memory that stays the process's after it was taken from the device, so that the test can see whether the device
    // wrote to it all the same.
    struct Orphan {
        explicit Orphan(uiovfio::DmaSpace& space) {
            mapping = space.map(page);
            address = mapping.iova();
            mapping.unmap();
        }
        alignas(4096) std::array<std::byte, 4096> page{};
        uiovfio::DmaMapping mapping;
        Iova address{};
    };

    // An access that the IOMMU refuses: the guest's kernel tells of it, and so does QEMU.
    struct Refusal {
        Refusal(const char* access, Iova page, std::size_t offset = 0)
            : fault(fmt::format("DMA {}.*fault addr {:#x} ", access, to_integer(page))),
              error(fmt::format("Invalid access to non-RAM device at addr 0x{:X},", to_integer(page) + offset)) {}
        ExpectDmarFault fault;
        ExpectGuestError error;
    };

    // Has the engine work on a ring of the test's choice, behind the driver's back.
    template <typename Base>
    void move_ring(Iova to) {
        regs::DmaCtrl::write(driver.registers(), 0);
        Base::write(driver.registers(), to_integer(to));
        regs::DmaCtrl::write(driver.registers(), 1);
    }

    // More work than is done by the time that this returns, as a rule; no test relies on it.
    std::vector<Ticket> keep_busy() {
        if (!big_source) big_source = buffer(kBig);
        if (!big_destination) big_destination = buffer(kBig);
        std::vector<Ticket> tickets(8);
        for (Ticket& ticket : tickets) ticket = dma.submit(copy(big_source.iova(), big_destination.iova(), kBig));
        return tickets;
    }
    // What was done by the reset is done, the rest cancelled: nothing is lost, nothing hangs.
    void expect_done_or_cancelled(const std::vector<Ticket>& tickets) {
        for (const Ticket ticket : tickets)
            EXPECT_THAT(dma.wait(ticket, kPatience), AnyOf(Moved(kBig), EndsAs(Errc::cancelled)));
        dma.restart();
        expect_that_it_still_works();
    }

    static constexpr std::uint32_t kBig = 32u << 20;
    DmaBuffer big_source, big_destination;  // allocated by keep_busy(): most tests do without
    DmaBuffer source = buffer(kSize);
    DmaBuffer destination = buffer(kSize);
    DmaEngine dma{driver, {.entries = 16}};
};

TEST_F(GuestDma, CopiesHostToHost) { expect_that_it_still_works(); }

TEST_F(GuestDma, CopiesToDeviceMemoryAndBack) {
    const std::uint64_t end = driver.identity().memory_size;
    EXPECT_THAT(run(copy(source.iova(), DeviceOffset{end - kSize}, kSize)), Moved(kSize));
    std::uint32_t expected = 0;
    std::memcpy(&expected, source.bytes().data() + kSize - 4, sizeof(expected));
    EXPECT_EQ(driver.memory().read<std::uint32_t>(end - 4), expected) << "the processor sees what the device wrote";
    EXPECT_THAT(run(copy(DeviceOffset{end - kSize}, destination.iova(), kSize)), Moved(kSize));
    EXPECT_TRUE(equal(source.bytes().first(kSize), destination.bytes().first(kSize)));
}

TEST_F(GuestDma, ReadsFromDeviceMemoryWhatTheProcessorWrote) {
    driver.memory().write<std::uint64_t>(0x2000, 0x0123456789abcdef);
    EXPECT_THAT(run(copy(DeviceOffset{0x2000}, destination.iova(), 8)), Moved(8));
    std::uint64_t value = 0;
    std::memcpy(&value, destination.bytes().data(), sizeof(value));
    EXPECT_EQ(value, 0x0123456789abcdefu);
}

TEST_F(GuestDma, Fills) {
    EXPECT_THAT(run(fill(destination.iova(), kSize, 0x5a5a5a5a5a5a5a5a)), Moved(kSize));
    EXPECT_TRUE(all_are(destination.bytes().first(kSize), std::byte{0x5a}));
    EXPECT_FALSE(all_are(destination.bytes().subspan(kSize), std::byte{0x5a}));
    EXPECT_THAT(run(fill(DeviceOffset{0}, 16, 0x1122334455667788)), Moved(16));
    EXPECT_EQ(driver.memory().read<std::uint32_t>(8), 0x55667788u);
}

TEST_F(GuestDma, NopMovesNothing) { EXPECT_THAT(run(nop()), Moved(0)); }

TEST_F(GuestDma, GathersAndScatters) {
    ScatterList from(device.dma()), to(device.dma());
    from.assign(std::array{Piece{source.iova_at(8000), 5000}, Piece{source.iova_at(1), 4999}});
    to.assign(std::array{Piece{destination.iova_at(9999), 9999}});
    EXPECT_THAT(run(copy(from, to, 9999)), Moved(9999));
    EXPECT_TRUE(equal(source.bytes().subspan(8000, 5000), destination.bytes().subspan(9999, 5000)));
    EXPECT_TRUE(equal(source.bytes().subspan(1, 4999), destination.bytes().subspan(14999, 4999)));
}

TEST_F(GuestDma, Copies64MiB) {
    constexpr std::size_t k64MiB = 64u << 20;
    DmaBuffer from = buffer(k64MiB), to = buffer(k64MiB);
    put(from.bytes(), 3);
    EXPECT_THAT(run(copy(from.iova(), to.iova(), k64MiB)), Moved(k64MiB));
    EXPECT_TRUE(equal(from.bytes(), to.bytes()));
}

TEST_F(GuestDma, GoesRoundTheRingWithItFull) {
    for (unsigned lap = 0; lap < 5; ++lap) {
        std::vector<Ticket> tickets;
        tickets.reserve(dma.capacity());
        for (std::size_t i = 0; i < dma.capacity(); ++i)
            tickets.push_back(dma.submit(copy(source.iova_at(i * 1000), destination.iova_at(i * 1000), 1000)));
        for (const Ticket ticket : tickets) EXPECT_THAT(dma.wait(ticket, kPatience), Moved(1000));
    }
    EXPECT_TRUE(equal(source.bytes().first(16000), destination.bytes().first(16000)));
    EXPECT_FALSE(driver.peek_error());
}

TEST_F(GuestDma, WaitsByInterrupt) {
    dma.stop();
    for (const auto mode : {uiovfio::InterruptMode::msix, uiovfio::InterruptMode::msi, uiovfio::InterruptMode::intx}) {
        driver.enable_interrupts(mode);
        {
            DmaEngine engine(driver, {.entries = 4, .vector = std::uint16_t{0}});
            for (unsigned i = 0; i < 20; ++i)
                EXPECT_THAT(engine.run(copy(source.iova(), destination.iova(), kSize), kPatience), Moved(kSize));
        }
        driver.disable_interrupts();
        driver.clear_cause(0);
    }
}

TEST_F(GuestDma, ACoroutineAwaitsCommands) {
    dma.stop();
    driver.enable_interrupts(uiovfio::InterruptMode::msix);
    DmaEngine engine(driver, {.entries = 8, .vector = std::uint16_t{7}});
    boost::asio::io_context io;
    AsyncDma async(io.get_executor(), engine);
    const auto story = [&]() -> boost::asio::awaitable<void> {
        for (unsigned i = 1; i <= 50; ++i) {
            const Result result =
                co_await async.run(copy(source.iova(), destination.iova(), i * 100), boost::asio::use_awaitable);
            EXPECT_THAT(result, Moved(i * 100));
        }
    };
    boost::asio::co_spawn(io, story(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); });
    io.run_for(kPatience);
    EXPECT_TRUE(io.stopped());
    EXPECT_TRUE(equal(source.bytes().first(5000), destination.bytes().first(5000)));
}

TEST_F(GuestDma, EveryMistakeInACommandHasItsCode) {
    ScatterList list(device.dma());
    list.assign(std::array{Piece{source.iova(), 7}});
    Command listed_pattern = fill(destination.iova(), 8, 0);
    listed_pattern.source_list = &list;
    Command bad_vector = nop();
    bad_vector.vector = std::uint16_t{99};
    const std::vector<std::byte> before(destination.bytes().begin(), destination.bytes().end());

    EXPECT_THAT(run({.opcode = static_cast<Opcode>(99)}), EndsAs(Errc::bad_opcode));
    EXPECT_THAT(run(copy(source.iova(), destination.iova(), 0)), EndsAs(Errc::zero_length));
    EXPECT_THAT(run(copy(DeviceOffset{driver.identity().memory_size}, destination.iova(), 1)),
                EndsAs(Errc::device_range));
    EXPECT_THAT(run(copy(list, destination.iova(), 8)), EndsAs(Errc::bad_sg));
    EXPECT_THAT(run(listed_pattern), EndsAs(Errc::bad_flags));
    EXPECT_THAT(run(bad_vector), EndsAs(Errc::bad_vector));
    EXPECT_TRUE(equal(before, destination.bytes())) << "none of them was run";
    expect_that_it_still_works();
}

// --- the IOMMU refuses ---

TEST_F(GuestDma, ASourceThatIsNotMappedFaultsAndTheMemoryIsUnchanged) {
    const std::vector<std::byte> before(destination.bytes().begin(), destination.bytes().end());
    const Orphan orphan(device.dma());
    const Refusal refusal("Read", orphan.address);
    const Result result = run(copy(orphan.address, destination.iova(), 64));
    EXPECT_THAT(result, EndsAs(Errc::source_fault));
    EXPECT_EQ(result.detail, to_integer(orphan.address));
    EXPECT_TRUE(equal(before, destination.bytes()));
    expect_that_it_still_works();
}

TEST_F(GuestDma, ADestinationThatIsNotMappedFaultsAndTheMemoryIsUnchanged) {
    const Orphan orphan(device.dma());
    const Refusal refusal("Write", orphan.address);
    const Result result = run(fill(orphan.address, 64, ~std::uint64_t{0}));
    EXPECT_THAT(result, EndsAs(Errc::destination_fault));
    EXPECT_EQ(result.detail, to_integer(orphan.address));
    EXPECT_TRUE(all_are(orphan.page, std::byte{0}));
    expect_that_it_still_works();
}

TEST_F(GuestDma, MemoryThatTheDeviceMayOnlyReadIsNotWritten) {
    DmaBuffer read_only = device.dma().allocate(4096, {.direction = uiovfio::DmaDirection::to_device});
    {
        const Refusal refusal("Write", read_only.iova());
        EXPECT_THAT(run(fill(read_only.iova(), 64, ~std::uint64_t{0})), EndsAs(Errc::destination_fault));
    }
    EXPECT_TRUE(all_are(read_only.bytes(), std::byte{0}));
    EXPECT_THAT(run(copy(read_only.iova(), destination.iova(), 64)), Moved(64));
    EXPECT_TRUE(all_are(destination.bytes().first(64), std::byte{0}));
}

TEST_F(GuestDma, AListThatIsNotMappedFaults) {
    ScatterList list(device.dma());
    list.assign(std::array{Piece{source.iova(), 8}});
    const Orphan orphan(device.dma());
    const Refusal refusal("Read", orphan.address);
    Command command = copy(list, destination.iova(), 8);
    command.source = to_integer(orphan.address);
    EXPECT_THAT(run(command), EndsAs(Errc::sg_fault));
    expect_that_it_still_works();
}

TEST_F(GuestDma, ACopyThatRunsOffItsMappingStopsThere) {
    ScatterList list(device.dma());  // first: memory that is mapped later may get the orphan's address
    const Orphan orphan(device.dma());
    const Refusal refusal("Write", orphan.address);
    list.assign(std::array{Piece{destination.iova(), 100}, Piece{orphan.address, 100}});
    const Result result = run(copy(source.iova(), list, 200));
    EXPECT_THAT(result, EndsAs(Errc::destination_fault));
    EXPECT_EQ(result.detail, to_integer(orphan.address));
    EXPECT_TRUE(equal(source.bytes().first(100), destination.bytes().first(100)));
}

// --- the queue stops ---

TEST_F(GuestDma, ACompletionThatCannotBeWrittenStopsTheQueueUntilAReset) {
    const Orphan orphan(device.dma());
    const ExpectGuestError announced{fmt::format("cannot write the completion at {:#x}", to_integer(orphan.address))};
    const Refusal refusal("Write", orphan.address);
    move_ring<regs::DmaCompletionBase>(orphan.address);
    const Result result = run(nop());
    EXPECT_THAT(result, EndsAs(Errc::completion_fault));
    EXPECT_EQ(result.detail, to_integer(orphan.address));
    EXPECT_EQ(regs::DmaStatus::State::read(driver.registers()), regs::DmaStatus::StateValue::kStopped);
    ASSERT_TRUE(dma.stop_reason());
    EXPECT_EQ(dma.stop_reason()->code, regs::ErrCode::CodeValue::kCompletionFault);
    EXPECT_TRUE(all_are(orphan.page, std::byte{0}));

    driver.reset();
    EXPECT_FALSE(driver.peek_error());
    dma.restart();
    expect_that_it_still_works();
}

TEST_F(GuestDma, ADescriptorThatCannotBeReadStopsTheQueueUntilAReset) {
    const Orphan orphan(device.dma());
    const ExpectGuestError announced{fmt::format("cannot read the descriptor at {:#x}", to_integer(orphan.address))};
    const Refusal refusal("Read", orphan.address, offsetof(Descriptor, control));
    move_ring<regs::DmaRingBase>(orphan.address);
    EXPECT_THAT(run(nop()), EndsAs(Errc::descriptor_fault));
    driver.reset_function();
    dma.restart();
    expect_that_it_still_works();
}

TEST_F(GuestDma, WithoutBusMasteringTheQueueStops) {
    const ExpectGuestError announced{"pcienic: queue stopped: cannot read the descriptor"};
    device.config().set_bus_master(false);
    EXPECT_THAT(run(nop()), EndsAs(Errc::descriptor_fault));
    device.config().set_bus_master(true);
    dma.restart();
    expect_that_it_still_works();
}

TEST_F(GuestDma, ASoftwareResetInTheMiddleOfACopyCancelsIt) {
    const std::vector<Ticket> tickets = keep_busy();
    driver.reset();
    expect_done_or_cancelled(tickets);
}

TEST_F(GuestDma, AFunctionLevelResetInTheMiddleOfACopyCancelsIt) {
    // The kernel turns bus mastering off before it resets. Whether the device notices in between, and what it says
    // then, is a matter of luck; what is announced has to appear, so the same is done here first, for certain.
    const ExpectGuestError announced{"pcienic: queue stopped: cannot (write the completion|read the descriptor) at 0x"};
    device.config().set_bus_master(false);
    EXPECT_THAT(run(nop()), EndsAs(Errc::descriptor_fault));
    device.config().set_bus_master(true);
    dma.restart();

    const std::vector<Ticket> tickets = keep_busy();
    driver.reset_function();
    expect_done_or_cancelled(tickets);
}

TEST_F(GuestDma, AnEngineThatIsDestroyedWhileBusyCausesNoFault) {
    dma.stop();
    DmaBuffer from = buffer(16u << 20), to = buffer(16u << 20);
    for (int i = 0; i < 5; ++i) {
        DmaEngine engine(driver, {.entries = 4});
        for (int n = 0; n < 4; ++n) engine.submit(copy(from.iova(), to.iova(), 16u << 20));
    }
    EXPECT_FALSE(driver.peek_error());
}

}  // namespace
}  // namespace pcienic::test
