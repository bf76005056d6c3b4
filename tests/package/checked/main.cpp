// SPDX-License-Identifier: MIT
/// A program with a mistake: it reads beyond the end of a BAR.

#include <cstdint>
#include <cstdio>
#include <uiovfio/sim.hpp>
#include <uiovfio/uiovfio.hpp>

int main() {
    auto device = uiovfio::open_sim();
    const auto& bar = device.bar(0);
    std::printf("%08x\n", static_cast<unsigned>(bar.window().load<std::uint32_t>(bar.size())));
    return 0;
}
