// SPDX-License-Identifier: MIT
#include "uiovfio/device_events.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "event_state.hpp"
#include "guarded.hpp"

namespace uiovfio {

namespace {

constexpr std::array kAll{DeviceEvent::error, DeviceEvent::removal_request};

constexpr unsigned index_of(DeviceEvent event) noexcept { return static_cast<unsigned>(event); }

std::string object_of(const detail::Backend& backend, DeviceEvent event) {
    return fmt::format("{} {}", backend.object(), to_string(event));
}

}  // namespace

namespace detail {

EventState::EventState(std::shared_ptr<Backend> backend) : backend_{std::move(backend)} {
    counters_.set_trace(backend_->trace().events);
    counters_.restart(kAll.size());
    counters_.prepare(kAll.size(), backend_->object() + " events");
    counters_.publish(kAll.size());
    for (const DeviceEvent event : kAll)
        if (backend_->has_event(event)) backend_->arm_event(event, counters_.descriptor(index_of(event)));
}

void EventState::require(DeviceEvent event) const {
    backend_->require_present();
    backend_->require(Feature::events);
    if (!backend_->has_event(event))
        throw Error{Errc::unsupported, object_of(*backend_, event), "the device does not tell of it", 0,
                    "use events for which DeviceEvents::available() is true"};
}

std::error_code EventState::status(DeviceEvent event) const noexcept {
    if (const std::error_code ec = backend_->status()) return ec;
    return backend_->has_event(event) ? std::error_code{} : make_error_code(Errc::unsupported);
}

void EventState::close() noexcept {
    for (const DeviceEvent event : kAll) {
        if (!backend_->has_event(event)) continue;
        std::error_code gone_already;
        guarded(gone_already, [&] { backend_->arm_event(event, -1); });
    }
    counters_.end(Errc::closed);
}

}  // namespace detail

std::string_view to_string(DeviceEvent event) noexcept {
    return event == DeviceEvent::error ? "error" : "removal request";
}

DeviceEvents::DeviceEvents(std::shared_ptr<detail::EventState> state) noexcept : state_{std::move(state)} {}
DeviceEvents::~DeviceEvents() = default;

bool DeviceEvents::available(DeviceEvent event) const noexcept { return !state_->status(event); }

int DeviceEvents::event_fd(DeviceEvent event) const {
    state_->require(event);
    return state_->counters().descriptor(index_of(event));
}
int DeviceEvents::event_fd(DeviceEvent event, std::error_code& ec) const noexcept {
    const int descriptor = detail::guarded(ec, [&] { return event_fd(event); });
    return ec ? -1 : descriptor;
}

std::uint64_t DeviceEvents::try_take(DeviceEvent event) noexcept {
    return state_->counters().try_take(index_of(event));
}

std::uint64_t DeviceEvents::wait(DeviceEvent event, std::chrono::nanoseconds timeout) {
    const std::uint64_t began_at = state_->counters().generation();  // a loss that comes after it ends the wait
    state_->require(event);
    const detail::Waited waited = state_->counters().wait(index_of(event), timeout, began_at);
    if (!waited.ec) return waited.count;
    if (waited.ec != Errc::timed_out && waited.ec != Errc::system_error) state_->require(event);
    const bool is_late = waited.ec == Errc::timed_out;
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
    throw Error{static_cast<Errc>(waited.ec.value()), object_of(state_->backend(), event),
                is_late ? fmt::format("did not come within {} ms", milliseconds) : "cannot wait", waited.system_errno,
                is_late ? "wait on: it need never come" : ""};
}
std::uint64_t DeviceEvents::wait(DeviceEvent event, std::chrono::nanoseconds timeout, std::error_code& ec) noexcept {
    const std::uint64_t began_at = state_->counters().generation();
    ec = state_->status(event);
    if (ec) return 0;
    const detail::Waited waited = state_->counters().wait(index_of(event), timeout, began_at);
    ec = waited.ec;
    return waited.count;
}

void DeviceEvents::trigger(DeviceEvent event) {
    state_->require(event);
    state_->backend().trigger_event(event);
}
void DeviceEvents::trigger(DeviceEvent event, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { trigger(event); });
}

Subscription DeviceEvents::subscribe(DeviceEvent event) const {
    state_->require(event);
    std::shared_ptr<detail::CounterSet> counters{state_, &state_->counters()};
    const int descriptor = counters->duplicate(index_of(event), object_of(state_->backend(), event));
    return Subscription{std::move(counters), index_of(event), descriptor};
}
std::optional<Subscription> DeviceEvents::subscribe(DeviceEvent event, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return std::optional{subscribe(event)}; });
}

}  // namespace uiovfio
