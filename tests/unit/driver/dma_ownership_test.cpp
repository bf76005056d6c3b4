// SPDX-License-Identifier: MIT
// Memory that the device has is not taken from it, whatever becomes of the objects that name it.
#include <array>
#include <pcienic/dma.hpp>
#include <vector>

#include "fixture.hpp"

namespace pcienic::test {
namespace {

class DmaOwnership : public OnSim {
  protected:
    Result run(const Command& command) { return dma.run(command, kPatience); }

    uiovfio::DmaBuffer source = buffer(8192);
    uiovfio::DmaBuffer destination = buffer(8192);
    DmaEngine dma{driver, {.entries = 8}};
};

TEST_F(DmaOwnership, MemoryOfAnOutstandingCommandIsNotUnmapped) {
    uiovfio::DmaBuffer owned = buffer(4096), listed = buffer(4096), free = buffer(4096);
    ScatterList list(device.dma());
    list.assign(std::array{Piece{listed.iova_at(4000), 8}});
    const Ticket first = dma.post(copy(owned.iova(), DeviceOffset{0}, 16));
    const Ticket second = dma.post(copy(DeviceOffset{0}, list, 8));
    for (uiovfio::DmaBuffer* memory : {&owned, &listed, &list.buffer()})
        expect_error(Errc::buffer_in_use, [&] { dma.unmap(*memory); });
    EXPECT_FALSE(dma.owns(owned.iova_at(16), 100));
    dma.unmap(free);
    dma.ring();
    EXPECT_THAT(dma.wait(first, kPatience), Moved(16));
    EXPECT_THAT(dma.wait(second, kPatience), Moved(8));
    dma.unmap(owned);
    dma.unmap(listed);
}

TEST_F(DmaOwnership, MemoryOfACommandIsLeasedUntilItsResult) {
    uiovfio::DmaBuffer from = buffer(4096), to = buffer(4096);
    const Ticket first = dma.post(copy(from, to, 4096));
    const Ticket second = dma.post(fill({to, 4088}, 8, 0x1111111111111111));
    EXPECT_EQ(from.leases(), 1u);
    EXPECT_EQ(to.leases(), 2u);
    std::error_code ec;
    from.unmap(ec);
    EXPECT_EQ(ec, uiovfio::Errc::buffer_leased);
    dma.ring();
    EXPECT_THAT(dma.wait(first, kPatience), Moved(4096));
    EXPECT_THAT(dma.wait(second, kPatience), Moved(8));
    EXPECT_EQ(from.leases(), 0u);
    EXPECT_EQ(to.leases(), 0u);
    EXPECT_EQ(to.bytes()[4088], std::byte{0x11});
    from.unmap();
    to.unmap();
}

TEST_F(DmaOwnership, MemoryThatGoesWhileTheDeviceHasItStaysUntilTheResult) {
    Ticket ticket{};
    {
        uiovfio::DmaBuffer from = buffer(4096);
        put(from.bytes(), 9);
        ticket = dma.post(copy(from, destination, 4096));
    }
    uiovfio::DmaBuffer next = buffer(4096);  // would have had the address
    put(next.bytes(), 10);
    std::vector<std::byte> expected(4096);
    put(expected, 9);
    dma.ring();
    EXPECT_THAT(dma.wait(ticket, kPatience), Moved(4096));
    EXPECT_TRUE(equal(expected, destination.bytes().first(4096)));
    EXPECT_EQ(uiovfio::sim::iommu_faults(device), 0u);
}

TEST_F(DmaOwnership, LeasesEndWithTheCommandHoweverItEnds) {
    uiovfio::DmaBuffer memory = buffer(4096);
    const auto outstanding = [&] {
        const Ticket ticket = dma.post(copy(memory, DeviceOffset{0}, 16));
        EXPECT_EQ(memory.leases(), 1u);
        return ticket;
    };
    EXPECT_THAT(run(copy(memory, DeviceOffset{driver.identity().memory_size}, 16)), EndsAs(Errc::device_range));
    EXPECT_EQ(memory.leases(), 0u) << "a command that fails";
    outstanding();
    dma.stop();
    EXPECT_EQ(memory.leases(), 0u) << "an engine that is stopped";
    dma.restart();
    const Ticket ticket = outstanding();
    driver.reset_function();
    EXPECT_THAT(dma.wait(ticket, kPatience), EndsAs(Errc::cancelled));
    EXPECT_EQ(memory.leases(), 0u) << "a device that is reset";
    dma.restart();
    outstanding();
    uiovfio::sim::surprise_remove(device);
    dma.inspect();
    EXPECT_EQ(memory.leases(), 0u) << "a device that is gone";
}

TEST_F(DmaOwnership, ARefusedCommandLeasesNothing) {
    uiovfio::DmaBuffer memory = buffer(4096);
    while (dma.outstanding() < dma.capacity()) dma.post(nop());
    expect_error(Errc::ring_full, [&] { dma.post(copy(memory, DeviceOffset{0}, 16)); });
    EXPECT_EQ(memory.leases(), 0u);
    dma.stop();
}

TEST_F(DmaOwnership, ACommandKnowsTheEndOfItsMemory) {
    uiovfio::DmaBuffer memory = buffer(4096);
    const auto errc_of = [](auto&& action) {
        try {
            action();
        } catch (const uiovfio::Error& error) {
            return error.errc();
        }
        return uiovfio::Errc{};
    };
    constexpr auto kOutside = uiovfio::Errc::out_of_bounds;
    EXPECT_EQ(errc_of([&] { (void)copy(memory, destination, 4097); }), kOutside);
    EXPECT_EQ(errc_of([&] { (void)copy(source, memory, 4097); }), kOutside);
    EXPECT_EQ(errc_of([&] { (void)copy({memory, 1}, DeviceOffset{0}, 4096); }), kOutside);
    EXPECT_EQ(errc_of([&] { (void)copy(DeviceOffset{0}, {memory, 4097}, 0); }), kOutside);
    EXPECT_EQ(errc_of([&] { (void)fill({memory, 4096}, 1, 0); }), kOutside);
    EXPECT_EQ(errc_of([&] { (void)piece(memory, 4095, 2); }), kOutside);
    EXPECT_THAT(run(copy({memory, 4095}, DeviceOffset{0}, 1)), Moved(1));

    const Command made = copy(memory, DeviceOffset{0}, 16);
    memory.unmap();
    EXPECT_EQ(errc_of([&] { (void)copy(memory, DeviceOffset{0}, 16); }), uiovfio::Errc::closed);
    EXPECT_THAT(run(made), EndsAs(Errc::not_mapped));
    expect_error(Errc::not_mapped, [&] { dma.post(made); });
    EXPECT_EQ(dma.outstanding(), 0u);
}

TEST_F(DmaOwnership, AListLeasesWhatItNamesAndIsItselfLeased) {
    uiovfio::DmaBuffer first = buffer(4096), second = buffer(4096);
    ScatterList list(device.dma());
    list.assign(std::array{piece(first, 0, 100), piece(second, 4000, 96), Piece{source.iova(), 4}});
    EXPECT_EQ(first.leases(), 1u);
    EXPECT_EQ(second.leases(), 1u);
    const Ticket ticket = dma.post(copy(DeviceOffset{0}, list, 200));
    EXPECT_EQ(list.buffer().leases(), 1u);
    expect_error(Errc::buffer_in_use, [&] { list.assign({}); });
    dma.ring();
    EXPECT_THAT(dma.wait(ticket, kPatience), Moved(200));
    list.assign(std::array{piece(second, 0, 8)});
    EXPECT_EQ(first.leases(), 0u);
    EXPECT_EQ(second.leases(), 1u);
    first.unmap();
    list.assign({});
    EXPECT_EQ(second.leases(), 0u);
}

}  // namespace
}  // namespace pcienic::test
