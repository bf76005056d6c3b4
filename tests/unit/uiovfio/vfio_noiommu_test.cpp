// SPDX-License-Identifier: MIT
/// VFIO without an IOMMU on a model of the kernel: registers and interrupts as ever, no DMA, and what the kernel asks
/// of whoever wants it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <vector>

#include "backends/vfio.hpp"
#include "error_text.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"
#include "opening_error.hpp"
#include "uiovfio/backends.hpp"

namespace uiovfio {

using test::error_text;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

namespace {

constexpr const char* kDevice = "0000:01:00.0";

}  // namespace

class NoIommu : public testing::Test {
  protected:
    NoIommu() {
        tree.add_function(kDevice);
        tree.set_driver(kDevice, "vfio-pci");
        tree.set_group(kDevice, 7);
        test::FakeTree::put(tree.root.sys / "kernel/iommu_groups/7/name", "vfio-noiommu\n");
        test::FakeTree::put(tree.root.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
        test::FakeTree::put(tree.root.dev / "vfio/vfio", "");
        test::FakeTree::put(tree.root.dev / "vfio/noiommu-7", "");
        kernel.has_type1 = false;
        kernel.has_noiommu = true;
    }

    Device open() {
        const OpenOptions options{.root = tree.root};
        const Bdf bdf = Bdf::parse(kDevice);
        return DeviceFactory::make(bdf, detail::open_vfio_noiommu(bdf, options, kernel), options.bus_master);
    }

    Error opening_error() {
        return test::opening_error(kernel, kDevice, [&] { return open(); });
    }

    test::FakeTree tree;
    test::FakeKernel kernel;
};

// Nothing is between it and memory.
TEST_F(NoIommu, LeavesBusMasteringOffWhereItHasNotResetTheDevice) {
    EXPECT_TRUE(open().was_reset());
    kernel.can_reset = false;
    kernel.config[4] = 6;
    const Device device = open();
    EXPECT_FALSE(device.was_reset());
    EXPECT_FALSE(device.config().bus_master());
}

TEST_F(NoIommu, OpensInTheKernelsOrderAndClosesInTheReverse) {
    {
        const Device device = open();
        EXPECT_EQ(device.backend(), "vfio-noiommu");
        EXPECT_EQ(device.config().vendor_id(), 0x1af4);
    }
    const auto& log = kernel.log;
    ASSERT_GE(log.size(), 9u);
    EXPECT_THAT(std::vector(log.begin(), log.begin() + 9),
                ElementsAre("open container", "GET_API_VERSION", "CHECK_EXTENSION", "open group", "GET_STATUS",
                            "SET_CONTAINER", "SET_IOMMU", "GET_DEVICE_FD", "GET_INFO"));
    EXPECT_THAT(std::vector(log.end() - 3, log.end()), ElementsAre("close device", "close group", "close container"));
    EXPECT_THAT(log, AllOf(Not(Contains("IOMMU_GET_INFO")), Not(Contains("NOT CLOSED ON EXEC"))));
    EXPECT_TRUE(kernel.open_files.empty());
}

TEST_F(NoIommu, HasRegistersAndInterruptsAndNoDma) {
    Device device = open();
    EXPECT_EQ(device.bar(0).size(), 0x10000u);
    device.interrupts().enable(InterruptMode::msix, 2);
    EXPECT_THAT(kernel.irq_log, Contains("MSI-X 0: fd fd"));
    EXPECT_FALSE(find_backend(device.backend())->can(Feature::dma));
    EXPECT_THAT(error_text(Errc::unsupported, [&] { (void)device.dma().allocate(4096); }),
                HasSubstr("without an IOMMU there are no bus addresses to give"));
}

TEST_F(NoIommu, KnowsAKernelThatDoesNotAllowIt) {
    kernel.has_noiommu = false;
    const Error error = opening_error();
    EXPECT_EQ(error.errc(), Errc::no_vfio);
    EXPECT_THAT(error.remedy(), HasSubstr("enable_unsafe_noiommu_mode"));
}

// Giving the node away would not do.
TEST_F(NoIommu, TellsTheMissingCapabilityWhateverTheNodesMode) {
    for (const int error : {EPERM, EACCES}) {
        kernel.fail("open group", error);
        EXPECT_THAT(opening_error().remedy(), AllOf(HasSubstr("CAP_SYS_RAWIO"), Not(HasSubstr("chown"))));
    }
}

TEST_F(NoIommu, BlamesTheContainersNodeForItself) {
    kernel.fail("open container", EPERM);
    EXPECT_THAT(opening_error().remedy(), HasSubstr("chown"));
}

class NoIommuStep : public NoIommu, public testing::WithParamInterface<test::FailingCall> {};

TEST_P(NoIommuStep, FailsWithTheCallAndTheSystemsNumber) {
    kernel.fail(GetParam().call, GetParam().error);
    const Error error = opening_error();
    EXPECT_EQ(error.errc(), GetParam().errc) << error.what();
    EXPECT_EQ(error.system_errno(), GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(Calls, NoIommuStep,
                         testing::Values(test::FailingCall{"GET_STATUS", EIO, Errc::system_error},
                                         test::FailingCall{"SET_CONTAINER", EPERM, Errc::permission_denied},
                                         test::FailingCall{"SET_IOMMU", EPERM, Errc::permission_denied},
                                         test::FailingCall{"SET_IOMMU", EINVAL, Errc::system_error},
                                         test::FailingCall{"GET_DEVICE_FD", EPERM, Errc::permission_denied},
                                         test::FailingCall{"GET_DEVICE_FD", ENODEV, Errc::device_gone}));

}  // namespace uiovfio
