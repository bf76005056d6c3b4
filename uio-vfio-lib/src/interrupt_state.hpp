// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The vectors in force: who changes them, and how those who only use them find them without a lock.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "counter_set.hpp"

namespace uiovfio::detail {

/// The vectors of one enabling. What is not atomic is written before the set is in force, or with the control lock held
/// and read so.
struct VectorSet {
    CounterSet counters;
    InterruptMode mode{};
    unsigned slots = 0;          ///< vectors that the kernel holds for us; those beyond counters.size() are set aside
    std::vector<bool> disarmed;  ///< by InterruptState::disarm()
    bool is_masked = false;      ///< by InterruptState::mask()
    std::atomic<unsigned> users{0};
};

/// A VectorSet that stays as it is for as long as this object lives, also when it is no longer in force. Move-only.
class VectorUse {
  public:
    VectorUse() noexcept = default;
    /// Takes over one of set->users.
    explicit VectorUse(VectorSet* set) noexcept : set_{set} {}
    VectorUse(VectorUse&& other) noexcept : set_{std::exchange(other.set_, nullptr)} {}
    VectorUse& operator=(VectorUse&& other) noexcept {
        std::swap(set_, other.set_);
        return *this;
    }
    ~VectorUse() {
        if (set_ != nullptr) set_->users.fetch_sub(1);
    }

    explicit operator bool() const noexcept { return set_ != nullptr; }
    VectorSet* operator->() const noexcept { return set_; }
    VectorSet& operator*() const noexcept { return *set_; }

  private:
    VectorSet* set_ = nullptr;
};

class InterruptState {
  public:
    explicit InterruptState(std::shared_ptr<Backend> backend) : backend_{std::move(backend)} {}

    [[nodiscard]] Backend& backend() const noexcept { return *backend_; }
    /// The set in force; empty when interrupts are not enabled. Takes no lock and allocates nothing.
    [[nodiscard]] VectorUse current() const noexcept;

    void enable(InterruptMode mode, unsigned count, unsigned room);
    Growth grow(unsigned count);
    /// Vectors that grow() can reach in place; 0 when interrupts are not enabled.
    [[nodiscard]] unsigned capacity();
    void disable();
    void arm(unsigned vector);
    void disarm(unsigned vector);
    void trigger(unsigned vector);
    void trigger(std::span<const unsigned> vectors);
    void mask();
    void unmask();
    void reset_around(const std::function<void()>& reset);
    /// Ends the waits in progress with device_gone.
    void lost() noexcept;
    void close() noexcept;

  private:
    /// Throws closed, forked.
    std::unique_lock<std::mutex> take_control();
    /// The set in force, with the control lock held. Throws interrupts_not_enabled.
    VectorSet& controlled();
    VectorSet& unused_set();
    void retire(VectorSet& set, Errc why) noexcept;
    /// The set in force, in a mode of several vectors, of which `vector` is one.
    VectorSet& with_single_vectors(unsigned vector);
    /// The set in force, in the mode that the kernel masks.
    VectorSet& with_a_mask();
    /// Arms `count` vectors and sets aside as many more as the kernel grants, up to set.slots.
    void arm_with_room(VectorSet& set, unsigned count);
    Growth grow_in_place(VectorSet& set, unsigned count);
    Growth grow_by_arming_anew(VectorSet& set, unsigned count);
    [[nodiscard]] std::string object() const { return backend_->object() + " interrupts"; }
    /// Throws unsupported, interrupt_capacity.
    void require_capacity(InterruptMode mode, unsigned count) const;

    std::shared_ptr<Backend> backend_;
    std::mutex control_;  // held by what talks to the backend; guards what is not atomic
    std::atomic<VectorSet*> current_{nullptr};
    // Never destroyed before this object is, because who looks for the set in force may still be about to find that a
    // set no longer is. A set that nobody uses serves again.
    std::vector<std::unique_ptr<VectorSet>> sets_;
};

/// Throws no_such_vector.
void require_vector(const InterruptState& state, const VectorSet& set, unsigned vector);

}  // namespace uiovfio::detail
