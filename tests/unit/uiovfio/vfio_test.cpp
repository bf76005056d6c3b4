// SPDX-License-Identifier: MIT
/// The vfio backend on a model of the kernel: every step in its order, every failure in the user's terms.

#include "backends/vfio.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "error_text.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"
#include "in_child.hpp"
#include "opening_error.hpp"

namespace uiovfio {

using test::error_text;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

constexpr const char* kDevice = "0000:01:00.0";
constexpr std::size_t kPage = 4096;

}  // namespace

class Vfio : public testing::Test {
  protected:
    Vfio() {
        tree.add_function(kDevice);
        tree.set_driver(kDevice, "vfio-pci");
        tree.set_group(kDevice, 7);
        tree.add_vfio_nodes(7);
    }

    Device open(OpenOptions options = {}) {
        options.root = tree.root;
        const Bdf bdf = Bdf::parse(kDevice);
        return DeviceFactory::make(bdf, detail::open_vfio(bdf, options, kernel), options.bus_master);
    }

    Error opening_error(OpenOptions options = {}) {
        return test::opening_error(kernel, kDevice, [&] { return open(std::move(options)); });
    }

    test::FakeTree tree;
    test::FakeKernel kernel;
};

TEST_F(Vfio, OpensInTheKernelsOrderAndClosesInTheReverse) {
    {
        const Device device = open();
        EXPECT_EQ(device.backend(), "vfio");
        EXPECT_EQ(kernel.device_name, kDevice);
    }
    auto& log = kernel.log;
    ASSERT_GE(log.size(), 11u);
    EXPECT_THAT(
        std::vector(log.begin(), log.begin() + 11),
        ElementsAre("open container", "GET_API_VERSION", "CHECK_EXTENSION", "open group", "GET_STATUS", "SET_CONTAINER",
                    "SET_IOMMU", "IOMMU_GET_INFO", "IOMMU_GET_INFO", "GET_DEVICE_FD", "GET_INFO"));
    EXPECT_THAT(std::vector(log.end() - 3, log.end()), ElementsAre("close device", "close group", "close container"));
    EXPECT_TRUE(kernel.open_files.empty());
}

TEST_F(Vfio, EnablesMemoryAndBusMasteringAndStopsTheDeviceAtTheEnd) {
    Device device = open();
    EXPECT_EQ(kernel.config[4], 0x06);
    device.close();
    EXPECT_EQ(kernel.config[4], 0x02);
    const Device quiet = open({.bus_master = false});
    EXPECT_EQ(kernel.config[4], 0x02);
}

// The addresses of a process begin where those of the one before did.
TEST_F(Vfio, DoesNotLetADeviceReachMemoryThatItHasNotReset) {
    kernel.can_reset = false;
    kernel.config[4] = 6;  // as it was left
    const Device device = open();
    EXPECT_FALSE(device.was_reset());
    EXPECT_FALSE(device.config().bus_master());
    const auto memory = device.dma().allocate(kPage);
    std::ranges::fill(memory.bytes(), std::byte{0xaa});
    EXPECT_FALSE(kernel.write_by_device(memory.iova()));
    EXPECT_TRUE(std::ranges::all_of(memory.bytes(), [](std::byte byte) { return byte == std::byte{0xaa}; }));
    device.config().set_bus_master(true);
    EXPECT_TRUE(kernel.write_by_device(memory.iova())) << "now the driver has said that it is quiet";
}

// What the driver asks for is no reason: it cannot know better.
TEST_F(Vfio, TurnsBusMasteringOnOnlyAfterAResetThatItCanRelyUpon) {
    const auto opened = [&](const std::optional<std::string>& methods) {
        std::filesystem::remove(tree.device(kDevice) / "reset_method");
        if (methods) test::FakeTree::put(tree.device(kDevice) / "reset_method", *methods + "\n");
        const Device device = open();
        EXPECT_EQ(device.config().bus_master(), device.was_reset());
        EXPECT_TRUE(device.can_reset());
        return device.was_reset();
    };
    for (const char* methods : {"flr", "flr bus", "flr pm bus", "af_flr pm", "bus", "device_specific", "acpi bus"})
        EXPECT_TRUE(opened(methods)) << methods;
    // A change of the power state: that the device says that this resets it does not make it so.
    for (const char* methods : {"pm", "pm bus", "bus pm", "device_specific pm", ""})
        EXPECT_FALSE(opened(methods)) << methods;
    // Kernels before 5.15 have no such file.
    EXPECT_TRUE(opened(std::nullopt)) << "it has no other way than by the bus";
    const auto put = [&](std::size_t at, std::uint32_t value, unsigned width) {
        std::memcpy(&kernel.config[at], &value, width);
    };
    put(0x41, 0x60, 1);
    put(0x60, 0x01, 2);  // power management, which says that D3hot and back resets it
    EXPECT_FALSE(opened(std::nullopt));
    put(0x64, 0x08, 2);  // No_Soft_Reset
    EXPECT_TRUE(opened(std::nullopt));
    put(0x64, 0, 2);
    put(0x61, 0x80, 1);
    put(0x80, 0x10, 2);  // PCI Express
    EXPECT_FALSE(opened(std::nullopt));
    put(0x84, 0x10000000, 4);  // with function-level reset
    EXPECT_TRUE(opened(std::nullopt));
}

TEST_F(Vfio, SaysWhyNoMessageComesWithoutBusMastering) {
    kernel.can_reset = false;
    Device device = open();
    const auto why = [&] { return error_text(Errc::timed_out, [&] { device.interrupts().wait(0, {}); }); };
    for (const InterruptMode mode : {InterruptMode::msi, InterruptMode::msix}) {
        device.interrupts().enable(mode, 1);
        EXPECT_THAT(why(), AllOf(HasSubstr("bus mastering is off"), HasSubstr("set_bus_master(true)")));
        device.config().set_bus_master(true);
        EXPECT_THAT(why(), testing::Not(HasSubstr("bus mastering is off")));
        device.config().set_bus_master(false);
        device.interrupts().disable();
    }
    device.interrupts().enable(InterruptMode::intx, 1);
    EXPECT_THAT(why(), testing::Not(HasSubstr("bus mastering is off"))) << "a line needs none";
}

TEST_F(Vfio, KnowsTheBars) {
    const Device device = open();
    ASSERT_EQ(device.bars().size(), 3u);
    EXPECT_EQ(device.bar(0).size(), 0x10000u);
    EXPECT_TRUE(device.bar(4).is_64bit());
    EXPECT_TRUE(device.bar(4).is_prefetchable());
    EXPECT_FALSE(device.bar(0).is_64bit());
    EXPECT_EQ(device.config().size(), 4096);
}

TEST_F(Vfio, RefusesBeforeItTouchesAnything) {
    tree.set_driver(kDevice, "e1000e");
    EXPECT_EQ(opening_error().errc(), Errc::not_bound);
    tree.set_driver(kDevice, "vfio-pci");
    std::filesystem::remove_all(tree.root.dev);
    EXPECT_EQ(opening_error().errc(), Errc::no_vfio);
    std::filesystem::remove_all(tree.device(kDevice));
    EXPECT_EQ(opening_error().errc(), Errc::no_such_device);
    EXPECT_TRUE(kernel.log.empty());
}

TEST_F(Vfio, KnowsAKernelWithoutVfio) {
    kernel.fail("open container", ENODEV);
    EXPECT_EQ(opening_error().errc(), Errc::no_vfio);
    kernel.has_type1 = false;
    const Error error = opening_error();
    EXPECT_EQ(error.errc(), Errc::no_vfio);
    EXPECT_THAT(error.remedy(), HasSubstr("vfio_iommu_type1"));
}

TEST_F(Vfio, KnowsAKernelOfAnotherVersion) {
    kernel.api_version = 1;
    EXPECT_EQ(opening_error().errc(), Errc::unsupported);
}

TEST_F(Vfio, NamesTheNodeThatItMayNotOpen) {
    kernel.fail("open container", EACCES);
    Error error = opening_error();
    EXPECT_EQ(error.errc(), Errc::permission_denied);
    EXPECT_THAT(error.what(), HasSubstr("/dev/vfio/vfio"));
    kernel.fail("open group", EPERM);
    error = opening_error();
    EXPECT_EQ(error.errc(), Errc::permission_denied);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("/dev/vfio/7"), HasSubstr("chown")));
    EXPECT_EQ(error.system_errno(), EPERM);
}

TEST_F(Vfio, WaitsForAGroupThatIsJustBeingClosed) {
    kernel.group_is_busy_for = 3;
    const Device device = open();
    EXPECT_TRUE(device.is_open());
    EXPECT_GT(kernel.slept, 0u);
}

TEST_F(Vfio, DoesNotWaitForABusyGroupForEver) {
    kernel.group_is_busy_for = 1000;
    const Error error = opening_error({.busy_timeout = std::chrono::milliseconds{200}});
    EXPECT_EQ(error.errc(), Errc::group_busy);
    EXPECT_EQ(kernel.slept, 200u);
    EXPECT_THAT(error.remedy(), HasSubstr("fuser"));
    kernel.slept = 0;
    EXPECT_EQ(opening_error({.busy_timeout = std::chrono::milliseconds{0}}).errc(), Errc::group_busy);
    EXPECT_EQ(kernel.slept, 0u);
}

TEST_F(Vfio, OpensADeviceOnceInAProcess) {
    Device first = open();
    kernel.log.clear();
    try {
        (void)open({.busy_timeout = std::chrono::milliseconds{200}});
        ADD_FAILURE() << "it opened twice";
    } catch (const Error& error) {
        EXPECT_EQ(error.errc(), Errc::device_busy);
        EXPECT_THAT(error.what(), HasSubstr("this process has the device open"));
    }
    EXPECT_EQ(kernel.slept, 200u);
    EXPECT_TRUE(kernel.log.empty());
    first.close();
    EXPECT_TRUE(open().is_open());
}

/// A second function of the group, which the process opens as well.
class VfioPair : public Vfio {
  protected:
    VfioPair() {
        tree.add_function(kSecond);
        tree.set_driver(kSecond, "vfio-pci");
        tree.join_group(kSecond, 7);
    }

    Device open_second() {
        const Bdf bdf = Bdf::parse(kSecond);
        return DeviceFactory::make(bdf, detail::open_vfio(bdf, {.root = tree.root}, kernel), true);
    }

    static constexpr const char* kSecond = "0000:01:00.1";
};

TEST_F(VfioPair, SharesTheGroupAndTheContainerUntilTheLastCloses) {
    Device first = open();
    kernel.log.clear();
    Device second = open_second();
    EXPECT_EQ(kernel.device_name, kSecond);
    EXPECT_EQ(kernel.log.front(), "GET_DEVICE_FD");
    kernel.log.clear();
    first.close();
    EXPECT_THAT(kernel.log, ElementsAre("SET_IRQS ERR", "SET_IRQS REQ", "close device"));
    (void)second.dma().allocate(kPage);
    first = open();
    second.close();
    first.close();
    EXPECT_THAT(std::vector(kernel.log.end() - 3, kernel.log.end()),
                ElementsAre("close device", "close group", "close container"));
    EXPECT_TRUE(kernel.open_files.empty());
    EXPECT_TRUE(open().is_open());
}

TEST_F(VfioPair, SharesTheBusAddressesToo) {
    Device first = open();
    Device second = open_second();
    const auto one = first.dma().allocate(kPage);
    const auto two = second.dma().allocate(kPage);
    EXPECT_EQ(two.iova(), one.iova() + kPage);
    EXPECT_THAT(error_text(Errc::mapping_overlap, [&] { (void)second.dma().map(two.bytes(), {.iova = one.iova()}); }),
                HasSubstr("in use"));
}

TEST_F(VfioPair, TakesItsMappingsAlongWhenTheOtherStays) {
    Device first = open();
    Device second = open_second();
    auto one = first.dma().allocate(kPage);
    auto two = first.dma().allocate(kPage);
    const auto other = second.dma().allocate(kPage);
    two.unmap();
    kernel.log.clear();
    first.close();
    EXPECT_THAT(kernel.log, ElementsAre("SET_IRQS ERR", "SET_IRQS REQ", "UNMAP_DMA", "close device"));
    EXPECT_EQ(kernel.mappings.size(), 1u);
    EXPECT_TRUE(kernel.mappings.contains(to_integer(other.iova())));
    EXPECT_EQ(second.dma().allocate(kPage).iova(), one.iova());
    one.unmap();
    EXPECT_EQ(kernel.mappings.size(), 1u);
}

TEST_F(Vfio, KnowsAGroupThatIsNotViable) {
    kernel.is_viable = false;
    EXPECT_EQ(opening_error().errc(), Errc::group_not_viable);
    tree.add_function("0000:01:00.1");
    tree.set_driver("0000:01:00.1", "snd_hda_intel");
    std::filesystem::create_directory_symlink(tree.device("0000:01:00.1"),
                                              tree.root.sys / "kernel/iommu_groups/7/devices/0000:01:00.1");
    EXPECT_THAT(opening_error().what(), HasSubstr("0000:01:00.1 (driver snd_hda_intel)"));
}

TEST_F(Vfio, KnowsAnIommuThatDoesNotRemapInterrupts) {
    kernel.fail("SET_IOMMU", EPERM);
    const Error error = opening_error();
    EXPECT_EQ(error.errc(), Errc::no_iommu);
    EXPECT_THAT(error.what(), HasSubstr("interrupts are not remapped"));
    EXPECT_THAT(error.remedy(), AllOf(HasSubstr("intremap=on"), HasSubstr("trusted"),
                                      HasSubstr("`modprobe vfio_iommu_type1 allow_unsafe_interrupts=1`")));
    const auto parameter = tree.root.sys / "module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
    test::FakeTree::put(parameter, "N\n");
    kernel.fail("SET_IOMMU", EPERM);
    EXPECT_THAT(opening_error().remedy(), HasSubstr("`echo 1 > " + parameter.string() + "`"));
}

// The names of chips are how it is foretold, and a kernel that names them otherwise must not lose the device by that.
TEST_F(Vfio, ForetellsThatInterruptsAreNotRemappedAndAsksTheKernelAllTheSame) {
    test::FakeTree::put(tree.root.proc / "interrupts", "  9:  0  0  IO-APIC  9-fasteoi acpi\n");
    const auto obstacle = why_not_vfio(Bdf::parse(kDevice), tree.root);
    ASSERT_TRUE(obstacle);
    EXPECT_EQ(obstacle->errc, Errc::no_iommu);
    EXPECT_THAT(obstacle->remedy, HasSubstr("allow_unsafe_interrupts=1"));
    EXPECT_TRUE(open().is_open());
    const auto parameter = tree.root.sys / "module/vfio_iommu_type1/parameters/allow_unsafe_interrupts";
    test::FakeTree::put(parameter, "Y\n");
    EXPECT_FALSE(why_not_vfio(Bdf::parse(kDevice), tree.root));
    test::FakeTree::put(parameter, "N\n");
    EXPECT_TRUE(why_not_vfio(Bdf::parse(kDevice), tree.root));
    test::FakeTree::put(tree.root.proc / "interrupts", " 24:  0  0  IR-PCI-MSI 1-edge x\n");
    EXPECT_FALSE(why_not_vfio(Bdf::parse(kDevice), tree.root));
}

// Intel's driver up to 6.5 says EPERM for that, later ones EINVAL.
TEST_F(Vfio, KnowsADeviceThatTheFirmwareKeepsMemoryFor) {
    test::FakeTree::put(tree.root.sys / "kernel/iommu_groups/7/reserved_regions",
                        "0x000000007f000000 0x000000007fffffff direct\n");
    for (const int error : {EPERM, EINVAL}) {
        kernel.fail("SET_IOMMU", error);
        const Error refused = opening_error();
        EXPECT_EQ(refused.errc(), Errc::no_iommu);
        EXPECT_THAT(refused.what(), AllOf(HasSubstr("firmware"), testing::Not(HasSubstr("intremap"))));
    }
}

class VfioOpen : public Vfio, public testing::WithParamInterface<test::FailingCall> {};

TEST_P(VfioOpen, FailsInTheUsersTerms) {
    kernel.fail(GetParam().call, GetParam().error);
    const Error error = opening_error({.busy_timeout = std::chrono::milliseconds{0}});
    EXPECT_EQ(error.errc(), GetParam().errc) << error.what();
    EXPECT_EQ(error.system_errno(), GetParam().error);
    EXPECT_THAT(error.remedy(), testing::Not(HasSubstr("the system's own message"))) << "that says nothing";
}

INSTANTIATE_TEST_SUITE_P(Calls, VfioOpen,
                         testing::Values(test::FailingCall{"open container", EMFILE, Errc::system_error},
                                         test::FailingCall{"open container", ENXIO, Errc::no_vfio},
                                         test::FailingCall{"open group", EMFILE, Errc::system_error},
                                         test::FailingCall{"SET_CONTAINER", EPERM, Errc::group_busy},
                                         test::FailingCall{"SET_CONTAINER", EBUSY, Errc::group_busy},
                                         test::FailingCall{"SET_CONTAINER", EINVAL, Errc::system_error},
                                         test::FailingCall{"SET_IOMMU", EBUSY, Errc::group_busy},
                                         test::FailingCall{"SET_IOMMU", EINVAL, Errc::system_error},
                                         test::FailingCall{"SET_IOMMU", ENODEV, Errc::no_iommu},
                                         test::FailingCall{"SET_IOMMU", EIO, Errc::no_iommu},
                                         test::FailingCall{"SET_IOMMU", ENOMEM, Errc::system_error},
                                         test::FailingCall{"GET_DEVICE_FD", EAGAIN, Errc::device_busy},
                                         test::FailingCall{"GET_DEVICE_FD", EINVAL, Errc::system_error},
                                         test::FailingCall{"GET_DEVICE_FD", EIO, Errc::system_error},
                                         test::FailingCall{"GET_DEVICE_FD", ENOTTY, Errc::system_error},
                                         test::FailingCall{"GET_STATUS", EFAULT, Errc::system_error}));

TEST_F(Vfio, WaitsForWhoHasTheDeviceLocked) {
    kernel.fail("GET_DEVICE_FD", EAGAIN);
    EXPECT_TRUE(open().is_open());
    EXPECT_GT(kernel.slept, 0u);
}

TEST_F(Vfio, KnowsAGroupWithoutANode) {
    kernel.fail("open group", ENOENT);
    EXPECT_EQ(opening_error().errc(), Errc::not_bound);
    kernel.fail("open group", EMFILE);
    EXPECT_EQ(opening_error().errc(), Errc::system_error);
}

TEST_F(Vfio, KnowsADeviceThatJustWent) {
    kernel.fail("GET_DEVICE_FD", ENODEV);
    EXPECT_EQ(opening_error().errc(), Errc::device_gone);
}

TEST_F(Vfio, KnowsAVirtualFunctionThatNeedsAToken) {
    kernel.fail("GET_DEVICE_FD", EACCES);
    const Error error = opening_error();
    EXPECT_EQ(error.errc(), Errc::permission_denied);
    EXPECT_THAT(error.what(), HasSubstr("VF token"));
}

TEST_F(Vfio, RefusesWhatIsNoPciFunction) {
    kernel.is_pci = false;
    EXPECT_EQ(opening_error().errc(), Errc::unsupported);
}

class VfioStep : public Vfio, public testing::WithParamInterface<const char*> {};

TEST_P(VfioStep, FailsWithTheCallAndTheSystemsNumber) {
    kernel.fail(GetParam(), EMFILE);
    const Error error = opening_error();
    EXPECT_EQ(error.errc(), Errc::system_error);
    EXPECT_EQ(error.system_errno(), EMFILE);
    EXPECT_THAT(error.what(), HasSubstr(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Calls, VfioStep,
                         testing::Values("GET_API_VERSION", "CHECK_EXTENSION", "GET_STATUS", "SET_CONTAINER",
                                         "SET_IOMMU", "GET_DEVICE_FD", "GET_INFO", "GET_REGION_INFO", "GET_IRQ_INFO",
                                         "IOMMU_GET_INFO"));

TEST_F(Vfio, MapsABarOnceAndGivesPiecesOfIt) {
    const Device device = open();
    const auto whole = device.bar(0).map();
    const auto part = device.bar(0).map(0x2000, 0x1000);
    whole.store<std::uint32_t>(0x2004, 0x600dcafe);
    EXPECT_EQ(part.load<std::uint32_t>(4), 0x600dcafeu);
    EXPECT_EQ(device.bar(0).read<std::uint32_t>(0x2004), 0x600dcafeu);
    EXPECT_EQ(std::count(kernel.log.begin(), kernel.log.end(), "mmap BAR0+0 length 65536"), 1);
}

TEST_F(Vfio, LetsGoOfTheDevicesMemoryBeforeItsFile) {
    Device device = open();
    const auto window = device.bar(4).window();
    ASSERT_TRUE(window.is_mapped());
    window.store<std::uint64_t>(0x80000, 7);
    device.close();
    EXPECT_FALSE(kernel.device_is_mapped_when_closed);
    EXPECT_EQ(window.load<std::uint64_t>(0x80000), ~std::uint64_t{0});
    EXPECT_EQ(window.load<std::uint8_t>(window.size() - 1), 0xff);
    window.store<std::uint32_t>(0, 1);
}

TEST_F(Vfio, MapsSparseAreasAndReadsTheRestThroughTheFile) {
    kernel.has_sparse_registers = true;
    const Device device = open();
    const Bar& bar = device.bar(0);
    EXPECT_FALSE(bar.is_mappable());
    EXPECT_TRUE(bar.is_mappable(0x1000, 0x2000));
    EXPECT_FALSE(bar.is_mappable(0x1000, 0x2008));
    EXPECT_TRUE(bar.is_mappable(0x8000));
    EXPECT_FALSE(bar.is_mappable(0x20000));
    EXPECT_THAT(error_text(Errc::not_mappable, [&] { (void)bar.map(); }), HasSubstr("BAR0"));
    const auto window = bar.window();
    EXPECT_FALSE(window.is_mapped());
    EXPECT_EQ(window.load<std::uint32_t>(0x10), 0x42424242u);
    EXPECT_THAT(kernel.log, Contains("pread BAR0+16"));
    // A piece that is mapped is reached the same way, whichever window one comes through.
    bar.map(0x1000, 0x1000).store<std::uint32_t>(0, 0x1234);
    EXPECT_EQ(window.load<std::uint32_t>(0x1000), 0x1234u);
    window.store<std::uint32_t>(0x10, 1);
    EXPECT_THAT(kernel.log, Contains("pwrite BAR0"));
}

TEST_F(Vfio, LeavesTheMsixTableOutWhereTheKernelWantsIt) {
    kernel.tells_msix_mappable = false;
    const Device device = open();
    const Bar& bar = device.bar(2);
    EXPECT_TRUE(bar.is_mappable(0, 0x1000));
    EXPECT_FALSE(bar.is_mappable(0x1000, 0x100));
    EXPECT_TRUE(bar.is_mappable(0x2000));
    EXPECT_FALSE(bar.is_mappable());
    (void)bar.map(0, 0x1000);
    EXPECT_THAT(kernel.log, AllOf(Contains("mmap BAR2+0 length 4096"), Contains("mmap BAR2+8192 length 8192")));
}

TEST_F(Vfio, MapsTheMsixTableWhereTheKernelAllowsIt) {
    const Device device = open();
    EXPECT_TRUE(device.bar(2).is_mappable());
    (void)device.bar(2).map();
}

TEST_F(Vfio, TellsWhatTheKernelDoesNotMap) {
    const Device device = open();
    kernel.fail("mmap", EPERM);
    error_text(Errc::not_mappable, [&] { (void)device.bar(0).map(); });
    (void)device.bar(0).map();
}

TEST_F(Vfio, TellsOfAccessesThatFail) {
    const Device device = open();
    kernel.fail("pread", EIO);
    EXPECT_THAT(error_text(Errc::device_gone, [&] { (void)device.config().read16(0); }),
                HasSubstr("configuration space"));
    kernel.fail("pwrite", EIO);
    error_text(Errc::device_gone, [&] { device.config().write16(4, 0); });
    EXPECT_EQ(device.config().read16(0), 0x1af4);
}

TEST_F(Vfio, ArmsAllVectorsAtOnceAndDisarmsWithoutData) {
    const Device device = open();
    auto& interrupts = device.interrupts();
    EXPECT_EQ(interrupts.available(InterruptMode::intx), 1u);
    EXPECT_EQ(interrupts.available(InterruptMode::msi), 4u);
    EXPECT_EQ(interrupts.available(InterruptMode::msix), 16u);
    interrupts.enable(InterruptMode::msix, 16);
    EXPECT_EQ(std::count(kernel.log.begin(), kernel.log.end(), "SET_IRQS"), 1);
    EXPECT_EQ(kernel.last_irq_set.size(), 20u + 16 * 4);
    interrupts.disable();
    EXPECT_EQ(kernel.last_irq_set.size(), 20u);
    kernel.last_irq_set.clear();
    interrupts.disable();
    EXPECT_TRUE(kernel.last_irq_set.empty());
}

TEST_F(Vfio, TakesADisarmOfWhatIsNotArmedForSuccess) {
    const Device device = open();
    device.interrupts().enable(InterruptMode::msi, 1);
    kernel.fail("SET_IRQS", EINVAL);
    device.interrupts().disable();
    EXPECT_EQ(device.interrupts().count(), 0u);
}

TEST_F(Vfio, TellsHowManyVectorsTheKernelCouldHave) {
    const Device device = open();
    kernel.most_vectors = 5;
    EXPECT_THAT(
        error_text(Errc::interrupt_capacity, [&] { device.interrupts().enable(InterruptMode::msix, 16); }),
        AllOf(HasSubstr("16 MSI-X vectors were asked for, the kernel could have 5"), HasSubstr("no more than 5")));
    EXPECT_EQ(device.interrupts().count(), 0u);
    kernel.fail("SET_IRQS", ENOSPC);
    error_text(Errc::interrupt_capacity, [&] { device.interrupts().enable(InterruptMode::msix, 5); });
    device.interrupts().enable(InterruptMode::msix, 5);
}

TEST_F(Vfio, ArmsAgainAroundAReset) {
    const Device opened = open();
    Device& device = const_cast<Device&>(opened);
    device.interrupts().enable(InterruptMode::msix, 2);
    kernel.log.clear();
    device.reset();
    EXPECT_THAT(kernel.log, ElementsAre("SET_IRQS", "RESET", "SET_IRQS"));
    EXPECT_EQ(kernel.last_irq_set.size(), 20u + 8);
    kernel.log.clear();
    kernel.fail("RESET", EIO);
    error_text(Errc::device_gone, [&] { device.reset(); });
    EXPECT_THAT(kernel.log, ElementsAre("SET_IRQS", "RESET", "SET_IRQS"));
    EXPECT_EQ(device.interrupts().count(), 2u);
}

TEST_F(Vfio, DoesNotResetWhatCannotBeReset) {
    kernel.can_reset = false;
    Device device = open();
    EXPECT_FALSE(device.can_reset());
    error_text(Errc::unsupported, [&] { device.reset(); });
}

TEST_F(Vfio, TakesTheRangesFromTheKernel) {
    const Device device = open();
    EXPECT_THAT(device.dma().ranges(),
                ElementsAre(IovaRange{Iova{0}, Iova{0xfedfffff}}, IovaRange{Iova{0xfef00000}, Iova{0x7fffffffff}}));
    EXPECT_EQ(device.dma().page_sizes(), 0x40201000u);
    EXPECT_EQ(device.dma().granule(), kPage);
    EXPECT_EQ(device.dma().mappings_left(), 65535u);
}

TEST_F(Vfio, TakesTheRangesFromSysfsWhereTheKernelDoesNotTell) {
    kernel.tells_ranges = false;
    test::FakeTree::put(tree.device(kDevice) / "iommu_group/reserved_regions",
                        "0x0000000000001000 0x0000000000001fff direct\n"
                        "0x00000000000e0000 0x00000000000fffff direct-relaxable\n"
                        "0x00000000fee00000 0x00000000feefffff msi\n"
                        "0x000000fd00000000 0x000000ffffffffff reserved\n");
    const Device device = open();
    EXPECT_THAT(device.dma().ranges(),
                ElementsAre(IovaRange{Iova{0}, Iova{0xfff}}, IovaRange{Iova{0x2000}, Iova{0xfedfffff}},
                            IovaRange{Iova{0xfef00000}, Iova{(std::uint64_t{1} << 39) - 1}}));
    EXPECT_EQ(device.dma().mappings_left(), std::nullopt);
}

struct MapFailure {
    int error;
    Errc errc;
};

class VfioMap : public Vfio, public testing::WithParamInterface<MapFailure> {};

TEST_P(VfioMap, FailsInTheUsersTermsAndGivesTheAddressBack) {
    const Device device = open();
    const auto first = device.dma().allocate(kPage);
    kernel.fail("MAP_DMA", GetParam().error);
    error_text(GetParam().errc, [&] { (void)device.dma().allocate(kPage); });
    EXPECT_EQ(device.dma().allocate(kPage).iova(), first.iova() + kPage);
}

INSTANTIATE_TEST_SUITE_P(Errors, VfioMap,
                         testing::Values(MapFailure{ENOMEM, Errc::system_error},
                                         MapFailure{EEXIST, Errc::mapping_overlap},
                                         MapFailure{ENOSPC, Errc::mapping_limit},
                                         MapFailure{EINVAL, Errc::iova_out_of_aperture},
                                         MapFailure{EFAULT, Errc::system_error}, MapFailure{ENODEV, Errc::device_gone},
                                         MapFailure{EPERM, Errc::system_error}));

TEST_F(Vfio, TellsTheMemoryLockLimitWithItsFigures) {
    kernel.lock_limit = 64 << 10;
    const Device device = open();
    const auto first = device.dma().allocate(16 * kPage);
    kernel.fail("MAP_DMA", ENOMEM);
    EXPECT_THAT(error_text(Errc::memory_lock_limit, [&] { (void)device.dma().allocate(kPage); }),
                AllOf(HasSubstr("the memory lock limit is 64 KiB, 64 KiB are mapped and this mapping needs 4 KiB"),
                      HasSubstr("ulimit -l 68"), HasSubstr("CAP_IPC_LOCK")));
    // Below the limit as far as this device goes: the process has locked other memory, too.
    kernel.lock_limit = 1 << 20;
    kernel.fail("MAP_DMA", ENOMEM);
    EXPECT_THAT(error_text(Errc::memory_lock_limit, [&] { (void)device.dma().allocate(kPage); }),
                HasSubstr("counts all that this process has locked"));
}

TEST_F(Vfio, DoesNotBlameALimitThatIsNotThere) {
    const Device device = open();
    const auto first = device.dma().allocate(16 * kPage);
    kernel.fail("MAP_DMA", ENOMEM);
    EXPECT_THAT(error_text(Errc::system_error, [&] { (void)device.dma().allocate(kPage); }),
                AllOf(HasSubstr("out of memory"), HasSubstr("cannot pin 4 KiB beside the 64 KiB"),
                      HasSubstr("map less at a time"), testing::Not(HasSubstr("ulimit"))));
}

TEST_F(Vfio, GivesACodeForWhatTheKernelRefusesWhereThatIsAskedFor) {
    const Device device = open();
    std::error_code ec;
    EXPECT_EQ(device.dma().mappings_left(ec), 65535u);
    EXPECT_FALSE(ec);
    kernel.fail("IOMMU_GET_INFO", EMFILE);
    EXPECT_EQ(device.dma().mappings_left(ec), std::nullopt);
    EXPECT_EQ(ec, Errc::system_error);

    const ConfigSpace& config = device.config();
    EXPECT_EQ(config.vendor_id(ec), 0x1af4);
    EXPECT_FALSE(ec);
    for (const auto read :
         {+[](const ConfigSpace& from, std::error_code& to) -> unsigned { return from.class_code(to); },
          +[](const ConfigSpace& from, std::error_code& to) -> unsigned { return from.vendor_id(to); },
          +[](const ConfigSpace& from, std::error_code& to) -> unsigned { return from.revision(to); },
          +[](const ConfigSpace& from, std::error_code& to) -> unsigned { return from.bus_master(to); }}) {
        kernel.fail("pread", EIO);
        EXPECT_EQ(read(config, ec), 0u);
        EXPECT_EQ(ec, Errc::device_gone);
    }

    EXPECT_FALSE(device.interrupts().subscribe(0, ec));
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
    device.interrupts().enable(InterruptMode::msix, 2);
    EXPECT_FALSE(device.interrupts().subscribe(2, ec));
    EXPECT_EQ(ec, Errc::no_such_vector);
    EXPECT_TRUE(device.interrupts().subscribe(1, ec));
    EXPECT_FALSE(ec);
}

TEST_F(Vfio, ChecksHowMuchWasUnmapped) {
    const Device device = open();
    auto buffer = device.dma().allocate(2 * kPage);
    kernel.unmaps_only = kPage;
    EXPECT_EQ(error_text(Errc::short_unmap, [&] { buffer.unmap(); }).empty(), false);
    kernel.unmaps_only.reset();
    auto other = device.dma().allocate(kPage);
    kernel.fail("UNMAP_DMA", EINVAL);
    std::error_code ec;
    other.unmap(ec);
    EXPECT_EQ(ec, Errc::system_error);
}

TEST_F(Vfio, MapsAndUnmapsWithOneCallEach) {
    const Device device = open();
    kernel.log.clear();
    auto buffer = device.dma().allocate(kPage);
    EXPECT_THAT(kernel.log, ElementsAre("MAP_DMA"));
    buffer.unmap();
    EXPECT_THAT(kernel.log, ElementsAre("MAP_DMA", "UNMAP_DMA"));
    EXPECT_FALSE(kernel.was_freed_before_unmapped);
}

TEST_F(Vfio, UnmapsBeforeItFrees) {
    const Device device = open();
    {
        auto replaced = device.dma().allocate(kPage);
        replaced = device.dma().allocate(2 * kPage);
        const auto destroyed = device.dma().allocate(4 << 20);
    }
    EXPECT_TRUE(kernel.mappings.empty());
    EXPECT_FALSE(kernel.was_freed_before_unmapped);
}

TEST_F(Vfio, KeepsMemoryThatCannotBeUnmapped) {
    const Device device = open();
    const std::byte* bytes = nullptr;
    {
        const auto buffer = device.dma().allocate(kPage);
        bytes = buffer.bytes().data();
        kernel.fail("UNMAP_DMA", EINVAL);
    }
    EXPECT_EQ(bytes[0], std::byte{0}) << "the device may still write there";
    EXPECT_EQ(kernel.mappings.size(), 1u);
}

TEST_F(Vfio, MapsMoreThan4GiBInOnePiece) {
    constexpr std::size_t kSize = std::size_t{5} << 30;
    void* at = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(at, MAP_FAILED);
    const Device device = open();
    auto mapping = device.dma().map({static_cast<std::byte*>(at), kSize});
    EXPECT_EQ(kernel.mappings.at(to_integer(mapping.iova())), kSize);
    mapping.unmap();
    EXPECT_TRUE(kernel.mappings.empty());
    ::munmap(at, kSize);
}

// A device that is still a bus master would run into the end of its mappings; and the files may have copies in other
// processes, whose closing is not in this one's hands.
TEST_F(Vfio, ClosingStopsTheDeviceThenUnmapsEverythingThenClosesTheFiles) {
    Device device = open();
    device.interrupts().enable(InterruptMode::msix, 1);
    auto first = device.dma().allocate(kPage);
    auto second = device.dma().allocate(kPage);
    kernel.log.clear();
    device.close();
    EXPECT_THAT(kernel.log, ElementsAre("SET_IRQS", "SET_IRQS ERR", "SET_IRQS REQ", "UNMAP_DMA ALL", "close device",
                                        "close group", "close container"));
    EXPECT_FALSE(kernel.was_bus_master_when_unmapped);
    EXPECT_TRUE(kernel.mappings.empty());
    kernel.log.clear();
    first.unmap();
    EXPECT_TRUE(kernel.log.empty());
}

TEST_F(Vfio, UnmapsOneByOneWhereTheKernelIsOld) {
    kernel.can_unmap_all = false;
    Device device = open();
    auto buffer = device.dma().allocate(kPage);
    kernel.log.clear();
    device.close();
    std::erase_if(kernel.log, [](const std::string& call) { return call.starts_with("SET_IRQS"); });
    EXPECT_THAT(kernel.log, ElementsAre("UNMAP_DMA", "close device", "close group", "close container"));
    buffer.unmap();
    EXPECT_EQ(kernel.log.size(), 4u);
}

TEST_F(Vfio, GivesAChildProcessNothingOfTheDevice) {
    Device device = open();
    device.interrupts().enable(InterruptMode::msix, 1);
    auto buffer = device.dma().allocate(kPage);
    const auto window = device.bar(0).window();
    const auto log_before = kernel.log;
    EXPECT_EQ(test::in_child([&] {
                  if (window.load<std::uint32_t>(0) != ~0U) return "the window is not all ones";
                  window.store<std::uint32_t>(0, 1);
                  if (!kernel.open_files.empty()) return "files are open";
                  kernel.log.clear();
                  std::error_code ec;
                  (void)device.dma().map(buffer.bytes(), {}, ec);
                  if (ec != Errc::forked) return "it maps";
                  (void)device.config().read16(0, ec);
                  if (ec != Errc::forked) return "it reads";
                  buffer = {};
                  device = {};
                  return kernel.log.empty() ? "" : "it called the kernel";
              }),
              "");
    EXPECT_EQ(kernel.log, log_before);
    EXPECT_EQ(kernel.config[4] & 4, 4) << "the parent's device is no longer a bus master";
}

TEST_F(Vfio, EndsACapabilityListThatLoops) {
    kernel.config[0x41] = 0x48;
    kernel.config[0x48] = 0x05;
    kernel.config[0x49] = 0x40;
    kernel.config[0x100] = 0x01;
    kernel.config[0x102] = 0x01;  // version 1, next 0x104
    kernel.config[0x103] = 0x10;
    kernel.config[0x102] = 0x41;
    const Device device = open();
    EXPECT_EQ(device.config().capabilities().size(), 2u);
    EXPECT_LE(device.config().extended_capabilities().size(), 2u);
}

TEST_F(Vfio, KeepsEveryFileFromOtherPrograms) {
    const Device device = open();
    EXPECT_THAT(kernel.log, testing::Not(Contains("NOT CLOSED ON EXEC")));
}

}  // namespace uiovfio
