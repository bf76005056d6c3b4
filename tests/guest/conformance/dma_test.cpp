// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "conformance.hpp"

namespace uiovfio::conformance {

namespace {

constexpr std::size_t kHugePage = 2u << 20;

/// Pages of the process's own.
class Pages {
  public:
    explicit Pages(std::size_t length)
        : bytes_{static_cast<std::byte*>(
                     ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
                 length} {}
    ~Pages() { ::munmap(bytes_.data(), bytes_.size()); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;

    [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
    [[nodiscard]] std::span<std::byte> page(std::size_t index) const { return bytes_.subspan(index * kPage, kPage); }

  private:
    std::span<std::byte> bytes_;
};

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

TEST_F(ConformanceDma, UsesHugePagesOnlyWhereThereAreSome) {
    EXPECT_EQ(dma.allocate(kHugePage, {.huge_pages = HugePages::never}).page_size(), kPage);
    std::error_code ec;
    const auto buffer = dma.allocate(kHugePage, {.huge_pages = HugePages::require}, ec);
    if (ec)
        EXPECT_EQ(ec, Errc::hugepages_unavailable);
    else
        EXPECT_EQ(buffer.page_size(), kHugePage);
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
