// SPDX-License-Identifier: MIT
/// One processor stores to a device while the other one takes the device's slot off its power. QEMU finds out what a
/// store is for, waits for its turn, and then calls the device, which may be gone: each of its functions has to stand
/// that.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "expect.hpp"
#include "running_driver.hpp"
#include "slot.hpp"

namespace pcienic::test {
namespace {

/// A register, and what is stored there.
struct Target {
    const char* device;
    unsigned bar;
    std::size_t offset;
    std::uint32_t value;
};

/// A process that does nothing but store: the machine's other processor. A device that goes takes the mapping with it,
/// and may so end the process by SIGBUS.
class Storing {
  public:
    Storing(const std::filesystem::path& device, const Target& target) {
        int begun[2];
        if (::pipe(begun) != 0) throw std::system_error{errno, std::generic_category(), "pipe"};
        process_ = ::fork();
        if (process_ < 0) throw std::system_error{errno, std::generic_category(), "fork"};
        const auto resource = device / ("resource" + std::to_string(target.bar));
        if (process_ == 0) store(resource.c_str(), target, begun[1]);
        ::close(begun[1]);
        char byte = 0;
        if (::read(begun[0], &byte, 1) != 1) ADD_FAILURE() << "nothing could be stored through " << resource;
        ::close(begun[0]);
    }
    Storing(const Storing&) = delete;
    Storing& operator=(const Storing&) = delete;
    ~Storing() {
        ::kill(process_, SIGKILL);
        ::waitpid(process_, nullptr, 0);
    }

  private:
    [[noreturn]] static void store(const char* resource, const Target& target, int begun) {
        const int file = ::open(resource, O_RDWR | O_CLOEXEC);
        void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file,
                            static_cast<off_t>(target.offset & ~std::size_t{4095}));
        if (file < 0 || page == MAP_FAILED) ::_exit(1);
        volatile auto& word =
            *reinterpret_cast<volatile std::uint32_t*>(static_cast<char*>(page) + (target.offset & 4095));
        word = target.value;
        if (::write(begun, "", 1) != 1) ::_exit(1);
        for (;;) word = target.value;
    }

    ::pid_t process_;
};

}  // namespace

TEST(SurpriseRemoval, ComesInTheMiddleOfAnotherProcessorsStores) {
    constexpr Target kTargets[] = {
        {"pcienic", 0, 0x1000, 0},          // the doorbell, with the engine running
        {"pcienic", 2, 12, 1},              // the first entry's mask in the MSI-X table
        {"pcienic-dma", 0, 0x58, 1},        // GO; without a length the copy ends at once
        {"pcienic-caps", 0, 0xc18, 1},      // the same
        {"pcienic-msix", 0, 0x00, 0},       // the doorbell
        {"pcienic-msix", 1, 12, 1},         // the table
        {"pcienic-msi", 0, 0x00, 0},        // the doorbell
        {"pcienic-mmio", 0, 0x04, 0xffff},  // a register
    };
    const guest::ExpectGuestError rejected{"Invalid (read|write) at addr .* rejected"};
    // What the steps say of stores that mean nothing, which those are
    const guest::ExpectGuestError ignored{"pcienic-(msix?|dma|caps): (doorbell for|vector 0|write to) "};
    Slot slot{0};
    for (const Target& target : kTargets) {
        SCOPED_TRACE(std::string{target.device} + ", BAR" + std::to_string(target.bar));
        if (&target != kTargets) {
            ASSERT_TRUE(slot.await_power_off());
            slot.plug_in(target.device);
        }
        {
            std::optional<RunningDriver> card;
            std::optional<uiovfio::Device> step;
            if (target.device == std::string{"pcienic"}) {
                card.emplace(slot.bdf());
                EXPECT_FALSE(card->copy_once(kPatience).code);
            } else {
                step.emplace(uiovfio::Device::open(slot.bdf()));
            }
            const Storing other{slot.folder(), target};
            slot.pull_out();
        }
        ASSERT_TRUE(slot.await_empty());
    }
    ASSERT_TRUE(slot.await_power_off());
    slot.plug_in();
    RunningDriver afterwards{slot.bdf()};
    EXPECT_FALSE(afterwards.copy_once(kPatience).code);
}

}  // namespace pcienic::test
