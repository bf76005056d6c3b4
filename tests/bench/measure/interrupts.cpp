// SPDX-License-Identifier: MIT
//
// From the device's store to whoever waits for the interrupt.
#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <pcienic/driver.hpp>
#include <system_error>

#include "cli/exit.hpp"
#include "measure/contest.hpp"
#include "measure/plan.hpp"
#include "measure/system_calls.hpp"
#include "measure/uio.hpp"
#include "measure/wakes.hpp"

namespace pcienic::bench {
namespace {

using uiovfio::InterruptMode;

constexpr unsigned kRounds = 60;
constexpr Round kRound{.unmeasured = 5, .measured = 30};
constexpr Round kTracedRound{.unmeasured = 5, .measured = 10};
constexpr unsigned kVector = 1;
constexpr unsigned kVectors = 2;

/// An open device whose vector is taken by the waiter's processor.
class Opened {
  public:
    explicit Opened(const Plan& plan) : device{plan.open()}, driver{device}, processors{choose_processors()} {
        driver.enable_interrupts(InterruptMode::msix, kVectors);
        const auto irq = find_irq(fmt::format("vfio-msix[{}]({})", kVector, to_string(device.bdf())));
        is_routed = irq && route_irq(*irq, processors.waiting);
    }

    [[nodiscard]] Target target() { return {device.interrupts(), kVector}; }
    Rig rig() {
        return {target(), processors, [this] { driver.fire(kVector); }};
    }
    Rig loopback_rig() {
        return {target(), processors, [this] { device.interrupts().trigger(kVector); }};
    }

    uiovfio::Device device;
    Driver driver;
    Processors processors;
    bool is_routed = false;
};

std::vector<Waiter> all_waiters() {
    std::vector<Waiter> waiters{kBlockingRead};
    std::ranges::copy(kOtherWaiters, std::back_inserter(waiters));
    return waiters;
}

/// Of a wake-up, by waiter; empty where this process may not trace another. The device is opened by each child.
std::map<std::string_view, std::map<std::string, double>> count_calls(const Plan& plan) {
    std::map<std::string_view, std::map<std::string, double>> counted;
    for (const Waiter& waiter : all_waiters()) {
        if (!waiter.sleeps) continue;  // it reads for as long as it takes
        const auto calls = count_system_calls([&] {
            Opened opened{plan};
            Rig rig = opened.rig();
            rig.at_start = &trace_this_thread;
            rig.at_boundary = &mark;
            Recorder ignored;
            rig.wake(waiter, kTracedRound, ignored);
        });
        for (const auto& [name, count] : calls)
            counted[waiter.name][name] = static_cast<double>(count) / static_cast<double>(kTracedRound.measured);
    }
    return counted;
}

Entry entry(const Waiter& waiter) {
    return {.name = std::string{waiter.name},
            .baseline = waiter.name == kBlockingRead.name ? "" : std::string{kBlockingRead.name},
            .must_not_allocate = true};
}

void enter_uio(Contest& contest, UioDevice& uio) {
    for (const Waiter& waiter : uio.waiters())
        contest.enter(entry(waiter),
                      [rig = uio.rig(), waiter](Recorder& recorder) mutable { rig.wake(waiter, kRound, recorder); });
}

std::string where(const Opened& opened) {
    if (opened.processors.firing == opened.processors.waiting) return "all on one processor";
    return opened.is_routed ? "the waiter on another processor, which takes the interrupt"
                            : "the waiter on another processor; the interrupt where the kernel has it";
}

}  // namespace

std::vector<Group> measure_interrupts(const Plan& plan) {
    std::map<std::string_view, std::map<std::string, double>> calls;
    std::string not_counted;
    try {
        calls = count_calls(plan);
    } catch (const cli::Failure& failure) {
        not_counted = failure.what();
    }

    Opened opened{plan};
    Rig rig = opened.rig();
    Rig loopback = opened.loopback_rig();
    Contest wake{"interrupts.wake", "An interrupt that wakes a waiter",
                 "from the store that makes the device raise MSI-X to the waiter's next statement; " + where(opened)};
    Contest find{"interrupts.find", "An interrupt that is there before the wait",
                 "from the device's store to the end of the wait, both in one thread: what the wait itself costs"};
    for (const Waiter& waiter : all_waiters()) {
        wake.enter(entry(waiter), [&, waiter](Recorder& recorder) { rig.wake(waiter, kRound, recorder); })
            .set_system_calls(calls[waiter.name]);
        find.enter(entry(waiter), [&, waiter](Recorder& recorder) { rig.find(waiter, kRound, recorder); });
    }
    const std::string through_vfio = "blocking read, fired by VFIO_DEVICE_SET_IRQS";
    if (opened.device.can(uiovfio::Feature::trigger))
        wake.enter({.name = through_vfio, .baseline = std::string{kBlockingRead.name}, .must_not_allocate = true},
                   [&](Recorder& recorder) { loopback.wake(kBlockingRead, kRound, recorder); });
    else
        wake.skip(through_vfio, fmt::format("the backend {} has no loopback", opened.device.backend()));
    std::optional<UioDevice> uio;
    try {
        if (plan.second)
            enter_uio(wake, uio.emplace(*plan.second, opened.processors));
        else
            wake.skip("UIO", "there is no second pcienic to give to uio_pci_generic");
    } catch (const std::system_error& error) {
        wake.skip("UIO", error.what());
    }
    if (!not_counted.empty()) wake.skip("system calls", not_counted);

    wake.run(plan.rounds(kRounds));
    find.run(plan.rounds(kRounds));
    return {wake.group(), find.group()};
}

}  // namespace pcienic::bench
