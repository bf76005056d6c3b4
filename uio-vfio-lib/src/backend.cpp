// SPDX-License-Identifier: MIT
#include "backend.hpp"

#include <fmt/format.h>

namespace uiovfio::detail {

void Backend::arm_some(InterruptMode mode, unsigned /*first*/, std::span<const int> /*event_fds*/) {
    throw Error{Errc::unsupported, object_ + " interrupts",
                fmt::format("the {} backend does not arm single {} vectors", name(), to_string(mode))};
}

void Backend::trigger_some(InterruptMode mode, std::span<const std::uint8_t> fire) {
    for (unsigned vector = 0; vector < fire.size(); ++vector)
        if (fire[vector] != 0) trigger(mode, vector);
}

void Backend::arm_event(DeviceEvent event, int /*event_fd*/) {
    throw Error{Errc::unsupported, object_, fmt::format("the {} backend has no {}", name(), to_string(event))};
}

void Backend::trigger_event(DeviceEvent event) { arm_event(event, -1); }

}  // namespace uiovfio::detail
