// SPDX-License-Identifier: MIT
#include "uiovfio/sysfs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

#include "error_text.hpp"
#include "fake_tree.hpp"

namespace uiovfio {

namespace fs = std::filesystem;
using test::error_text;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

constexpr const char* kDevice = "0000:01:00.0";
constexpr const char* kOther = "0000:01:00.1";
const Bdf kBdf{0, 1, 0, 0};

}  // namespace

class Sysfs : public testing::Test {
  protected:
    test::FakeTree tree;
};

TEST_F(Sysfs, DescribesAFunction) {
    tree.add_function(kDevice);
    tree.add_function(kOther);
    tree.set_driver(kDevice, "vfio-pci");
    tree.set_group(kDevice, 12);
    fs::create_directory_symlink(tree.device(kOther), tree.root.sys / "kernel/iommu_groups/12/devices" / kOther);
    test::FakeTree::put(tree.root.sys / "kernel/iommu_groups/12/reserved_regions",
                        "0x00000000fee00000 0x00000000feefffff msi\n");
    const auto function = describe(kBdf, tree.root);
    EXPECT_EQ(function.bdf, kBdf);
    EXPECT_EQ(function.vendor, 0x1af4);
    EXPECT_EQ(function.device, 0x10f2);
    EXPECT_EQ(function.subsystem_vendor, 0x1af4);
    EXPECT_EQ(function.subsystem_device, 0x5043);
    EXPECT_EQ(function.class_code, 0x020000u);
    EXPECT_EQ(function.revision, 1);
    EXPECT_EQ(function.driver, "vfio-pci");
    EXPECT_EQ(function.driver_override, "");
    EXPECT_EQ(function.iommu_group, 12u);
    EXPECT_THAT(function.group_members, ElementsAre(kBdf, Bdf{0, 1, 0, 1}));
    EXPECT_THAT(function.reserved_regions, ElementsAre(ReservedRegion{Iova{0xfee00000}, Iova{0xfeefffff}, "msi"}));
    EXPECT_EQ(function.numa_node, std::nullopt);
    EXPECT_FALSE(function.is_bridge);
    ASSERT_EQ(function.resources.size(), 3u);
    EXPECT_EQ(function.resources[0].size, 0x10000u);
    EXPECT_EQ(function.resources[0].address, 0xfe800000u);
    EXPECT_TRUE(function.resources[1].is_io);
    EXPECT_EQ(function.resources[1].index, 2u);
    EXPECT_EQ(function.resources[2].index, 4u);
    EXPECT_TRUE(function.resources[2].is_64bit);
    EXPECT_TRUE(function.resources[2].is_prefetchable);
}

TEST_F(Sysfs, HasNoClassThatIsWiderThan24Bits) {
    tree.add_function(kDevice);
    test::FakeTree::put(tree.device(kDevice) / "class", "0x1060400\n");
    EXPECT_EQ(describe(kBdf, tree.root).class_code, 0u);
    EXPECT_FALSE(describe(kBdf, tree.root).is_bridge);
    test::FakeTree::put(tree.device(kDevice) / "class", "0xffffff\n");
    EXPECT_EQ(describe(kBdf, tree.root).class_code, 0xffffffu);
}

TEST_F(Sysfs, LeavesOutResourcesThatMakeNoSense) {
    tree.add_function(kDevice);
    test::FakeTree::put(tree.device(kDevice) / "resource",
                        "0x00000000fe800000 0x00000000fe7fffff 0x0000000000040200\n"  // ends before it begins
                        "0x00000000fe900000 0x00000000fe900fff\n"                     // no flags
                        "0x00000000fea00000 0x00000000fea0ffff 0x0000000000040200\n"
                        "0x0000000000000000 0xffffffffffffffff 0x0000000000140204\n"  // of a size that no number has
                        "fire 0x00000000feb00fff 0x0000000000040200\n"
                        "0x00000000fec00000 0x00000000fec00fff 0x0000000000040200 0x1\n");
    const auto function = describe(kBdf, tree.root);
    ASSERT_EQ(function.resources.size(), 1u);
    EXPECT_EQ(function.resources[0].index, 2u) << "a line is a BAR's, whatever the ones before it hold";
    EXPECT_EQ(function.resources[0].address, 0xfea00000u);
    EXPECT_EQ(function.resources[0].size, 0x10000u);
}

TEST_F(Sysfs, DescribesAFunctionThatHasLittle) {
    tree.add_function(kDevice, "0x8086", "0x1234", "0x060400");
    test::FakeTree::put(tree.device(kDevice) / "driver_override", "vfio-pci\n");
    const auto function = describe(kBdf, tree.root);
    EXPECT_EQ(function.driver, "");
    EXPECT_EQ(function.driver_override, "vfio-pci");
    EXPECT_EQ(function.iommu_group, std::nullopt);
    EXPECT_TRUE(function.group_members.empty());
    EXPECT_TRUE(function.reserved_regions.empty());
    EXPECT_TRUE(function.is_bridge);
}

TEST_F(Sysfs, IsABridgeByItsHeader) {
    tree.add_function(kDevice, "0x8086", "0x1234", "0x060100");
    std::string config(64, '\0');
    test::FakeTree::put(tree.device(kDevice) / "config", config);
    EXPECT_FALSE(describe(kBdf, tree.root).is_bridge) << "an ISA bridge has an ordinary header";
    for (const char type : {'\x01', '\x02', '\x81', '\x82'}) {
        config[0x0e] = type;
        test::FakeTree::put(tree.device(kDevice) / "config", config);
        EXPECT_TRUE(describe(kBdf, tree.root).is_bridge);
    }
    config[0x0e] = '\x80';  // several functions
    test::FakeTree::put(tree.device(kDevice) / "config", config);
    EXPECT_FALSE(describe(kBdf, tree.root).is_bridge);
    test::FakeTree::put(tree.device(kDevice) / "config", std::string(64, '\xff'));  // it does not answer
    EXPECT_FALSE(describe(kBdf, tree.root).is_bridge) << "the class is what is left";
    test::FakeTree::put(tree.device(kDevice) / "class", "0x060700\n");
    EXPECT_TRUE(describe(kBdf, tree.root).is_bridge);
}

TEST_F(Sysfs, FindsTheFunctionBehindAName) {
    tree.add_function(kDevice);
    tree.add_interface(kDevice, "enp1s0");
    tree.add_block(tree.device(kDevice) / "nvme/nvme0/nvme0n1", "259:0");
    tree.add_block(tree.device(kDevice) / "nvme/nvme0/nvme0n1/nvme0n1p1", "259:1");
    tree.add_virtual_interface("br0", {"enp1s0"});
    fs::create_directories(tree.root.dev / "disk/by-label");
    fs::create_symlink(tree.root.dev / "nvme0n1p1", tree.root.dev / "disk/by-label/home");
    for (const char* name : {"enp1s0", "nvme0n1", "nvme0n1p1", "/dev/nvme0n1", "/dev/disk/by-label/home"})
        EXPECT_EQ(function_behind(name, tree.root), kBdf) << name;
    EXPECT_EQ(function_behind((tree.root.sys / "class/net/enp1s0").string(), tree.root), kBdf);
    EXPECT_EQ(function_behind(tree.device(kDevice).string(), tree.root), kBdf);
    tree.add_function("0000:02:00.0");
    for (const auto& [kind, bdf] : {std::pair{"drm", kDevice}, std::pair{"sound", "0000:02:00.0"}}) {
        fs::create_directories(tree.device(bdf) / kind / "card0");
        fs::create_directories(tree.root.sys / "class" / kind);
        fs::create_symlink(tree.device(bdf) / kind / "card0", tree.root.sys / "class" / kind / "card0");
    }
    for (const char* name : {"", "card0", "br0", "eth9", "/dev/null", "../net/enp1s0", ".", "01:00.0", "/"})
        EXPECT_EQ(function_behind(name, tree.root), std::nullopt) << name;
    EXPECT_THAT(error_text(Errc::invalid_bdf, [&] { find_function("enp1s0", tree.root); }),
                testing::HasSubstr("\"enp1s0\": is of 0000:01:00.0, and not its address: give 0000:01:00.0"));
    error_text(Errc::invalid_bdf, [&] { find_function("eth9", tree.root); });
}

TEST_F(Sysfs, EnumeratesInOrder) {
    for (const char* bdf : {"0000:02:00.0", "0000:00:1f.3", "0001:00:00.0", "0000:02:00.1"}) tree.add_function(bdf);
    fs::create_directories(tree.device("not-a-function"));
    fs::create_directories(tree.device("0000:09:00.0"));  // without files: it has just gone
    std::vector<std::string> found;
    for (const auto& function : enumerate(tree.root)) found.push_back(to_string(function.bdf));
    EXPECT_THAT(found, ElementsAre("0000:00:1f.3", "0000:02:00.0", "0000:02:00.1", "0001:00:00.0"));
}

TEST_F(Sysfs, SaysWhatIsNotThere) {
    EXPECT_THAT(error_text(Errc::no_such_device, [&] { describe(kBdf, tree.root); }), HasSubstr(kDevice));
    EXPECT_THAT(error_text(Errc::system_error, [&] { enumerate({.sys = "/nonexistent"}); }),
                HasSubstr("cannot list the PCI bus"));
    std::error_code ec;
    EXPECT_TRUE(enumerate({.sys = "/nonexistent"}, ec).empty());
    EXPECT_EQ(ec, Errc::system_error);
}

TEST_F(Sysfs, FindsAFunctionByAddressOrByItsIdentity) {
    tree.add_function(kDevice);
    tree.add_function("0000:02:00.0", "0x8086", "0x10d3");
    EXPECT_EQ(find_function("01:00.0", tree.root).bdf, kBdf);
    EXPECT_EQ(find_function("1af4:10f2", tree.root).bdf, kBdf);
    EXPECT_THAT(error_text(Errc::no_such_device, [&] { find_function("1234:5678", tree.root); }),
                HasSubstr("1234:5678"));
    EXPECT_THAT(error_text(Errc::invalid_bdf, [&] { find_function("1af4:zz", tree.root); }), HasSubstr("1af4:zz"));
    EXPECT_THAT(error_text(Errc::invalid_bdf, [&] { find_function("card", tree.root); }), HasSubstr("card"));
    tree.add_function("0000:03:00.0");
    EXPECT_THAT(error_text(Errc::ambiguous_device, [&] { find_function("1af4:10f2", tree.root); }),
                HasSubstr("2 PCI functions match: 0000:01:00.0, 0000:03:00.0"));
}

class WhyNotVfio : public Sysfs {
  protected:
    WhyNotVfio() {
        tree.add_function(kDevice);
        tree.set_driver(kDevice, "vfio-pci");
        tree.set_group(kDevice, 7);
        tree.add_vfio_nodes(7);
    }

    Obstacle obstacle() {
        const auto found = why_not_vfio(kBdf, tree.root);
        EXPECT_TRUE(found);
        return found.value_or(Obstacle{});
    }
};

TEST_F(WhyNotVfio, NothingStandsInTheWay) { EXPECT_FALSE(why_not_vfio(kBdf, tree.root)); }

TEST_F(WhyNotVfio, ModulesAreMissing) {
    fs::remove_all(tree.root.dev / "vfio");
    EXPECT_EQ(obstacle().errc, Errc::no_vfio);
    EXPECT_THAT(obstacle().remedy, HasSubstr("modprobe vfio-pci"));
}

// In a container: sysfs is the machine's, and /dev has what it was given.
TEST_F(WhyNotVfio, ThisDevLacksANode) {
    fs::remove(tree.root.dev / "vfio/7");
    EXPECT_THAT(obstacle().what_was_wrong, HasSubstr("has no groups"));
    fs::create_directories(tree.root.sys / "class/vfio/7");
    const std::string group = (tree.root.dev / "vfio/7").string();
    EXPECT_EQ(obstacle().what_was_wrong, group + " does not exist here, though the kernel has that device");
    EXPECT_THAT(obstacle().remedy, HasSubstr("`--device " + group + "`"));
    fs::create_directories(tree.root.sys / "class/misc/vfio");
    fs::remove(tree.root.dev / "vfio/vfio");
    EXPECT_THAT(obstacle().what_was_wrong, HasSubstr("vfio/vfio does not exist here"));
    fs::create_directories(tree.root.sys / "class/misc/iommu");
    EXPECT_THAT(why_not(kBdf, "iommufd", tree.root)->what_was_wrong, HasSubstr("iommu does not exist here"));
    test::FakeTree::put(tree.root.dev / "iommu", "");
    test::FakeTree::put(tree.device(kDevice) / "vfio-dev/vfio3/dev", "510:3\n");
    EXPECT_THAT(why_not(kBdf, "iommufd", tree.root)->what_was_wrong,
                HasSubstr("vfio/devices/vfio3 does not exist here"));
    tree.set_driver(kDevice, "uio_pci_generic");
    fs::create_directories(tree.device(kDevice) / "uio/uio5");
    EXPECT_THAT(why_not(kBdf, "uio", tree.root)->what_was_wrong, HasSubstr("uio5 does not exist here"));
}

// vfio-pci asks for the mode when it takes a device; a second bind to the driver that has it would do nothing.
TEST_F(WhyNotVfio, TheNoIommuModeCameAfterTheDriver) {
    fs::remove(tree.device(kDevice) / "iommu_group");
    fs::remove_all(tree.root.sys / "class/iommu");
    test::FakeTree::put(tree.root.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
    const auto found = why_not(kBdf, "vfio-noiommu", tree.root);
    ASSERT_TRUE(found);
    EXPECT_THAT(found->remedy, HasSubstr("`pcienic-ctl -s 0000:01:00.0 unbind --none`, then"));
}

TEST_F(WhyNotVfio, TheMachineHasNoIommu) {
    fs::remove(tree.device(kDevice) / "iommu_group");
    fs::remove_all(tree.root.sys / "class/iommu");
    EXPECT_EQ(obstacle().errc, Errc::no_iommu);
    EXPECT_THAT(obstacle().what_was_wrong, HasSubstr("the machine has no IOMMU"));
    EXPECT_THAT(obstacle().remedy, HasSubstr("intel_iommu=on"));
}

TEST_F(WhyNotVfio, TheIommuDoesNotCoverTheDevice) {
    fs::remove(tree.device(kDevice) / "iommu_group");
    EXPECT_EQ(obstacle().errc, Errc::no_iommu);
    EXPECT_THAT(obstacle().what_was_wrong, HasSubstr("not behind it"));
}

TEST_F(WhyNotVfio, AnotherDriverHasTheDevice) {
    tree.set_driver(kDevice, "e1000e");
    EXPECT_EQ(obstacle().errc, Errc::not_bound);
    EXPECT_THAT(obstacle().what_was_wrong, HasSubstr("the driver e1000e has the device"));
    EXPECT_THAT(obstacle().remedy, HasSubstr("pcienic-ctl -s 0000:01:00.0 bind vfio-pci"));
}

TEST_F(WhyNotVfio, NoDriverHasTheDevice) {
    tree.set_driver(kDevice, "");
    EXPECT_EQ(obstacle().errc, Errc::not_bound);
    EXPECT_THAT(obstacle().what_was_wrong, HasSubstr("no driver has the device"));
}

TEST_F(WhyNotVfio, TheDriverIsNotLoaded) {
    tree.set_driver(kDevice, "");
    fs::remove_all(tree.root.sys / "bus/pci/drivers/vfio-pci");
    EXPECT_THAT(obstacle().remedy, HasSubstr("`modprobe vfio-pci`, then bind it"));
    EXPECT_THAT(why_not(kBdf, "uio", tree.root)->remedy, HasSubstr("`modprobe uio_pci_generic`, then bind it"));
}

TEST_F(WhyNotVfio, ABridgeIsToBeLeft) {
    tree.add_function("0000:00:1f.0", "0x8086", "0x244e", "0x060400");
    tree.set_group("0000:00:1f.0", 8);
    EXPECT_THAT(why_not(Bdf::parse("0000:00:1f.0"), "vfio", tree.root)->remedy,
                HasSubstr("the bridge may stay with pcieport"));
}

TEST_F(WhyNotVfio, NoIommuModeIsNothingForADeviceBehindAnIommu) {
    EXPECT_EQ(why_not(kBdf, "vfio-noiommu", tree.root)->errc, Errc::unsupported);
}

// What would do for VFIO's nodes does not for sysfs: nobody is told to chown.
TEST_F(WhyNotVfio, TheFilesOfSysfsAreRoots) {
    tree.set_driver(kDevice, "");
    test::FakeTree::put(tree.device(kDevice) / "config", "");
    test::FakeTree::put(tree.device(kDevice) / "enable", "0");
    fs::permissions(tree.device(kDevice) / "config", fs::perms{0666});
    fs::permissions(tree.device(kDevice) / "enable", fs::perms::none);
    const bool is_root = ::geteuid() == 0;  // who may open everything: look as somebody else
    ASSERT_TRUE(!is_root || ::seteuid(65534) == 0);
    const auto found = why_not(kBdf, "sysfs", tree.root);
    ASSERT_TRUE(!is_root || ::seteuid(0) == 0);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->errc, Errc::permission_denied);
    EXPECT_THAT(found->what_was_wrong, HasSubstr("enable"));
    EXPECT_THAT(found->remedy, HasSubstr("run as root"));
}

TEST_F(WhyNotVfio, DriversThatAreBuiltOnVfioWillDo) {
    tree.set_driver(kDevice, "mlx5_vfio_pci");
    EXPECT_FALSE(why_not_vfio(kBdf, tree.root));
}

TEST_F(WhyNotVfio, TheGroupHasOtherDevicesOfTheKernels) {
    for (const auto& [bdf, driver] : std::map<std::string, std::string>{
             {"0000:01:00.1", "snd_hda_intel"}, {"0000:01:00.2", "pcieport"}, {"0000:01:00.3", ""}}) {
        tree.add_function(bdf);
        tree.set_driver(bdf, driver);
        fs::create_directory_symlink(tree.device(bdf), tree.root.sys / "kernel/iommu_groups/7/devices" / bdf);
    }
    EXPECT_EQ(obstacle().errc, Errc::group_not_viable);
    EXPECT_THAT(obstacle().what_was_wrong,
                testing::EndsWith("have other devices of IOMMU group 7: 0000:01:00.1 (driver snd_hda_intel)"));
    EXPECT_THAT(obstacle().remedy, HasSubstr("-s 0000:01:00.1 bind vfio-pci"));
}

TEST_F(WhyNotVfio, TheNodeBelongsToSomebodyElse) {
    fs::permissions(tree.root.dev / "vfio/vfio", fs::perms{0666});
    fs::permissions(tree.root.dev / "vfio/7", fs::perms::none);
    const bool is_root = ::geteuid() == 0;  // who may open everything: look as somebody else
    ASSERT_TRUE(!is_root || ::seteuid(65534) == 0);
    const Obstacle found = obstacle();
    ASSERT_TRUE(!is_root || ::seteuid(0) == 0);
    EXPECT_EQ(found.errc, Errc::permission_denied);
    EXPECT_THAT(found.what_was_wrong, HasSubstr("mode 0000"));
    EXPECT_THAT(found.what_was_wrong, HasSubstr("vfio/7"));
}

TEST_F(WhyNotVfio, ThereIsNoSuchDevice) {
    EXPECT_EQ(why_not_vfio(Bdf{0, 9, 0, 0}, tree.root)->errc, Errc::no_such_device);
}

}  // namespace uiovfio
