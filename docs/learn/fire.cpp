// SPDX-License-Identifier: MIT
// Chapters 03 and 04: rings the doorbell once for every vector, and shows which eventfd woke up. Then, if a command is
// given, runs it while the vectors are still enabled.
//
//     ./pcienic run --device pcienic-msi --put build/learn/fire -- ./fire 'grep vfio-msi /proc/interrupts'

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "uiovfio/uiovfio.hpp"

int main(int argc, char** argv) try {
    const char* address = std::getenv("PCIENIC_BDF");
    auto device = uiovfio::Device::open(uiovfio::Bdf::parse(address != nullptr ? address : ""));
    auto& interrupts = device.interrupts();
    const auto mode = interrupts.available(uiovfio::InterruptMode::msix) > 0 ? uiovfio::InterruptMode::msix
                                                                             : uiovfio::InterruptMode::msi;
    const unsigned vectors = interrupts.available(mode);
    interrupts.enable(mode, vectors);  // first the driver is ready, then the device may fire
    // A message is a write to memory, and open() leaves that off for a device that cannot be reset.
    device.config().set_bus_master(true);

    const auto registers = device.bar(0).map();
    bool as_it_should = true;
    for (std::uint32_t vector = 0; vector < vectors; ++vector) {
        registers.store<std::uint32_t>(0x0, vector);
        const std::uint64_t count = interrupts.wait(vector, std::chrono::minutes{1});
        std::printf("doorbell %u: vector %u fired %llu time(s)", vector, vector,
                    static_cast<unsigned long long>(count));
        for (unsigned other = 0; other < vectors; ++other) {
            if (interrupts.try_take(other) != 0) {
                std::printf(", and so did vector %u", other);
                as_it_should = false;
            }
        }
        std::printf("\n");
    }

    std::fflush(stdout);
    if (argc > 1 && std::system(argv[1]) != 0) {
        return 1;
    }
    return as_it_should ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "fire: %s\n", error.what());
    return 1;
}
