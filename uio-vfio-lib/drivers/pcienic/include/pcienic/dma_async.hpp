// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Waiting for DMA commands as an Asio operation, with any completion token:
///
///     pcienic::AsyncDma async(io.get_executor(), engine);             // engine made with a vector
///     pcienic::Result result = co_await async.run(pcienic::copy(a, b, 4096), boost::asio::use_awaitable);
///
/// The completion signature is void(boost::system::error_code, pcienic::Result). The error code is about the wait
/// (cancelled, the vector's eventfd failed); what the device says of the command is in the Result, never an exception.
/// Cancelling a wait, which each operation supports by itself, leaves the command outstanding.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#include "pcienic/dma.hpp"
#include "pcienic/driver.hpp"
#include "uiovfio/asio.hpp"

namespace pcienic {

/// Any number of waits may be outstanding at a time. The object and the engine want one thread, or one strand, as the
/// executor; all that an operation does it does there. The handlers may have executors of their own, and cancellation
/// signals are emitted where those run. The engine must outlive the AsyncDma, which cancels its waits when it is
/// destroyed. With INTx, if the last wait is cancelled just as the line fires, the line stays masked until the next
/// wait on this object, or until DmaEngine::acknowledge().
class AsyncDma {
  public:
    /// Waits for the commands of `engine` on `executor`.
    AsyncDma(const boost::asio::any_io_executor& executor, DmaEngine& engine)
        : state_(std::make_shared<State>(executor, engine)) {}
    ~AsyncDma() { state_->cancel(); }
    AsyncDma(const AsyncDma&) = delete;
    AsyncDma& operator=(const AsyncDma&) = delete;

    /// Waits for a command. Completes with `void(boost::system::error_code, Result)`: an error, and an empty Result,
    /// only where the wait itself ended early; what became of the command is in the Result.
    template <typename Token>
    auto wait(Ticket ticket, Token&& token) {
        return start(ticket, {}, std::forward<Token>(token));
    }

    /// Submits when called, and waits; where the command cannot be submitted, that is its result.
    template <typename Token>
    auto run(const Command& command, Token&& token) {
        std::error_code refused;
        const Ticket ticket = state_->engine.submit(command, refused);
        return start(ticket, refused, std::forward<Token>(token));
    }

    /// Ends every wait with operation_aborted; the commands stay outstanding.
    void cancel() { state_->cancel(); }

  private:
    using Signature = void(boost::system::error_code, Result);

    /// A queue that stops raises no interrupt: during a wait, its state is looked at this often.
    static constexpr auto kInspectInterval = std::chrono::milliseconds(20);

    /// One watch on the vector serves all waits; each of them is woken to look for its own result.
    struct State : std::enable_shared_from_this<State> {
        State(const boost::asio::any_io_executor& executor, DmaEngine& dma)
            : engine(dma),
              vector(executor, dma.driver().device().interrupts(), dma.event()),
              wake(executor),
              tick(executor) {
            wake.expires_at(boost::asio::steady_timer::time_point::max());
        }

        // With INTx the line stays masked where the handler of the former watch came too late to acknowledge it. To be
        // done before the look at the results: what comes after it interrupts.
        void catch_up() {
            if (!watching) engine.acknowledge();
        }
        void enter() {
            ++waits;
            if (watching) return;
            watching = true;
            ++watch;
            watch_vector(watch);
            watch_state(watch);
        }
        void leave() {
            if (--waits == 0) stop_watching();
        }
        void stop_watching() {
            if (!watching) return;
            watching = false;
            ++watch;  // a handler of the former watch that is already on its way must not touch the engine
            // A cancellation signal would not do: the next watch may begin before this one's wait has completed, and a
            // slot that takes a second operation leaves the first, which is composed, with nothing to ask.
            vector.cancel();
            tick.cancel();
        }
        void wake_all() { wake.cancel(); }
        void cancel() {
            ++cancellations;
            stop_watching();
            wake_all();
        }

        void watch_vector(std::uint64_t id) {
            vector.async_wait([self = this->shared_from_this(), id](boost::system::error_code ec, std::uint64_t) {
                if (id != self->watch) return;
                if (ec) {
                    self->failure = ec;
                    ++self->failures;
                    self->stop_watching();
                } else {
                    self->engine.acknowledge();
                    self->engine.poll();
                    self->watch_vector(id);
                }
                self->wake_all();
            });
        }
        void watch_state(std::uint64_t id) {
            tick.expires_after(kInspectInterval);
            tick.async_wait([self = this->shared_from_this(), id](boost::system::error_code) {
                if (id != self->watch) return;
                if (self->engine.inspect() > 0 || !self->engine.running()) self->wake_all();
                self->watch_state(id);
            });
        }

        std::shared_ptr<uiovfio::detail::OperationMemory> memory = std::make_shared<uiovfio::detail::OperationMemory>();
        DmaEngine& engine;
        uiovfio::AsyncVector vector;
        boost::asio::steady_timer wake;  ///< never expires: being cancelled is the signal
        boost::asio::steady_timer tick;
        boost::system::error_code failure;  ///< of the last watch on the vector that failed
        std::uint64_t failures = 0;
        bool watching = false;
        std::uint64_t watch = 0;
        std::uint64_t cancellations = 0;
        std::size_t waits = 0;
    };

    struct Wait {
        std::shared_ptr<State> state;
        Ticket ticket;
        std::error_code refused;
        enum { starting, leaving_at_once, waiting } step = starting;
        std::uint64_t cancellations = 0;
        std::uint64_t failures = 0;
        Result outcome{};

        template <typename Self>
        void operator()(Self& self, boost::system::error_code = {}) {
            if (step == leaving_at_once) return complete(self, {}, outcome);
            if (step == starting) {
                self.reset_cancellation_state(boost::asio::enable_total_cancellation());
                state->catch_up();
                if (state->engine.poll() > 0) state->wake_all();  // results of others, too
                std::optional<Result> done = refused ? Result{refused, 0} : state->engine.result(ticket);
                if (done) {  // never from inside the initiating call
                    outcome = *done;
                    step = leaving_at_once;
                    boost::asio::post(state->wake.get_executor(), std::move(self));
                    return;
                }
                step = waiting;
                cancellations = state->cancellations;
                failures = state->failures;
                state->enter();
            } else {
                // After AsyncDma::cancel(), which its destructor calls, the engine may be gone.
                const bool abandoned = cancellations != state->cancellations;
                if (!abandoned)
                    if (const std::optional<Result> done = state->engine.result(ticket)) return finish(self, {}, *done);
                if (abandoned || self.cancelled() != boost::asio::cancellation_type::none)
                    return finish(self, boost::asio::error::operation_aborted, {});
                if (failures != state->failures) return finish(self, state->failure, {});
            }
            const std::shared_ptr<State> kept = state;
            kept->wake.async_wait(std::move(self));
        }

        template <typename Self>
        void finish(Self& self, boost::system::error_code ec, Result result) {
            state->leave();
            complete(self, ec, result);
        }

        /// Once a handler is called, the engine and the loop may go.
        template <typename Self>
        void complete(Self& self, boost::system::error_code ec, Result result) {
            state.reset();
            self.complete(ec, result);
        }
    };

    /// Calls a handler where its own executor runs, from an operation that runs in the object's.
    template <typename Handler>
    class Delivery {
      public:
        /// `relay`, if there is one, hands on the signals of the handler's cancellation slot.
        Delivery(Handler handler, const boost::asio::any_io_executor& executor,
                 std::shared_ptr<boost::asio::cancellation_signal> relay)
            : relay_(std::move(relay)),
              work_(boost::asio::make_work_guard(handler, executor)),
              handler_(std::move(handler)) {}

        using allocator_type = boost::asio::associated_allocator_t<Handler>;
        allocator_type get_allocator() const noexcept { return boost::asio::get_associated_allocator(handler_); }

        void operator()(boost::system::error_code ec, Result result) {
            const auto executor = work_.get_executor();
            const auto allocator = get_allocator();
            relay_.reset();
            auto call = [work = std::move(work_), handler = std::move(handler_), ec, result]() mutable {
                boost::asio::get_associated_cancellation_slot(handler).clear();
                work.reset();
                std::move(handler)(ec, result);
            };
            boost::asio::dispatch(executor, boost::asio::bind_allocator(allocator, std::move(call)));
        }

      private:
        using HandlersExecutor = boost::asio::associated_executor_t<Handler, boost::asio::any_io_executor>;

        std::shared_ptr<boost::asio::cancellation_signal> relay_;
        boost::asio::executor_work_guard<HandlersExecutor> work_;
        Handler handler_;
    };

    struct Start {
        template <typename Handler>
        void operator()(Handler&& handler, const std::shared_ptr<State>& state, Ticket ticket,
                        std::error_code refused) const {
            const auto executor = state->wake.get_executor();
            const auto relay = make_relay(boost::asio::get_associated_cancellation_slot(handler), *state);
            const auto slot = relay ? relay->slot() : boost::asio::cancellation_slot{};
            auto deliver = boost::asio::bind_cancellation_slot(
                slot, boost::asio::bind_executor(
                          executor, Delivery<std::decay_t<Handler>>{std::forward<Handler>(handler), executor, relay}));
            boost::asio::async_compose<decltype(deliver), Signature>(Wait{state, ticket, refused, {}, {}, {}, {}},
                                                                     deliver, executor);
        }

        /// A signal for the object's executor, emitted there whenever the handler's slot receives one.
        template <typename Slot>
        static std::shared_ptr<boost::asio::cancellation_signal> make_relay(Slot slot, State& state) {
            if (!slot.is_connected()) return nullptr;
            const auto relay = std::allocate_shared<boost::asio::cancellation_signal>(
                uiovfio::detail::OperationAllocator<std::byte>{state.memory});
            slot.assign([weak = std::weak_ptr{relay},
                         executor = state.wake.get_executor()](boost::asio::cancellation_type type) {
                boost::asio::dispatch(executor, [weak, type] {
                    if (const auto signal = weak.lock()) signal->emit(type);
                });
            });
            return relay;
        }
    };

    template <typename Token>
    auto start(Ticket ticket, std::error_code refused, Token&& token) {
        return boost::asio::async_initiate<Token, Signature>(Start{}, token, state_, ticket, refused);
    }

    std::shared_ptr<State> state_;
};

}  // namespace pcienic
