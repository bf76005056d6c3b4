// SPDX-License-Identifier: MIT
/// fork() at any moment of another thread's: the child lives, ends as it likes, and takes nothing of its parent's.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <uiovfio/sim.hpp>
#include <uiovfio/uiovfio.hpp>
#include <vector>

#include "backends/sysfs.hpp"
#include "backends/vfio.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"
#include "fork_guard.hpp"
#include "in_child.hpp"

namespace uiovfio {

using test::in_child;

namespace {

constexpr const char* kDevice = "0000:01:00.0";
constexpr const char* kOther = "0000:02:00.0";

/// One that a child has no use for: its books may be half written there.
class Kernel final : public test::FakeKernel {
  public:
    int close(int descriptor) noexcept override {
        return ::getpid() == process_ || descriptor < kContainer ? FakeKernel::close(descriptor) : 0;
    }

  private:
    const pid_t process_ = ::getpid();
};

/// Forks at each moment of its life.
class Forking final : public detail::ForkGuarded {
  public:
    explicit Forking(std::vector<std::string>& log) : log_{log} { fork_during("construction"); }
    ~Forking() override { fork_during("destruction"); }
    Forking(const Forking&) = delete;
    Forking& operator=(const Forking&) = delete;

    void fork_during(const std::string& moment) {
        log_.push_back(moment + ": " + in_child([this] { return gave_up_ ? "gives up" : "is let be"; }));
    }
    void close() { fork_during("closing"); }

  private:
    void give_up_to_parent() noexcept override { gave_up_ = true; }

    std::vector<std::string>& log_;
    bool gave_up_ = false;
};

/// Forks while another thread does `work` over and over. How the children end that did not end well.
std::vector<std::string> forks_beside(
    const std::function<void()>& work, const std::function<void()>& in_the_child = [] {}) {
    std::atomic<bool> is_over{false};
    std::thread worker{[&] {
        while (!is_over) work();
    }};
    std::vector<std::string> ends;
    constexpr int kForks = 60;
    for (int i = 0; i < kForks; ++i) {
        const pid_t child = ::fork();
        if (child < 0) {
            ends.push_back("no child");
            break;
        }
        if (child == 0) {
            constexpr unsigned kTooLong = 60;  // seconds: it hangs
            ::alarm(kTooLong);
            in_the_child();
            ::_exit(0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) ends.push_back("signal " + std::to_string(WTERMSIG(status)));
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
            ends.push_back("status " + std::to_string(WEXITSTATUS(status)));
    }
    is_over = true;
    worker.join();
    return ends;
}

}  // namespace

class Fork : public testing::Test {
  protected:
    Fork() {
        unsigned group = 7;
        for (const char* bdf : {kDevice, kOther}) {
            tree.add_function(bdf);
            tree.set_driver(bdf, "vfio-pci");
            tree.set_group(bdf, group);
            tree.add_vfio_nodes(group);
            ++group;
        }
    }

    Device open_vfio(const char* bdf, detail::System& system) {
        const Bdf at = Bdf::parse(bdf);
        return DeviceFactory::make(at, detail::open_vfio(at, {.root = tree.root}, system), true);
    }

    test::FakeTree tree;
    Kernel kernel;
    Kernel other_kernel;
};

TEST_F(Fork, AsksOnlyWhatIsWholeToGiveUp) {
    std::vector<std::string> log;
    detail::make_fork_guarded<Forking>(log)->fork_during("use");
    EXPECT_THAT(log, testing::ElementsAre("construction: is let be", "use: gives up", "closing: gives up",
                                          "destruction: is let be"));
}

TEST_F(Fork, BesideASimulatedDevicesComingAndGoing) {
    EXPECT_THAT(forks_beside([] { open_sim({.vectors = 1, .memory_size = 4096}).close(); }), testing::IsEmpty());
}

TEST_F(Fork, BesideATracedDevicesComingAndGoing) {
    const auto file = tree.root.dev / "run.trace";
    EXPECT_THAT(forks_beside([&] { open_sim({.vectors = 1, .memory_size = 4096, .trace = {.file = file}}); }),
                testing::IsEmpty());
}

TEST_F(Fork, BesideAVfioDevicesComingAndGoing) {
    EXPECT_THAT(forks_beside([&] {
                    const Device device = open_vfio(kDevice, kernel);
                    (void)device.bar(0).map();
                    kernel.log.clear();
                }),
                testing::IsEmpty());
}

TEST_F(Fork, BesideASysfsDevicesComingAndGoing) {
    tree.set_driver(kDevice, "");
    test::FakeTree::put(tree.device(kDevice) / "config", std::string(4096, '\0'));
    test::FakeTree::put(tree.device(kDevice) / "resource0", std::string(0x10000, '\0'));
    test::FakeTree::put(tree.device(kDevice) / "enable", "0");
    const Bdf bdf = Bdf::parse(kDevice);
    const OpenOptions options{.busy_timeout = std::chrono::minutes{5}, .root = tree.root};
    // A child may hold the file, and so its lock, a moment longer than the parent.
    EXPECT_THAT(forks_beside([&] {
                    const Device device =
                        DeviceFactory::make(bdf, detail::open_sysfs(bdf, options, detail::real_system()), false);
                    (void)device.bar(0).map();
                }),
                testing::IsEmpty());
}

// The locks that another thread held are nobody's in the child.
TEST_F(Fork, AChildMayEndWhileItsParentOpensAnotherDevice) {
    Device device = open_vfio(kDevice, kernel);
    (void)device.bar(0).map();
    EXPECT_THAT(forks_beside(
                    [&] {
                        const Device other = open_vfio(kOther, other_kernel);
                        (void)other.bar(0).map();
                        other_kernel.log.clear();
                    },
                    [&] { device = Device{}; }),
                testing::IsEmpty());
    EXPECT_TRUE(device.is_open());
}

TEST_F(Fork, AChildMayUseAWindowOfItsParentsWhileThatLosesTheDevice) {
    const Device device = open_vfio(kDevice, kernel);
    const auto window = device.bar(0).map();
    EXPECT_THAT(forks_beside(
                    [&] {
                        kernel.is_removed = true;
                        (void)device.is_present();
                        kernel.is_removed = false;
                        (void)device.is_present();
                    },
                    [&] {
                        std::uint32_t value = 0;
                        const auto ec = mmio_guard(window, [&] { value = window.load<std::uint32_t>(0); });
                        if (!ec || value != ~0U) ::abort();
                    }),
                testing::IsEmpty());
}

TEST_F(Fork, AChildMayAskWhateverItsParentIsDoing) {
    Device device = open_sim();
    Interrupts& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2);
    std::optional<DmaBuffer> mapping{device.dma().allocate(4096)};
    EXPECT_THAT(forks_beside(
                    [&] {
                        device.reset();
                        interrupts.trigger(1);
                        (void)device.dma().allocate(4096);
                    },
                    [&] {
                        std::error_code ec;
                        device.config().set_bus_master(false, ec);
                        if (ec != Errc::forked || interrupts.capacity() != 0) ::_exit(1);
                        interrupts.enable(InterruptMode::msix, 1, 1, ec);
                        if (ec != Errc::forked) ::_exit(2);
                        interrupts.mask(ec);
                        if (ec != Errc::forked) ::_exit(3);
                        mapping.reset();
                    }),
                testing::IsEmpty());
}

TEST_F(Fork, AChildTakesNothingThatItsParentWaitsFor) {
    Device device = open_sim();
    auto& events = device.events();
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2);
    auto vector = interrupts.subscribe(1);
    auto event = events.subscribe(DeviceEvent::error);
    sim::report_error(device);
    interrupts.trigger(1);
    EXPECT_EQ(in_child([&]() -> std::string {
                  if (events.try_take(DeviceEvent::error) != 0) return "it takes an event";
                  if (interrupts.try_take(1) != 0) return "it takes an interrupt";
                  for (const Subscription* subscription : {&vector, &event}) {
                      std::error_code ec;
                      if (subscription->try_take(subscription->generation(), ec) != 0 || ec != Errc::forked)
                          return "a subscription takes: " + ec.message();
                      if (subscription->wait(std::chrono::seconds{0}, subscription->generation(), ec) != 0 ||
                          ec != Errc::forked)
                          return "a subscription waits: " + ec.message();
                      if (subscription->status() != Errc::forked) return "a wait may begin";
                  }
                  return "";
              }),
              "");
    EXPECT_EQ(events.try_take(DeviceEvent::error), 1u);
    EXPECT_EQ(interrupts.try_take(1), 1u);
}

}  // namespace uiovfio
