// SPDX-License-Identifier: MIT
// Whether memory is translated by 2 MiB or by 4 KiB pages: the bit of the entry that the IOMMU found for an access says
// so (PS, bit 7: Intel VT-d specification, 9.8, second-stage paging entries).
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <pcienic/dma.hpp>

#include "fixture.hpp"

namespace pcienic::test {
namespace {

using uiovfio::HugePages;
using uiovfio::Iova;

constexpr std::size_t kPage = 4096, kLargePage = 2 << 20;

const char* backend() {
    const char* named = std::getenv("PCIENIC_BACKEND");
    return named != nullptr ? named : "auto";
}

class Superpages : public testing::Test {
  protected:
    /// Has the device read there, where nothing was read since the memory was mapped.
    void read_by_large_page(Iova address) { read(address, "[89a-f][0-9a-f]"); }
    void read_by_small_page(Iova address) { read(address, "[0-7][0-9a-f]"); }

    uiovfio::Device device = uiovfio::Device::open(device_under_test(), {.backend = backend()});
    Driver driver{device};
    DmaEngine dma{driver, {.entries = 16}};

  private:
    void read(Iova address, const char* low_byte_of_the_entry) {
        guest::ExpectTrace{fmt::format("vtd_iotlb_page_update .* iova {:#x} .*pte 0x[0-9a-f]*{} ", to_integer(address),
                                       low_byte_of_the_entry)};
        EXPECT_THAT(dma.run(copy(address, DeviceOffset{0}, 64), kPatience), Moved(64));
    }
};

TEST_F(Superpages, AreKeptWhole) {
    const auto memory = device.dma().allocate(2 * kLargePage, {.huge_pages = HugePages::require});
    read_by_large_page(memory.iova() + kLargePage + 3 * kPage);
}

// The piece begins within a large page: its bus address does so by as much, and the whole ones stay whole.
TEST_F(Superpages, AreKeptWholeInAPieceThatBeginsWithinOne) {
    const auto memory = device.dma().allocate(3 * kLargePage, {.huge_pages = HugePages::require});
    const auto piece = device.dma().map(memory.bytes().subspan(kPage));
    read_by_large_page(piece.iova() + (kLargePage - kPage) + 5 * kPage);
}

// What the two above would be without the alignment: the same memory, elsewhere by one small page.
TEST_F(Superpages, AreLostWhereTheBusAddressIsPlacedOtherwise) {
    const auto memory = device.dma().allocate(3 * kLargePage, {.huge_pages = HugePages::require});
    const Iova place = memory.iova() + (std::uint64_t{64} << 20) + kPage;
    const auto elsewhere = device.dma().map(memory.bytes(), {.iova = place});
    read_by_small_page(elsewhere.iova() + kLargePage + 7 * kPage);
}

}  // namespace
}  // namespace pcienic::test
