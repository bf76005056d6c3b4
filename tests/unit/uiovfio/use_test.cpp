// SPDX-License-Identifier: MIT
#include "uiovfio/use.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "fake_tree.hpp"
#include "sysfs_files.hpp"

namespace uiovfio {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

namespace {

constexpr const char* kDevice = "0000:01:00.0";
constexpr const char* kOther = "0000:02:00.0";
const Bdf kBdf{0, 1, 0, 0};
const Bdf kOtherBdf{0, 2, 0, 0};

}  // namespace

class UseOf : public testing::Test {
  protected:
    UseOf() {
        tree.add_function(kDevice);
        tree.add_function(kOther);
    }
    ~UseOf() override { detail::replace_try_open(nullptr); }

    std::vector<std::string> told(const Bdf& bdf = kBdf) {
        std::vector<std::string> words;
        for (const Use& use : uses_of(bdf, tree.root)) words.push_back(to_string(use));
        return words;
    }

    test::FakeTree tree;
};

TEST_F(UseOf, ADeviceThatDoesNothingHasNone) {
    EXPECT_THAT(told(), IsEmpty()) << "without /proc at all";
    tree.add_interface(kDevice, "eth0", "down");
    tree.add_interface(kOther, "eth1");
    tree.set_default_route({"eth1"});
    EXPECT_THAT(told(), IsEmpty());
    EXPECT_THAT(told(kOtherBdf), ElementsAre("eth1 carries the machine's default route"));
}

// --- the default route ---

TEST_F(UseOf, TheDefaultRouteInEitherFamily) {
    tree.add_interface(kDevice, "eth0");
    test::FakeTree::put(tree.root.proc / "net/ipv6_route",
                        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
                        "fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0\n");
    EXPECT_THAT(uses_of(kBdf, tree.root),
                ElementsAre(Use{.kind = Use::Kind::default_route, .through = "eth0", .by = "eth0"}));
    tree.set_default_route({"eth0"});
    EXPECT_EQ(told().size(), 1u) << "once is enough";
}

TEST_F(UseOf, ARouteByABridgeOnABondOnAVlan) {
    tree.add_interface(kDevice, "eth0");
    tree.add_interface(kOther, "eth1");
    tree.add_virtual_interface("eth0.100", {"eth0"});
    tree.add_virtual_interface("bond0", {"eth0.100", "eth1"});
    tree.add_virtual_interface("br0", {"bond0"});
    tree.set_default_route({"br0"});
    EXPECT_THAT(told(), ElementsAre("eth0 carries the machine's default route, by way of br0"));
    EXPECT_THAT(told(kOtherBdf), ElementsAre("eth1 carries the machine's default route, by way of br0"));
}

TEST_F(UseOf, ABridgeWhoseMembersOnlyNameIt) {
    tree.add_interface(kDevice, "eth0");
    tree.add_virtual_interface("br0", {});
    fs::create_directory_symlink(tree.root.sys / "class/net/br0", tree.device(kDevice) / "net/eth0/master");
    tree.set_default_route({"br0"});
    EXPECT_THAT(told(), ElementsAre("eth0 carries the machine's default route, by way of br0"));
}

TEST_F(UseOf, AnInterfaceBehindTheFunction) {
    const auto place = tree.device(kDevice) / "virtio0/net/eth0";  // a bus of its own in between
    tree.add_class_device("net", place);
    tree.set_default_route({"eth0"});
    EXPECT_THAT(told(), ElementsAre("eth0 carries the machine's default route"));
}

TEST_F(UseOf, AnInterfaceOfAVirtualFunction) {
    fs::create_directory_symlink(tree.device(kOther), tree.device(kDevice) / "virtfn0");
    tree.add_interface(kOther, "eth1");
    tree.set_default_route({"eth1"});
    EXPECT_THAT(told(), ElementsAre("eth1 carries the machine's default route"));
}

TEST_F(UseOf, AnInterfaceThatIsUp) {
    tree.add_interface(kDevice, "eth0", "down");
    EXPECT_THAT(told(), IsEmpty());
    // Where virtio and USB have theirs.
    tree.add_class_device("net", tree.device(kDevice) / "virtio3/net/eth1");
    test::FakeTree::put(tree.device(kDevice) / "virtio3/net/eth1/operstate", "up\n");
    tree.add_class_device("net", tree.device(kDevice) / "usb1/1-2/1-2:1.0/net/usb0");
    test::FakeTree::put(tree.device(kDevice) / "usb1/1-2/1-2:1.0/net/usb0/operstate", "unknown\n");
    EXPECT_THAT(uses_of(kBdf, tree.root),
                ElementsAre(Use{.kind = Use::Kind::interface, .through = "eth1", .by = "eth1"}));
    test::FakeTree::put(tree.device(kDevice) / "usb1/1-2/1-2:1.0/net/usb0/carrier", "1\n");
    EXPECT_THAT(told(), ElementsAre("the network interface eth1 is up", "the network interface usb0 is up"));
    tree.set_default_route({"eth1"});
    EXPECT_THAT(told(), ElementsAre("eth1 carries the machine's default route", "the network interface usb0 is up"));
    EXPECT_THAT(told(kOtherBdf), IsEmpty());
}

TEST_F(UseOf, AVirtualFunctionsInterfaceThatIsUp) {
    tree.add_interface(kOther, "eth1", "up");
    fs::create_directory_symlink(tree.device(kOther), tree.device(kDevice) / "virtfn0");
    EXPECT_THAT(told(), ElementsAre("the network interface eth1 is up"));
}

TEST_F(UseOf, LinksInACircleEnd) {
    tree.add_virtual_interface("br0", {});
    tree.add_virtual_interface("br1", {"br0"});
    fs::create_directory_symlink(tree.root.sys / "class/net/br1", tree.root.sys / "class/net/br0/lower_br1");
    tree.set_default_route({"br0", "../../../etc", "nowhere"});
    EXPECT_THAT(told(), IsEmpty());
}

// --- disks ---

TEST_F(UseOf, AMountedPartition) {
    const auto disk = tree.device(kDevice) / "ata1/block/sda";
    tree.add_block(disk, "8:0");
    tree.add_block(disk / "sda2", "8:2");
    tree.set_mounts(
        "21 26 0:20 / /proc rw,relatime shared:1 - proc proc rw\n"
        "30 1 8:2 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw\n"
        "31 1 8:2 /home /mnt/my\\040home rw,relatime - ext4 /dev/root rw\n");
    EXPECT_THAT(uses_of(kBdf, tree.root),
                ElementsAre(Use{.kind = Use::Kind::mount, .through = "sda2", .by = "sda2", .mount_point = "/"}))
        << "a bind mount adds nothing";
    EXPECT_THAT(told(), ElementsAre("sda2 holds the file system that is mounted on /"));
    EXPECT_THAT(told(kOtherBdf), IsEmpty());
}

TEST_F(UseOf, AFileSystemOnAMappedDeviceOnARaid) {
    tree.add_block(tree.device(kDevice) / "nvme/nvme0/nvme0n1", "259:0");
    tree.add_block(tree.device(kOther) / "nvme/nvme1/nvme1n1", "259:1");
    tree.add_virtual_block("md0", "9:0", {"nvme0n1", "nvme1n1"});
    tree.add_block(tree.root.sys / "devices/virtual/block/md0/md0p1", "259:2");
    tree.add_virtual_block("dm-1", "253:1", {"md0p1"});
    tree.set_mounts("30 1 253:1 / /var rw - xfs /dev/mapper/var rw\n");
    EXPECT_THAT(told(), ElementsAre("nvme0n1 holds the file system that is mounted on /var, by way of dm-1"));
    EXPECT_THAT(told(kOtherBdf), ElementsAre("nvme1n1 holds the file system that is mounted on /var, by way of dm-1"));
}

TEST_F(UseOf, ADiskWithSeveralPaths) {
    const auto subsystem = tree.root.sys / "devices/virtual/nvme-subsystem/nvme-subsys0";
    tree.add_block(subsystem / "nvme0n1", "259:0");
    tree.add_block(subsystem / "nvme0n1/nvme0n1p1", "259:1");
    fs::create_directories(tree.device(kDevice) / "nvme/nvme0");
    fs::create_directory_symlink(tree.device(kDevice) / "nvme/nvme0", subsystem / "nvme0");
    tree.set_mounts("30 1 259:1 / /srv rw - ext4 /dev/nvme0n1p1 rw\n");
    EXPECT_THAT(told(), ElementsAre("nvme0n1p1 holds the file system that is mounted on /srv"));
    EXPECT_THAT(told(kOtherBdf), IsEmpty());
}

TEST_F(UseOf, AFileSystemWithNumbersOfItsOwn) {
    tree.add_block(tree.device(kDevice) / "block/sda", "8:0");
    tree.add_block(tree.device(kOther) / "block/sdb", "8:16");
    for (const char* disk : {"sda", "sdb"}) fs::create_directories(tree.root.sys / "fs/btrfs/0123-4567/devices" / disk);
    tree.set_mounts("30 1 0:45 /@ /pool rw - btrfs /dev/sda rw\n");
    EXPECT_THAT(told(), ElementsAre("sda holds the file system that is mounted on /pool"));
    EXPECT_THAT(told(kOtherBdf), ElementsAre("sdb holds the file system that is mounted on /pool"));
}

TEST_F(UseOf, AMountThatOnlyProcessOneSees) {
    tree.add_block(tree.device(kDevice) / "block/sda", "8:0");
    tree.set_mounts("");
    test::FakeTree::put(tree.root.proc / "1/mountinfo", "30 1 8:0 / / rw - ext4 /dev/sda rw\n");
    EXPECT_THAT(told(), ElementsAre("sda holds the file system that is mounted on /"));
}

TEST_F(UseOf, SwapSpace) {
    tree.add_block(tree.device(kDevice) / "block/sda", "8:0");
    tree.add_virtual_block("dm-0", "253:0", {"sda"});
    fs::create_directories(tree.root.dev / "mapper");
    fs::create_symlink(tree.root.dev / "dm-0", tree.root.dev / "mapper/swap");
    test::FakeTree::put(tree.root.proc / "swaps",
                        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
                        "/swapfile                               file\t\t1048572\t\t0\t\t-3\n"
                        "/dev/mapper/swap                        partition\t1048572\t\t0\t\t-2\n");
    EXPECT_THAT(told(), ElementsAre("sda is swap space in use, by way of dm-0"));
}

TEST_F(UseOf, SlavesInACircleEnd) {
    tree.add_virtual_block("dm-0", "253:0", {});
    tree.add_virtual_block("dm-1", "253:1", {"dm-0"});
    fs::create_directory_symlink(tree.root.sys / "class/block/dm-1", tree.root.sys / "class/block/dm-0/slaves/dm-1");
    tree.set_mounts("30 1 253:0 / / rw - ext4 /dev/dm-0 rw\n31 1 ../..:0 / /x rw - ext4 /dev/../sda rw\n");
    EXPECT_THAT(told(), IsEmpty());
}

// --- disks that no mount names ---

class DiskUse : public UseOf {
  protected:
    DiskUse() {
        tree.add_block(disk, "259:0");
        tree.add_block(disk / "nvme0n1p1", "259:1");
        tree.add_block(disk / "nvme0n1p2", "259:2");
        tree.add_block(tree.device(kOther) / "block/sdb", "8:16");
        tree.set_mounts("");
        detail::replace_try_claim([this](const fs::path& node) {
            asked.push_back(node.filename());
            const auto found = claims.find(node.filename());
            return found != claims.end() ? found->second : 0;
        });
    }
    ~DiskUse() override { detail::replace_try_claim(nullptr); }

    /// A process that has the node open with these flags of open(2), as /proc writes them.
    void add_opener(int process, const std::string& command, const std::string& node, const std::string& flags) {
        tree.add_process(process, command, {tree.root.dev / node});
        test::FakeTree::put(tree.root.proc / std::to_string(process) / "fdinfo/3", "pos:\t0\nflags:\t" + flags + "\n");
    }

    const fs::path disk = tree.device(kDevice) / "nvme/nvme0/nvme0n1";
    std::map<std::string, int> claims;
    std::vector<std::string> asked;
};

TEST_F(DiskUse, AFreeDiskHasNone) {
    EXPECT_THAT(told(), IsEmpty());
    EXPECT_THAT(asked, ElementsAre("nvme0n1")) << "the disk alone, and none of another function";
}

TEST_F(DiskUse, AMemberOfARaidThatIsNotMounted) {
    fs::create_directories(disk / "holders/md127");
    fs::create_directories(disk / "nvme0n1p2/holders/dm-0");
    EXPECT_THAT(told(), ElementsAre("nvme0n1 is part of md127", "nvme0n1p2 is part of dm-0"));
    EXPECT_EQ(uses_of(kBdf, tree.root).front().kind, Use::Kind::stack);
    EXPECT_THAT(asked, IsEmpty()) << "there is nothing to ask for";
}

TEST_F(DiskUse, WhatAMountTellsIsNotToldAgain) {
    tree.add_virtual_block("md127", "9:127", {"nvme0n1"});
    fs::create_directories(disk / "holders/md127");
    claims["nvme0n1"] = EBUSY;
    tree.set_mounts("30 1 9:127 / /srv rw - ext4 /dev/md127 rw\n");
    EXPECT_THAT(told(), ElementsAre("nvme0n1 holds the file system that is mounted on /srv, by way of md127"));
}

TEST_F(DiskUse, ALoopDeviceOnTheDisk) {
    tree.add_virtual_block("loop0", "7:0", {});
    test::FakeTree::put(tree.root.sys / "class/block/loop0/loop/backing_file", "/dev/nvme0n1p1\n");
    EXPECT_THAT(told(), ElementsAre("nvme0n1p1 is part of loop0"));
    tree.set_mounts("30 1 7:0 / /iso rw - iso9660 /dev/loop0 rw\n");
    EXPECT_THAT(told(), ElementsAre("nvme0n1p1 holds the file system that is mounted on /iso, by way of loop0"));
}

TEST_F(DiskUse, ADiskThatIsGivenToOtherMachines) {
    const fs::path config = tree.root.sys / "kernel/config";
    const fs::path space = config / "nvmet/subsystems/disks/namespaces/1";
    test::FakeTree::put(space / "device_path", "/dev/nvme0n1\n");
    test::FakeTree::put(space / "enable", "0\n");
    EXPECT_THAT(told(), IsEmpty());
    test::FakeTree::put(space / "enable", "1\n");
    EXPECT_THAT(told(), ElementsAre("nvme0n1 is given to other machines by " + (space / "enable").string()));
    test::FakeTree::put(space / "enable", "0\n");
    test::FakeTree::put(config / "target/core/iblock_0/disk/udev_path", "/dev/nvme0n1p2\n");
    EXPECT_THAT(uses_of(kBdf, tree.root), ElementsAre(Use{.kind = Use::Kind::target,
                                                          .through = "nvme0n1p2",
                                                          .by = (config / "target/core/iblock_0/disk").string()}));
}

TEST_F(DiskUse, AProcessThatWritesToTheDisk) {
    add_opener(40, "smartd", "nvme0n1", "02100000");
    EXPECT_THAT(told(), IsEmpty()) << "a reader loses nothing";
    add_opener(41, "qemu", "nvme0n1", "02100002");
    add_opener(42, "dd", "nvme0n1p1", "0100001");
    add_opener(43, "other", "sdb", "02");
    EXPECT_THAT(told(), ElementsAre("process 41 (qemu) has nvme0n1 open for writing",
                                    "process 42 (dd) has nvme0n1p1 open for writing"));
}

// A node that stands elsewhere, or has another name, is of the same disk if it has its number.
TEST_F(DiskUse, AProcessThatWritesThroughANodeOfAnotherName) {
    tree.add_class_device("nvme-generic", disk.parent_path() / "ng0n1");
    test::FakeTree::put(disk.parent_path() / "ng0n1/dev", "1:3\n");  // that of /dev/null
    tree.add_process(41, "fio", {"/dev/null"});
    test::FakeTree::put(tree.root.proc / "41/fdinfo/3", "flags:\t02\n");
    EXPECT_THAT(told(), ElementsAre("process 41 (fio) has ng0n1 open for writing"));
    test::FakeTree::put(disk.parent_path() / "ng0n1/dev", "1:77\n");
    EXPECT_THAT(told(), IsEmpty());
    test::FakeTree::put(disk / "dev", "1:3\n");
    EXPECT_THAT(told(), IsEmpty()) << "a block device's number is not that of a character device";
}

TEST_F(DiskUse, ADiskInAFolderOfDev) {
    tree.add_class_device("block", tree.device(kDevice) / "block/cciss!c0d0");
    test::FakeTree::put(tree.root.dev / "cciss/c0d0", "");
    tree.set_mounts("30 1 0:78 / /srv rw - bcachefs /dev/cciss/c0d0 rw\n");
    EXPECT_THAT(told(), ElementsAre("cciss!c0d0 holds the file system that is mounted on /srv"));
    tree.set_mounts("");
    add_opener(41, "dd", "cciss/c0d0", "02");
    EXPECT_THAT(told(), ElementsAre("process 41 (dd) has cciss!c0d0 open for writing"));
}

// As in a container: its /dev lacks the node, or the device's controller refuses it.
TEST_F(DiskUse, ADiskThatCannotBeAskedFor) {
    for (const int error : {EPERM, EACCES, ENOENT, ENODEV}) {
        claims["nvme0n1"] = error;
        const std::string why = std::generic_category().message(error);
        EXPECT_THAT(told(), ElementsAre("nvme0n1 may be in use: the kernel cannot be asked (" + why + ")"));
        EXPECT_EQ(uses_of(kBdf, tree.root).front().kind, Use::Kind::maybe_claim);
    }
    for (const int error : {ENOMEDIUM, ENXIO}) {
        claims["nvme0n1"] = error;
        EXPECT_THAT(told(), IsEmpty()) << "there is nothing in the drive";
    }
}

TEST_F(DiskUse, WhatTheKernelHasClaimed) {
    claims["nvme0n1"] = EBUSY;
    EXPECT_THAT(told(), ElementsAre("the kernel has claimed nvme0n1, and does not say for what"));
    claims["nvme0n1p2"] = EBUSY;
    EXPECT_THAT(uses_of(kBdf, tree.root),
                ElementsAre(Use{.kind = Use::Kind::claim, .through = "nvme0n1p2", .by = "nvme0n1p2"}));
    EXPECT_THAT(told(kOtherBdf), IsEmpty());
}

TEST_F(DiskUse, APoolThatMayBeThere) {
    tree.set_mounts("30 1 0:77 / /tank rw - zfs tank/home rw\n31 1 0:78 / /tank/x rw - zfs tank/x rw\n");
    EXPECT_THAT(told(), IsEmpty()) << "the disk was asked, and is free";
    claims["nvme0n1"] = EACCES;
    EXPECT_THAT(told(), ElementsAre("the ZFS pool tank may be on nvme0n1: whether it is cannot be read"));
    test::FakeTree::put(tree.root.proc / "spl/kstat/zfs/backup/state", "ONLINE\n");
    EXPECT_EQ(told().size(), 2u) << "a pool without a mount";
    claims["nvme0n1"] = EBUSY;
    EXPECT_THAT(told(), ElementsAre("the kernel has claimed nvme0n1, and does not say for what"));
}

TEST_F(DiskUse, AFileSystemOfSeveralDevices) {
    tree.set_mounts("30 1 0:78 / /srv rw - bcachefs /dev/sdb:/dev/nvme0n1p1 rw\n");
    EXPECT_THAT(told(), ElementsAre("nvme0n1p1 holds the file system that is mounted on /srv"));
    EXPECT_THAT(told(kOtherBdf), ElementsAre("sdb holds the file system that is mounted on /srv"));
}

TEST_F(DiskUse, ANodeWithColonsInItsName) {
    fs::create_directories(tree.root.dev / "disk/by-path");
    fs::create_symlink(tree.root.dev / "nvme0n1p1", tree.root.dev / "disk/by-path/pci-0000:01:00.0-part1");
    tree.set_mounts("30 1 0:78 / /srv rw - ext4 /dev/disk/by-path/pci-0000:01:00.0-part1 rw\n");
    EXPECT_THAT(told(), ElementsAre("nvme0n1p1 holds the file system that is mounted on /srv"));
}

TEST(Claim, IsOfTheDeviceOfThatNumberAlone) {
    EXPECT_EQ(detail::try_claim("/dev/null", "1:3"), ENODEV) << "no block device";
    EXPECT_EQ(detail::try_claim("/nowhere", "8:0"), ENOENT);
}

// --- the screen ---

TEST_F(UseOf, TheConsolesScreen) {
    tree.add_class_device("graphics", tree.device(kDevice) / "graphics/fb0");
    EXPECT_THAT(told(), IsEmpty()) << "nothing is written there";
    const auto console = tree.root.sys / "class/vtconsole/vtcon1";
    test::FakeTree::put(console / "name", "(M) frame buffer device\n");
    test::FakeTree::put(console / "bind", "0\n");
    EXPECT_THAT(told(), IsEmpty());
    test::FakeTree::put(console / "bind", "1\n");
    EXPECT_THAT(told(), ElementsAre("fb0 is the machine's console"));
    EXPECT_THAT(told(kOtherBdf), IsEmpty());
}

TEST_F(UseOf, KindsHaveNames) {
    EXPECT_EQ(name(Use::Kind::default_route), "default_route");
    EXPECT_EQ(name(Use::Kind::mount), "mount");
    EXPECT_EQ(name(Use::Kind::swap), "swap");
    EXPECT_EQ(name(Use::Kind::console), "console");
    EXPECT_EQ(name(Use::Kind::stack), "stack");
    EXPECT_EQ(name(Use::Kind::target), "target");
    EXPECT_EQ(name(Use::Kind::process), "process");
    EXPECT_EQ(name(Use::Kind::claim), "claim");
    EXPECT_EQ(name(Use::Kind::pool), "pool");
    EXPECT_EQ(name(Use::Kind::maybe_claim), "maybe_claim");
    EXPECT_EQ(name(Use::Kind::interface), "interface");
}

// --- who has it open ---

TEST_F(UseOf, HoldersAreNamed) {
    tree.set_group(kDevice, 7);
    fs::create_directories(tree.device(kDevice) / "vfio-dev/vfio3");
    fs::create_directories(tree.device(kDevice) / "uio/uio0");
    test::FakeTree::put(tree.device(kDevice) / "resource0", "");
    tree.add_process(30, "by-group", {"/dev/null", tree.root.dev / "vfio/7"});
    tree.add_process(9, "by-device", {tree.root.dev / "vfio/devices/vfio3"});
    tree.add_process(40, "by-uio", {tree.root.dev / "uio0"});
    tree.add_process(50, "by-bar", {fs::canonical(tree.device(kDevice)) / "resource0"});
    tree.add_process(60, "of-another", {tree.root.dev / "vfio/8"});
    tree.add_process(70, "with\x1b[2Jcontrols", {tree.root.dev / "uio0"});
    fs::create_directories(tree.root.proc / "99999999999999999999/fd");
    EXPECT_THAT(holders_of(kBdf, tree.root),
                ElementsAre(Holder{9, "by-device"}, Holder{30, "by-group"}, Holder{40, "by-uio"}, Holder{50, "by-bar"},
                            Holder{70, "with?[2Jcontrols"}));
    EXPECT_EQ(to_string(Holder{9, "by-device"}), "process 9 (by-device)");
    EXPECT_EQ(to_string(Holder{9, ""}), "process 9");
}

TEST_F(UseOf, AGroupThatDoesNotOpenIsHeld) {
    tree.set_group(kDevice, 7);
    detail::replace_try_open([&](const fs::path& node) { return node == tree.root.dev / "vfio/7" ? EBUSY : ENOENT; });
    tree.set_driver(kDevice, "nvme");
    EXPECT_FALSE(is_held(kBdf, tree.root)) << "not bound to vfio-pci";
    tree.set_driver(kDevice, "vfio-pci");
    EXPECT_TRUE(is_held(kBdf, tree.root));
    detail::replace_try_open([&](const fs::path& node) { return node.filename() == "noiommu-7" ? EBUSY : ENOENT; });
    EXPECT_TRUE(is_held(kBdf, tree.root)) << "the node where there is no IOMMU";
    detail::replace_try_open([](const fs::path&) { return EACCES; });
    EXPECT_FALSE(is_held(kBdf, tree.root));
}

// As it looks while a removal waits for whoever has the device open.
TEST_F(UseOf, ADeviceWhoseDriverIsBeingTakenAwayIsHeld) {
    tree.set_group(kDevice, 7);
    detail::replace_try_open([&](const fs::path& node) { return node == tree.root.dev / "vfio/7" ? EBUSY : ENOENT; });
    EXPECT_TRUE(is_held(kBdf, tree.root));
    tree.add_function("0000:01:00.1");
    tree.join_group("0000:01:00.1", 7);
    EXPECT_TRUE(is_held(kBdf, tree.root));
    tree.set_driver("0000:01:00.1", "vfio-pci");
    EXPECT_FALSE(is_held(kBdf, tree.root)) << "it may be that other one which is open";
}

TEST_F(UseOf, ADeviceWhoseNodeIsOpenIsHeld) {
    tree.set_driver(kDevice, "vfio-pci");
    fs::create_directories(tree.device(kDevice) / "vfio-dev/vfio3");
    EXPECT_FALSE(is_held(kBdf, tree.root));
    tree.add_process(9, "driver", {tree.root.dev / "vfio/devices/vfio3"});
    EXPECT_TRUE(is_held(kBdf, tree.root));
}

}  // namespace uiovfio
