// SPDX-License-Identifier: MIT
/// One processor stores to a device while the other one takes the device's slot off its power. QEMU finds out what a
/// store is for, waits for its turn, and then calls the device, which may be gone: each of its functions has to stand
/// that.

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <uiovfio/uiovfio.hpp>

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

/// A thread that does nothing but store: the machine's other processor. Once the device is gone, its stores go nowhere.
class Storing {
  public:
    Storing(uiovfio::Device& device, const Target& target)
        : window_{device.bar(target.bar).map()}, thread_{[this, target] {
              while (!stop_) {
                  window_.store<std::uint32_t>(target.offset, target.value);
                  ++stores_;
              }
          }} {
        while (stores_ == 0) std::this_thread::yield();
    }
    Storing(const Storing&) = delete;
    Storing& operator=(const Storing&) = delete;
    ~Storing() {
        stop_ = true;
        thread_.join();
    }

    [[nodiscard]] std::uint64_t stores() const noexcept { return stores_; }

  private:
    uiovfio::MappedWindow window_;
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> stores_{0};
    std::thread thread_;  // last: it uses the others
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
    // The steps report these stores, which make no sense to them.
    const guest::ExpectGuestError ignored{"pcienic-(msix?|dma|caps): (doorbell for|vector 0|write to) "};
    ASSERT_GE(std::thread::hardware_concurrency(), 2U);
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
            const Storing other{card ? card->device() : *step, target};
            slot.pull_out();
            // The stores go on while the kernel finds the slot empty.
            const std::uint64_t before = other.stores();
            while (other.stores() < before + 1000) std::this_thread::yield();
        }
        ASSERT_TRUE(slot.await_empty());
    }
    ASSERT_TRUE(slot.await_power_off());
    slot.plug_in();
    expect_works(slot.bdf());
}

}  // namespace pcienic::test
