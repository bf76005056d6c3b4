// SPDX-License-Identifier: MIT
/// A program that uses every part of the package: library, driver, registers and Asio.

#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <pcienic/driver.hpp>
#include <pcienic/register_table.hpp>
#include <uiovfio/asio.hpp>
#include <uiovfio/sim.hpp>
#include <uiovfio/uiovfio.hpp>

int main() {
    auto device = uiovfio::open_sim();
    pcienic::Driver driver{device};
    device.interrupts().enable(uiovfio::InterruptMode::msix, 4);

    boost::asio::io_context io;
    uiovfio::AsyncVector vector{io.get_executor(), device.interrupts(), 3};
    std::uint64_t received = 0;
    vector.async_wait([&](boost::system::error_code, std::uint64_t count) { received = count; });
    driver.fire(3);
    io.run();

    std::printf("%zu registers, %llu interrupt\n", pcienic::kRegisters.size(),
                static_cast<unsigned long long>(received));
    return received == 1 ? 0 : 1;
}
