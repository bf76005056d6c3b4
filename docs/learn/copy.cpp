// SPDX-License-Identifier: MIT
// Chapters 05 and 06: a copy by the device, then one that the IOMMU refuses, then one more to see that it still works.
// Where the DMA command stands is asked of the vendor-specific capability, if there is one (chapter 06).
//
//     ./pcienic run --device pcienic-dma --put build/learn/copy -- ./copy

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>

#include "uiovfio/uiovfio.hpp"

namespace {

constexpr std::uint32_t kVector = 1;
constexpr std::uint32_t kBusy = 1;  // of STATUS

/// Starts a copy, waits for its interrupt, and returns its STATUS.
std::uint32_t copy(uiovfio::Device& device, const uiovfio::MappedWindow& registers, std::size_t dma,
                   uiovfio::Iova source, uiovfio::Iova destination, std::uint32_t length) {
    registers.store<std::uint64_t>(dma + 0x00, uiovfio::to_integer(source));
    registers.store<std::uint64_t>(dma + 0x08, uiovfio::to_integer(destination));
    registers.store<std::uint32_t>(dma + 0x10, length);
    registers.store<std::uint32_t>(dma + 0x14, kVector);
    uiovfio::write_barrier();  // what the device will read is in memory before the device is told
    registers.store<std::uint32_t>(dma + 0x18, 1);
    device.interrupts().wait(kVector, std::chrono::minutes{1});
    return registers.load<std::uint32_t>(dma + 0x1c);
}

}  // namespace

int main() try {
    const char* address = std::getenv("PCIENIC_BDF");
    auto device = uiovfio::Device::open(uiovfio::Bdf::parse(address != nullptr ? address : ""));
    device.interrupts().enable(uiovfio::InterruptMode::msix, kVector + 1);

    unsigned bar = 0;
    std::size_t dma = 0x40;
    if (const auto layout = device.config().find(uiovfio::capability::kVendorSpecific)) {
        bar = device.config().read8(static_cast<std::uint16_t>(layout->offset + 4));
        dma = device.config().read32(static_cast<std::uint16_t>(layout->offset + 12));
        std::printf("the vendor-specific capability says: DMA block in BAR%u at 0x%zx\n", bar, dma);
    }
    const auto registers = device.bar(bar).map();

    // This device cannot be reset. It may be in the middle of a copy for the program before us, so open() has left its
    // bus mastering off: what it copies now goes nowhere. Once it is done, it may reach memory, which is ours.
    while (registers.load<std::uint32_t>(dma + 0x1c) == kBusy) std::this_thread::yield();
    device.config().set_bus_master(true);

    auto source = device.dma().allocate(4096);
    auto destination = device.dma().allocate(4096);
    std::memcpy(source.bytes().data(), "hello, device", 14);
    auto status = copy(device, registers, dma, source.iova(), destination.iova(), 14);
    std::printf("copy: status %u, the destination holds \"%s\"\n", status,
                reinterpret_cast<const char*>(destination.bytes().data()));
    const bool copied = status == 2 && std::memcmp(destination.bytes().data(), "hello, device", 14) == 0;

    const auto gone = source.iova();
    source.unmap();
    status = copy(device, registers, dma, gone, destination.iova(), 14);
    std::printf("copy from an address that is no longer mapped: status %u\n", status);
    const bool refused = status == 4;

    auto again = device.dma().allocate(4096);
    status = copy(device, registers, dma, again.iova(), destination.iova(), 14);
    std::printf("copy after that: status %u\n", status);
    return copied && refused && status == 2 ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "copy: %s\n", error.what());
    return 1;
}
