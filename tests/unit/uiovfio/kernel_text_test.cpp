// SPDX-License-Identifier: MIT
#include "kernel_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace uiovfio::detail {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(KernelText, DefaultRoutesAreThoseInForceThatLeadAnywhere) {
    EXPECT_THAT(parse_default_routes("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n"
                                     "eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0   \n"
                                     "eth0\t00000000\t020200C0\t0003\t0\t0\t200\t00000000\t0\t0\t0   \n"
                                     "eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
                                     "eth2\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n"
                                     "eth3\t00000000\t00000000\t0002\t0\t0\t0\t00000000\t0\t0\t0\n"
                                     "*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n"
                                     "wg0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0"),
                ElementsAre("eth0", "wg0"));
}

TEST(KernelText, DefaultRoutesOfIpv6) {
    const std::string any = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 ";
    EXPECT_THAT(parse_default_routes_ipv6(
                    any + "fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0\n" + any +
                    "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n" +
                    "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 "
                    "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1\n"),
                ElementsAre("eth0"));
}

TEST(KernelText, RoutesWithNamesThatAreNoneAreLeftOut) {
    EXPECT_THAT(parse_default_routes("../x\t0\t0\t1\t0\t0\t0\t0\n..\t0\t0\t1\t0\t0\t0\t0\n"), IsEmpty());
    EXPECT_THAT(parse_default_routes("eth0\t\teth0\n\n\neth0"), IsEmpty());
    EXPECT_THAT(parse_default_routes_ipv6("0 0 0 0 0 0 0 0 1 a/b\n0 0 0\n"), IsEmpty());
}

TEST(KernelText, Mounts) {
    EXPECT_THAT(parse_mounts("30 1 8:2 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw,errors=remount-ro\n"
                             "31 1 0:5 / /mnt/a\\040b\\134c\\011d rw - tmpfs none rw\n"
                             "32 1 0:6 / /no-source rw -\n"
                             "33 1 0:6 / /no-end rw shared:1\n"
                             "34 1 0:7 / /esc\x1b[2J rw - tmpfs x rw\n"
                             "\n"),
                ElementsAre(Mount{"8:2", "/", "ext4", "/dev/root", "rw,errors=remount-ro"},
                            Mount{"0:5", "/mnt/a b\\c\\011d", "tmpfs", "none", "rw"},
                            Mount{"0:7", "/esc?[2J", "tmpfs", "x", "rw"}));
}

TEST(KernelText, SwapsAreBlockDevices) {
    EXPECT_THAT(parse_swaps("Filename\tType\tSize\n/swapfile file 1\n/dev/sda2 partition 1\n/dev/zram0"),
                ElementsAre("/dev/sda2"));
}

TEST(KernelText, MemoryLockLimits) {
    EXPECT_EQ(parse_memory_lock_limits("Limit                     Soft Limit           Hard Limit           Units\n"
                                       "Max locked memory         8388608              unlimited            bytes\n"),
              (MemoryLockLimits{8388608, std::nullopt}));
    EXPECT_EQ(parse_memory_lock_limits("Max locked memory nonsense 5 bytes\n"), std::nullopt);
    EXPECT_EQ(parse_memory_lock_limits("Max locked memory"), std::nullopt);
    EXPECT_EQ(parse_memory_lock_limits("Max open files 1 1 files\n"), std::nullopt);
}

TEST(KernelText, StatusValues) {
    const std::string text = "Name:\tcat\nCapEffective:\t1\nCapEff:\t000001ffffffffff\nCapBnd\n";
    EXPECT_EQ(parse_status_value(text, "CapEff"), "000001ffffffffff");
    EXPECT_EQ(parse_status_value(text, "CapBnd"), std::nullopt);
    EXPECT_EQ(parse_status_value("Seccomp:", "Seccomp"), "");
}

TEST(KernelText, Choices) {
    EXPECT_EQ(parse_choice("none [integrity] confidentiality"), "integrity");
    EXPECT_EQ(parse_choice("none"), "");
    EXPECT_EQ(parse_choice("none [inte"), "");
    EXPECT_EQ(parse_choice("]none[x]"), "x");
}

TEST(KernelText, NamesAndNumbers) {
    for (const char* name : {"eth0", "HDA Intel", "cciss!c0d0", "br-0f.1", "*"}) EXPECT_TRUE(is_name(name)) << name;
    for (const char* name : {"", ".", "..", "a/b", "a\tb", "\x7f", "\xc3\xa4"}) EXPECT_FALSE(is_name(name)) << name;
    EXPECT_EQ(to_number("0xff", 16), 255u);
    EXPECT_EQ(to_number("ff", 16), 255u);
    for (const char* text : {"", "0x", "-1", "1x", " 1", "18446744073709551616"}) EXPECT_FALSE(to_number(text, 10));
}

}  // namespace uiovfio::detail
