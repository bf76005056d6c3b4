// SPDX-License-Identifier: MIT
/// The iommufd backend on a model of the kernel: every step in its order, every failure in the user's terms.

#include "backends/iommufd.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "error_text.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"
#include "kernel_abi.hpp"
#include "opening_error.hpp"

namespace uiovfio {

using test::error_text;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

namespace abi = detail::abi;

constexpr const char* kDevice = "0000:01:00.0";
constexpr const char* kSecond = "0000:01:00.1";
constexpr std::size_t kPage = 4096;

/// /dev/iommu and the device nodes, on top of what every VFIO device file does.
class FakeIommufd : public test::FakeKernel {
  public:
    unsigned ranges_grow = 0;  ///< so many times there are more ranges than before
    std::vector<abi::iommu_iova_range> allowed;
    std::vector<abi::iommu_iova_range> ranges{{0, 0xfedfffff}, {0xfef00000, 0x7fffffffff}};
    std::uint32_t last_flags = 0;

    int open(const char* path, int flags) noexcept override {
        const std::string name{path};
        const bool is_iommu = name.ends_with("/iommu");
        const std::string what = is_iommu ? "open iommu" : "open node";
        if ((flags & O_CLOEXEC) == 0) log.emplace_back("NOT CLOSED ON EXEC");
        const int result = call(what, is_iommu ? kContainer : kDevice + opened_);
        if (result < 0) return result;
        if (!is_iommu) ++opened_;
        open_files.insert(result);
        return result;
    }

    int ioctl(int descriptor, unsigned long request, void* argument) noexcept override {
        if (request == abi::kVfioDeviceBindIommufd) {
            const auto& bind = *static_cast<abi::vfio_device_bind_iommufd*>(argument);
            if (bind.argsz != sizeof bind || bind.iommufd != kContainer) return error(EINVAL);
            clear_bus_master();
            return call("BIND_IOMMUFD", 0);
        }
        if (request == abi::kVfioDeviceAttachIommufdPt) return call("ATTACH_IOMMUFD_PT", 0);
        if (request == abi::kIommuIoasAlloc) {
            static_cast<abi::iommu_ioas_alloc*>(argument)->out_ioas_id = 3;
            return call("IOAS_ALLOC", 0);
        }
        if (request == abi::kIommuDestroy) return call("DESTROY", 0);
        if (request == abi::kIommuIoasAllowIovas) {
            const auto& allow = *static_cast<abi::iommu_ioas_allow_iovas*>(argument);
            const auto* first = reinterpret_cast<const abi::iommu_iova_range*>(allow.allowed_iovas);
            allowed.assign(first, first + allow.num_iovas);
            return call("IOAS_ALLOW_IOVAS", 0);
        }
        if (request == abi::kIommuIoasIovaRanges)
            return iova_ranges(*static_cast<abi::iommu_ioas_iova_ranges*>(argument));
        if (request == abi::kIommuIoasMap) return map(*static_cast<abi::iommu_ioas_map*>(argument));
        if (request == abi::kIommuIoasUnmap) return unmap(*static_cast<abi::iommu_ioas_unmap*>(argument));
        return FakeKernel::ioctl(descriptor, request, argument);
    }
    using FakeKernel::ioctl;

  private:
    int iova_ranges(abi::iommu_ioas_iova_ranges& request) {
        if (const int result = call("IOAS_IOVA_RANGES", 0); result != 0) return result;
        if (request.num_iovas < ranges.size()) {
            request.num_iovas = static_cast<std::uint32_t>(ranges.size());
            if (ranges_grow > 0) {
                --ranges_grow;
                ranges.push_back({ranges.back().last + 0x10000, ranges.back().last + 0x1ffff});
            }
            return error(EMSGSIZE);
        }
        std::memcpy(reinterpret_cast<void*>(request.allowed_iovas), ranges.data(),
                    ranges.size() * sizeof ranges.front());
        request.num_iovas = static_cast<std::uint32_t>(ranges.size());
        request.out_iova_alignment = kPage;
        return 0;
    }

    int map(abi::iommu_ioas_map& request) {
        last_flags = request.flags;
        if (const int result = call("IOAS_MAP", 0); result != 0) return result;
        if ((request.flags & abi::kIommuIoasMapFixedIova) == 0) {
            request.iova = allowed.empty() ? 0 : allowed.front().start;
            while (mappings.contains(request.iova)) request.iova += kPage;
        }
        if (mappings.contains(request.iova)) return error(EEXIST);
        mappings[request.iova] = request.length;
        addresses_[request.iova] = request.user_va;
        return 0;
    }

    int unmap(abi::iommu_ioas_unmap& request) {
        if (const int result = call("IOAS_UNMAP", 0); result != 0) return result;
        const auto found = mappings.find(request.iova);
        if (found == mappings.end()) return error(ENOENT);
        request.length = unmaps_only.value_or(found->second);
        mappings.erase(found);
        return 0;
    }

    int opened_ = 0;
};

}  // namespace

class Iommufd : public testing::Test {
  protected:
    Iommufd() {
        for (const char* bdf : {kDevice, kSecond}) {
            tree.add_function(bdf);
            tree.set_driver(bdf, "vfio-pci");
        }
        tree.set_group(kDevice, 7);
        tree.join_group(kSecond, 7);
        test::FakeTree::put(tree.root.dev / "iommu", "");
        add_node(kDevice, "vfio0");
        add_node(kSecond, "vfio1");
    }

    void add_node(const char* bdf, const std::string& name) const {
        test::FakeTree::put(tree.device(bdf) / "vfio-dev" / name / "dev", "511:0");
        test::FakeTree::put(tree.root.dev / "vfio/devices" / name, "");
    }

    Device open(const char* device = kDevice, OpenOptions options = {}) {
        options.root = tree.root;
        const Bdf bdf = Bdf::parse(device);
        return DeviceFactory::make(bdf, detail::open_iommufd(bdf, options, kernel), options.bus_master);
    }

    Error opening_error(OpenOptions options = {}) {
        const Error error = test::opening_error(kernel, kDevice, [&] { return open(kDevice, std::move(options)); });
        EXPECT_FALSE(error.remedy().empty());
        return error;
    }

    test::FakeTree tree;
    FakeIommufd kernel;
};

TEST_F(Iommufd, OpensInTheKernelsOrderAndClosesInTheReverse) {
    {
        const Device device = open();
        EXPECT_EQ(device.backend(), "iommufd");
        EXPECT_EQ(device.config().vendor_id(), 0x1af4);
    }
    EXPECT_THAT(std::vector(kernel.log.begin(), kernel.log.begin() + 9),
                ElementsAre("open iommu", "IOAS_ALLOC", "open node", "BIND_IOMMUFD", "IOAS_ALLOW_IOVAS",
                            "ATTACH_IOMMUFD_PT", "IOAS_IOVA_RANGES", "IOAS_IOVA_RANGES", "IOAS_ALLOW_IOVAS"));
    EXPECT_EQ(kernel.log[kernel.log.size() - 3], "close device");
    EXPECT_EQ(kernel.log[kernel.log.size() - 2], "DESTROY");
    EXPECT_TRUE(kernel.open_files.empty());
    EXPECT_THAT(kernel.log, testing::Not(Contains("NOT CLOSED ON EXEC")));
}

TEST_F(Iommufd, LetsTheKernelChooseButNever0) {
    const Device device = open();
    EXPECT_THAT(device.dma().ranges(),
                ElementsAre(IovaRange{Iova{0}, Iova{0xfedfffff}}, IovaRange{Iova{0xfef00000}, Iova{0x7fffffffff}}));
    ASSERT_EQ(kernel.allowed.size(), 2u);
    EXPECT_EQ(kernel.allowed[0].start, kPage);
    EXPECT_EQ(kernel.allowed[1].start, 0xfef00000u);
    const auto chosen = device.dma().allocate(kPage);
    EXPECT_EQ(kernel.last_flags, abi::kIommuIoasMapReadable | abi::kIommuIoasMapWriteable);
    EXPECT_EQ(chosen.iova(), Iova{kPage});
    const auto fixed = device.dma().map(chosen.bytes(), {.direction = DmaDirection::to_device, .iova = Iova{0x200000}});
    EXPECT_EQ(kernel.last_flags, abi::kIommuIoasMapReadable | abi::kIommuIoasMapFixedIova);
    EXPECT_EQ(fixed.iova(), Iova{0x200000});
    EXPECT_EQ(device.dma().mappings_left(), std::nullopt);
}

TEST_F(Iommufd, PlacesMemoryThatBeginsWithinALargePageSoThatWholeOnesStayWhole) {
    constexpr std::size_t kLargePage = 2 << 20;
    const Device device = open();
    const auto memory = device.dma().allocate(3 * kLargePage, {.huge_pages = HugePages::never});
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(memory.bytes().data()) % kLargePage, 0u);
    EXPECT_EQ(kernel.last_flags & abi::kIommuIoasMapFixedIova, 0u) << "the kernel does that by itself";

    const auto within = memory.bytes().subspan(kPage);
    const auto first = device.dma().map(within.first(2 * kLargePage));
    EXPECT_NE(kernel.last_flags & abi::kIommuIoasMapFixedIova, 0u);
    EXPECT_EQ(to_integer(first.iova()) % kLargePage, kPage);
    const auto second = device.dma().map(within.first(2 * kLargePage));
    EXPECT_EQ(to_integer(second.iova()) % kLargePage, kPage);
    EXPECT_GE(second.iova() - first.iova(), 2 * kLargePage);

    // More than a page's worth, but no whole one: nothing to keep.
    const auto none_whole = device.dma().map(within.first(kLargePage));
    EXPECT_EQ(kernel.last_flags & abi::kIommuIoasMapFixedIova, 0u);

    // Where another device of the group has that place, the kernel chooses.
    kernel.fail("IOAS_MAP", EEXIST);
    const auto elsewhere = device.dma().map(within.first(2 * kLargePage));
    EXPECT_EQ(kernel.last_flags & abi::kIommuIoasMapFixedIova, 0u);
    EXPECT_TRUE(elsewhere);
}

TEST_F(Iommufd, AsksForTheRangesUntilAllOfThemFit) {
    kernel.ranges_grow = 2;
    EXPECT_EQ(open().dma().ranges().size(), 4u);
    kernel.ranges_grow = 100;
    EXPECT_THAT(opening_error().what(), HasSubstr("IOMMU_IOAS_IOVA_RANGES"));
    kernel.ranges_grow = 0;
    kernel.ranges.assign(65537, {0, 0xffff});
    EXPECT_THAT(opening_error().what(), HasSubstr("IOMMU_IOAS_IOVA_RANGES")) << "no memory for as many as it likes";
}

TEST_F(Iommufd, SharesTheAddressSpaceOfAGroupUntilTheLastCloses) {
    Device first = open();
    kernel.log.clear();
    Device second = open(kSecond);
    EXPECT_EQ(kernel.log.front(), "open node");
    auto one = first.dma().allocate(kPage);
    const auto two = second.dma().allocate(kPage);
    EXPECT_NE(one.iova(), two.iova());
    kernel.log.clear();
    first.close();
    EXPECT_THAT(std::vector(kernel.log.end() - 2, kernel.log.end()), ElementsAre("IOAS_UNMAP", "close device"));
    EXPECT_THAT(kernel.log, testing::Not(Contains("DESTROY")));
    EXPECT_EQ(kernel.mappings.size(), 1u);
    second.close();
    EXPECT_THAT(kernel.log, Contains("DESTROY"));
    EXPECT_TRUE(kernel.open_files.empty());
}

TEST_F(Iommufd, KeepsAddress0FromTheOthersOfAGroupWhereOneCannotBeAttached) {
    for (const char* call : {"ATTACH_IOMMUFD_PT", "IOAS_IOVA_RANGES"}) {
        const Device first = open();
        kernel.fail(call, EINVAL);
        EXPECT_THROW((void)open(kSecond), Error);
        ASSERT_EQ(kernel.allowed.size(), 2u) << call;
        EXPECT_EQ(kernel.allowed[0].start, kPage);
        EXPECT_EQ(first.dma().allocate(kPage).iova(), Iova{kPage});
    }
}

TEST_F(Iommufd, OpensADeviceOnceInAProcess) {
    const Device first = open();
    EXPECT_THAT(error_text(Errc::device_busy, [&] { (void)open(kDevice, {.busy_timeout = {}}); }),
                HasSubstr("this process has the device open"));
}

TEST_F(Iommufd, WaitsForANodeThatComesLate) {
    std::filesystem::remove(tree.root.dev / "vfio/devices/vfio0");
    EXPECT_EQ(opening_error().errc(), Errc::no_vfio);
    EXPECT_EQ(kernel.slept, 2000u);
    std::filesystem::remove_all(tree.device(kDevice) / "vfio-dev");
    EXPECT_THAT(opening_error().remedy(), HasSubstr("CONFIG_VFIO_DEVICE_CDEV"));
}

TEST_F(Iommufd, RefusesBeforeItTouchesAnything) {
    tree.set_driver(kDevice, "e1000e");
    EXPECT_EQ(opening_error().errc(), Errc::not_bound);
    std::filesystem::remove(tree.root.dev / "iommu");
    EXPECT_THAT(opening_error().remedy(), HasSubstr("modprobe iommufd"));
    EXPECT_TRUE(kernel.log.empty());
}

class IommufdOpen : public Iommufd, public testing::WithParamInterface<test::FailingCall> {};

TEST_P(IommufdOpen, FailsInTheUsersTerms) {
    kernel.fail(GetParam().call, GetParam().error);
    const Error error = opening_error({.busy_timeout = std::chrono::milliseconds{0}});
    EXPECT_EQ(error.errc(), GetParam().errc) << error.what();
    EXPECT_EQ(error.system_errno(), GetParam().error);
    EXPECT_THAT(error.remedy(), testing::Not(HasSubstr("the system's own message"))) << "that says nothing";
}

TEST_F(Iommufd, NamesItsOwnParameterWhereInterruptsAreNotRemapped) {
    kernel.fail("BIND_IOMMUFD", EPERM);
    EXPECT_THAT(opening_error().remedy(), AllOf(HasSubstr("intremap=on"), HasSubstr("trusted"),
                                                HasSubstr("`modprobe iommufd allow_unsafe_interrupts=1`")));
    const auto parameter = tree.root.sys / "module/iommufd/parameters/allow_unsafe_interrupts";
    test::FakeTree::put(parameter, "N\n");
    kernel.fail("BIND_IOMMUFD", EPERM);
    EXPECT_THAT(opening_error().remedy(), HasSubstr("`echo 1 > " + parameter.string() + "`"));
}

// The kernel's iommu_device_claim_dma_owner() says EPERM of a group that another iommufd has, too.
TEST_F(Iommufd, KnowsAGroupThatAnotherProcessHas) {
    test::FakeTree::put(tree.root.proc / "interrupts", " 24:  0  0  IR-PCI-MSI 1-edge x\n");
    kernel.fail("BIND_IOMMUFD", EPERM);
    const Error error = opening_error({.busy_timeout = std::chrono::milliseconds{0}});
    EXPECT_EQ(error.errc(), Errc::group_busy) << error.what();
    EXPECT_THAT(error.remedy(), HasSubstr("fuser"));
    kernel.fail("BIND_IOMMUFD", EPERM);
    EXPECT_TRUE(open().is_open()) << "a process that has just ended may take a moment";
}

TEST_F(Iommufd, DoesNotLetADeviceReachMemoryThatItHasNotReset) {
    kernel.can_reset = false;
    kernel.config[4] = 6;
    const Device device = open();
    EXPECT_FALSE(device.was_reset());
    EXPECT_FALSE(device.config().bus_master());
    const auto memory = device.dma().allocate(kPage);
    EXPECT_FALSE(kernel.write_by_device(memory.iova()));
    device.config().set_bus_master(true);
    EXPECT_TRUE(kernel.write_by_device(memory.iova()));
}

INSTANTIATE_TEST_SUITE_P(Calls, IommufdOpen,
                         testing::Values(test::FailingCall{"open iommu", EACCES, Errc::permission_denied},
                                         test::FailingCall{"open iommu", ENODEV, Errc::no_vfio},
                                         test::FailingCall{"open iommu", EMFILE, Errc::system_error},
                                         test::FailingCall{"open node", EPERM, Errc::permission_denied},
                                         test::FailingCall{"open node", ENOENT, Errc::no_vfio},
                                         test::FailingCall{"IOAS_ALLOC", EMFILE, Errc::system_error},
                                         test::FailingCall{"BIND_IOMMUFD", EBUSY, Errc::group_busy},
                                         test::FailingCall{"BIND_IOMMUFD", EINVAL, Errc::device_busy},
                                         test::FailingCall{"BIND_IOMMUFD", EPERM, Errc::no_iommu},
                                         test::FailingCall{"BIND_IOMMUFD", EAGAIN, Errc::device_busy},
                                         test::FailingCall{"BIND_IOMMUFD", EACCES, Errc::permission_denied},
                                         test::FailingCall{"BIND_IOMMUFD", EIO, Errc::system_error},
                                         test::FailingCall{"BIND_IOMMUFD", ENODEV, Errc::device_gone},
                                         test::FailingCall{"BIND_IOMMUFD", EMFILE, Errc::system_error},
                                         test::FailingCall{"ATTACH_IOMMUFD_PT", EADDRINUSE, Errc::system_error},
                                         test::FailingCall{"ATTACH_IOMMUFD_PT", EINVAL, Errc::system_error},
                                         test::FailingCall{"ATTACH_IOMMUFD_PT", EBUSY, Errc::group_busy},
                                         test::FailingCall{"ATTACH_IOMMUFD_PT", ENODEV, Errc::no_iommu},
                                         test::FailingCall{"IOAS_IOVA_RANGES", EFAULT, Errc::system_error},
                                         test::FailingCall{"IOAS_ALLOW_IOVAS", EADDRINUSE, Errc::system_error},
                                         test::FailingCall{"GET_INFO", EIO, Errc::device_gone}));

struct MapFailure {
    int error;
    Errc errc;
};

class IommufdMap : public Iommufd, public testing::WithParamInterface<MapFailure> {};

TEST_P(IommufdMap, FailsInTheUsersTerms) {
    const Device device = open();
    kernel.fail("IOAS_MAP", GetParam().error);
    error_text(GetParam().errc, [&] { (void)device.dma().allocate(kPage); });
    (void)device.dma().allocate(kPage);
}

INSTANTIATE_TEST_SUITE_P(
    Errors, IommufdMap,
    testing::Values(MapFailure{ENOMEM, Errc::system_error}, MapFailure{EEXIST, Errc::mapping_overlap},
                    MapFailure{ENOSPC, Errc::iova_exhausted}, MapFailure{EINVAL, Errc::iova_out_of_aperture},
                    MapFailure{EFAULT, Errc::system_error}, MapFailure{EPERM, Errc::system_error}));

TEST_F(Iommufd, TellsTheMemoryLockLimitWithItsFigures) {
    kernel.lock_limit = 64 << 10;
    const Device device = open();
    const auto first = device.dma().allocate(16 * kPage);
    kernel.fail("IOAS_MAP", ENOMEM);
    EXPECT_THAT(error_text(Errc::memory_lock_limit, [&] { (void)device.dma().allocate(kPage); }),
                AllOf(HasSubstr("64 KiB for all that the user has pinned"), HasSubstr("ulimit -l 68")));
}

TEST_F(Iommufd, ChecksHowMuchWasUnmapped) {
    const Device device = open();
    auto buffer = device.dma().allocate(2 * kPage);
    kernel.unmaps_only = kPage;
    EXPECT_THAT(error_text(Errc::short_unmap, [&] { buffer.unmap(); }), HasSubstr("4 KiB of 8 KiB"));
    kernel.unmaps_only.reset();
    auto other = device.dma().allocate(kPage);
    kernel.fail("IOAS_UNMAP", ENOENT);
    EXPECT_THAT(error_text(Errc::short_unmap, [&] { other.unmap(); }), HasSubstr("0 bytes of 4 KiB"));
    auto third = device.dma().allocate(kPage);
    kernel.fail("IOAS_UNMAP", EINVAL);
    EXPECT_THAT(error_text(Errc::system_error, [&] { third.unmap(); }), HasSubstr("IOMMU_IOAS_UNMAP"));
}

}  // namespace uiovfio
