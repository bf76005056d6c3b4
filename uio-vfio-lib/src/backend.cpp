// SPDX-License-Identifier: MIT
#include "backend.hpp"

#include <fmt/format.h>

#include "guarded.hpp"
#include "uiovfio/config_space.hpp"

namespace uiovfio::detail {

void Backend::require_present() {
    require_open();
    if (status()) throw Error{Errc::device_gone, object_, "configuration space answers with all ones"};
}

// The header's type: 0xff is none, and no backend invents an answer, as VFIO does for the vendor's identifier.
//
// What is remembered and what is done about it are one step: of two threads, one may see the device go and the other
// see it return. The one that asked last is right, whichever comes here first.
bool Backend::check_presence() noexcept {
    const std::uint64_t asked = questions_.fetch_add(1) + 1;
    std::error_code nobody_answered;
    constexpr std::uint32_t kNobody = 0xff;
    const std::uint32_t type = guarded(nobody_answered, [&] { return config_read(config::kHeaderType, 1); });
    const bool is_present = !nobody_answered && type != kNobody;
    {
        const std::lock_guard lock{presence_mutex_};
        if (asked < answered_) return !is_gone_.load();
        answered_ = asked;
        if (is_gone_.load() != is_present) return is_present;
        is_gone_.store(!is_present);
        presence_changed(is_present);
    }
    if (!is_present && lost_) lost_();
    return is_present;
}

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
