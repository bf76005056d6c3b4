// SPDX-License-Identifier: MIT
/// What becomes of an access that is none of its window's: with the checks of uiovfio/checked.hpp, which the tests are
/// compiled with, and without them, beside each other in one program.

#include "uiovfio/checked.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "backends/vfio.hpp"
#include "error_text.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"
#include "far_register.hpp"
#include "uiovfio/fault_guard.hpp"
#include "unchecked_access.hpp"

namespace uiovfio {

using test::error_text;
using test::FarRegister;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
namespace unchecked = test::unchecked;

namespace {

constexpr const char* kDevice = "0000:01:00.0";
constexpr std::uint64_t kOnes = ~std::uint64_t{0};
constexpr const char* kReads8Bytes = "vfio_pci_core_ioread64";

}  // namespace

static_assert(detail::kIsChecked, "the tests are compiled with the checks");

/// A device whose BAR 0 has a page that cannot be mapped (its first), and whose BAR 4 is mapped whole.
class Accesses : public testing::Test {
  protected:
    Accesses() {
        GTEST_FLAG_SET(death_test_style, "threadsafe");
        tree.add_function(kDevice);
        tree.set_driver(kDevice, "vfio-pci");
        tree.set_group(kDevice, 7);
        tree.add_vfio_nodes(7);
        kernel.has_sparse_registers = true;
    }

    Device open() {
        const OpenOptions options{.root = tree.root};
        const Bdf bdf = Bdf::parse(kDevice);
        return DeviceFactory::make(bdf, detail::open_vfio(bdf, options, kernel), true);
    }

    test::FakeTree tree;
    test::FakeKernel kernel;
};

using CheckedAccess = Accesses;

TEST_F(CheckedAccess, BeyondAWindowStopsAndNamesIt) {
    const Device device = open();
    const Window window = device.bar(4).window(0x2000, 0x1000);
    ASSERT_TRUE(window.is_mapped());
    EXPECT_DEATH((void)window.load<std::uint32_t>(0x1000),
                 "uiovfio: a load of 4 bytes at 0x1000 of a window of 0x1000 bytes at 0x2000 of 0000:01:00.0 BAR4: "
                 "beyond its end");
    EXPECT_DEATH(window.store<std::uint64_t>(0xffc, 1), "a store of 8 bytes at 0xffc of a window of 0x1000 bytes");
    EXPECT_DEATH(window.store<std::uint8_t>(~std::size_t{0}, 1), "a store of 1 byte at 0xffffffffffffffff");
    EXPECT_DEATH((void)FarRegister::read(window), "at 0x1000 .* BAR4: beyond its end");
    EXPECT_DEATH(FarRegister::modify(window, [](auto& value) { value.template set<FarRegister::Low>(1); }),
                 "a load of 4 bytes at 0x1000");
    EXPECT_DEATH(FarRegister::Change::clear(window), "a load of 4 bytes at 0x1000");
}

TEST_F(CheckedAccess, BeyondAWindowThatIsNotMappedStopsAndNamesIt) {
    const Device device = open();
    const Window window = device.bar(0).window(0, 0x800);
    ASSERT_FALSE(window.is_mapped());
    EXPECT_DEATH((void)window.load<std::uint32_t>(0x800),
                 "at 0x800 of a window of 0x800 bytes at 0x0 of 0000:01:00.0 BAR0: beyond its end");
    EXPECT_DEATH((void)window.load<std::uint32_t>(2), "its offset is not a multiple of 4");
}

TEST_F(CheckedAccess, BeyondAMappedWindowStopsAndNamesIt) {
    const Device device = open();
    const MappedWindow window = device.bar(0).map(0x1000, 0x1000);
    EXPECT_DEATH((void)window.load<std::uint16_t>(0x1000),
                 "uiovfio: a load of 2 bytes at 0x1000 of a window of 0x1000 bytes at 0x1000 of 0000:01:00.0 BAR0: "
                 "beyond its end");
    EXPECT_DEATH(window.store<std::uint32_t>(0x2, 1), "a store of 4 bytes at 0x2 .*its offset is not a multiple of 4");
    EXPECT_DEATH((void)MappedWindow{}.load<std::uint32_t>(0),
                 "a load of 4 bytes at 0x0 of an empty window: beyond its end");
}

TEST_F(CheckedAccess, ToTheProgramsOwnMemoryIsCheckedAsWell) {
    alignas(8) std::array<std::byte, 64> block{};
    const MappedWindow window{block.data(), block.size()};
    EXPECT_DEATH(window.store<std::uint32_t>(64, 1),
                 "of a window of 0x40 bytes at address 0x[0-9a-f]* of the program's");
    EXPECT_DEATH((void)load<std::uint64_t>(block.data() + 4),
                 "a load of 8 bytes at address 0x[0-9a-f]*4 of the program's "
                 "own memory: its address is not a multiple of 8");
    EXPECT_DEATH(store<std::uint16_t>(block.data() + 1, 1), "a store of 2 bytes");
}

TEST_F(CheckedAccess, ThatTheKernelWouldSplitStopsAndSaysSo) {
    const Device device = open();
    const Window window = device.bar(0).window(0, 0x800);
    EXPECT_DEATH((void)window.load<std::uint64_t>(0x80),
                 "a load of 8 bytes at 0x80 of a window .* BAR0: .*this kernel would make two accesses of them");
    EXPECT_DEATH(window.store<std::uint64_t>(0x80, 1), "a store of 8 bytes at 0x80");
}

TEST_F(CheckedAccess, ToADeviceThatIsClosedIsNoMistake) {
    Device device = open();
    const Window window = device.bar(0).window(0, 0x800);
    device.close();
    EXPECT_EQ(window.load<std::uint64_t>(0x80), kOnes);
    EXPECT_DEATH((void)window.load<std::uint64_t>(0x800), "beyond its end");
}

TEST_F(CheckedAccess, ToAnEmptyWindowStops) {
    const Window window;
    EXPECT_DEATH((void)window.load<std::uint32_t>(0), "a load of 4 bytes at 0x0 of an empty window: beyond its end");
}

using UncheckedAccess = Accesses;

TEST_F(UncheckedAccess, BeyondAWindowReadsOnesAndStoresNothing) {
    const Device device = open();
    const Window window = device.bar(4).window(0, 0x1000);
    EXPECT_EQ(unchecked::load_32(window, 0x1000), 0xffffffffU);
    EXPECT_EQ(unchecked::load_64(window, 0xffc), kOnes);
    EXPECT_EQ(unchecked::read_register(window), 0xffU);
    unchecked::store_32(window, 0x1000, 7);
    EXPECT_EQ(device.bar(4).read<std::uint32_t>(0x1000), 0U);
    EXPECT_EQ(unchecked::load_32(Window{}, 0), 0xffffffffU);
    unchecked::store_32(Window{}, 0, 1);
}

TEST_F(UncheckedAccess, OfAMappedWindowLooksAtNothing) {
    alignas(8) std::array<std::byte, 64> block{};
    block[60] = std::byte{0x42};
    EXPECT_EQ(unchecked::load_32(MappedWindow{block.data(), 32}, 60), 0x42U);
}

// Without a look at the device that could fail: the lower half would be right, and the upper half ones.
TEST_F(UncheckedAccess, ThatTheKernelWouldSplitIsNotMadeAndToldByAGuard) {
    const Device device = open();
    const Window window = device.bar(0).window(0, 0x800);
    std::uint64_t value = 0;
    EXPECT_EQ(mmio_guard(window, [&] { value = unchecked::load_64(window, 0x80); }), Errc::unsupported);
    EXPECT_EQ(value, kOnes);
    EXPECT_EQ(mmio_guard(window, [&] { unchecked::store_64(window, 0x80, 1); }), Errc::unsupported);
    EXPECT_EQ(mmio_guard(window, [&] { (void)unchecked::load_32(window, 0x82); }), Errc::misaligned);
    EXPECT_THAT(kernel.log, Not(testing::Contains(HasSubstr("BAR0+128"))));
    EXPECT_THAT(kernel.log, Not(testing::Contains("pwrite BAR0")));
    EXPECT_FALSE(mmio_guard(window, [&] { value = unchecked::load_32(window, 0x80); }));
    EXPECT_EQ(value, 0x42424242U);
}

using WholeAccess = Accesses;

TEST_F(WholeAccess, Of8BytesWhereNothingIsMappedIsRefusedByAKernelThatSplitsIt) {
    const Device device = open();
    const Bar& bar = device.bar(0);
    for (const auto& said : {error_text(Errc::unsupported, [&] { (void)bar.read<std::uint64_t>(0x80); }),
                             error_text(Errc::unsupported, [&] { bar.write<std::uint64_t>(0x80, 1); })})
        EXPECT_THAT(said, AllOf(HasSubstr("0000:01:00.0 BAR0"), HasSubstr("0x80"), HasSubstr("two accesses"),
                                HasSubstr("use two of 4 bytes")));
    std::error_code ec;
    EXPECT_EQ(bar.read<std::uint64_t>(0x80, ec), 0U);
    EXPECT_EQ(ec, Errc::unsupported);
    EXPECT_THAT(kernel.log, Not(testing::Contains("pwrite BAR0")));
    for (const std::uint64_t offset : {0x80U, 0x84U}) EXPECT_EQ(bar.read<std::uint32_t>(offset), 0x42424242U);
    EXPECT_EQ(bar.read<std::uint16_t>(0x82), 0x4242U);
    EXPECT_EQ(bar.read<std::uint8_t>(0x83), 0x42U);
}

TEST_F(WholeAccess, Of8BytesWhereNothingIsMappedIsMadeByAKernelThatDoesNotSplitIt) {
    kernel.functions = {kReads8Bytes};
    const Device device = open();
    EXPECT_EQ(device.bar(0).read<std::uint64_t>(0x80), 0x4242424242424242U);
    device.bar(0).write<std::uint64_t>(0x80, 1);
    EXPECT_THAT(kernel.log, AllOf(testing::Contains("pread BAR0+128"), testing::Contains("pwrite BAR0")));
    const Window window = device.bar(0).window(0, 0x800);
    EXPECT_EQ(window.load<std::uint64_t>(0x80), 0x4242424242424242U);
}

TEST_F(WholeAccess, Of8BytesIsMadeThroughTheMappingWhereThereIsOne) {
    const Device device = open();
    device.bar(0).write<std::uint64_t>(0x1008, 0x0102030405060708U);
    EXPECT_EQ(device.bar(0).read<std::uint64_t>(0x1008), 0x0102030405060708U);
    EXPECT_THAT(kernel.log, Not(testing::Contains("pwrite BAR0")));
}

TEST_F(WholeAccess, Of8BytesIsNoneOfIoSpace) {
    kernel.functions = {kReads8Bytes};
    kernel.config[0x10] = 1;  // BAR 0 is I/O space
    const Device device = open();
    ASSERT_TRUE(device.bar(0).is_io());
    const auto said = error_text(Errc::unsupported, [&] { (void)device.bar(0).read<std::uint64_t>(0); });
    EXPECT_THAT(said, AllOf(HasSubstr("BAR0"), HasSubstr("I/O space has no accesses of 8 bytes")));
    EXPECT_EQ(device.bar(0).read<std::uint32_t>(0), 0x42424242U);
}

// The kernel's file of the BAR gives all ones for it, and drops what is written, without an error.
TEST_F(WholeAccess, ToAnMsixTableThatTheKernelLeavesOutIsRefused) {
    kernel.tells_msix_mappable = false;
    const Device device = open();
    const Bar& bar = device.bar(2);
    const auto said = error_text(Errc::unsupported, [&] { (void)bar.read<std::uint32_t>(0x1000); });
    EXPECT_THAT(said, AllOf(HasSubstr("BAR2"), HasSubstr("the MSI-X table at 0x1000")));
    error_text(Errc::unsupported, [&] { bar.write<std::uint32_t>(0x10fc, 1); });
    EXPECT_EQ(bar.read<std::uint32_t>(0x1100), 0x42424242U) << "the rest of its page is not the table's";
    EXPECT_EQ(bar.read<std::uint32_t>(0xffc), 0U) << "nor is what is mapped before it";
}

}  // namespace uiovfio
