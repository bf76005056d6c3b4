// SPDX-License-Identifier: MIT
#include "interrupt_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "guarded.hpp"
#include "mutation.hpp"

namespace uiovfio::detail {

namespace {

/// What the backend is to connect: -1 where a vector is disarmed or set aside.
std::vector<int> descriptors(const VectorSet& set, unsigned count, unsigned slots) {
    std::vector<int> raw(slots, -1);
    for (unsigned vector = 0; vector < count; ++vector)
        if (vector >= set.disarmed.size() || !set.disarmed[vector]) raw[vector] = set.counters.descriptor(vector);
    return raw;
}

constexpr Feature feature_of(InterruptMode mode) noexcept {
    return mode == InterruptMode::intx ? Feature::intx : mode == InterruptMode::msi ? Feature::msi : Feature::msix;
}

}  // namespace

void require_vector(const InterruptState& state, const VectorSet& set, unsigned vector) {
    if (const unsigned count = set.counters.size(); vector >= count)
        throw Error{Errc::no_such_vector, fmt::format("{} vector {}", state.backend().object(), vector),
                    fmt::format("{} vectors are enabled", count)};
}

// The set is looked at again once it is counted as used: from then on it is not given to another enabling.
VectorUse InterruptState::current() const noexcept {
    for (;;) {
        VectorSet* set = current_.load();
        if (set == nullptr) return {};
        set->users.fetch_add(1);
        VectorUse use{set};
        if (current_.load() == set) return use;
    }
}

std::unique_lock<std::mutex> InterruptState::take_control() {
    backend_->require_open();  // a forked child may have a copy of the lock that is never released
    return std::unique_lock{control_};
}

VectorSet& InterruptState::controlled() {
    backend_->require_present();
    VectorSet* set = current_.load();
    if (set == nullptr) throw Error{Errc::interrupts_not_enabled, object()};
    return *set;
}

VectorSet& InterruptState::unused_set() {
    const VectorSet* in_force = current_.load();
    for (const auto& set : sets_)
        if (set.get() != in_force && set->users.load() == 0) return *set;
    sets_.push_back(std::make_unique<VectorSet>());
    sets_.back()->counters.set_trace(backend_->trace().vectors);
    return *sets_.back();
}

void InterruptState::retire(VectorSet& set, Errc why) noexcept {
    current_.store(nullptr);
    set.counters.end(why);
    // The eventfds of a set that still has users are closed by a later call, or with this object.
    for (const auto& each : sets_)
        if (each->users.load() == 0) each->counters.clear();
}

void InterruptState::require_capacity(InterruptMode mode, unsigned count) const {
    const unsigned available = backend_->interrupt_capacity(mode);
    if (available == 0)
        throw Error{Errc::unsupported, object(), fmt::format("the device has no {}", to_string(mode)), 0,
                    "use a mode for which Interrupts::available() is not 0"};
    if (count > available)
        throw Error{Errc::interrupt_capacity, object(),
                    fmt::format("{} {} vectors were asked for, {} are available", count, to_string(mode), available)};
}

void InterruptState::enable(InterruptMode mode, unsigned count, unsigned room) {
    const auto control = take_control();
    backend_->require_present();
    backend_->require(feature_of(mode));
    if (count == 0) throw Error{Errc::invalid_argument, object(), "enabling 0 vectors"};
    if (const VectorSet* set = current_.load())
        throw Error{Errc::interrupt_mode_busy, object(),
                    fmt::format("{} is enabled with {} vectors", to_string(set->mode), set->counters.size())};
    require_capacity(mode, count);
    const unsigned available = backend_->interrupt_capacity(mode);
    VectorSet& set = unused_set();
    set.mode = mode;
    set.disarmed.assign(available, false);
    set.is_masked = false;
    set.counters.restart(available);
    set.counters.prepare(count, object());
    // Where the kernel adds vectors to those in use, there is nothing to set aside.
    set.slots = backend_->adds_vectors(mode) ? count : std::clamp(room, count, available);
    arm_with_room(set, count);
    set.counters.publish(count);
    current_.store(&set);
}

void InterruptState::arm_with_room(VectorSet& set, unsigned count) {
    for (;;) {
        try {
            return backend_->arm(set.mode, descriptors(set, count, set.slots));
        } catch (const FewerVectors& fewer) {
            if (set.slots == count) throw;
            set.slots = std::clamp(fewer.available, count, set.slots - 1);
        }
    }
}

Growth InterruptState::grow(unsigned count) {
    const auto control = take_control();
    VectorSet& set = controlled();
    if (count <= set.counters.size()) return Growth::in_place;
    require_capacity(set.mode, count);
    set.counters.prepare(count, object());
    try {
        const bool in_place = count <= set.slots || backend_->adds_vectors(set.mode);
        return in_place ? grow_in_place(set, count) : grow_by_arming_anew(set, count);
    } catch (...) {
        set.counters.drop_prepared();
        throw;
    }
}

Growth InterruptState::grow_in_place(VectorSet& set, unsigned count) {
    const unsigned first = set.counters.size();
    const std::vector<int> all = descriptors(set, count, count);
    backend_->arm_some(set.mode, first, std::span{all}.subspan(first));
    set.slots = std::max(set.slots, count);
    set.counters.publish(count);
    return Growth::in_place;
}

Growth InterruptState::grow_by_arming_anew(VectorSet& set, unsigned count) {
    const unsigned before = set.counters.size();
    const std::vector<std::uint8_t> everybody(before, 1);  // made while it can still fail
    const auto arm = [&](unsigned vectors, unsigned slots) {
        try {
            backend_->arm(set.mode, descriptors(set, vectors, slots));
        } catch (...) {
            return std::current_exception();
        }
        return std::exception_ptr{};
    };
    backend_->disarm(set.mode);
    if (const auto failure = arm(count, count)) {
        if (arm(before, set.slots)) retire(set, Errc::interrupts_not_enabled);
        std::rethrow_exception(failure);
    }
    set.slots = count;
    set.counters.publish(count);
    // What fired in between is gone: everybody looks once. The vectors are there now, whatever becomes of that.
    std::error_code not_by_the_kernel;
    guarded(not_by_the_kernel, [&] { backend_->trigger_some(set.mode, everybody); });
    for (unsigned vector = 0; not_by_the_kernel && vector < before; ++vector)
        if (!set.disarmed[vector]) set.counters.count_one(vector);
    return Growth::armed_anew;
}

unsigned InterruptState::capacity() {
    if (!backend_->is_open()) return 0;
    const std::lock_guard control{control_};
    const VectorSet* set = current_.load();
    if (set == nullptr) return 0;
    return backend_->adds_vectors(set->mode) ? backend_->interrupt_capacity(set->mode) : set->slots;
}

void InterruptState::disable() {
    const auto control = take_control();
    backend_->require_present();
    VectorSet* set = current_.load();
    if (set == nullptr) return;
    backend_->disarm(set->mode);
    retire(*set, Errc::interrupts_not_enabled);
}

void InterruptState::arm(unsigned vector) {
    const auto control = take_control();
    VectorSet& set = with_single_vectors(vector);
    const int event_fd = set.counters.descriptor(vector);
    backend_->arm_some(set.mode, vector, {&event_fd, 1});
    set.disarmed[vector] = false;
}

void InterruptState::disarm(unsigned vector) {
    const auto control = take_control();
    VectorSet& set = with_single_vectors(vector);
    const int none = -1;
    backend_->arm_some(set.mode, vector, {&none, 1});
    set.disarmed[vector] = true;
}

VectorSet& InterruptState::with_single_vectors(unsigned vector) {
    VectorSet& set = controlled();
    require_vector(*this, set, vector);
    if (set.mode == InterruptMode::intx)
        throw Error{Errc::unsupported, object(), "INTx is one line", 0, "use Interrupts::mask() and unmask()"};
    return set;
}

void InterruptState::trigger(unsigned vector) {
    const auto control = take_control();
    const VectorSet& set = controlled();
    require_vector(*this, set, vector);
    backend_->require(Feature::trigger);
    backend_->trigger(set.mode, vector);
}

void InterruptState::trigger(std::span<const unsigned> vectors) {
    const auto control = take_control();
    const VectorSet& set = controlled();
    backend_->require(Feature::trigger);
    std::vector<std::uint8_t> fire(set.counters.size(), 0);
    for (const unsigned vector : vectors) {
        require_vector(*this, set, vector);
        fire[vector] = 1;
    }
    backend_->trigger_some(set.mode, fire);
}

void InterruptState::mask() {
    const auto control = take_control();
    VectorSet& set = with_a_mask();
    backend_->mask_intx();
    set.is_masked = true;
}

void InterruptState::unmask() {
    const auto control = take_control();
    VectorSet& set = with_a_mask();
    backend_->unmask_intx();
    set.is_masked = false;
}

VectorSet& InterruptState::with_a_mask() {
    VectorSet& set = controlled();
    if (set.mode != InterruptMode::intx)
        throw Error{Errc::unsupported, object(), fmt::format("the kernel masks no {} vectors", to_string(set.mode)), 0,
                    "mask them in the device or in the MSI-X table, or use Interrupts::disarm()"};
    return set;
}

void InterruptState::reset_around(const std::function<void()>& reset) {
    const auto control = take_control();
    VectorSet* set = current_.load();
    if (set == nullptr) return reset();
    if (backend_->keeps_interrupts_over_reset()) {
        reset();
        if (set->is_masked) backend_->mask_intx();
        return set->counters.interrupt_waits(Errc::device_reset);
    }
    const auto rearm = [&] {
        if (mutation::kNoRearmAfterReset) return;
        try {
            backend_->arm(set->mode, descriptors(*set, set->counters.size(), set->slots));
            if (set->is_masked) backend_->mask_intx();
        } catch (...) {
            retire(*set, Errc::interrupts_not_enabled);  // those who wait must not wait for what cannot come
            throw;
        }
    };
    backend_->disarm(set->mode);
    try {
        reset();
    } catch (...) {
        rearm();
        throw;
    }
    rearm();
    set->counters.interrupt_waits(Errc::device_reset);
}

void InterruptState::lost() noexcept {
    if (const VectorUse set = current()) set->counters.interrupt_waits(Errc::device_gone);
}

void InterruptState::close() noexcept {
    const std::lock_guard control{control_};
    if (VectorSet* set = current_.load()) {
        std::error_code gone_already;
        guarded(gone_already, [&] { backend_->disarm(set->mode); });
        retire(*set, Errc::closed);
    }
    // Those who still hold what was disabled before shall learn of this, too.
    for (const auto& set : sets_) set->counters.end(Errc::closed);
}

}  // namespace uiovfio::detail
