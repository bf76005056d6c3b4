// SPDX-License-Identifier: MIT
// The guest itself: what every other guest test takes for granted. It runs with QEMU's own edu device, so that a
// failure here is never ours in the device or the library.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>

#include "expect.hpp"
#include "qmp.hpp"

namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::string contents(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

fs::path device(const std::string& bdf) { return fs::path("/sys/bus/pci/devices") / bdf; }
fs::path device() { return device(environment("PCIENIC_BDF")); }

std::string second_bdf() { return environment("PCIENIC_BDFS").substr(environment("PCIENIC_BDF").size() + 1); }

TEST(Rig, NamesTheDevice) {
    EXPECT_EQ(contents(device() / "vendor"), "0x1234\n");
    EXPECT_EQ(contents(device() / "device"), "0x11e8\n");
}

TEST(Rig, NamesEveryDeviceInTheOrderGiven) {
    EXPECT_EQ(environment("PCIENIC_BDFS").substr(0, environment("PCIENIC_BDF").size() + 1),
              environment("PCIENIC_BDF") + " ");
    EXPECT_EQ(contents(device(second_bdf()) / "class"), "0x010802\n") << "the NVMe controller";
}

TEST(Rig, BindsTheDeviceToVfioPci) { EXPECT_EQ(fs::read_symlink(device() / "driver").filename(), "vfio-pci"); }

TEST(Rig, PutsTheDeviceAloneIntoAnIommuGroup) {
    const auto group = fs::read_symlink(device() / "iommu_group").filename();
    EXPECT_TRUE(fs::is_character_file(fs::path("/dev/vfio") / group));
    const fs::directory_iterator members(device() / "iommu_group/devices");
    EXPECT_EQ(std::distance(begin(members), end(members)), 1);
}

TEST(Rig, RemapsInterrupts) {
    EXPECT_NE(contents("/proc/interrupts").find("IR-"), std::string::npos)
        << "the interrupt controllers' names begin with IR-";
}

TEST(Rig, HasHugepages) {
    EXPECT_NE(contents("/proc/sys/vm/nr_hugepages"), "0\n");
    EXPECT_TRUE(fs::is_directory("/dev/hugepages"));
}

TEST(Rig, CanLoadUioPciGeneric) {
    EXPECT_EQ(std::system("/usr/bin/modprobe uio_pci_generic"), 0);
    EXPECT_TRUE(fs::is_directory("/sys/bus/pci/drivers/uio_pci_generic"));
}

TEST(Rig, HasTheRealLspci) { EXPECT_EQ(std::system("lspci --version"), 0); }

TEST(Rig, PassesExitStatusesOn) {
    const int status = std::system("exit 7");
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(Rig, SetsTheEnvironmentOfTheSuite) { EXPECT_EQ(environment("RIG_SAYS"), "two words, $HOME 'quoted'"); }

TEST(Rig, HasNoStandardInput) { EXPECT_EQ(fs::read_symlink("/proc/self/fd/0"), "/dev/null"); }

/// The registers in a device's first BAR through sysfs, with memory decoding and bus mastering switched on for as long
/// as this exists.
class Registers {
  public:
    static constexpr std::uint16_t kMemory = 2, kBusMaster = 4;

    explicit Registers(const fs::path& device) : config_(::open((device / "config").c_str(), O_RDWR | O_CLOEXEC)) {
        command(kMemory | kBusMaster);
        const int file = ::open((device / "resource0").c_str(), O_RDWR | O_SYNC | O_CLOEXEC);
        base_ = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        ::close(file);
        if (base_ == MAP_FAILED) {
            throw std::system_error(errno, std::generic_category(), "mapping the registers of " + device.string());
        }
    }
    Registers(const Registers&) = delete;
    Registers& operator=(const Registers&) = delete;
    ~Registers() {
        ::munmap(base_, kSize);
        command(0);
        ::close(config_);
    }

    template <typename T>
    volatile T& at(std::size_t offset) const {
        return *reinterpret_cast<volatile T*>(static_cast<char*>(base_) + offset);
    }

    void command(std::uint16_t value) const { EXPECT_EQ(::pwrite(config_, &value, sizeof value, 4), 2); }

  private:
    static constexpr std::size_t kSize = 0x1000;

    int config_;
    void* base_ = nullptr;
};

TEST(Rig, SeesTheIommuRefuseAnUnmappedAddress) {
    const pcienic::guest::ExpectDmarFault fault{"DMA Read.*fault addr 0x3210000 "};
    const Registers edu{device()};
    edu.at<std::uint64_t>(0x80) = 0x3210000;  // from here, which is not mapped
    edu.at<std::uint64_t>(0x88) = 0x40000;    // into the device's own buffer
    edu.at<std::uint64_t>(0x90) = 16;
    edu.at<std::uint64_t>(0x98) = 1;
    while ((edu.at<std::uint64_t>(0x98) & 1) != 0) {
        ::usleep(1000);
    }
}

TEST(Rig, SeesQemuLogAGuestError) {
    const pcienic::guest::ExpectGuestError error{"Invalid write at addr 0x0, size 1, region 'edu-mmio'"};
    const Registers edu{device()};
    edu.at<std::uint8_t>(0) = 1;  // edu's registers take no access below four bytes
}

/// Where the device's first BAR begins.
std::uint64_t first_bar(const fs::path& device) { return std::stoull(contents(device / "resource"), nullptr, 16); }

/// A read at the end of a long translation block: between two blocks a processor takes notice of a change in any case.
/// QEMU before 9 runs eight reads in a row as one block; later ones begin a new one at each, but not without having
/// begun what comes before it, and take no notice in between. The x87 is slow: QEMU computes it in software.
std::uint32_t read_late(const volatile std::uint32_t& where) {
    std::uint32_t value = 0;
#ifdef __x86_64__
    asm volatile(
        "fld1; fchs; fld1; fscale; fstp %%st(1)\n\t"
        ".rept 32; f2xm1; .endr\n\t"
        "movl %1, %0\n\t"
        "fstp %%st(0)"
        : "=r"(value)
        : "m"(where)
        : "st", "st(1)", "memory");
#else
    value = where;
#endif
    return value;
}

// Each access of one processor must find the device that it was meant for while the other processor changes the memory
// map. QEMU before 8.1.1, and 10 from 10.0.4 on, lets it find another one, or ends in an assertion:
// qemu-device/overlay/backports.
TEST(Rig, ReachesTheRightDeviceWhileAnotherOneComesAndGoes) {
    const Registers edu{device()}, nvme{device(second_bdf())};
    // What lies above the region that comes and goes changes its place in QEMU's list of regions.
    const bool edu_stays = first_bar(device()) > first_bar(device(second_bdf()));
    const volatile std::uint32_t& staying = edu_stays ? edu.at<std::uint32_t>(0) : nvme.at<std::uint32_t>(8);
    const std::uint32_t expected = edu_stays ? 0x010000ed : 0x00010400;  // edu's identification, NVMe's version 1.4
    const Registers& going = edu_stays ? nvme : edu;

    std::atomic<bool> stop{false};
    std::size_t reads = 0;
    std::ptrdiff_t wrong = 0;
    std::thread reader([&] {
        while (!stop) {
            const std::array<std::uint32_t, 9> values{staying, staying, staying, staying,           staying,
                                                      staying, staying, staying, read_late(staying)};
            reads += values.size();
            wrong += std::ranges::count_if(values, [=](std::uint32_t value) { return value != expected; });
        }
    });
    for (int change = 0; change < 2000; ++change) {
        going.command(0);
        going.command(Registers::kMemory);
    }
    stop = true;
    reader.join();
    EXPECT_EQ(wrong, 0) << "of " << reads << " reads";
    EXPECT_GT(reads, 0);
}

/// Waits until the path exists, or until it does not; the suite's watchdog ends what never comes.
void await(const fs::path& path, bool exists) {
    while (fs::exists(path) != exists) {
        ::usleep(1000);
    }
}

// What is plugged in has no driver in the kernel: Linux 6.1 dies where an NVMe controller goes while it is being
// probed.
TEST(Rig, UnplugsAndPlugsADeviceWhenATestAsksForIt) {
    const auto all = environment("PCIENIC_BDFS");
    const fs::path device = fs::path("/sys/bus/pci/devices") / all.substr(all.rfind(' ') + 1);
    for (int cycle = 0; cycle < 3; ++cycle) {
        pcienic::guest::qmp("device_del", {{"id", "dev1"}});
        await(device, false);
        pcienic::guest::qmp("device_add", {{"driver", "pcienic"}, {"id", "dev1"}, {"bus", "port1"}});
        await(device, true);
    }
    EXPECT_EQ(contents(device / "class"), "0x020000\n");
}

}  // namespace
