// SPDX-License-Identifier: MIT
/// Interrupts and device events of a VFIO device file, on a model of the kernel: which request goes out, and when.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/vfio.h>

#include <cerrno>
#include <thread>

#include "backends/vfio.hpp"
#include "error_text.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"

namespace uiovfio {

using test::error_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

constexpr std::chrono::seconds kPatience{120};
constexpr std::chrono::nanoseconds kAtOnce{0};

}  // namespace

class VfioInterrupts : public testing::Test {
  protected:
    static constexpr const char* kBdf = "0000:01:00.0";

    VfioInterrupts() {
        tree.add_function(kBdf);
        tree.set_driver(kBdf, "vfio-pci");
        tree.set_group(kBdf, 7);
        tree.add_vfio_nodes(7);
    }

    Device open() {
        const Bdf bdf = Bdf::parse(kBdf);
        return DeviceFactory::make(bdf, detail::open_vfio(bdf, {.root = tree.root}, kernel), true);
    }

    /// A device whose opening is no longer in the kernel's log.
    Device opened() {
        Device device = open();
        kernel.irq_log.clear();
        return device;
    }

    test::FakeTree tree;
    test::FakeKernel kernel;
};

TEST_F(VfioInterrupts, GrowInPlaceWhereTheKernelAddsVectors) {
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2, 16);  // there is nothing to set aside
    EXPECT_EQ(interrupts.capacity(), 16u);
    const auto first = interrupts.subscribe(1);
    EXPECT_EQ(interrupts.grow(5), Growth::in_place);
    EXPECT_THAT(kernel.irq_log, ElementsAre("MSI-X 0: fd fd", "MSI-X 2: fd fd fd"));
    EXPECT_EQ(interrupts.count(), 5u);
    EXPECT_FALSE(first.status());
    for (unsigned vector = 0; vector < 5; ++vector) {
        kernel.raise(VFIO_PCI_MSIX_IRQ_INDEX, vector);
        EXPECT_EQ(interrupts.wait(vector, kPatience), 1u) << "vector " << vector;
    }
    EXPECT_EQ(interrupts.grow(16), Growth::in_place);
    EXPECT_EQ(interrupts.count(), 16u);
}

TEST_F(VfioInterrupts, SetVectorsAsideWhereTheKernelAddsNoneAndGrowIntoThem) {
    kernel.adds_vectors = false;
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2, 5);
    EXPECT_EQ(interrupts.count(), 2u);
    EXPECT_EQ(interrupts.capacity(), 5u);
    EXPECT_EQ(interrupts.grow(4), Growth::in_place);
    EXPECT_THAT(kernel.irq_log, ElementsAre("MSI-X 0: fd fd - - -", "MSI-X 2: fd fd"));
    EXPECT_EQ(interrupts.count(), 4u);
    EXPECT_EQ(interrupts.capacity(), 5u);
    kernel.raise(VFIO_PCI_MSIX_IRQ_INDEX, 3);
    EXPECT_EQ(interrupts.wait(3, kPatience), 1u);
}

TEST_F(VfioInterrupts, SetAsideNoMoreThanTheKernelGrantsAndTheDeviceHas) {
    kernel.adds_vectors = false;
    kernel.most_vectors = 7;
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2, 1000);
    EXPECT_EQ(interrupts.capacity(), 7u);
    ASSERT_EQ(kernel.irq_log.size(), 2u);
    EXPECT_EQ(kernel.irq_log[0], "MSI-X 0: fd fd - - - - - - - - - - - - - -");
    EXPECT_EQ(kernel.irq_log[1], "MSI-X 0: fd fd - - - - -");
    interrupts.disable();
    // Of a kernel that does not say how many it has, only what is needed is asked for again.
    kernel.most_vectors = 16;
    kernel.fail("SET_IRQS", ENOSPC);
    interrupts.enable(InterruptMode::msix, 3, 8);
    EXPECT_EQ(interrupts.capacity(), 3u);
}

TEST_F(VfioInterrupts, AreRefusedWhereTheKernelHasFewerThanAreNeeded) {
    kernel.adds_vectors = false;
    kernel.most_vectors = 3;
    const Device device = opened();
    EXPECT_THAT(error_text(Errc::interrupt_capacity, [&] { device.interrupts().enable(InterruptMode::msix, 4, 8); }),
                HasSubstr("4 MSI-X vectors were asked for, the kernel could have 3"));
    EXPECT_EQ(device.interrupts().count(), 0u);
    EXPECT_EQ(device.interrupts().capacity(), 0u);
}

TEST_F(VfioInterrupts, AreArmedAnewWithoutRoomAndFiredOnceSoThatEveryWaiterLooks) {
    kernel.adds_vectors = false;
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 3);
    EXPECT_EQ(interrupts.capacity(), 3u);
    EXPECT_EQ(interrupts.grow(5), Growth::armed_anew);
    EXPECT_THAT(kernel.irq_log,
                ElementsAre("MSI-X 0: fd fd fd", "MSI-X off", "MSI-X 0: fd fd fd fd fd", "MSI-X fire 111"));
    for (unsigned vector = 0; vector < 3; ++vector) EXPECT_EQ(interrupts.try_take(vector), 1u);
    for (unsigned vector = 3; vector < 5; ++vector) EXPECT_EQ(interrupts.try_take(vector), 0u);
    kernel.raise(VFIO_PCI_MSIX_IRQ_INDEX, 4);
    EXPECT_EQ(interrupts.wait(4, kPatience), 1u);
}

// They are there by then: everybody looks once, though the kernel does not fire them.
TEST_F(VfioInterrupts, GrowWhereTheKernelCannotFireThemAfterwards) {
    kernel.adds_vectors = false;
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 3);
    interrupts.disarm(1);
    constexpr unsigned kOffAndOn = 2;
    kernel.fail("SET_IRQS", EIO, kOffAndOn);
    EXPECT_EQ(interrupts.grow(5), Growth::armed_anew);
    EXPECT_EQ(interrupts.count(), 5u);
    EXPECT_EQ(interrupts.try_take(0), 1u);
    EXPECT_EQ(interrupts.try_take(1), 0u) << "it is disarmed";
    EXPECT_EQ(interrupts.try_take(2), 1u);
    EXPECT_EQ(interrupts.try_take(3), 0u);
}

TEST_F(VfioInterrupts, StayAsTheyWereWhereGrowingFails) {
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2);
    kernel.most_vectors = 3;
    error_text(Errc::interrupt_capacity, [&] { interrupts.grow(4); });
    EXPECT_EQ(interrupts.count(), 2u);
    kernel.raise(VFIO_PCI_MSIX_IRQ_INDEX, 1);
    EXPECT_EQ(interrupts.wait(1, kPatience), 1u);
    EXPECT_EQ(interrupts.grow(3), Growth::in_place);

    EXPECT_EQ(interrupts.grow(2), Growth::in_place);  // there are as many already
    EXPECT_EQ(interrupts.count(), 3u);
    error_text(Errc::interrupt_capacity, [&] { interrupts.grow(17); });
    interrupts.disable();
    error_text(Errc::interrupts_not_enabled, [&] { interrupts.grow(2); });
}

TEST_F(VfioInterrupts, ComeBackWhereArmingMoreOfThemAnewFails) {
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msi, 2);
    kernel.most_vectors = 3;
    kernel.irq_log.clear();
    EXPECT_THAT(error_text(Errc::interrupt_capacity, [&] { interrupts.grow(4); }),
                HasSubstr("the kernel could have 3"));
    EXPECT_THAT(kernel.irq_log, ElementsAre("MSI off", "MSI 0: fd fd fd fd", "MSI 0: fd fd"));
    EXPECT_EQ(interrupts.count(), 2u);
    kernel.raise(VFIO_PCI_MSI_IRQ_INDEX, 1);
    EXPECT_EQ(interrupts.wait(1, kPatience), 1u);
}

TEST_F(VfioInterrupts, EndForThoseWhoWaitWhereTheyCannotComeBack) {
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msi, 2);
    std::error_code ec;
    std::thread waiter{[&] { interrupts.wait(0, kPatience, ec); }};
    kernel.most_vectors = 1;
    error_text(Errc::interrupt_capacity, [&] { interrupts.grow(4); });
    waiter.join();
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
    EXPECT_EQ(interrupts.count(), 0u);
}

TEST_F(VfioInterrupts, AreArmedAfterAResetAsTheyWereBefore) {
    kernel.adds_vectors = false;
    Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2, 4);
    interrupts.grow(3);
    interrupts.disarm(1);
    kernel.irq_log.clear();
    device.reset();
    EXPECT_THAT(kernel.irq_log, ElementsAre("MSI-X off", "MSI-X 0: fd - fd -"));
    EXPECT_EQ(interrupts.grow(4), Growth::in_place);
    interrupts.disable();

    interrupts.enable(InterruptMode::intx, 1);
    interrupts.mask();
    kernel.irq_log.clear();
    device.reset();
    EXPECT_THAT(kernel.irq_log, ElementsAre("INTx off", "INTx 0: fd", "INTx mask"));
    interrupts.unmask();
    kernel.irq_log.clear();
    device.reset();
    EXPECT_THAT(kernel.irq_log, ElementsAre("INTx off", "INTx 0: fd"));
}

TEST_F(VfioInterrupts, AreArmedAndDisarmedOneByOne) {
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 3);
    kernel.irq_log.clear();
    interrupts.disarm(1);
    kernel.raise(VFIO_PCI_MSIX_IRQ_INDEX, 1);
    EXPECT_EQ(interrupts.try_take(1), 0u);
    interrupts.trigger(1);
    EXPECT_EQ(interrupts.try_take(1), 0u);
    interrupts.arm(1);
    kernel.raise(VFIO_PCI_MSIX_IRQ_INDEX, 1);
    EXPECT_EQ(interrupts.try_take(1), 1u);
    EXPECT_THAT(kernel.irq_log, ElementsAre("MSI-X 1: -", "MSI-X fire 1", "MSI-X 1: fd"));
    error_text(Errc::no_such_vector, [&] { interrupts.arm(3); });
    error_text(Errc::no_such_vector, [&] { interrupts.disarm(3); });
    interrupts.disable();
    error_text(Errc::interrupts_not_enabled, [&] { interrupts.disarm(0); });
    interrupts.enable(InterruptMode::intx, 1);
    EXPECT_THAT(error_text(Errc::unsupported, [&] { interrupts.disarm(0); }), HasSubstr("mask()"));
    std::error_code ec;
    interrupts.arm(0, ec);
    EXPECT_EQ(ec, Errc::unsupported);
}

TEST_F(VfioInterrupts, AreFiredSeveralAtATime) {
    const Device device = opened();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 5);
    kernel.irq_log.clear();
    interrupts.trigger(std::array{0U, 3U, 1U});
    EXPECT_THAT(kernel.irq_log, ElementsAre("MSI-X fire 11010"));
    for (const unsigned vector : {0U, 1U, 3U}) EXPECT_EQ(interrupts.try_take(vector), 1u);
    for (const unsigned vector : {2U, 4U}) EXPECT_EQ(interrupts.try_take(vector), 0u);
    error_text(Errc::no_such_vector, [&] { interrupts.trigger(std::array{0U, 5U}); });
    EXPECT_EQ(interrupts.try_take(0), 0u);
    std::error_code ec;
    interrupts.trigger(std::array{5U}, ec);
    EXPECT_EQ(ec, Errc::no_such_vector);
}

TEST_F(VfioInterrupts, TellWhyTheyCannotGrowWithoutThrowing) {
    const Device device = opened();
    auto& interrupts = device.interrupts();
    std::error_code ec;
    interrupts.grow(2, ec);
    EXPECT_EQ(ec, Errc::interrupts_not_enabled);
    interrupts.enable(InterruptMode::msix, 17, 20, ec);
    EXPECT_EQ(ec, Errc::interrupt_capacity);
    interrupts.enable(InterruptMode::msix, 1, 4, ec);
    EXPECT_FALSE(ec);
    EXPECT_EQ(interrupts.grow(2, ec), Growth::in_place);
    EXPECT_FALSE(ec);
}

TEST_F(VfioInterrupts, LeaveNoEventfdBehindWhereTheDescriptorsRunOut) {
    const Device device = opened();
    auto& interrupts = device.interrupts();
    kernel.fail("SET_IRQS", EMFILE);
    error_text(Errc::system_error, [&] { interrupts.enable(InterruptMode::msix, 4); });
    kernel.fail("SET_IRQS", EIO, 1);
    interrupts.enable(InterruptMode::msix, 1);
    error_text(Errc::device_gone, [&] { interrupts.grow(2); });
    // An eventfd that grow() made would now be the lowest number but one.
    const int before = interrupts.subscribe(0).release_descriptor();
    const int after = interrupts.subscribe(0).release_descriptor();
    EXPECT_EQ(after, before + 1);
    ::close(before);
    ::close(after);
}

TEST_F(VfioInterrupts, EventsAreArmedAtOpenAndDisarmedBeforeTheFileCloses) {
    {
        const Device device = open();
        EXPECT_THAT(kernel.irq_log, ElementsAre("ERR 0: fd", "REQ 0: fd"));
        EXPECT_TRUE(device.events().available(DeviceEvent::error));
        EXPECT_TRUE(device.events().available(DeviceEvent::removal_request));
        kernel.irq_log.clear();
    }
    EXPECT_THAT(kernel.irq_log, ElementsAre("ERR 0: -", "REQ 0: -"));
}

TEST_F(VfioInterrupts, EventsThatTheDeviceLacksAreUnsupported) {
    kernel.is_express = false;
    const Device device = open();
    EXPECT_THAT(kernel.irq_log, ElementsAre("REQ 0: fd"));
    auto& events = device.events();
    EXPECT_FALSE(events.available(DeviceEvent::error));
    EXPECT_THAT(error_text(Errc::unsupported, [&] { events.wait(DeviceEvent::error, kAtOnce); }),
                HasSubstr("0000:01:00.0 error"));
    error_text(Errc::unsupported, [&] { events.trigger(DeviceEvent::error); });
    error_text(Errc::unsupported, [&] { (void)events.event_fd(DeviceEvent::error); });
    error_text(Errc::unsupported, [&] { (void)events.subscribe(DeviceEvent::error); });
    std::error_code ec;
    EXPECT_EQ(events.wait(DeviceEvent::error, kAtOnce, ec), 0u);
    EXPECT_EQ(ec, Errc::unsupported);
    EXPECT_EQ(events.event_fd(DeviceEvent::error, ec), -1);
    EXPECT_FALSE(events.subscribe(DeviceEvent::error, ec));
    EXPECT_EQ(events.try_take(DeviceEvent::error), 0u);
    kernel.raise(VFIO_PCI_REQ_IRQ_INDEX);
    EXPECT_EQ(events.wait(DeviceEvent::removal_request, kPatience), 1u);
}

TEST_F(VfioInterrupts, EventsStayArmedOverAReset) {
    Device device = opened();
    device.reset();
    EXPECT_THAT(kernel.irq_log, IsEmpty());
    kernel.raise(VFIO_PCI_ERR_IRQ_INDEX);
    EXPECT_EQ(device.events().wait(DeviceEvent::error, kPatience), 1u);
}

TEST_F(VfioInterrupts, EventsFailWithTheKernelsReason) {
    kernel.fail("SET_IRQS REQ", EMFILE);
    EXPECT_THAT(error_text(Errc::system_error, [&] { (void)open(); }), HasSubstr("VFIO_DEVICE_SET_IRQS"));
    EXPECT_TRUE(kernel.open_files.empty());
}

}  // namespace uiovfio
