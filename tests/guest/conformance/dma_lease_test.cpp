// SPDX-License-Identifier: MIT
#include <algorithm>
#include <thread>
#include <vector>

#include "conformance.hpp"
#include "device_dma.hpp"
#include "pages.hpp"

namespace uiovfio::conformance {

class ConformanceLease : public Conformance {
  protected:
    void SetUp() override { NEEDS(dma); }

    DmaSpace& dma = device.dma();
};

TEST_F(ConformanceLease, KeepsAMappingFromEnding) {
    auto buffer = dma.allocate(kPage);
    const Iova iova = buffer.iova();
    DmaLease first = buffer.lease();
    {
        const DmaLease second = buffer.lease();
        EXPECT_EQ(buffer.leases(), 2u);
        try {
            buffer.unmap();
            ADD_FAILURE() << "the device could still write to it";
        } catch (const Error& error) {
            EXPECT_EQ(error.errc(), Errc::buffer_leased);
            EXPECT_THAT(error.what(), testing::HasSubstr("leased 2 times"));
        }
    }
    std::error_code ec;
    buffer.unmap(ec);
    EXPECT_EQ(ec, Errc::buffer_leased);
    // Nothing of it has changed.
    ASSERT_TRUE(buffer);
    EXPECT_EQ(buffer.iova(), iova);
    buffer.bytes()[kPage - 1] = std::byte{1};
    EXPECT_EQ(errc_of([&] { (void)dma.map(buffer.bytes(), {.iova = iova}); }), Errc::mapping_overlap);
    first.release();
    first.release();
    EXPECT_FALSE(first);
    EXPECT_EQ(buffer.leases(), 0u);
    buffer.unmap(ec);
    EXPECT_FALSE(ec);
    EXPECT_FALSE(buffer);
}

// The device writes to memory whose owner is gone; it is that memory which it reaches, and no fault that it meets.
TEST_F(ConformanceLease, OutlivesTheMappingsOwner) {
    DeviceDma machine{device};
    const Pages pages{kPage};
    Iova iova{};
    DmaLease lease;
    {
        const auto mapping = dma.map(pages.bytes());
        iova = mapping.iova();
        lease = mapping.lease();
    }
    EXPECT_EQ(errc_of([&] { (void)dma.map(pages.bytes(), {.iova = iova}); }), Errc::mapping_overlap);
    EXPECT_EQ(machine.fill(iova, kPage), 0u);
    EXPECT_TRUE(
        std::all_of(pages.bytes().begin(), pages.bytes().end(), [](std::byte b) { return b == DeviceDma::kFilled; }));
    lease.release();
    EXPECT_EQ(dma.map(pages.bytes(), {.iova = iova}).iova(), iova);
}

TEST_F(ConformanceLease, KeepsTheMemoryOfABufferThatIsDestroyedOrReplaced) {
    DeviceDma machine{device};
    std::vector<DmaLease> leases;
    std::vector<std::span<std::byte>> memory;
    std::vector<Iova> iovas;
    const auto lend = [&](const DmaBuffer& buffer) {
        leases.push_back(buffer.lease());
        memory.push_back(buffer.bytes());
        iovas.push_back(buffer.iova());
    };
    {
        auto buffer = dma.allocate(kPage);
        lend(buffer);
        buffer = dma.allocate(kPage);
        lend(buffer);
    }
    for (std::size_t i = 0; i < leases.size(); ++i) {
        EXPECT_EQ(machine.fill(iovas[i], kPage), 0u);
        EXPECT_EQ(memory[i][kPage - 1], DeviceDma::kFilled);
    }
    EXPECT_NE(iovas[0], iovas[1]);
}

TEST_F(ConformanceLease, IsMovedAndGivenBackOnce) {
    const auto buffer = dma.allocate(kPage);
    DmaLease first = buffer.lease();
    DmaLease second = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_TRUE(second);
    EXPECT_EQ(buffer.leases(), 1u);
    second = buffer.lease();
    EXPECT_EQ(buffer.leases(), 1u);
    second = DmaLease{};
    EXPECT_EQ(buffer.leases(), 0u);
}

TEST_F(ConformanceLease, LastsOverAMoveOfItsBuffer) {
    auto buffer = dma.allocate(kPage);
    const DmaLease lease = buffer.lease();
    DmaBuffer moved = std::move(buffer);
    EXPECT_EQ(buffer.leases(), 0u);
    EXPECT_EQ(moved.leases(), 1u);
    EXPECT_EQ(errc_of([&] { moved.unmap(); }), Errc::buffer_leased);
}

TEST_F(ConformanceLease, OutlivesItsDeviceHarmlessly) {
    auto buffer = dma.allocate(kPage);
    DmaLease lease = buffer.lease();
    DmaLease last;
    std::span<std::byte> memory;
    {
        const auto gone = dma.allocate(kPage);
        memory = gone.bytes();
        last = gone.lease();
    }
    device.close();
    // Nothing more is leased; and who has a lease may go on to rely on it.
    EXPECT_EQ(errc_of([&] { (void)buffer.lease(); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { buffer.unmap(); }), Errc::buffer_leased);
    memory[0] = std::byte{1};
    device = Device{};
    last.release();
    lease.release();
    buffer.unmap();
}

TEST_F(ConformanceLease, IsTakenAndGivenBackByAnyThread) {
    const auto mappings_left = dma.mappings_left();
    for (int round = 0; round < 20; ++round) {
        std::vector<std::thread> threads;
        std::vector<std::vector<DmaLease>> leases(3);
        {
            auto buffer = dma.allocate(kPage);
            for (auto& mine : leases)
                for (int i = 0; i < 100; ++i) mine.push_back(buffer.lease());
            for (auto& mine : leases) threads.emplace_back([&mine] { mine.clear(); });
            if (round % 2 == 0) {
                std::error_code ec;
                do buffer.unmap(ec);
                while (ec == Errc::buffer_leased);
                EXPECT_FALSE(ec);
            }
        }  // or one of the threads ends the mapping
        for (std::thread& thread : threads) thread.join();
    }
    EXPECT_EQ(dma.mappings_left(), mappings_left) << "a mapping did not end";
}

}  // namespace uiovfio::conformance
