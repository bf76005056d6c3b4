// SPDX-License-Identifier: MIT
// A device that a program has set to work, and that works on when the program is killed, must not reach the memory of
// the next program: bus addresses begin where they began before. Opening resets a device, if that is possible.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <uiovfio/uiovfio.hpp>

#include "expect.hpp"
#include "pcienic/driver.hpp"

namespace pcienic::guest {
namespace {

using uiovfio::Access;
using uiovfio::Bdf;
using uiovfio::Device;
using uiovfio::Field;
using uiovfio::InterruptMode;
using uiovfio::Iova;
using uiovfio::Register;

constexpr std::chrono::seconds kPatience{60};
constexpr std::size_t kPage = 4096;

// In the order of the suites' DEVICES.
enum : int { kEdu, kE1000e, kPcienic, kOnRootBus };

Bdf bdf(int device) {
    if (device == kOnRootBus) return Bdf::parse("0000:00:08.0");
    const char* all = std::getenv("PCIENIC_BDFS");
    std::istringstream words{all != nullptr ? all : ""};
    std::string word;
    for (int i = 0; i <= device; ++i) words >> word;
    return Bdf::parse(word);
}

Device open(int device) {
    const char* backend = std::getenv("PCIENIC_BACKEND");
    return Device::open(bdf(device), {.backend = backend != nullptr ? backend : "vfio"});
}

/// Does it in another process, which is then killed: nothing of it is tidied up but by the kernel.
void in_a_process_that_is_killed(const std::function<void()>& action) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        try {
            action();
        } catch (const std::exception& error) {
            fmt::print(stderr, "{}\n", error.what());
            ::_exit(1);
        }
        ::raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it did not come as far as being killed";
}

// QEMU's docs/specs/edu.rst, "DMA controller".
struct DmaSource : Register<0x80, std::uint64_t, Access::rw> {};
struct DmaDestination : Register<0x88, std::uint64_t, Access::rw> {};
struct DmaCount : Register<0x90, std::uint64_t, Access::rw> {};
struct DmaCommand : Register<0x98, std::uint64_t, Access::rw> {
    using Run = Field<DmaCommand, 0, 0, Access::rw>;
    using ToMemory = Field<DmaCommand, 1, 1, Access::rw>;
};
constexpr std::uint64_t kEduBuffer = 0x40000;

class Page {
  public:
    Page()
        : at_{static_cast<std::byte*>(
              ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))} {}
    ~Page() { ::munmap(at_, kPage); }
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;
    [[nodiscard]] std::span<std::byte> bytes() const { return {at_, kPage}; }

  private:
    std::byte* at_;
};

constexpr Iova kAddress{0x10000};

/// Has an edu write to kAddress in a tenth of a second, and leaves it with that.
void start_edu() {
    auto device = open(kEdu);
    static const Page page;  // lives as long as the process
    static const auto mapping = device.dma().map(page.bytes(), {.iova = kAddress});
    device.config().set_bus_master(true);
    auto registers = device.bar(0).window(0, 0x1000);
    DmaSource::write(registers, kEduBuffer);
    DmaDestination::write(registers, to_integer(kAddress));
    DmaCount::write(registers, 64u);
    DmaCommand::write(registers, DmaCommand::Value{}.set<DmaCommand::Run>(true).set<DmaCommand::ToMemory>(true));
    ::raise(SIGKILL);  // before the device is closed
}

TEST(LeftRunning, AnEduReachesNothingOfTheNextPrograms) {
    constexpr int kAttempts = 20;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        ASSERT_NO_FATAL_FAILURE(in_a_process_that_is_killed(start_edu));
        auto device = open(kEdu);
        auto registers = device.bar(0).window(0, 0x1000);
        const bool is_at_work = DmaCommand::Run::read(registers);
        EXPECT_FALSE(device.can_reset());
        EXPECT_FALSE(device.was_reset());
        EXPECT_FALSE(device.config().bus_master());
        const Page page;
        std::ranges::fill(page.bytes(), std::byte{0xaa});
        const auto mapping = device.dma().map(page.bytes(), {.iova = kAddress});
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (DmaCommand::Run::read(registers) && std::chrono::steady_clock::now() < deadline)
            std::this_thread::yield();
        ASSERT_FALSE(DmaCommand::Run::read(registers));
        EXPECT_TRUE(std::ranges::all_of(page.bytes(), [](std::byte byte) { return byte == std::byte{0xaa}; }))
            << "the device has written to memory of which it was told nothing";
        if (!is_at_work) continue;  // the machine took longer than the device did
        // QEMU's word for a write of a device that is no bus master.
        const ExpectGuestError refused{"Invalid write at addr 0x100[0-3][0-9A-F], "};  // 64 bytes from kAddress on
        // The same transfer, wanted: that is what would have been seen.
        device.config().set_bus_master(true);
        DmaCommand::write(registers, DmaCommand::Value{}.set<DmaCommand::Run>(true).set<DmaCommand::ToMemory>(true));
        while (DmaCommand::Run::read(registers) && std::chrono::steady_clock::now() < deadline)
            std::this_thread::yield();
        EXPECT_EQ(page.bytes()[0], std::byte{0});
        return;
    }
    GTEST_SKIP() << "the device was done each time before it was opened again: the machine is too slow to see it";
}

struct Rdbal : Register<0x2800, std::uint32_t, Access::rw> {};  // of the 82574: the ring of what it receives

// The kernel takes a device for reset that was in D3hot and says that it loses its state by that. QEMU's e1000e says
// so.
TEST(LeftRunning, AChangeOfThePowerStateIsNotTakenForAReset) {
    constexpr std::uint32_t kRing = 0x10000;
    ASSERT_NO_FATAL_FAILURE(in_a_process_that_is_killed([] {
        auto device = open(kE1000e);
        auto registers = device.bar(0).window();
        Rdbal::write(registers, kRing);
        ::raise(SIGKILL);
    }));
    auto device = open(kE1000e);
    auto registers = device.bar(0).window();
    EXPECT_TRUE(device.can_reset()) << "so says the kernel";
    EXPECT_EQ(Rdbal::read(registers).raw(), kRing) << "and the device has kept what it was told";
    EXPECT_FALSE(device.was_reset());
    EXPECT_FALSE(device.config().bus_master());
}

TEST(LeftRunning, ADeviceWithFunctionLevelResetKnowsNothingOfTheProgramBefore) {
    ASSERT_NO_FATAL_FAILURE(in_a_process_that_is_killed([] {
        auto device = open(kPcienic);
        Driver driver{device};
        DmaEngine engine = driver.make_dma();
        EXPECT_TRUE(engine.running());
        ::raise(SIGKILL);
    }));
    auto device = open(kPcienic);
    auto registers = device.bar(kBarRegisters).window();
    EXPECT_TRUE(device.was_reset());
    EXPECT_TRUE(device.config().bus_master());
    EXPECT_EQ(regs::DmaRingBase::read(registers).raw(), 0u);
    EXPECT_FALSE(regs::DmaCtrl::Enable::read(registers));
}

/// Takes all its resets from a device, as the kernel lets root do (from 5.15 on). Behind a port of its own it would
/// still be reset with the whole bus when it is closed: vfio_pci_dev_set_try_reset() in
/// drivers/vfio/pci/vfio_pci_core.c.
class NoReset {
  public:
    explicit NoReset(const Bdf& device) : file_{"/sys/bus/pci/devices/" + to_string(device) + "/reset_method"} {
        std::ofstream{file_} << "\n";
    }
    ~NoReset() { std::ofstream{file_} << "default\n"; }
    NoReset(const NoReset&) = delete;
    NoReset& operator=(const NoReset&) = delete;

  private:
    std::string file_;
};

TEST(LeftRunning, ADriverQuietensADeviceThatCannotBeResetAndThenTurnsItOn) {
    const uiovfio::ScopedBinding binding{bdf(kOnRootBus), "vfio-pci"};
    const NoReset none{bdf(kOnRootBus)};
    ASSERT_NO_FATAL_FAILURE(in_a_process_that_is_killed([] {
        auto device = open(kOnRootBus);
        Driver driver{device};
        DmaEngine engine = driver.make_dma();
        EXPECT_TRUE(engine.running());
        ::raise(SIGKILL);
    }));
    auto device = open(kOnRootBus);
    EXPECT_FALSE(device.can_reset());
    EXPECT_FALSE(device.was_reset());
    EXPECT_FALSE(device.config().bus_master());
    auto registers = device.bar(kBarRegisters).window();
    EXPECT_NE(regs::DmaRingBase::read(registers).raw(), 0u) << "it was given no other address";

    Driver driver{device};
    EXPECT_EQ(regs::DmaRingBase::read(registers).raw(), 0u);
    EXPECT_TRUE(device.config().bus_master());
    driver.enable_interrupts(InterruptMode::msix, 1);
    driver.fire(0);
    EXPECT_EQ(device.interrupts().wait(0, kPatience), 1u);
    auto source = device.dma().allocate(kPage);
    auto destination = device.dma().allocate(kPage);
    std::ranges::fill(source.bytes(), std::byte{0x5a});
    DmaEngine engine = driver.make_dma();
    EXPECT_TRUE(engine.run(copy(source, destination, kPage), kPatience));
    EXPECT_TRUE(std::ranges::equal(source.bytes(), destination.bytes()));
}

}  // namespace
}  // namespace pcienic::guest
