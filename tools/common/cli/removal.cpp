// SPDX-License-Identifier: MIT
#include "cli/removal.hpp"

#include <fmt/format.h>

namespace pcienic::cli {

bool RemovalRequest::came() {
    constexpr auto kInterval = std::chrono::milliseconds(100);
    const auto now = std::chrono::steady_clock::now();
    if (came_ || now < next_) return came_;
    next_ = now + kInterval;
    came_ = device_.events().try_take(uiovfio::DeviceEvent::removal_request) != 0;
    return came_;
}

Failure RemovalRequest::failure() const {
    return {
        Exit::failure,
        fmt::format("{}: the kernel wants the device back, for somebody unbinds or removes it: ended, so that they can",
                    to_string(device_.bdf()))};
}

}  // namespace pcienic::cli
