// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Interrupts and device events as Boost.Asio operations.
///
///     uiovfio::AsyncVector vector{io.get_executor(), device.interrupts(), 3};
///     auto count = co_await vector.async_wait(boost::asio::use_awaitable);
///
/// This header and asio_hybrid.hpp are the only ones of the library that need Boost (1.81 or later).

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/append.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <type_traits>
#include <utility>

#include "uiovfio/device_events.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/interrupts.hpp"
#include "uiovfio/operation_memory.hpp"

namespace uiovfio {

/// What AsyncVector, AsyncDeviceEvent and AsyncHybridWait have in common. Move-only. Destroying it cancels its wait.
/// Have one wait at a time.
///
/// Threads: the calls on one object want one thread at a time, a strand for instance. That is all: a handler may have
/// whatever executor it likes, where the operation also takes its own steps, and several threads may run the loop. Once
/// a handler is called, its operation has let go of the object and of the loop. A cancellation signal is Asio's, and is
/// emitted where the handler's executor runs; as with any composed operation, its slot is free for the next wait once
/// the handler was called, not before. Where all is in one strand, a wait may begin right after cancel().
class AsyncCounts {
  public:
    /// As Asio's own I/O objects have it.
    using executor_type = boost::asio::any_io_executor;

    AsyncCounts(AsyncCounts&&) noexcept = default;
    /// Cancels its own wait, and takes over the other's vector and wait.
    AsyncCounts& operator=(AsyncCounts&& other) noexcept {
        if (this != &other) {
            cancel();
            state_ = std::move(other.state_);
        }
        return *this;
    }
    ~AsyncCounts() { cancel(); }

    /// Waits until it has happened and takes the count.
    ///
    /// Completes with `void(boost::system::error_code, std::uint64_t count)`: at least 1, or 0 with operation_aborted
    /// (cancelled, here or through the operation's cancellation slot: terminal, partial and total), or an error of
    /// Interrupts::wait or DeviceEvents::wait: device_reset, interrupts_not_enabled, device_gone, closed. What happens
    /// between two waits is in the second one's count; what has happened already completes the wait without a turn of
    /// the reactor.
    template <boost::asio::completion_token_for<void(boost::system::error_code, std::uint64_t)> Token>
    auto async_wait(Token&& token) {
        return start_wait(required_state(), {}, std::forward<Token>(token));
    }

    /// Ends a wait in progress with operation_aborted.
    void cancel() noexcept {
        if (!state_) return;
        ++state_->cancellations;
        state_->end_read();
    }

    /// The one that it was made with. Throws Errc::closed once moved from.
    [[nodiscard]] boost::asio::any_io_executor get_executor() { return required_state()->descriptor.get_executor(); }

  protected:
    /// Waits on `executor` for what `subscription` follows.
    AsyncCounts(const boost::asio::any_io_executor& executor, Subscription subscription)
        : state_{std::make_shared<State>(executor, std::move(subscription))} {}

    /// What the object and its operations share: an operation may outlive the object.
    struct State {
        /// Takes the subscription's descriptor over.
        State(const boost::asio::any_io_executor& executor, Subscription from)
            : subscription{std::move(from)}, descriptor{executor, subscription.release_descriptor()} {
            // It is non-blocking. Set now, the descriptor is not changed by the first read, beside which another
            // thread may cancel.
            descriptor.native_non_blocking(true);
        }

        /// Of an operation, unless its handler has an allocator.
        [[nodiscard]] detail::OperationAllocator<std::byte> allocator() noexcept {
            return detail::OperationAllocator<std::byte>{memory};
        }

        /// The read in progress completes with operation_aborted.
        void end_read() noexcept {
            boost::system::error_code ignored;
            descriptor.cancel(ignored);
        }

        std::shared_ptr<detail::OperationMemory> memory = std::make_shared<detail::OperationMemory>();
        Subscription subscription;                         ///< without its descriptor
        boost::asio::posix::stream_descriptor descriptor;  ///< of the subscription
        std::atomic<std::uint64_t> cancellations{0};       ///< so often was cancel() called
    };

    /// Throws Errc::closed once moved from.
    std::shared_ptr<State> required_state() const {
        if (!state_) throw Error{Errc::closed, "asynchronous wait", "its object was moved from"};
        return state_;
    }

    /// `self` as the handler of an operation that lives in the state's memory, or in that of the handler's allocator
    /// where it has one: std::allocator is what Asio says of a handler that has none.
    template <class Self>
    static auto in_memory_of(State& state, Self& self) {
        const auto allocator = boost::asio::get_associated_allocator(self);
        if constexpr (std::is_same_v<std::remove_const_t<decltype(allocator)>, std::allocator<void>>)
            return boost::asio::bind_allocator(state.allocator(), std::move(self));
        else
            return boost::asio::bind_allocator(allocator, std::move(self));
    }

    /// What was when a wait began: a reset, a loss or a cancel() after that ends it.
    struct Beginning {
        std::uint64_t cancellations = 0;
        std::uint64_t generation = 0;

        /// Of a wait that begins now.
        explicit Beginning(const State& state) noexcept
            : cancellations{state.cancellations}, generation{state.subscription.generation()} {}
        /// Of a wait that has not begun.
        Beginning() noexcept = default;
    };

    /// async_wait() for a wait that has begun; without a beginning it begins when it is started.
    template <class Token>
    static auto start_wait(std::shared_ptr<State> state, std::optional<Beginning> beginning, Token&& token) {
        auto& descriptor = state->descriptor;
        return boost::asio::async_compose<Token, void(boost::system::error_code, std::uint64_t)>(
            Wait{std::move(state), beginning}, token, descriptor);
    }

  private:
    /// The operation. The 8 bytes are apart from it, because Asio moves operations. They and the beginning belong to
    /// the operation as it is started, not as it is made: a deferred one may be started later, and more than once.
    class Wait {
      public:
        Wait(std::shared_ptr<State> state, std::optional<Beginning> beginning) noexcept
            : state_{std::move(state)}, has_begun_{beginning} {}

        /// The first turn.
        template <class Self>
        void operator()(Self& self) {
            self.reset_cancellation_state(boost::asio::enable_total_cancellation());
            raw_ = std::allocate_shared<std::uint64_t>(state_->allocator(), 0U);
            // Before the look at the status: what ends the vector in between ends the read as well.
            began_ = has_begun_.value_or(Beginning{*state_});
            if (const std::error_code status = state_->subscription.status()) {
                const auto executor = state_->descriptor.get_executor();
                boost::asio::post(executor, boost::asio::append(in_memory_of(*state_, self),
                                                                boost::system::error_code{status}, std::size_t{0}));
                return;
            }
            read(self);
        }

        /// Eight bytes came, or the read failed.
        template <class Self>
        void operator()(Self& self, boost::system::error_code ec, std::size_t /*length*/) {
            std::uint64_t count = 0;
            if (!ec) {
                std::error_code why;
                count = state_->subscription.resolve(*raw_, began_.generation, why);
                if (why || count != 0) return end(self, why, count);
            } else if (ec != boost::asio::error::operation_aborted) {
                return end(self, ec, 0);
            }
            // A cancel() that came while this waited for its turn found no read to end, and one for an earlier wait may
            // have ended the read of this one.
            if (is_cancelled(self)) return end(self, boost::asio::error::operation_aborted, 0);
            read(self);
        }

      private:
        template <class Self>
        [[nodiscard]] bool is_cancelled(const Self& self) const noexcept {
            return state_->cancellations != began_.cancellations ||
                   self.cancelled() != boost::asio::cancellation_type::none;
        }

        template <class Self>
        void read(Self& self) {
            // Its own, for the operation may be over in another thread before this returns.
            const std::shared_ptr<State> state = state_;
            const std::uint64_t cancellations = began_.cancellations;
            const auto buffer = boost::asio::buffer(raw_.get(), sizeof(std::uint64_t));
            state->descriptor.async_read_some(buffer, in_memory_of(*state, self));
            // A cancel() in another thread may have come before there was a read to end.
            if (state->cancellations != cancellations) state->end_read();
        }

        /// Before the handler is called, all is given back: once it is, the object and the loop may go.
        template <class Self>
        void end(Self& self, boost::system::error_code ec, std::uint64_t count) {
            raw_.reset();
            state_.reset();
            self.complete(ec, count);
        }

        std::shared_ptr<State> state_;
        std::optional<Beginning> has_begun_;
        Beginning began_;
        std::shared_ptr<std::uint64_t> raw_;
    };

    std::shared_ptr<State> state_;
};

/// One vector as an Asio I/O object.
///
/// It follows the vector as it was enabled when the object was made: after Interrupts::disable(), waits end with
/// interrupts_not_enabled, also when the mode is enabled again. Make one AsyncVector per vector.
class AsyncVector : public AsyncCounts {
  public:
    /// Throws interrupts_not_enabled, no_such_vector.
    AsyncVector(const boost::asio::any_io_executor& executor, const Interrupts& interrupts, unsigned vector)
        : AsyncCounts{executor, interrupts.subscribe(vector)} {}
};

/// An event of the device as an Asio I/O object. Make one AsyncDeviceEvent per event.
///
///     uiovfio::AsyncDeviceEvent removal{executor, device.events(), uiovfio::DeviceEvent::removal_request};
///     co_await removal.async_wait(boost::asio::use_awaitable);
class AsyncDeviceEvent : public AsyncCounts {
  public:
    /// Throws unsupported.
    AsyncDeviceEvent(const boost::asio::any_io_executor& executor, const DeviceEvents& events, DeviceEvent event)
        : AsyncCounts{executor, events.subscribe(event)} {}
};

}  // namespace uiovfio
