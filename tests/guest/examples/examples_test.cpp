// SPDX-License-Identifier: MIT
// The programs of examples/, run as a reader would run them. EduExample and NvmeExample need no more than the device;
// what binds it to another driver, and so needs root, is in the two suites after them.
#include <cstdlib>
#include <sstream>
#include <uiovfio/bind.hpp>
#include <uiovfio/sysfs.hpp>

#include "../irqtest/tool.hpp"

namespace pcienic::test {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

// In the order of the suite's DEVICES.
constexpr int kEdu = 0;
constexpr int kNvme = 1;

std::string bdf(int device) {
    const char* all = std::getenv("PCIENIC_BDFS");
    std::istringstream words{all != nullptr ? all : ""};
    std::string word;
    for (int i = 0; i <= device; ++i) words >> word;
    return word;
}

// Through the backend of this suite, "auto" unless it names one.
std::string backend() {
    const char* named = std::getenv("EXAMPLES_BACKEND");
    return named != nullptr ? named : "auto";
}

Outcome edu() { return shell("edu " + bdf(kEdu) + " " + backend()); }
Outcome nvme(const std::string& block) { return shell("nvme " + bdf(kNvme) + " " + block + " " + backend()); }

/// What follows `before` in `text`, up to the next blank.
std::string word_after(const std::string& text, const std::string& before) {
    const auto found = text.find(before);
    if (found == std::string::npos) return {};
    std::istringstream rest{text.substr(found + before.size())};
    std::string word;
    rest >> word;
    return word;
}

TEST(EduExample, ComputesTenFactorialAndTellsItByAnInterrupt) {
    const Outcome said = edu();
    EXPECT_EQ(said.status, 0) << said.text;
    EXPECT_THAT(said.text,
                AllOf(HasSubstr("edu 1.0 "), HasSubstr("interrupts by MSI\n"),
                      HasSubstr("liveness   inverts what it is given\n"),
                      HasSubstr("interrupt  comes when it is asked for\n"), HasSubstr("factorial  10! = 3628800\n")));
    EXPECT_THAT(said.text, HasSubstr(backend() == "auto" ? " through " : " through " + backend() + ","));
}

TEST(EduExample, SendsBytesToTheDeviceAndBackAtAnAddressThatItReaches) {
    const Outcome said = edu();
    EXPECT_EQ(said.status, 0) << said.text;
    EXPECT_THAT(said.text, HasSubstr("to the device and back: equal\n"));
    const auto address = std::stoull(word_after(said.text, "from bus address "), nullptr, 16);
    EXPECT_GT(address, 0u);
    EXPECT_LT(address, 256u << 20);
}

TEST(EduExample, FindsItsDeviceByItself) { EXPECT_EQ(shell("edu").status, 0); }

TEST(EduExample, SaysWhatADeviceIsThatIsNoEdu) {
    const Outcome said = shell("edu " + bdf(kNvme));
    EXPECT_EQ(said.status, 1);
    EXPECT_EQ(said.text, "edu: " + bdf(kNvme) + " is 1b36:0010, and edu is 1234:11e8\n");
}

TEST(EduExample, PassesOnWhatTheLibraryRefuses) {
    const Outcome backend = shell("edu " + bdf(kEdu) + " telepathy");
    EXPECT_EQ(backend.status, 1);
    EXPECT_THAT(backend.text, HasSubstr("telepathy"));
    const Outcome address = shell("edu 0000:ff:1f.7");
    EXPECT_EQ(address.status, 1);
    EXPECT_THAT(address.text, AllOf(HasSubstr("0000:ff:1f.7"), HasSubstr("lspci -D")));
    EXPECT_EQ(shell("edu 1 2 3").status, 2);
}

TEST(NvmeExample, IdentifiesControllerAndNamespace) {
    const Outcome said = nvme("-");
    EXPECT_EQ(said.status, 0) << said.text;
    EXPECT_THAT(said.text, AllOf(HasSubstr("controller   QEMU NVMe Ctrl, serial pcienic-examples, firmware "),
                                 HasSubstr("namespace 1  16384 blocks of 512 bytes\n")));
    EXPECT_THAT(said.text, testing::Not(HasSubstr("written")));
}

TEST(NvmeExample, WritesABlockAndReadsItBack) {
    const Outcome first = nvme("7");
    EXPECT_EQ(first.status, 0) << first.text;
    EXPECT_THAT(first.text, ContainsRegex("block 7 +written, read back and equal: "));
    const Outcome second = nvme("16383");
    EXPECT_EQ(second.status, 0) << second.text;
    EXPECT_NE(word_after(second.text, "equal:"), "");
    EXPECT_NE(second.text.substr(second.text.find("equal:")), first.text.substr(first.text.find("equal:")));
}

TEST(NvmeExample, RefusesABlockBeyondTheEnd) {
    const Outcome said = nvme("16384");
    EXPECT_EQ(said.status, 1);
    EXPECT_THAT(said.text, HasSubstr("there is no such block"));
}

TEST(NvmeExample, SaysWhatADeviceIsThatIsNoNvmeController) {
    const Outcome said = shell("nvme " + bdf(kEdu));
    EXPECT_EQ(said.status, 1);
    EXPECT_EQ(said.text, "nvme: " + bdf(kEdu) + " is 1234:11e8 of class 00ff00, and NVMe is 010802\n");
}

TEST(NvmeExample, TellsItsUsage) {
    for (const char* arguments : {"", " 1 2 3 4", " 0000:00:00.0x"})
        EXPECT_NE(shell(std::string{"nvme"} + arguments).status, 0) << arguments;
    EXPECT_EQ(shell("nvme").status, 2);
    const Outcome said = shell("nvme " + bdf(kNvme) + " seven");
    EXPECT_EQ(said.status, 2);
    EXPECT_THAT(said.text, HasSubstr("usage: nvme DEVICE"));
}

// The same bytes by another way: the kernel's own driver reads what ours has written.
TEST(NvmeWithTheKernel, ReadsWhatTheExampleWrote) {
    const Outcome said = nvme("42");
    ASSERT_EQ(said.status, 0) << said.text;
    ASSERT_EQ(shell("modprobe nvme").status, 0);
    const uiovfio::ScopedBinding kernel{uiovfio::Bdf::parse(bdf(kNvme)), "nvme"};
    // The disk appears some time after the driver has the controller.
    const Outcome bytes = shell(
        "until [ -b /dev/nvme0n1 ]; do sleep 0.1; done; "
        "dd if=/dev/nvme0n1 bs=512 skip=42 count=1 2>/dev/null | od -An -tx1 -N8");
    std::istringstream read{bytes.text};
    std::istringstream printed{said.text.substr(said.text.find("equal:") + 6)};
    for (int i = 0; i < 8; ++i) {
        std::string theirs;
        std::string ours;
        read >> theirs;
        printed >> ours;
        EXPECT_EQ(theirs, ours) << "byte " << i << ": " << bytes.text << said.text;
    }
}

TEST(NotBound, ShowsTheLibrarysRemedy) {
    for (const auto& [program, device] : {std::pair{"edu ", kEdu}, std::pair{"nvme ", kNvme}}) {
        const auto function = uiovfio::Bdf::parse(bdf(device));
        uiovfio::unbind(function);
        const Outcome said = shell(program + bdf(device));
        EXPECT_EQ(said.status, 1);
        EXPECT_THAT(said.text,
                    AllOf(HasSubstr(bdf(device)), HasSubstr("vfio-pci"), HasSubstr("bind it with `pcienic-ctl")));
        uiovfio::bind(function, "vfio-pci");
        EXPECT_EQ(shell(program + bdf(device)).status, 0);
    }
}

}  // namespace
}  // namespace pcienic::test
