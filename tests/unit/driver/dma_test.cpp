// SPDX-License-Identifier: MIT
#include <array>
#include <pcienic/dma.hpp>
#include <thread>
#include <vector>

#include "fixture.hpp"

namespace pcienic::test {
namespace {

using uiovfio::Iova;
using Latched = regs::ErrCode::CodeValue;
using std::chrono::milliseconds;

constexpr std::size_t kSize = 10000;  // several pages, and not a whole number of them

class DmaOnSim : public OnSim {
  protected:
    DmaOnSim() {
        put(source.bytes(), 1);
        put(destination.bytes(), 2);
    }

    Result run(const Command& command) { return dma.run(command, kPatience); }
    void write_memory(std::uint64_t offset, std::uint32_t value) {
        driver.memory().write<std::uint32_t>(offset, value);
    }
    std::uint32_t read_memory(std::uint64_t offset) { return driver.memory().read<std::uint32_t>(offset); }

    // Has the engine work on rings of its own choice, behind the driver's back.
    template <typename Base>
    void move_ring(Iova to) {
        regs::DmaCtrl::write(driver.registers(), 0);
        Base::write(driver.registers(), uiovfio::to_integer(to));
        regs::DmaCtrl::write(driver.registers(), 1);
    }

    uiovfio::DmaBuffer source = buffer(kSize);
    uiovfio::DmaBuffer destination = buffer(kSize);
    DmaEngine dma{driver, {.entries = 8}};
};

// --- commands ---

TEST_F(DmaOnSim, CopiesHostToHost) {
    EXPECT_THAT(run(copy(source.iova(), destination.iova(), kSize)), Moved(kSize));
    EXPECT_TRUE(equal(source.bytes().first(kSize), destination.bytes().first(kSize)));
}

TEST_F(DmaOnSim, CopiesToDeviceMemoryAndBack) {
    EXPECT_THAT(run(copy(source.iova(), DeviceOffset{4}, kSize)), Moved(kSize));
    std::uint32_t expected = 0;
    std::memcpy(&expected, source.bytes().data(), sizeof(expected));
    EXPECT_EQ(read_memory(4), expected);
    EXPECT_THAT(run(copy(DeviceOffset{4}, destination.iova(), kSize)), Moved(kSize));
    EXPECT_TRUE(equal(source.bytes().first(kSize), destination.bytes().first(kSize)));
}

TEST_F(DmaOnSim, MovesOneByteAndNoMore) {
    const std::byte before = destination.bytes()[101];
    EXPECT_THAT(run(copy(source.iova_at(7), destination.iova_at(100), 1)), Moved(1));
    EXPECT_EQ(destination.bytes()[100], source.bytes()[7]);
    EXPECT_EQ(destination.bytes()[101], before);
}

TEST_F(DmaOnSim, FillsHostMemoryWithThePattern) {
    const std::byte after = destination.bytes()[21];
    EXPECT_THAT(run(fill(destination.iova(), 21, 0x0807060504030201)), Moved(21));
    for (std::size_t i = 0; i < 21; ++i) EXPECT_EQ(std::to_integer<unsigned>(destination.bytes()[i]), i % 8 + 1);
    EXPECT_EQ(destination.bytes()[21], after);
}

TEST_F(DmaOnSim, FillsDeviceMemoryWithThePattern) {
    write_memory(0x1008, 0x55555555);
    EXPECT_THAT(run(fill(DeviceOffset{0x1000}, 8, 0x1122334455667788)), Moved(8));
    EXPECT_EQ(read_memory(0x1000), 0x55667788u);
    EXPECT_EQ(read_memory(0x1004), 0x11223344u);
    EXPECT_EQ(read_memory(0x1008), 0x55555555u);
}

TEST_F(DmaOnSim, NopMovesNothing) { EXPECT_THAT(run(nop()), Moved(0)); }

TEST_F(DmaOnSim, GathersAndScatters) {
    ScatterList from(device.dma()), to(device.dma());
    from.assign(
        std::array{Piece{source.iova_at(5000), 100}, Piece{source.iova(), 3000}, Piece{source.iova_at(9000), 1}});
    to.assign(std::array{Piece{destination.iova_at(4000), 2000}, Piece{destination.iova_at(1), 1101}});
    EXPECT_THAT(run(copy(from, to, 3101)), Moved(3101));

    std::vector<std::byte> gathered;
    const auto add = [&](std::span<const std::byte> bytes) {
        gathered.insert(gathered.end(), bytes.begin(), bytes.end());
    };
    add(source.bytes().subspan(5000, 100));
    add(source.bytes().first(3000));
    add(source.bytes().subspan(9000, 1));
    EXPECT_TRUE(equal(std::span(gathered).first(2000), destination.bytes().subspan(4000, 2000)));
    EXPECT_TRUE(equal(std::span(gathered).subspan(2000), destination.bytes().subspan(1, 1101)));
}

TEST_F(DmaOnSim, ListsWorkWithDeviceMemoryAndFill) {
    ScatterList list(device.dma());
    list.assign(std::array{Piece{source.iova(), 16}, Piece{source.iova_at(4096), 16}});
    EXPECT_THAT(run(copy(list, DeviceOffset{64}, 32)), Moved(32));
    list.assign(std::array{Piece{destination.iova(), 32}});
    EXPECT_THAT(run(copy(DeviceOffset{64}, list, 32)), Moved(32));
    EXPECT_TRUE(equal(destination.bytes().first(16), source.bytes().first(16)));
    EXPECT_TRUE(equal(destination.bytes().subspan(16, 16), source.bytes().subspan(4096, 16)));
    EXPECT_THAT(run(fill(list, 32, 0)), Moved(32));
    EXPECT_TRUE(std::ranges::all_of(destination.bytes().first(32), [](std::byte b) { return b == std::byte{}; }));
}

TEST_F(DmaOnSim, AListOfEveryPieceThatTheDeviceTakes) {
    ScatterList list(device.dma());
    std::vector<Piece> pieces(kMaxSgEntries);
    for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i] = {source.iova_at(i * 16), 16};
    list.assign(pieces);
    EXPECT_THAT(run(copy(list, destination.iova(), kMaxSgEntries * 16)), Moved(kMaxSgEntries * 16));
    EXPECT_TRUE(equal(source.bytes().first(4096), destination.bytes().first(4096)));
}

TEST_F(DmaOnSim, AListKnowsItsCapacity) {
    ScatterList list(device.dma(), 2);
    expect_error(Errc::list_too_long, [&] { list.assign(std::array<Piece, 3>{}); });
    EXPECT_EQ(list.size(), 0u);
    list.assign(std::array{Piece{Iova{4096}, 5}});
    EXPECT_EQ(list.size(), 1u);
    EXPECT_EQ(list[0].length, 5u);
}

// --- completion codes ---

TEST_F(DmaOnSim, BadOpcode) {
    EXPECT_THAT(run({.opcode = static_cast<Opcode>(99)}), EndsAs(Errc::bad_opcode));
    EXPECT_THAT(run({.opcode = static_cast<Opcode>(256)}), EndsAs(Errc::bad_opcode));
}

TEST_F(DmaOnSim, ZeroLength) {
    EXPECT_THAT(run(copy(source.iova(), destination.iova(), 0)), EndsAs(Errc::zero_length));
}

TEST_F(DmaOnSim, DeviceRange) {
    const auto size = driver.identity().memory_size;
    const Result result = run(copy(source.iova(), DeviceOffset{size - 4}, 5));
    EXPECT_THAT(result, EndsAs(Errc::device_range));
    EXPECT_EQ(result.detail, size - 4);
    EXPECT_THAT(run(copy(source.iova(), DeviceOffset{size - 4}, 4)), Moved(4));
    EXPECT_THAT(run(copy(DeviceOffset{~std::uint64_t{0}}, destination.iova(), 4)), EndsAs(Errc::device_range));
    EXPECT_THAT(run(fill(DeviceOffset{size}, 1, 0)), EndsAs(Errc::device_range));
}

TEST_F(DmaOnSim, SourceFaultNamesTheAddressAndChangesNothing) {
    const std::vector<std::byte> before(destination.bytes().begin(), destination.bytes().end());
    const Iova address = unmapped();
    const Result result = run(copy(address, destination.iova(), 64));
    EXPECT_THAT(result, EndsAs(Errc::source_fault));
    EXPECT_EQ(result.detail, uiovfio::to_integer(address));
    EXPECT_TRUE(equal(before, destination.bytes()));
    EXPECT_THAT(run(copy(source.iova(), destination.iova(), 64)), Moved(64)) << "the device still works";
}

TEST_F(DmaOnSim, DestinationFaultNamesTheAddress) {
    const Iova address = unmapped();
    const Result result = run(copy(source.iova(), address, 64));
    EXPECT_THAT(result, EndsAs(Errc::destination_fault));
    EXPECT_EQ(result.detail, uiovfio::to_integer(address));
}

TEST_F(DmaOnSim, MemoryThatTheDeviceMayOnlyReadIsNotWritten) {
    uiovfio::DmaBuffer read_only = device.dma().allocate(4096, {.direction = uiovfio::DmaDirection::to_device});
    EXPECT_THAT(run(fill(read_only.iova(), 8, ~std::uint64_t{0})), EndsAs(Errc::destination_fault));
    EXPECT_EQ(read_only.bytes()[0], std::byte{0});
}

TEST_F(DmaOnSim, SgFault) {
    auto list = std::make_unique<ScatterList>(device.dma());
    list->assign(std::array{Piece{source.iova(), 8}});
    Command command = copy(*list, destination.iova(), 8);
    command.source = uiovfio::to_integer(unmapped());
    EXPECT_THAT(run(command), EndsAs(Errc::sg_fault));
}

TEST_F(DmaOnSim, BadSg) {
    ScatterList list(device.dma());
    EXPECT_THAT(run(copy(list, destination.iova(), 8)), EndsAs(Errc::bad_sg)) << "an empty list";
    list.assign(std::array{Piece{source.iova(), 7}});
    EXPECT_THAT(run(copy(list, destination.iova(), 8)), EndsAs(Errc::bad_sg)) << "a list that is too short";
    list.assign(std::array{Piece{source.iova(), 8}, Piece{source.iova(), 0}});
    EXPECT_THAT(run(copy(list, destination.iova(), 8)), EndsAs(Errc::bad_sg)) << "a list with an empty piece";
    ScatterList long_list(device.dma(), kMaxSgEntries + 1);
    long_list.assign(std::vector<Piece>(kMaxSgEntries + 1, Piece{source.iova(), 1}));
    EXPECT_THAT(run(copy(long_list, destination.iova(), 8)), EndsAs(Errc::bad_sg)) << "a list that is too long";
}

TEST_F(DmaOnSim, BadFlags) {
    ScatterList list(device.dma());
    list.assign(std::array{Piece{source.iova(), 8}});
    Command command = fill(destination.iova(), 8, 0);
    command.source_list = &list;  // a pattern has no list
    EXPECT_THAT(run(command), EndsAs(Errc::bad_flags));
}

TEST_F(DmaOnSim, BadVectorIsNotRun) {
    const std::byte before = destination.bytes()[0];
    Command command = fill(destination.iova(), 8, ~std::to_integer<std::uint64_t>(before));
    command.vector = static_cast<std::uint16_t>(driver.identity().vectors);
    EXPECT_THAT(run(command), EndsAs(Errc::bad_vector));
    command.vector = 0xffff;
    EXPECT_THAT(run(command), EndsAs(Errc::bad_vector));
    EXPECT_EQ(destination.bytes()[0], before);
}

// --- the ring ---

TEST_F(DmaOnSim, GoesRoundTheRing) {
    for (unsigned i = 0; i < 5 * dma.capacity() + 3; ++i)
        ASSERT_THAT(run(copy(source.iova_at(i), destination.iova_at(i), 1 + i)), Moved(1 + i)) << i;
    EXPECT_FALSE(driver.peek_error());
}

TEST_F(DmaOnSim, GoesRoundTheRingWithItFull) {
    std::vector<Ticket> tickets;
    for (unsigned lap = 0; lap < 4; ++lap) {
        tickets.clear();
        for (std::size_t i = 0; i < dma.capacity(); ++i)
            tickets.push_back(dma.post(copy(source.iova_at(100 * i), destination.iova_at(100 * i), 100)));
        EXPECT_EQ(dma.outstanding(), dma.capacity());
        dma.ring();
        for (const Ticket ticket : tickets) EXPECT_THAT(dma.wait(ticket, kPatience), Moved(100));
        EXPECT_EQ(dma.outstanding(), 0u);
    }
    EXPECT_TRUE(equal(source.bytes().first(800), destination.bytes().first(800)));
}

TEST_F(DmaOnSim, AFullRingSaysSo) {
    for (unsigned i = 0; i < dma.capacity(); ++i) dma.post(nop());
    std::error_code ec;
    dma.post(nop(), ec);
    EXPECT_EQ(ec, Errc::ring_full);
    expect_error(Errc::ring_full, [&] { dma.submit(nop()); });
    dma.ring();
    EXPECT_THAT(dma.wait(Ticket{7}, kPatience), Moved(0));
    EXPECT_THAT(run(nop()), Moved(0));
}

TEST_F(DmaOnSim, RingsOfEverySize) {
    dma.stop();
    for (std::size_t entries = 2; entries <= 4096; entries *= 2) {
        DmaEngine engine(driver, {.entries = entries});
        for (std::size_t lap = 0; lap < 3; ++lap) {
            Ticket last{};
            for (std::size_t i = 0; i < entries; ++i) last = engine.post(nop());
            engine.ring();
            ASSERT_THAT(engine.wait(last, kPatience), Moved(0)) << entries;
        }
    }
    for (const std::size_t entries : {0u, 1u, 3u, 8192u})
        expect_error(Errc::bad_ring_size, [&] { DmaEngine engine(driver, {.entries = entries}); });
}

TEST_F(DmaOnSim, OneEngineAtATime) {
    EXPECT_THAT(run(nop()), Moved(0));
    dma.stop();
    {
        DmaEngine other(driver, {.entries = 2});
        EXPECT_THAT(other.run(nop(), kPatience), Moved(0));
    }
    dma.restart();
    EXPECT_THAT(run(nop()), Moved(0));
}

TEST_F(DmaOnSim, ASecondEngineIsRefusedAndTheFirstGoesOn) {
    EXPECT_THAT(run(nop()), Moved(0));
    expect_error(Errc::engine_refused, [&] { DmaEngine other(driver, {.entries = 2}); });
    for (unsigned i = 0; i < 2 * dma.capacity(); ++i) EXPECT_THAT(run(nop()), Moved(0));
    EXPECT_FALSE(driver.peek_error()) << "it wrote to locked registers";
}

TEST_F(DmaOnSim, AStoppedEngineLeavesTheNextOneAlone) {
    dma.stop();
    DmaEngine other(driver, {.entries = 2});
    dma.stop();
    expect_error(Errc::engine_refused, [&] { dma.restart(); });
    EXPECT_THAT(other.run(nop(), kPatience), Moved(0));
    EXPECT_THAT(run(nop()), EndsAs(Errc::engine_disabled));
}

TEST_F(DmaOnSim, AResultIsKeptUntilItsDescriptorIsUsedAgain) {
    const Ticket first = dma.submit(nop());
    EXPECT_THAT(dma.wait(first, kPatience), Moved(0));
    for (unsigned i = 1; i < dma.capacity(); ++i) EXPECT_THAT(run(nop()), Moved(0));
    EXPECT_THAT(*dma.result(first), Moved(0));
    EXPECT_THAT(run(nop()), Moved(0));
    EXPECT_THAT(*dma.result(first), EndsAs(Errc::stale_ticket));
    EXPECT_THAT(dma.wait(Ticket{12345}, milliseconds(0)), EndsAs(Errc::stale_ticket));
}

TEST_F(DmaOnSim, NothingHappensWithoutTheDoorbell) {
    const Ticket ticket = dma.post(nop());
    EXPECT_THAT(dma.wait(ticket, milliseconds(5)), EndsAs(make_error_code(uiovfio::Errc::timed_out)));
    EXPECT_FALSE(dma.result(ticket));
    dma.ring();
    EXPECT_THAT(dma.wait(ticket, kPatience), Moved(0));
}

// --- interrupts ---

TEST_F(DmaOnSim, WaitsByInterruptInEveryMode) {
    dma.stop();
    for (const auto mode : {uiovfio::InterruptMode::msix, uiovfio::InterruptMode::msi, uiovfio::InterruptMode::intx}) {
        driver.enable_interrupts(mode);
        const std::uint16_t vector = mode == uiovfio::InterruptMode::intx ? 5 : 1;
        {
            DmaEngine engine(driver, {.entries = 4, .vector = vector});
            for (unsigned i = 0; i < 20; ++i)
                EXPECT_THAT(engine.run(copy(source.iova(), destination.iova(), kSize), kPatience), Moved(kSize));
        }
        driver.disable_interrupts();
        driver.clear_cause(vector);
    }
}

TEST_F(DmaOnSim, ACommandMayNameAVectorOfItsOwn) {
    driver.enable_interrupts(uiovfio::InterruptMode::msix);
    Command command = nop();
    command.vector = 30;
    EXPECT_THAT(run(command), Moved(0));
    EXPECT_EQ(device.interrupts().wait(30, kPatience), 1u);
}

TEST_F(DmaOnSim, AnEngineRefusesAVectorThatTheDeviceLacks) {
    dma.stop();
    expect_error(Errc::no_such_vector, [&] { DmaEngine engine(driver, {.vector = std::uint16_t{32}}); });
}

// --- the queue stops ---

TEST_F(DmaOnSim, AStoppedQueueEndsWhatIsOutstandingAndRecovers) {
    const Iova address = unmapped();
    move_ring<regs::DmaCompletionBase>(address);
    const Ticket first = dma.post(nop());
    const Ticket second = dma.submit(nop());
    const Result result = dma.wait(first, kPatience);
    EXPECT_THAT(result, EndsAs(Errc::completion_fault));
    EXPECT_EQ(result.detail, uiovfio::to_integer(address));
    EXPECT_THAT(dma.wait(second, kPatience), EndsAs(Errc::completion_fault));
    EXPECT_FALSE(dma.running());
    ASSERT_TRUE(dma.stop_reason());
    EXPECT_EQ(dma.stop_reason()->code, Latched::kCompletionFault);
    EXPECT_THAT(run(nop()), EndsAs(Errc::queue_stopped));
    expect_error(Errc::queue_stopped, [&] { dma.submit(nop()); });

    dma.restart();
    EXPECT_FALSE(driver.peek_error());
    EXPECT_FALSE(dma.stop_reason());
    EXPECT_THAT(run(copy(source.iova(), destination.iova(), 64)), Moved(64));
}

TEST_F(DmaOnSim, ADescriptorThatCannotBeReadStopsTheQueue) {
    const Iova address = unmapped();
    move_ring<regs::DmaRingBase>(address);
    EXPECT_THAT(run(nop()), EndsAs(Errc::descriptor_fault));
    EXPECT_EQ(dma.stop_reason()->info & ~std::uint64_t{0x3f}, uiovfio::to_integer(address) & ~std::uint64_t{0x3f});
    dma.restart();
    EXPECT_THAT(run(nop()), Moved(0));
}

TEST_F(DmaOnSim, AnOlderErrorInTheLatchIsNotTakenForTheReason) {
    driver.registers().store<std::uint32_t>(regs::Id::kOffset, 1);
    move_ring<regs::DmaCompletionBase>(unmapped());
    EXPECT_THAT(run(nop()), EndsAs(Errc::queue_stopped));
    EXPECT_EQ(dma.stop_reason()->code, Latched::kReadOnly);
    EXPECT_TRUE(dma.stop_reason()->overflow);

    dma.restart();
    EXPECT_THAT(run(nop()), Moved(0));
    const auto kept = driver.take_error();
    ASSERT_TRUE(kept) << "restart() frees the latch of its own fault only";
    EXPECT_EQ(kept->code, Latched::kReadOnly);
}

// The device is given descriptors that the engine did not write: one whose tag the engine never gave away, and behind
// it a copy that takes its time.
TEST_F(DmaOnSim, ACompletionOfNoCommandEndsEverythingOnceTheDeviceHasLetGo) {
    using Control = Descriptor::Control;
    constexpr std::size_t kLong = 16u << 20;
    uiovfio::DmaBuffer from = buffer(kLong), to = buffer(kLong), forged = buffer(dma.capacity() * sizeof(Descriptor));
    const auto control = [](Opcode opcode) {
        return Control::Value{}.set<Control::Opcode>(opcode).set<Control::Phase>(true).raw();
    };
    std::array<Descriptor, 2> descriptors{};
    descriptors[0].tag = 77;
    descriptors[0].control = control(Opcode::kNop);
    descriptors[1].source = uiovfio::to_integer(from.iova());
    descriptors[1].destination = uiovfio::to_integer(to.iova());
    descriptors[1].length = kLong;
    descriptors[1].tag = 1;
    descriptors[1].control = control(Opcode::kHostToHost);
    std::memcpy(forged.bytes().data(), descriptors.data(), sizeof(descriptors));
    move_ring<regs::DmaRingBase>(forged.iova());

    const Ticket first = dma.post(nop());
    const Ticket second = dma.submit(copy(from.iova(), to.iova(), kLong));
    EXPECT_THAT(dma.wait(first, kPatience), EndsAs(Errc::bad_completion));
    EXPECT_EQ(regs::DmaStatus::State::read(driver.registers()), regs::DmaStatus::StateValue::kDisabled);
    EXPECT_THAT(*dma.result(second), EndsAs(Errc::bad_completion));
    dma.unmap(to);
    EXPECT_EQ(uiovfio::sim::iommu_faults(device), 0u);
    EXPECT_THAT(run(nop()), EndsAs(Errc::engine_disabled));

    dma.restart();
    EXPECT_THAT(run(copy(source.iova(), destination.iova(), 64)), Moved(64));
    EXPECT_FALSE(driver.peek_error());
}

TEST_F(DmaOnSim, WithoutBusMasteringTheQueueStops) {
    device.config().set_bus_master(false);
    EXPECT_THAT(run(nop()), EndsAs(Errc::descriptor_fault));
    device.config().set_bus_master(true);
    dma.restart();
    EXPECT_THAT(run(nop()), Moved(0));
}

TEST_F(DmaOnSim, ASoftwareResetCancelsAndTheEngineRestarts) {
    const Ticket ticket = dma.post(nop());
    driver.reset();
    EXPECT_THAT(dma.wait(ticket, kPatience), EndsAs(Errc::cancelled));
    EXPECT_THAT(run(nop()), EndsAs(Errc::engine_disabled));
    dma.restart();
    EXPECT_THAT(run(nop()), Moved(0));
}

TEST_F(DmaOnSim, AFunctionLevelResetCancelsAndTheEngineRestarts) {
    const Ticket ticket = dma.post(nop());
    driver.reset_function();
    EXPECT_THAT(dma.wait(ticket, kPatience), EndsAs(Errc::cancelled));
    dma.restart();
    EXPECT_THAT(run(copy(source.iova(), destination.iova(), kSize)), Moved(kSize));
}

TEST_F(DmaOnSim, ADeviceThatIsGoneEndsTheWait) {
    const Ticket ticket = dma.post(nop());
    uiovfio::sim::surprise_remove(device);
    EXPECT_THAT(dma.wait(ticket, kPatience), EndsAs(make_error_code(uiovfio::Errc::device_gone)));
}

TEST_F(DmaOnSim, StoppingCancelsWhatIsOutstanding) {
    const Ticket ticket = dma.post(copy(source.iova(), destination.iova(), kSize));
    dma.stop();
    EXPECT_THAT(*dma.result(ticket), EndsAs(Errc::cancelled));
    EXPECT_FALSE(dma.stop_reason()) << "it did not stop by itself";
    expect_error(Errc::engine_disabled, [&] { dma.submit(nop()); });
    dma.restart();
    EXPECT_THAT(run(nop()), Moved(0));
}

TEST_F(DmaOnSim, RestartingTwiceKeepsTheTicketsApart) {
    std::vector<Ticket> tickets;
    for (unsigned i = 0; i < 5; ++i) {
        dma.restart();
        tickets.push_back(dma.submit(nop()));
        EXPECT_THAT(dma.wait(tickets.back(), kPatience), Moved(0));
        tickets.push_back(dma.post(nop()));
    }
    for (std::size_t i = 1; i < tickets.size(); ++i) EXPECT_LT(tickets[i - 1], tickets[i]);
}

// --- a device that says what cannot be, or does not stop ---

// The program is the device here: it writes completions itself, and rings no doorbell.
class DmaByHand : public OnSim {
  protected:
    void complete(std::size_t index, std::uint32_t tag, Completion::Status::CodeValue code, std::uint64_t detail) {
        using Status = Completion::Status;
        auto* completions = reinterpret_cast<Completion*>(rings.bytes().data() + 2 * sizeof(Descriptor));
        completions[index].tag = tag;
        completions[index].detail = detail;
        completions[index].status = Status::Value{}
                                        .set<Status::Phase>(true)
                                        .set<Status::Index>(static_cast<std::uint32_t>(index))
                                        .set<Status::Code>(code)
                                        .raw();
    }

    uiovfio::DmaBuffer rings = buffer(ring_bytes(2)), target = buffer(4096);
    DmaEngine dma{driver, {.entries = 2, .memory = &rings.mapping()}};
};

TEST_F(DmaByHand, ACompletionThatCannotBeSoEndsTheQueue) {
    using Code = Completion::Status::CodeValue;
    complete(0, 0, Code::kOk, 4096);
    EXPECT_THAT(dma.wait(dma.post(fill(target, 4096, 0)), kPatience), Moved(4096));
    complete(1, 1, Code::kOk, std::uint64_t{1} << 40);
    EXPECT_THAT(dma.wait(dma.post(fill(target, 4096, 0)), kPatience), EndsAs(Errc::bad_completion));
    EXPECT_FALSE(dma.running());
    dma.restart();
    complete(0, 4, static_cast<Code>(64), 0);
    EXPECT_THAT(dma.wait(dma.post(fill(target, 4096, 0)), kPatience), EndsAs(Errc::bad_completion))
        << "a code that is none of the device's";
}

TEST_F(DmaByHand, APostThatFindsTheQueueStoppedIsRefused) {
    using Code = Completion::Status::CodeValue;
    dma.post(fill(target, 4096, 0));
    dma.post(fill(target, 4096, 0));
    complete(0, 0, Code::kOk, 4096);
    complete(1, 77, Code::kOk, 4096);
    std::error_code ec;
    dma.post(fill(target, 4096, 0), ec);
    EXPECT_EQ(ec, Errc::engine_disabled);
    EXPECT_EQ(target.leases(), 0u);
}

// It reads all ones as one that is gone does, and goes on when it wakes.
TEST_F(OnSim, AnEngineThatEndsWhileTheDeviceSleepsCutsItOff) {
    constexpr std::size_t kLong = 4u << 20;
    uiovfio::DmaBuffer target = buffer(kLong);
    const auto power =
        static_cast<std::uint16_t>(device.config().find(uiovfio::capability::kPowerManagement)->offset + 4);
    {
        DmaEngine dma(driver, {.entries = 256});
        for (int i = 0; i < 200; ++i) dma.post(fill(target, kLong, ~std::uint64_t{0}));
        const Ticket last = dma.submit(fill(target, kLong, ~std::uint64_t{0}));
        device.config().write16(power, 3);  // D3hot
        EXPECT_THAT(dma.wait(last, std::chrono::milliseconds(100)), EndsAs(make_error_code(uiovfio::Errc::timed_out)));
        EXPECT_GT(target.leases(), 0u);
        expect_error(Errc::engine_stuck, [&] { dma.stop(); });
    }
    EXPECT_FALSE(device.config().bus_master());
    std::memset(target.bytes().data(), 0, target.size());
    device.config().write16(power, 0);
    ASSERT_TRUE(uiovfio::sim::settle(device, kPatience));
    EXPECT_TRUE(std::ranges::all_of(target.bytes(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_F(DmaOnSim, DestroyingABusyEngineUnmapsNothingThatTheDeviceUses) {
    dma.stop();
    uiovfio::DmaBuffer big_source = buffer(8u << 20), big_destination = buffer(8u << 20);
    for (unsigned i = 0; i < 20; ++i) {
        DmaEngine engine(driver, {.entries = 4});
        for (unsigned n = 0; n < 4; ++n) engine.submit(copy(big_source.iova(), big_destination.iova(), 8u << 20));
    }
    EXPECT_EQ(uiovfio::sim::iommu_faults(device), 0u);
    EXPECT_FALSE(driver.peek_error());
}

}  // namespace
}  // namespace pcienic::test
