// SPDX-License-Identifier: MIT
// A disk that is in use is not taken from the machine, and what is advised then frees it: each case puts the disk to a
// use, is refused, runs the very command of the message, and has the disk.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <uiovfio/sysfs.hpp>

#include "ctl.hpp"
#include "remedy.hpp"

namespace pcienic::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

// A watchdog, not a measure.
constexpr auto kPatience = std::chrono::seconds(120);

template <class Condition>
bool await(Condition&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

std::string find_disk() {
    for (const uiovfio::PciFunction& function : uiovfio::enumerate())
        if (function.class_code == 0x010802) return to_string(function.bdf);
    ADD_FAILURE() << "the guest lacks the disk that CMakeLists.txt names";
    return "ff:1f.7";
}

class DiskInUse : public testing::Test {
  protected:
    void SetUp() override {
        shell("modprobe nvme; modprobe vfio-pci");
        if (driver_of(disk) != "nvme") shell("echo " + disk + " >/sys/bus/pci/drivers/nvme/bind");
        ASSERT_TRUE(await([&] { return fs::exists(kNode); })) << "the kernel has found no disk";
    }
    void TearDown() override { ctl("restore --all"); }

    /// Whether the guest has what a case is about.
    static bool has(const std::string& what) { return shell(what).status == 0; }

    [[nodiscard]] Outcome bind() const { return ctl("-s " + disk + " bind"); }

    void expect_taken() const {
        EXPECT_OUTPUT(bind(), disk + ": nvme -> vfio-pci\n");
        EXPECT_EQ(driver_of(disk), "vfio-pci");
    }

    /// Refused with this reason; then taken, once the command that the message gives has run.
    void expect_held(const std::string& why, const std::string& remedy) const {
        const Outcome refused = bind();
        EXPECT_EQ(refused.status, 2) << refused.out << refused.err;
        EXPECT_THAT(refused.err, AllOf(HasSubstr(why), HasSubstr("--force")));
        EXPECT_EQ(driver_of(disk), "nvme");
        EXPECT_THAT(ctl("-s " + disk + " -n bind").out, HasSubstr(why)) << "told beforehand, too";
        follow(refused.err, remedy);
        expect_taken();
    }

    static constexpr const char* kNode = "/dev/nvme0n1";
    const std::string disk = find_disk();
};

TEST_F(DiskInUse, ByNothingIsTakenAndGivenBack) {
    expect_taken();
    EXPECT_OUTPUT(ctl("-s " + disk + " restore"), disk + ": vfio-pci -> nvme\n");
    EXPECT_TRUE(await([&] { return fs::exists(kNode); }));
}

TEST_F(DiskInUse, ByAFileSystem) {
    if (!has("modprobe ext4")) GTEST_SKIP() << "the guest has no ext4, which mounts the ext2 of BusyBox's mke2fs";
    for (const std::string point : {"/tmp/mnt", "/tmp/it's mine"}) {
        fs::create_directories(point);
        ASSERT_EQ(shell("mke2fs -F /dev/nvme0n1 && mount -t ext2 /dev/nvme0n1 \"" + point + '"').status, 0)
            << contents("/tmp/err");
        expect_held("holds the file system that is mounted on " + point,
                    point == "/tmp/mnt" ? "umount /tmp/mnt" : R"(umount '/tmp/it'\''s mine')");
        TearDown();
        SetUp();
    }
}

TEST_F(DiskInUse, BySwapSpace) {
    ASSERT_EQ(shell("mkswap /dev/nvme0n1 && swapon /dev/nvme0n1").status, 0) << contents("/tmp/err");
    expect_held("nvme0n1 is swap space in use", "swapoff /dev/nvme0n1");
}

TEST_F(DiskInUse, ByAMappedDevice) {
    if (!has("modprobe dm_mod && dmsetup version")) GTEST_SKIP() << "the guest has no dm_mod, or the host no dmsetup";
    ASSERT_EQ(shell("dmsetup create mapped --table '0 8192 linear /dev/nvme0n1 0'").status, 0) << contents("/tmp/err");
    expect_held("nvme0n1 is part of dm-0", "dmsetup remove mapped");
}

TEST_F(DiskInUse, ByARaid) {
    if (!has("modprobe raid1")) GTEST_SKIP() << "the guest has no raid1";
    // As mdadm assembles one without metadata, from a single disk.
    const std::string md = "/sys/block/md127/md";
    ASSERT_EQ(shell("echo md127 >/sys/module/md_mod/parameters/new_array && cd " + md +
                    " && echo none >metadata_version && echo raid1 >level && echo 1 >raid_disks && echo 8192 "
                    ">component_size && cat /sys/block/nvme0n1/dev >new_dev && echo 0 >dev-nvme0n1/slot && echo active "
                    ">array_state")
                  .status,
              0)
        << contents("/tmp/err");
    expect_held("nvme0n1 is part of md127", "echo clear > /sys/block/md127/md/array_state");
}

TEST_F(DiskInUse, ByALoopDevice) {
    if (!has("modprobe loop")) GTEST_SKIP() << "the guest has no loop devices";
    ASSERT_EQ(shell("losetup /dev/loop0 /dev/nvme0n1").status, 0) << contents("/tmp/err");
    expect_held("nvme0n1 is part of loop0", "losetup -d /dev/loop0");
}

TEST_F(DiskInUse, ByAnotherMachine) {
    if (!has("modprobe nvmet && (mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config)"))
        GTEST_SKIP() << "the guest has no nvmet";
    const std::string space = "/sys/kernel/config/nvmet/subsystems/test/namespaces/1";
    ASSERT_EQ(shell("mkdir /sys/kernel/config/nvmet/subsystems/test && mkdir " + space + " && cd " + space +
                    " && echo -n /dev/nvme0n1 >device_path && echo 1 >enable")
                  .status,
              0)
        << contents("/tmp/err");
    expect_held("nvme0n1 is given to other machines by " + space, "echo 0 > " + space + "/enable");
    shell("rmdir " + space + " /sys/kernel/config/nvmet/subsystems/test");
}

TEST_F(DiskInUse, ByAProcessThatWritesToIt) {
    const int file = ::open(kNode, O_RDWR | O_CLOEXEC);
    ASSERT_GE(file, 0);
    const Outcome refused = bind();
    EXPECT_EQ(refused.status, 2);
    EXPECT_THAT(refused.err, AllOf(HasSubstr("process " + std::to_string(::getpid()) + " ("),
                                   HasSubstr("has nvme0n1 open for writing: end that process first")));
    ::close(file);
    expect_taken();
}

// As ZFS, an iSCSI target and a file system's second device have it: claimed, and named nowhere.
TEST_F(DiskInUse, ByWhatDoesNotSaySo) {
    const int file = ::open(kNode, O_RDONLY | O_EXCL | O_CLOEXEC);
    ASSERT_GE(file, 0);
    EXPECT_REFUSED(bind(), 2, HasSubstr("the kernel has claimed nvme0n1"));
    ::close(file);
    const int reader = ::open(kNode, O_RDONLY | O_CLOEXEC);
    ASSERT_GE(reader, 0);
    expect_taken();
    ::close(reader);
}

TEST_F(DiskInUse, IsTakenWhereSomebodyInsists) {
    ASSERT_EQ(shell("mkswap /dev/nvme0n1").status, 0);
    const int file = ::open(kNode, O_RDONLY | O_EXCL | O_CLOEXEC);
    ASSERT_GE(file, 0);
    EXPECT_OUTPUT(ctl("-s " + disk + " bind --force"), disk + ": nvme -> vfio-pci\n");
    ::close(file);
}

TEST_F(DiskInUse, IsNotMeantByItsName) {
    for (const char* name : {"nvme0n1", "/dev/nvme0n1"}) {
        EXPECT_REFUSED(ctl(std::string{"-s "} + name + " -n bind"), 2, HasSubstr(disk + ": write that address"));
        EXPECT_REFUSED(ctl(std::string{"doctor "} + name), 2, HasSubstr(disk + ": write that address"));
        const Outcome listed = shell(std::string{"pcienic-ls -s "} + name);
        EXPECT_EQ(listed.status, 2);
        EXPECT_THAT(listed.err, HasSubstr(disk + ": write that address"));
    }
}

}  // namespace
}  // namespace pcienic::test
