// SPDX-License-Identifier: MIT
/// Removal as it happens: the device is gone before anybody is asked. QEMU answers then for the BARs with zeros, and
/// for configuration space with ones.

#include <gtest/gtest.h>

#include <atomic>
#include <system_error>
#include <thread>

#include "expect.hpp"
#include "running_driver.hpp"
#include "slot.hpp"

namespace pcienic::test {

using uiovfio::Errc;

namespace {

template <class Action>
std::error_code code_of(Action&& action) {
    try {
        action();
        return {};
    } catch (const uiovfio::Error& error) {
        return error.code();
    }
}

}  // namespace

TEST(SurpriseRemoval, EndsEverythingWithDeviceGoneAndTheNextDeviceIsAsGood) {
    constexpr int kTimes = 5;
    Slot slot{0};
    for (int time = 0; time < kTimes; ++time) {
        {
            RunningDriver running{slot.bdf()};
            uiovfio::Device& device = running.device();
            const auto registers = device.bar(0).map();
            EXPECT_FALSE(running.copy_once(kPatience).code);

            std::error_code waited;
            std::thread waiting{[&] { device.interrupts().wait(5, kPatience, waited); }};
            const guest::ExpectGuestError rejected{"Invalid (read|write) at addr .* rejected"};
            slot.pull_out();
            // How a program finds out: what it waits for does not come, and it asks.
            EXPECT_TRUE(running.copy_once(std::chrono::milliseconds{200}).code);
            EXPECT_FALSE(device.is_present());
            waiting.join();
            EXPECT_EQ(waited, Errc::device_gone);

            EXPECT_EQ(registers.load<std::uint32_t>(0), ~0U);
            registers.store<std::uint32_t>(0, 1);
            EXPECT_EQ(uiovfio::mmio_guard(registers, [&] { (void)registers.load<std::uint32_t>(4); }),
                      Errc::device_gone);
            EXPECT_EQ(code_of([&] { (void)device.config().read16(0); }), Errc::device_gone);
            EXPECT_EQ(code_of([&] { (void)device.bar(0).read<std::uint32_t>(0); }), Errc::device_gone);
            EXPECT_EQ(code_of([&] { (void)device.dma().allocate(4096); }), Errc::device_gone);
            EXPECT_EQ(code_of([&] { device.interrupts().wait(5, kPatience); }), Errc::device_gone);
            EXPECT_EQ(code_of([&] { device.reset(); }), Errc::device_gone);
        }
        ASSERT_TRUE(slot.await_empty());
        ASSERT_TRUE(slot.await_power_off());
        slot.plug_in();
    }
    expect_works(slot.bdf());
}

}  // namespace pcienic::test
