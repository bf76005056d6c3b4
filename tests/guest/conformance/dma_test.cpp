// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "conformance.hpp"
#include "device_dma.hpp"
#include "pages.hpp"

namespace uiovfio::conformance {

namespace {

constexpr std::size_t kHugePage = 2u << 20;

/// The VmFlags of the mapping that holds the address, from /proc/self/smaps.
std::string vm_flags(const void* address) {
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    std::ifstream smaps{"/proc/self/smaps"};
    bool inside = false;
    for (std::string line; std::getline(smaps, line);) {
        std::uintptr_t begin = 0;
        std::uintptr_t end = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = begin <= wanted && wanted < end;
        if (inside && line.rfind("VmFlags:", 0) == 0) return line;
    }
    return {};
}

}  // namespace

class ConformanceDma : public Conformance {
  protected:
    void SetUp() override { NEEDS(dma); }

    DmaSpace& dma = device.dma();
};

TEST_F(ConformanceDma, TellsWhatCanBeMapped) {
    const auto ranges = dma.ranges();
    ASSERT_FALSE(ranges.empty());
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        EXPECT_LE(ranges[i].first, ranges[i].last);
        EXPECT_TRUE(i == 0 || ranges[i].first > ranges[i - 1].last);
        // Interrupts are writes to this window; memory there would be one that the device cannot reach.
        EXPECT_TRUE(ranges[i].last < Iova{0xfee00000} || ranges[i].first > Iova{0xfeefffff});
    }
    EXPECT_NE(dma.page_sizes() & kPage, 0u);
    EXPECT_EQ(dma.granule(), kPage);
}

// What the platform keeps, as sysfs tells it, is what lies between the ranges that the kernel gives.
TEST_F(ConformanceDma, TellsWhatIsReservedAndWhy) {
    const auto reserved = dma.reserved();
    EXPECT_THAT(reserved, testing::Contains(ReservedRegion{Iova{0xfee00000}, Iova{0xfeefffff}, "msi"}));
    const auto ranges = dma.ranges();
    for (const ReservedRegion& region : reserved) {
        if (region.is_mappable()) continue;
        for (const IovaRange& range : ranges)
            EXPECT_TRUE(region.last < range.first || region.first > range.last) << region.type;
    }
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        const IovaRange gap{ranges[i - 1].last + 1, Iova{to_integer(ranges[i].first) - 1}};
        EXPECT_THAT(reserved, testing::Contains(testing::Truly([&](const ReservedRegion& region) {
                        return region.first <= gap.first && gap.last <= region.last;
                    })));
    }
}

TEST_F(ConformanceDma, ReachesBothEndsOfEveryRange) {
    DeviceDma machine{device};
    Pages pages{2 * kPage};
    const auto ranges = dma.ranges();
    for (const IovaRange& range : ranges) {
        // At the bottom lies what the library chose for itself.
        const Iova first = range.first == Iova{0} ? Iova{0x100000} : range.first;
        auto low = dma.map(pages.page(0), {.iova = first});
        auto high = dma.map(pages.page(1), {.iova = Iova{to_integer(range.last) + 1 - kPage}});
        std::fill(pages.bytes().begin(), pages.bytes().end(), std::byte{1});
        EXPECT_EQ(machine.fill(low.iova(), kPage), 0u);
        EXPECT_EQ(machine.copy(low.iova(), high.iova_at(kPage - 8), 8), 0u);
        EXPECT_EQ(pages.bytes()[0], DeviceDma::kFilled) << to_integer(first);
        EXPECT_EQ(pages.bytes()[2 * kPage - 9], std::byte{1});
        EXPECT_EQ(pages.bytes()[2 * kPage - 1], DeviceDma::kFilled) << to_integer(range.last);
    }
}

TEST_F(ConformanceDma, AllocatesZeroedMemoryAtBusAddressesThatCanBeMapped) {
    const auto buffer = dma.allocate(3 * kPage - 100);
    EXPECT_EQ(buffer.size(), 3 * kPage);
    EXPECT_TRUE(
        std::all_of(buffer.bytes().begin(), buffer.bytes().end(), [](std::byte b) { return b == std::byte{}; }));
    const auto ranges = dma.ranges();
    EXPECT_TRUE(std::any_of(ranges.begin(), ranges.end(), [&](const IovaRange& range) {
        return range.first <= buffer.iova() && buffer.iova() + (buffer.size() - 1) <= range.last;
    }));
    EXPECT_NE(buffer.iova(), Iova{0});
    EXPECT_EQ(to_integer(buffer.iova()) % kPage, 0u);
}

TEST_F(ConformanceDma, AlignsLargePiecesForHugePages) {
    const auto buffer = dma.allocate(3 * kHugePage);
    EXPECT_EQ(to_integer(buffer.iova()) % kHugePage, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.bytes().data()) % kHugePage, 0u);
    EXPECT_TRUE(buffer.page_size() == kPage || buffer.page_size() == kHugePage);
}

// The IOMMU can use a page of 2 MiB only where memory and bus address are at the same place within one.
TEST_F(ConformanceDma, LaysMemoryOutSoThatWholeHugePagesStayWhole) {
    const auto lowest = dma.allocate(kPage);  // so that nothing lies right by chance
    const Pages pages{4 * kHugePage};
    const auto begin = reinterpret_cast<std::uintptr_t>(pages.bytes().data());
    const std::size_t to_boundary = (kHugePage - begin % kHugePage) % kHugePage;
    const auto place_of = [&](std::size_t offset, std::size_t size) {
        const auto mapping = dma.map(pages.bytes().subspan(to_boundary + offset, size));
        return to_integer(mapping.iova()) % kHugePage;
    };
    EXPECT_EQ(place_of(0, kHugePage), 0u);
    EXPECT_EQ(place_of(0, kHugePage + 5 * kPage), 0u);
    for (const std::size_t offset : {kPage, 7 * kPage, kHugePage - kPage})
        EXPECT_EQ(place_of(offset, 2 * kHugePage - offset), offset);
}

TEST_F(ConformanceDma, UsesHugePagesOnlyWhereThereAreSome) {
    const auto fallbacks = dma.huge_page_fallbacks();
    EXPECT_EQ(dma.allocate(kHugePage, {.huge_pages = HugePages::never}).page_size(), kPage);
    std::error_code ec;
    const auto buffer = dma.allocate(kHugePage, {.huge_pages = HugePages::require}, ec);
    if (ec)
        EXPECT_EQ(ec, Errc::hugepages_unavailable);
    else
        EXPECT_EQ(buffer.page_size(), kHugePage);
    // Neither of these fell back; what follows does so where there are none.
    EXPECT_EQ(dma.huge_page_fallbacks(), fallbacks);
    const auto preferred = dma.allocate(kHugePage);
    EXPECT_EQ(dma.huge_page_fallbacks(), fallbacks + (preferred.page_size() == kHugePage ? 0 : 1));
}

TEST_F(ConformanceDma, GivesDifferentAddressesToWhatIsMappedAtATime) {
    std::vector<DmaBuffer> buffers;
    for (int i = 0; i < 64; ++i) buffers.push_back(dma.allocate(kPage));
    std::sort(buffers.begin(), buffers.end(),
              [](const DmaBuffer& a, const DmaBuffer& b) { return a.iova() < b.iova(); });
    for (std::size_t i = 1; i < buffers.size(); ++i)
        EXPECT_GE(buffers[i].iova() - buffers[i - 1].iova(), buffers[i - 1].size());
}

TEST_F(ConformanceDma, MapsMemoryOfTheCallers) {
    const Pages pages{4 * kPage};
    auto mapping = dma.map(pages.bytes());
    EXPECT_TRUE(mapping);
    EXPECT_EQ(mapping.bytes().data(), pages.bytes().data());
    EXPECT_EQ(mapping.size(), 4 * kPage);
    EXPECT_EQ(mapping.iova_at(kPage), mapping.iova() + kPage);
    EXPECT_EQ(mapping.iova_at(4 * kPage), mapping.iova() + 4 * kPage);
    EXPECT_EQ(errc_of([&] { (void)mapping.iova_at(4 * kPage + 1); }), Errc::out_of_bounds);
    mapping.unmap();
    EXPECT_FALSE(mapping);
    mapping.unmap();
}

TEST_F(ConformanceDma, MapsAtTheAddressThatIsAskedFor) {
    const Pages pages{2 * kPage};
    const Iova wanted = dma.ranges().front().first + 0x100000;
    {
        const auto mapping = dma.map(pages.bytes(), {.iova = wanted});
        EXPECT_EQ(mapping.iova(), wanted);
        EXPECT_EQ(errc_of([&] { (void)dma.map(pages.page(0), {.iova = wanted}); }), Errc::mapping_overlap);
        EXPECT_EQ(errc_of([&] { (void)dma.map(pages.page(0), {.iova = wanted + kPage}); }), Errc::mapping_overlap);
        (void)dma.map(pages.page(0), {.iova = wanted + 2 * kPage});
    }
    EXPECT_EQ(dma.map(pages.bytes(), {.iova = wanted}).iova(), wanted);
}

TEST_F(ConformanceDma, MapsTheSameMemoryAtSeveralAddresses) {
    DeviceDma machine{device};
    const Pages pages{kPage};
    auto first = dma.map(pages.bytes());
    const auto second = dma.map(pages.bytes(), {.direction = DmaDirection::from_device});
    EXPECT_NE(first.iova(), second.iova());
    EXPECT_EQ(machine.fill(first.iova(), 8), 0u);
    first.unmap();
    EXPECT_EQ(machine.fill(second.iova_at(8), 8), 0u);
    EXPECT_EQ(pages.bytes()[7], DeviceDma::kFilled);
    EXPECT_EQ(pages.bytes()[15], DeviceDma::kFilled);
}

TEST_F(ConformanceDma, HasNoAddressesOnceUnmapped) {
    auto buffer = dma.allocate(kPage);
    buffer.unmap();
    EXPECT_FALSE(buffer);
    EXPECT_EQ(buffer.iova(), Iova{0});
    EXPECT_TRUE(buffer.bytes().empty());
    EXPECT_EQ(errc_of([&] { (void)buffer.iova_at(0); }), Errc::closed);
    EXPECT_EQ(errc_of([&] { (void)buffer.lease(); }), Errc::closed);
    std::error_code ec;
    EXPECT_EQ(DmaMapping{}.iova_at(0, ec), Iova{0});
    EXPECT_EQ(ec, Errc::closed);
}

TEST_F(ConformanceDma, RefusesWhatCannotBeMapped) {
    const Pages pages{2 * kPage};
    const auto last = dma.ranges().back().last;
    EXPECT_EQ(errc_of([&] { (void)dma.map(pages.bytes(), {.iova = Iova{0xfee00000}}); }), Errc::iova_out_of_aperture);
    EXPECT_EQ(errc_of([&] { (void)dma.map(pages.bytes(), {.iova = Iova{~std::uint64_t{0} - 2 * kPage + 1}}); }),
              Errc::iova_out_of_aperture);
    EXPECT_EQ(errc_of([&] { (void)dma.map(pages.bytes(), {.iova = Iova{to_integer(last) + 1 - kPage}}); }),
              Errc::iova_out_of_aperture);
    EXPECT_EQ(errc_of([&] { (void)dma.map(pages.bytes(), {.iova = Iova{0x100010}}); }), Errc::misaligned);
    EXPECT_EQ(errc_of([&] { (void)dma.map(pages.bytes().subspan(8)); }), Errc::misaligned);
    EXPECT_EQ(errc_of([&] { (void)dma.map(pages.bytes().first(100)); }), Errc::misaligned);
    EXPECT_EQ(errc_of([&] { (void)dma.map({}); }), Errc::invalid_argument);
    EXPECT_EQ(errc_of([&] { (void)dma.allocate(0); }), Errc::invalid_argument);
    std::error_code ec;
    EXPECT_FALSE(dma.map(pages.bytes().first(100), {}, ec));
    EXPECT_EQ(ec, Errc::misaligned);
}

TEST_F(ConformanceDma, CountsMappings) {
    const auto before = dma.mappings_left();
    if (!before) GTEST_SKIP() << "this kernel does not tell";
    {
        const auto buffer = dma.allocate(kPage);
        EXPECT_EQ(dma.mappings_left(), *before - 1);
    }
    EXPECT_EQ(dma.mappings_left(), *before);
}

TEST_F(ConformanceDma, MapsAndUnmapsManyPieces) {
    constexpr std::size_t kPieces = 500;
    const Pages pages{kPieces * kPage};
    for (int round = 0; round < 2; ++round) {
        std::vector<DmaMapping> mappings;
        for (std::size_t i = 0; i < kPieces; ++i) mappings.push_back(dma.map(pages.page(i)));
        for (std::size_t i = 0; i < kPieces; i += 2) mappings[i].unmap();
    }
}

TEST_F(ConformanceDma, KeepsMemoryFromChildProcesses) {
    const auto buffer = dma.allocate(kPage);
    EXPECT_THAT(vm_flags(buffer.bytes().data()), testing::HasSubstr(" dc"));
    const Pages pages{kPage};
    EXPECT_THAT(vm_flags(pages.bytes().data()), testing::Not(testing::HasSubstr(" dc")));
    const auto mapping = dma.map(pages.bytes());
    EXPECT_THAT(vm_flags(pages.bytes().data()), testing::HasSubstr(" dc"));
}

TEST_F(ConformanceDma, MovesMappingsAndBuffers) {
    auto first = dma.allocate(kPage);
    const Iova iova = first.iova();
    DmaBuffer second = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_EQ(second.iova(), iova);
    second = dma.allocate(2 * kPage);
    EXPECT_EQ(second.size(), 2 * kPage);

    const Pages pages{2 * kPage};
    auto mapping = dma.map(pages.page(0));
    DmaMapping other = std::move(mapping);
    EXPECT_FALSE(mapping);
    EXPECT_TRUE(other);
    other = dma.map(pages.page(1));
    EXPECT_EQ(other.bytes().data(), pages.page(1).data());
}

TEST_F(ConformanceDma, KeepsMappingsOverAReset) {
    const Pages pages{kPage};
    const auto mapping = dma.map(pages.bytes());
    device.reset();
    EXPECT_EQ(errc_of([&] { (void)dma.map(pages.bytes(), {.iova = mapping.iova()}); }), Errc::mapping_overlap);
}

TEST_F(ConformanceDma, OutlivesItsDeviceHarmlessly) {
    const Pages pages{kPage};
    auto mapping = dma.map(pages.bytes());
    auto buffer = dma.allocate(kPage);
    device = Device{};
    buffer.bytes()[17] = std::byte{17};
    EXPECT_EQ(buffer.bytes()[17], std::byte{17});
}

}  // namespace uiovfio::conformance
