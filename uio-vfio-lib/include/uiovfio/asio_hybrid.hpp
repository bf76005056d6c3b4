// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Polling and interrupts in one Boost.Asio operation: HybridWait of hybrid.hpp for an event loop.
///
///     uiovfio::AsyncHybridWait wait{io.get_executor(), device.interrupts().subscribe(3), uiovfio::AdaptiveSpin{}};
///     co_await wait.async_until([&]() noexcept { return ring.is_done(); }, boost::asio::use_awaitable);
///
/// The looks are turns of the event loop: between two of them, whatever else is ready runs. So nothing is held up, and
/// a loop that does more looks less often. While somebody looks, there always is a turn to take: io_context::poll()
/// returns when the looking is over, which with AlwaysPoll is when the interrupt has come. Call run() or poll_one().

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <system_error>
#include <type_traits>
#include <utility>

#include "uiovfio/asio.hpp"
#include "uiovfio/hybrid.hpp"
#include "uiovfio/subscription.hpp"

namespace uiovfio {

/// Waits on a vector or a device event, looking first. Move-only. Destroying it cancels its wait. Have one wait at a
/// time. Threads: as AsyncCounts; the policy and `ready` are called where the handler's executor runs. Clock is for
/// tests.
template <SpinPolicy Policy = AdaptiveSpin, class Clock = std::chrono::steady_clock>
class AsyncHybridWait : private AsyncCounts {
  public:
    /// Waits on `executor` for what the subscription follows. Make one for each vector or event.
    AsyncHybridWait(const boost::asio::any_io_executor& executor, Subscription subscription, Policy policy = {})
        : AsyncCounts{executor, std::move(subscription)}, policy_{std::make_shared<Policy>(std::move(policy))} {}

    /// Waits for the interrupt itself and takes the count. Each look is a system call. Completes as
    /// AsyncCounts::async_wait() does.
    template <boost::asio::completion_token_for<void(boost::system::error_code, std::uint64_t)> Token>
    auto async_wait(Token&& token) {
        return start<void(boost::system::error_code, std::uint64_t)>(Interrupt{}, std::forward<Token>(token));
    }

    /// Waits until `ready` (which must be noexcept) holds, which has to come with an interrupt: see
    /// HybridWait::until(). Completes with `void(boost::system::error_code)`: none when it holds, else
    /// operation_aborted (cancelled), or an error of AsyncCounts::async_wait(). Counts of the vector are taken as they
    /// come. `ready` is not called after a cancellation, so it may refer to what owns this object; cancel where the
    /// handler's executor runs, or it may just be being called.
    template <class Ready, boost::asio::completion_token_for<void(boost::system::error_code)> Token>
        requires std::is_nothrow_invocable_r_v<bool, Ready&>
    auto async_until(Ready ready, Token&& token) {
        return start<void(boost::system::error_code)>(Condition<Ready>{std::move(ready)}, std::forward<Token>(token));
    }

    using AsyncCounts::cancel;
    using AsyncCounts::get_executor;
    using typename AsyncCounts::executor_type;

    /// With what it has learnt. Not once moved from, and not beside a wait that takes its steps in another thread.
    [[nodiscard]] const Policy& policy() const noexcept { return *policy_; }

  private:
    /// What async_wait() waits for.
    struct Interrupt {
        static constexpr bool kMayBePast = false;  // what came before is in the count that a sleep begins with
        std::uint64_t count = 0;

        bool look(const Subscription& subscription, std::uint64_t generation, std::error_code& ec) noexcept {
            count = subscription.try_take(generation, ec);
            return count != 0;
        }
        bool woken(std::uint64_t by) noexcept {
            count = by;
            return count != 0;
        }
        template <class Self>
        void complete(Self& self, boost::system::error_code ec) {
            self.complete(ec, count);
        }
    };

    /// What async_until() waits for.
    template <class Ready>
    struct Condition {
        static constexpr bool kMayBePast = true;  // it may hold since an interrupt that was taken before
        Ready ready;

        bool look(const Subscription& subscription, std::uint64_t generation, std::error_code& ec) noexcept {
            if (ready()) return true;
            ec = subscription.interruption(generation);
            return false;
        }
        bool woken(std::uint64_t /*by*/) noexcept { return ready(); }
        template <class Self>
        void complete(Self& self, boost::system::error_code ec) {
            self.complete(ec);
        }
    };

    template <class Goal>
    class Wait {
      public:
        Wait(std::shared_ptr<State> state, std::shared_ptr<Policy> policy, Goal goal) noexcept
            : state_{std::move(state)}, policy_{std::move(policy)}, goal_{std::move(goal)} {}

        /// A turn; the first one is within the initiating function, which must not complete.
        template <class Self>
        void operator()(Self& self) {
            if (!is_begun_) {
                begin();
                self.reset_cancellation_state(boost::asio::enable_total_cancellation());
                return Goal::kMayBePast || budget_ > budget_.zero() ? take_turn(self) : sleep(self);
            }
            if (is_cancelled(self)) return end(self, boost::asio::error::operation_aborted);
            std::error_code ec;
            if (goal_.look(state_->subscription, beginning_.generation, ec)) return end(self, {});
            if (ec) return end(self, ec);
            if (Clock::now() - began_ < budget_) return take_turn(self);
            sleep(self);
        }

        /// The sleep is over.
        template <class Self>
        void operator()(Self& self, boost::system::error_code ec, std::uint64_t count) {
            // What `ready` looks at may have gone together with the object. A count that was taken is delivered.
            if (Goal::kMayBePast && is_cancelled(self)) return end(self, boost::asio::error::operation_aborted);
            if (goal_.woken(count)) return end(self, {});
            if (ec) return end(self, ec);
            if (is_cancelled(self)) return end(self, boost::asio::error::operation_aborted);
            sleep(self);
        }

      private:
        // What belongs to the operation as it is started: a deferred one may be started later, and more than once.
        void begin() noexcept {
            is_begun_ = true;
            budget_ = policy_->budget();
            beginning_ = Beginning{*state_};
            began_ = Clock::now();
        }

        template <class Self>
        [[nodiscard]] bool is_cancelled(const Self& self) const noexcept {
            return state_->cancellations != beginning_.cancellations ||
                   self.cancelled() != boost::asio::cancellation_type::none;
        }

        template <class Self>
        void take_turn(Self& self) {
            const auto executor = state_->descriptor.get_executor();
            boost::asio::post(executor, in_memory_of(*state_, self));
        }

        template <class Self>
        void sleep(Self& self) {
            start_wait(state_, beginning_, std::move(self));
        }

        template <class Self>
        void end(Self& self, boost::system::error_code ec) {
            policy_->learn(Clock::now() - began_, !ec);
            // As AsyncCounts does: before the handler is called.
            policy_.reset();
            state_.reset();
            goal_.complete(self, ec);
        }

        std::shared_ptr<State> state_;
        std::shared_ptr<Policy> policy_;
        Goal goal_;
        bool is_begun_ = false;
        std::chrono::nanoseconds budget_{0};
        Beginning beginning_;
        typename Clock::time_point began_{};
    };

    template <class Signature, class Goal, class Token>
    auto start(Goal goal, Token&& token) {
        auto state = required_state();
        auto& descriptor = state->descriptor;
        return boost::asio::async_compose<Token, Signature>(Wait<Goal>{std::move(state), policy_, std::move(goal)},
                                                            token, descriptor);
    }

    std::shared_ptr<Policy> policy_;
};

}  // namespace uiovfio
