// SPDX-License-Identifier: MIT
#include "measure/uio.hpp"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <uiovfio/config_space.hpp>
#include <utility>

namespace pcienic::bench {
namespace {

using uiovfio::InterruptMode;

constexpr const char* kDriver = "uio_pci_generic";
constexpr unsigned kCause = 0;  // any: all of them drive the one line

std::error_code last_error() { return {errno, std::generic_category()}; }

std::string node_of(const uiovfio::Bdf& bdf) {
    const std::filesystem::path directory = sysfs_path(bdf, "uio");
    for (const auto& entry : std::filesystem::directory_iterator{directory})
        return "/dev/" + entry.path().filename().string();
    throw std::system_error{ENOENT, std::generic_category(), directory.string()};
}

}  // namespace

UioDevice::UioDevice(const uiovfio::Bdf& bdf, const Processors& processors)
    : bound_{std::in_place, bdf, kDriver},
      device_{uiovfio::Device::open(bdf, {.backend = "uio"})},
      driver_{device_},
      processors_{processors} {
    if (const auto irq = find_irq(kDriver)) route_irq(*irq, processors_.waiting);
}

Rig UioDevice::rig() {
    return {Target{device_.interrupts(), 0}, processors_, [this] { driver_.fire(kCause); }};
}

std::vector<Waiter> UioDevice::waiters() {
    return {
        {.name = "UIO, blocking read of its node",
         .wait = [this](const Target& /*target*/, Wakes& wakes) { read_by_hand(wakes); },
         // A read of the node ends with the device.
         .abandon = [this] { bound_.reset(); }},
        {.name = "UIO, Interrupts::wait",
         .wait = [this](const Target& /*target*/, Wakes& wakes) { wait_by_library(wakes); }},
    };
}

void UioDevice::read_by_hand(Wakes& wakes) {
    const OpenFile node{node_of(device_.bdf())};
    const OpenFile config{sysfs_path(device_.bdf(), "config")};
    std::uint16_t command = 0;
    if (::pread(config.descriptor(), &command, sizeof command, uiovfio::config::kCommand) != sizeof command)
        return wakes.failed(last_error());
    command = static_cast<std::uint16_t>(command & ~uiovfio::config::kCommandIntxDisable);
    bool is_ready = false;
    do {
        driver_.clear_cause(kCause);
        if (::pwrite(config.descriptor(), &command, sizeof command, uiovfio::config::kCommand) != sizeof command)
            return wakes.failed(last_error());
        if (!std::exchange(is_ready, true)) wakes.ready();
        std::uint32_t count = 0;
        if (::read(node.descriptor(), &count, sizeof count) != sizeof count) return wakes.failed(last_error());
    } while (wakes.woken());
}

void UioDevice::wait_by_library(Wakes& wakes) {
    constexpr std::chrono::nanoseconds kForEver{-1};
    auto& interrupts = device_.interrupts();
    driver_.enable_interrupts(InterruptMode::intx, 1);
    wakes.ready();
    for (;;) {
        std::error_code ec;
        interrupts.wait(0, kForEver, ec);
        if (ec) return wakes.failed(ec);
        if (!wakes.woken()) break;
        driver_.clear_cause(kCause);
        interrupts.unmask();
    }
    driver_.disable_interrupts();
    driver_.clear_cause(kCause);
}

}  // namespace pcienic::bench
