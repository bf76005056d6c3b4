// SPDX-License-Identifier: MIT
// Binding on a running machine: what it uses is not taken from it, groups go as a whole, and what was bound is given
// back also where the one who bound it was killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill() is not in <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <uiovfio/device.hpp>
#include <uiovfio/sysfs.hpp>
#include <vector>

#include "ctl.hpp"
#include "expect.hpp"

namespace pcienic::test {
namespace {

using testing::HasSubstr;
using uiovfio::Bdf;
using uiovfio::PciFunction;

// A watchdog, not a measure: an emulated guest on a busy machine is slow.
constexpr auto kPatience = std::chrono::seconds(120);

constexpr std::uint32_t kEthernet = 0x020000;
constexpr std::uint32_t kNvme = 0x010802;
constexpr std::uint16_t kVirtioNet = 0x1000;

template <class Condition>
std::string find_function(Condition&& condition) {
    for (const PciFunction& function : uiovfio::enumerate())
        if (condition(function)) return to_string(function.bdf);
    ADD_FAILURE() << "the guest lacks a device that CMakeLists.txt names";
    return "ff:1f.7";
}

template <class Condition>
bool await(Condition&& condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

/// The machine's network: a virtio interface with the default route over it.
class BindingNic : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(shell("modprobe virtio_pci && modprobe virtio_net").status, 0);
        ASSERT_TRUE(await([&] { return driver_of(nic) == "virtio-pci" && !interface_name().empty(); }));
        const std::string up = "ip link set " + interface_name() + " up && ip addr add 192.0.2.15/24 dev " +
                               interface_name() + " && ip route add default via 192.0.2.2";
        ASSERT_EQ(shell(up).status, 0) << contents("/tmp/err");
    }
    void TearDown() override { shell("ip route del default; ip addr flush dev " + interface_name()); }

    [[nodiscard]] std::string interface_name() const {
        Outcome listed = shell("ls /sys/bus/pci/devices/" + nic + "/virtio*/net");
        return listed.out.substr(0, listed.out.find('\n'));
    }

    const std::string nic = find_function(
        [](const PciFunction& function) { return function.class_code == kEthernet && function.device == kVirtioNet; });
};

TEST_F(BindingNic, OfTheDefaultRouteIsNotTaken) {
    const guest::ExpectGuestError no_cable{"nic virtio-net-pci.0 has no peer"};
    const std::string interface = interface_name();
    EXPECT_REFUSED(ctl("-s " + nic + " bind"), 2, HasSubstr("default route"), HasSubstr(interface));
    EXPECT_REFUSED(ctl("-s " + nic + " with -- true"), 2, HasSubstr("default route"));
    EXPECT_EQ(driver_of(nic), "virtio-pci");
}

TEST_F(BindingNic, IsTakenWhereSomebodyInsistsAndGivenBack) {
    EXPECT_OUTPUT(ctl("-s " + nic + " bind --force"), nic + ": virtio-pci -> vfio-pci\n");
    EXPECT_OUTPUT(ctl("-s " + nic + " restore"), nic + ": vfio-pci -> virtio-pci\n");
    EXPECT_TRUE(await([&] { return !interface_name().empty(); }));
}

TEST_F(BindingNic, IsTakenOnceTheMachineDoesNotUseIt) {
    ASSERT_EQ(shell("ip route del default; ip link set " + interface_name() + " down").status, 0);
    EXPECT_OUTPUT(ctl("-s " + nic + " bind"), nic + ": virtio-pci -> vfio-pci\n");
    EXPECT_OUTPUT(ctl("-s " + nic + " restore"), nic + ": vfio-pci -> virtio-pci\n");
    EXPECT_TRUE(await([&] { return !interface_name().empty(); }));
}

/// Two functions of one IOMMU group, one of which has a driver of the kernel's.
class BindingGroup : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(shell("modprobe nvme").status, 0); }
    void TearDown() override { ctl("restore --all"); }

    static std::string member(std::uint32_t class_code) {
        return find_function([&](const PciFunction& function) {
            return function.group_members.size() == 2 && function.class_code == class_code;
        });
    }

    const std::string nvme = member(kNvme);
    const std::string other = member(kEthernet);
};

TEST_F(BindingGroup, IsExplainedWhereOneMemberIsMissing) {
    ASSERT_TRUE(await([&] { return driver_of(nvme) == "nvme"; }));
    const Outcome bound = ctl("-s " + other + " bind");
    EXPECT_EQ(bound.status, 0);
    EXPECT_THAT(bound.err, AllOf(HasSubstr("cannot be opened yet"), HasSubstr(nvme)));
    EXPECT_REFUSED(ctl("-s " + other + " read 0"), 4, HasSubstr(nvme));
}

TEST_F(BindingGroup, IsTakenAndGivenBackAsAWhole) {
    ASSERT_TRUE(await([&] { return driver_of(nvme) == "nvme"; }));
    const Outcome bound = ctl("-s " + other + " bind --group");
    EXPECT_EQ(bound.status, 0) << bound.err;
    EXPECT_EQ(driver_of(nvme), "vfio-pci");
    EXPECT_EQ(driver_of(other), "vfio-pci");
    EXPECT_EQ(ctl("-s " + other + " read 0").status, 0);
    EXPECT_EQ(ctl("restore --all").status, 0);
    EXPECT_EQ(driver_of(nvme), "nvme");
    EXPECT_EQ(driver_of(other), "");
}

/// A device with a driver of the kernel's, alone in its group.
class BindingWith : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(shell("modprobe nvme").status, 0);
        if (driver_of(nvme) != "nvme") {
            ASSERT_EQ(ctl("-s " + nvme + " unbind").status, 0);
        }
        ASSERT_TRUE(await([&] { return driver_of(nvme) == "nvme"; }));
    }

    const std::string nvme = find_function(
        [](const PciFunction& function) { return function.group_members.size() == 1 && function.class_code == kNvme; });
};

TEST_F(BindingWith, LendsTheDeviceForAsLongAsTheCommandRuns) {
    const std::string show = "'basename $(readlink /sys/bus/pci/devices/$PCIENIC_BDF/driver); exit 7'";
    const Outcome lent = ctl("-s " + nvme + " with -- sh -c " + show);
    EXPECT_EQ(lent.status, 7) << lent.err;
    EXPECT_THAT(lent.out, HasSubstr("vfio-pci\n"));
    EXPECT_EQ(driver_of(nvme), "nvme");
}

TEST_F(BindingWith, TakesTheDeviceBackFromACommandThatCrashes) {
    const Outcome lent = ctl("-s " + nvme + " with -- sh -c 'kill -SEGV $$'");
    EXPECT_EQ(lent.status, 128 + SIGSEGV) << lent.err;
    EXPECT_EQ(driver_of(nvme), "nvme");
}

TEST_F(BindingWith, LeavesARecordWhereItIsKilledItself) {
    const pid_t supervisor = ::fork();
    ASSERT_GE(supervisor, 0);  // kill() takes -1 for every process
    if (supervisor == 0) {
        ::execlp("pcienic-ctl", "pcienic-ctl", "-s", nvme.c_str(), "with", "--", "sleep", "1000", nullptr);
        ::_exit(127);
    }
    EXPECT_TRUE(await([&] { return driver_of(nvme) == "vfio-pci" && shell("pidof sleep").status == 0; }));
    EXPECT_EQ(::kill(supervisor, SIGKILL), 0);
    EXPECT_EQ(::waitpid(supervisor, nullptr, 0), supervisor);
    shell("kill $(pidof sleep)");
    EXPECT_EQ(driver_of(nvme), "vfio-pci");
    EXPECT_OUTPUT(ctl("restore --all"), nvme + ": vfio-pci -> nvme\n");
    EXPECT_EQ(driver_of(nvme), "nvme");
}

}  // namespace
}  // namespace pcienic::test
