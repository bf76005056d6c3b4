// SPDX-License-Identifier: MIT
#include "uiovfio/interrupts.hpp"

#include <fmt/format.h>

#include <utility>

#include "guarded.hpp"
#include "interrupt_state.hpp"
#include "uiovfio/config_space.hpp"

namespace uiovfio {

std::string_view to_string(InterruptMode mode) noexcept {
    switch (mode) {
        case InterruptMode::intx:
            return "INTx";
        case InterruptMode::msi:
            return "MSI";
        case InterruptMode::msix:
            return "MSI-X";
    }
    return "unknown";
}

namespace {

detail::VectorUse enabled_vectors(const detail::InterruptState& state) {
    state.backend().require_present();
    auto set = state.current();
    if (!set) throw Error{Errc::interrupts_not_enabled, state.backend().object() + " interrupts"};
    return set;
}

detail::VectorUse with_vector(const detail::InterruptState& state, unsigned vector) {
    auto set = enabled_vectors(state);
    require_vector(state, *set, vector);
    return set;
}

/// Both forms of Interrupts::wait. `mode` is that of the vectors waited on.
detail::Waited wait_for(const detail::InterruptState& state, unsigned vector, std::chrono::nanoseconds timeout,
                        InterruptMode& mode) noexcept {
    const detail::VectorUse set = state.current();
    // Before the look at the device: a loss that comes after it ends the wait.
    const std::uint64_t began_at = set ? set->counters.generation() : 0;
    if (const std::error_code ec = state.backend().status()) return {.ec = ec};
    if (!set) return {.ec = Errc::interrupts_not_enabled};
    mode = set->mode;
    if (vector >= set->counters.size()) return {.ec = Errc::no_such_vector};
    return set->counters.wait(vector, timeout, began_at);
}

/// Messages are writes, which a device that is no bus master does not make.
bool cannot_send(detail::Backend& backend, InterruptMode mode) noexcept {
    if (mode == InterruptMode::intx) return false;
    std::error_code unknown;
    const std::uint32_t command = detail::guarded(unknown, [&] { return backend.config_read(config::kCommand, 2); });
    return !unknown && (command & config::kCommandBusMaster) == 0;
}

/// What a wait that ended with an error says, and the remedy where there is one of its own.
struct Ending {
    std::string what;
    std::string remedy;
};

Ending ending_of(detail::Backend& backend, InterruptMode mode, const detail::Waited& waited,
                 std::chrono::nanoseconds timeout) {
    if (waited.ec == Errc::timed_out) {
        std::string what = fmt::format("no interrupt within {} ms",
                                       std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count());
        if (!cannot_send(backend, mode)) return {.what = std::move(what), .remedy = {}};
        return {.what = what + fmt::format(", and bus mastering is off: {} is a write, which the device cannot make",
                                           to_string(mode)),
                .remedy = "stop what the device is at, then call ConfigSpace::set_bus_master(true)"};
    }
    return {.what = waited.ec == Errc::system_error ? "cannot wait" : "", .remedy = {}};
}

}  // namespace

Interrupts::Interrupts(std::shared_ptr<detail::InterruptState> state) noexcept : state_{std::move(state)} {}
Interrupts::~Interrupts() = default;

unsigned Interrupts::available(InterruptMode mode) const {
    state_->backend().require_present();
    return state_->backend().interrupt_capacity(mode);
}
unsigned Interrupts::available(InterruptMode mode, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return available(mode); });
}

void Interrupts::enable(InterruptMode mode, unsigned count, unsigned room) { state_->enable(mode, count, room); }
void Interrupts::enable(InterruptMode mode, unsigned count, unsigned room, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { enable(mode, count, room); });
}
void Interrupts::enable(InterruptMode mode, unsigned count, std::error_code& ec) noexcept {
    enable(mode, count, count, ec);
}

Growth Interrupts::grow(unsigned count) { return state_->grow(count); }
Growth Interrupts::grow(unsigned count, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return grow(count); });
}

unsigned Interrupts::capacity() const noexcept { return state_->capacity(); }

void Interrupts::disable() { state_->disable(); }
void Interrupts::disable(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { disable(); });
}

InterruptMode Interrupts::mode() const { return enabled_vectors(*state_)->mode; }
InterruptMode Interrupts::mode(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return mode(); });
}

unsigned Interrupts::count() const noexcept {
    const detail::VectorUse set = state_->current();
    return set ? set->counters.size() : 0;
}

int Interrupts::event_fd(unsigned vector) const { return with_vector(*state_, vector)->counters.descriptor(vector); }
int Interrupts::event_fd(unsigned vector, std::error_code& ec) const noexcept {
    const int descriptor = detail::guarded(ec, [&] { return event_fd(vector); });
    return ec ? -1 : descriptor;
}

std::uint64_t Interrupts::try_take(unsigned vector) noexcept {
    if (!state_->backend().is_open()) return 0;
    const detail::VectorUse set = state_->current();
    return set && vector < set->counters.size() ? set->counters.try_take(vector) : 0;
}

std::uint64_t Interrupts::wait(unsigned vector, std::chrono::nanoseconds timeout) {
    InterruptMode mode{};
    const detail::Waited waited = wait_for(*state_, vector, timeout, mode);
    if (!waited.ec) return waited.count;
    // Their own words, where they have some.
    if (waited.ec == Errc::closed || waited.ec == Errc::forked || waited.ec == Errc::device_gone)
        state_->backend().require_present();
    if (waited.ec == Errc::interrupts_not_enabled || waited.ec == Errc::no_such_vector) with_vector(*state_, vector);
    Ending ending = ending_of(state_->backend(), mode, waited, timeout);
    throw Error{static_cast<Errc>(waited.ec.value()),
                fmt::format("{} {} vector {}", state_->backend().object(), to_string(mode), vector),
                std::move(ending.what), waited.system_errno, std::move(ending.remedy)};
}
std::uint64_t Interrupts::wait(unsigned vector, std::chrono::nanoseconds timeout, std::error_code& ec) noexcept {
    InterruptMode mode{};
    const detail::Waited waited = wait_for(*state_, vector, timeout, mode);
    ec = waited.ec;
    return waited.count;
}

void Interrupts::arm(unsigned vector) { state_->arm(vector); }
void Interrupts::arm(unsigned vector, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { arm(vector); });
}

void Interrupts::disarm(unsigned vector) { state_->disarm(vector); }
void Interrupts::disarm(unsigned vector, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { disarm(vector); });
}

void Interrupts::trigger(unsigned vector) { state_->trigger(vector); }
void Interrupts::trigger(unsigned vector, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { trigger(vector); });
}

void Interrupts::trigger(std::span<const unsigned> vectors) { state_->trigger(vectors); }
void Interrupts::trigger(std::span<const unsigned> vectors, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { trigger(vectors); });
}

void Interrupts::mask() { state_->mask(); }
void Interrupts::mask(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { mask(); });
}

void Interrupts::unmask() { state_->unmask(); }
void Interrupts::unmask(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { unmask(); });
}

Subscription Interrupts::subscribe(unsigned vector) const {
    struct Held {
        std::shared_ptr<detail::InterruptState> state;
        detail::VectorUse use;  // goes before the state that it belongs to
    };
    const auto held = std::make_shared<Held>(state_, with_vector(*state_, vector));
    std::shared_ptr<detail::CounterSet> counters{held, &held->use->counters};
    const std::string object = fmt::format("{} vector {}", state_->backend().object(), vector);
    const int descriptor = counters->duplicate(vector, object);
    return Subscription{std::move(counters), vector, descriptor};
}
std::optional<Subscription> Interrupts::subscribe(unsigned vector, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return std::optional{subscribe(vector)}; });
}

}  // namespace uiovfio
