// SPDX-License-Identifier: MIT
/// Loss of the device: real SIGBUS on what the library takes for a BAR, and what becomes of everybody who uses it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction() is not in <csignal>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <system_error>
#include <thread>
#include <uiovfio/sim.hpp>
#include <uiovfio/uiovfio.hpp>

#include "backends/vfio.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"

namespace uiovfio {

namespace {

constexpr std::chrono::seconds kPatience{120};
constexpr std::uint32_t kOnes = 0xffffffffU;

/// A page of memory that faults: of a file that has ended.
void* faulting_page() {
    const int file = ::memfd_create("ended", MFD_CLOEXEC);
    void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    if (page == MAP_FAILED) throw std::system_error{errno, std::generic_category(), "mapping a file"};
    return page;
}

void touch(void* page) { *static_cast<volatile char*>(page) = 1; }

}  // namespace

class Loss : public testing::Test {
  protected:
    static constexpr const char* kBdf = "0000:01:00.0";

    Loss() {
        tree.add_function(kBdf);
        tree.set_driver(kBdf, "vfio-pci");
        tree.set_group(kBdf, 7);
        tree.add_vfio_nodes(7);
        device = DeviceFactory::make(Bdf::parse(kBdf), detail::open_vfio(Bdf::parse(kBdf), {.root = tree.root}, kernel),
                                     true);
    }

    void set_memory_space(bool enabled) {
        const unsigned others = device.config().command() & ~unsigned{config::kCommandMemory};
        device.config().write16(config::kCommand,
                                static_cast<std::uint16_t>(others | (enabled ? config::kCommandMemory : 0U)));
    }

    template <class Action>
    static std::error_code code_of(Action&& action) {
        try {
            action();
        } catch (const Error& error) {
            return error.code();
        }
        return {};
    }

    test::FakeTree tree;
    test::FakeKernel kernel;
    Device device;
};

TEST_F(Loss, ReadsAllOnesAndStoresToNobodyWhereAnAccessFaults) {
    const auto window = device.bar(0).map();
    window.store<std::uint32_t>(0x10, 0x1234);
    EXPECT_EQ(window.load<std::uint32_t>(0x10), 0x1234U);
    set_memory_space(false);
    EXPECT_EQ(window.load<std::uint32_t>(0x10), kOnes);
    EXPECT_EQ(window.load<std::uint64_t>(0xff8), ~std::uint64_t{0});
    window.store<std::uint32_t>(0x20, 7);
    EXPECT_EQ(device.bar(4).map().load<std::uint8_t>(0xfffff), 0xff);
}

TEST_F(Loss, BeginsWithAStoreAsWell) {
    const auto window = device.bar(0).map();
    kernel.set_answers(false);
    const auto ec = mmio_guard(window, [&] { window.store<std::uint32_t>(0x20, 7); });
    EXPECT_EQ(ec, Errc::device_gone);
}

TEST_F(Loss, ComesBackWhenMemorySpaceIsEnabledAgain) {
    const auto window = device.bar(0).map();
    set_memory_space(false);
    EXPECT_EQ(window.load<std::uint32_t>(0x10), kOnes);
    set_memory_space(true);
    window.store<std::uint32_t>(0x10, 0x1234);
    EXPECT_EQ(device.bar(0).read<std::uint32_t>(0x10), 0x1234U);
    EXPECT_FALSE(mmio_guard(window, [&] { EXPECT_EQ(window.load<std::uint32_t>(0x10), 0x1234U); }));
}

TEST_F(Loss, IsToldByAGuardAndByNoneAfterwards) {
    const auto window = device.bar(0).map();
    EXPECT_FALSE(mmio_guard(window, [&] { (void)window.load<std::uint32_t>(0); }));
    kernel.set_answers(false);
    EXPECT_FALSE(mmio_guard(window, [] {})) << "nobody has tried";
    EXPECT_EQ(mmio_guard(window, [&] { (void)window.load<std::uint32_t>(0); }), Errc::device_gone);
    EXPECT_EQ(mmio_guard(window, [&] { (void)window.load<std::uint32_t>(0); }), Errc::device_gone) << "each time";
    // A guard finds by itself that the device answers again.
    kernel.set_answers(true);
    EXPECT_FALSE(mmio_guard(window, [&] { EXPECT_EQ(window.load<std::uint32_t>(0), 0U); }));
}

TEST_F(Loss, IsToldByEveryGuardOfANest) {
    const auto window = device.bar(0).window();
    const FaultGuard outer{window};
    {
        const FaultGuard inner{window};
        kernel.set_answers(false);
        (void)window.load<std::uint32_t>(0);
        EXPECT_EQ(inner.status(), Errc::device_gone);
    }
    kernel.set_answers(true);
    // This one uncovers the BAR, and has seen nothing itself; the outer one has.
    EXPECT_FALSE(mmio_guard(window, [&] { (void)window.load<std::uint32_t>(0); }));
    EXPECT_EQ(outer.status(), Errc::device_gone);
}

TEST_F(Loss, OfOneBarIsNoneOfAnother) {
    const auto one = device.bar(0).map();
    const auto other = device.bar(4).map();
    kernel.set_answers(false);
    EXPECT_FALSE(mmio_guard(other, [&] { (void)one.load<std::uint32_t>(0); }));
}

TEST_F(Loss, LetsObjectsOnTheStackBeAsTheyAre) {
    const auto window = device.bar(0).map();
    kernel.set_answers(false);
    auto alive = std::make_shared<int>(1);
    EXPECT_EQ(mmio_guard(window,
                         [&] {
                             const auto held = alive;
                             (void)window.load<std::uint32_t>(0);
                             EXPECT_EQ(alive.use_count(), 2);
                         }),
              Errc::device_gone);
    EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(Loss, IsSurvivedBySeveralThreads) {
    const auto window = device.bar(4).map();
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < 3; ++thread)
        threads.emplace_back([&, thread] {
            while (!done)
                (void)mmio_guard(window, [&] {
                    window.store<std::uint32_t>(thread * 4096, 1);
                    (void)window.load<std::uint32_t>(thread * 4096);
                });
        });
    for (int round = 0; round < 200; ++round) kernel.set_answers(round % 2 != 0);
    done = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_FALSE(mmio_guard(window, [&] { window.store<std::uint32_t>(0, 5); }));
    EXPECT_EQ(window.load<std::uint32_t>(0), 5U);
}

TEST_F(Loss, IsTheErrorOfACheckedAccess) {
    const Bar& bar = device.bar(0);
    (void)bar.map();
    kernel.set_answers(false);
    EXPECT_EQ(code_of([&] { (void)bar.read<std::uint32_t>(0); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { bar.write<std::uint32_t>(0, 1); }), Errc::device_gone);
    EXPECT_TRUE(device.is_present()) << "it only does not answer";
    kernel.set_answers(true);
    bar.write<std::uint32_t>(0, 1);
    EXPECT_EQ(bar.read<std::uint32_t>(0), 1U);
}

TEST_F(Loss, IsNotARegisterThatHoldsAllOnes) {
    const Bar& bar = device.bar(0);
    bar.write<std::uint32_t>(0, kOnes);
    EXPECT_EQ(bar.read<std::uint32_t>(0), kOnes);
    kernel.is_removed = true;
    EXPECT_EQ(code_of([&] { (void)bar.read<std::uint32_t>(0); }), Errc::device_gone);
}

TEST_F(Loss, EndsEverythingOnceItIsKnown) {
    auto& interrupts = device.interrupts();
    auto& events = device.events();
    interrupts.enable(InterruptMode::msix, 2);
    const auto window = device.bar(0).map();
    auto buffer = device.dma().allocate(4096);
    std::error_code waited_for_interrupt;
    std::error_code waited_for_event;
    std::thread interrupt{[&] { interrupts.wait(0, kPatience, waited_for_interrupt); }};
    std::thread event{[&] { events.wait(DeviceEvent::error, kPatience, waited_for_event); }};
    kernel.is_removed = true;
    EXPECT_FALSE(device.is_present());
    interrupt.join();
    event.join();
    EXPECT_EQ(waited_for_interrupt, Errc::device_gone);
    EXPECT_EQ(waited_for_event, Errc::device_gone);
    EXPECT_EQ(window.load<std::uint32_t>(0), kOnes);
    EXPECT_EQ(mmio_guard(window, [] {}), Errc::device_gone);
    EXPECT_EQ(code_of([&] { interrupts.trigger(0); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { interrupts.enable(InterruptMode::msi, 1); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { interrupts.grow(3); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { interrupts.disable(); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { interrupts.wait(0, kPatience); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { (void)interrupts.subscribe(0); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { (void)interrupts.available(InterruptMode::msi); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { events.wait(DeviceEvent::removal_request, kPatience); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { events.trigger(DeviceEvent::error); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { (void)device.config().read16(0); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { (void)device.bar(0).window(); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { (void)device.bar(0).read<std::uint32_t>(0); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { (void)device.dma().allocate(4096); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { (void)device.dma().ranges(); }), Errc::device_gone);
    EXPECT_EQ(code_of([&] { device.reset(); }), Errc::device_gone);
    buffer.unmap();  // what is the process's own goes on
    device.close();
    EXPECT_FALSE(device.is_present());
    EXPECT_TRUE(kernel.open_files.empty());
}

TEST_F(Loss, IsForgottenWhenTheDeviceIsThereAgain) {
    const auto window = device.bar(0).map();
    kernel.is_removed = true;
    EXPECT_FALSE(device.is_present());
    EXPECT_EQ(window.load<std::uint32_t>(0), kOnes);
    kernel.is_removed = false;
    EXPECT_TRUE(device.is_present());
    EXPECT_EQ(device.config().vendor_id(), 0x1af4);
    EXPECT_EQ(window.load<std::uint32_t>(0), 0U);
}

TEST_F(Loss, StaysWhenTheKernelDoesNotMapTheBarAgain) {
    const auto window = device.bar(0).map();
    kernel.set_answers(false);
    (void)window.load<std::uint32_t>(0);
    kernel.set_answers(true);
    kernel.fail("mmap", ENODEV);
    EXPECT_EQ(mmio_guard(window, [&] { EXPECT_EQ(window.load<std::uint32_t>(0), kOnes); }), Errc::device_gone);
    EXPECT_FALSE(mmio_guard(window, [&] { (void)window.load<std::uint32_t>(0); }));
}

TEST_F(Loss, IsClosedAfterClose) {
    const auto window = device.bar(0).map();
    const FaultGuard guard{window};
    device.close();
    EXPECT_EQ(guard.status(), Errc::closed);
    EXPECT_EQ(mmio_guard(window, [&] { EXPECT_EQ(window.load<std::uint32_t>(0), kOnes); }), Errc::closed);
}

TEST(LossOfSim, IsToldByGuardsAlthoughNothingIsMapped) {
    auto simulated = open_sim();
    const auto window = simulated.bar(0).window();
    EXPECT_FALSE(mmio_guard(window, [&] { (void)window.load<std::uint32_t>(0); }));
    simulated.config().write16(config::kCommand, 0);
    EXPECT_EQ(mmio_guard(window, [&] { (void)window.load<std::uint32_t>(0); }), Errc::device_gone);
    simulated.config().write16(config::kCommand, config::kCommandMemory);
    EXPECT_FALSE(mmio_guard(window, [&] { window.store<std::uint32_t>(0x10, 1); }));
    EXPECT_TRUE(simulated.is_present());
    sim::surprise_remove(simulated);
    EXPECT_EQ(simulated.events().wait(DeviceEvent::removal_request, kPatience), 1U);
    EXPECT_FALSE(simulated.is_present());
    EXPECT_EQ(mmio_guard(window, [] {}), Errc::device_gone);
}

TEST(LossOfNobody, MemoryOfTheCallersIsNeverGone) {
    std::array<std::uint32_t, 4> memory{};
    const MappedWindow window{memory.data(), sizeof memory};
    EXPECT_FALSE(mmio_guard(window, [&] { (void)window.load<std::uint32_t>(0); }));
}

/// In a process of its own each, in which the library's handler is not yet installed.
class LossDeathTest : public Loss {
  protected:
    LossDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

    void install_by_mapping() { (void)device.bar(0).map(); }
};

TEST_F(LossDeathTest, FaultsOfOthersGoToTheHandlerBefore) {
    EXPECT_EXIT(
        {
            struct sigaction mine{};
            mine.sa_flags = SA_SIGINFO;
            mine.sa_sigaction = [](int, siginfo_t* info, void*) { ::_exit(info->si_code == BUS_ADRERR ? 42 : 1); };
            ::sigaction(SIGBUS, &mine, nullptr);
            install_by_mapping();
            touch(faulting_page());
        },
        testing::ExitedWithCode(42), "");
    EXPECT_EXIT(
        {
            struct sigaction mine{};
            mine.sa_handler = [](int) { ::_exit(43); };
            ::sigaction(SIGBUS, &mine, nullptr);
            install_by_mapping();
            touch(faulting_page());
        },
        testing::ExitedWithCode(43), "");
}

TEST_F(LossDeathTest, FaultsOfOthersAreDeadlyWhereThereWasNoHandler) {
    EXPECT_EXIT(
        {
            ::signal(SIGBUS, SIG_DFL);
            install_by_mapping();
            touch(faulting_page());
        },
        testing::KilledBySignal(SIGBUS), "");
    EXPECT_EXIT(
        {
            ::signal(SIGBUS, SIG_DFL);
            install_by_mapping();
            ::raise(SIGBUS);
        },
        testing::KilledBySignal(SIGBUS), "");
}

TEST_F(LossDeathTest, ASignalThatIsIgnoredStaysIgnored) {
    EXPECT_EXIT(
        {
            ::signal(SIGBUS, SIG_IGN);
            install_by_mapping();
            ::raise(SIGBUS);
            ::_exit(44);
        },
        testing::ExitedWithCode(44), "");
}

}  // namespace uiovfio
