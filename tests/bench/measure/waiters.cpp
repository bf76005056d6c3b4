// SPDX-License-Identifier: MIT
//
// The ways to wait for an interrupt that are compared.
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <exception>
#include <uiovfio/asio.hpp>
#include <uiovfio/asio_hybrid.hpp>
#include <uiovfio/hybrid.hpp>
#include <utility>

#include "measure/wakes.hpp"

namespace pcienic::bench {
namespace {

namespace asio = boost::asio;

std::error_code last_error() { return {errno, std::generic_category()}; }

/// Lets reads of a descriptor block, as the library's never do.
class Blocking {
  public:
    explicit Blocking(int descriptor) noexcept : descriptor_{descriptor}, flags_{::fcntl(descriptor, F_GETFL)} {
        ::fcntl(descriptor_, F_SETFL, flags_ & ~O_NONBLOCK);
    }
    ~Blocking() { ::fcntl(descriptor_, F_SETFL, flags_); }
    Blocking(const Blocking&) = delete;
    Blocking& operator=(const Blocking&) = delete;

  private:
    int descriptor_;
    int flags_;
};

void blocking_read(const Target& target, Wakes& wakes) {
    const uiovfio::Subscription subscription = target.interrupts.subscribe(target.vector);
    const int descriptor = subscription.descriptor();
    const Blocking blocking{descriptor};
    wakes.ready();
    do {
        std::uint64_t count = 0;
        if (::read(descriptor, &count, sizeof count) != sizeof count) return wakes.failed(last_error());
    } while (wakes.woken());
}

void interrupts_wait(const Target& target, Wakes& wakes) {
    constexpr std::chrono::nanoseconds kForEver{-1};
    wakes.ready();
    do {
        std::error_code ec;
        target.interrupts.wait(target.vector, kForEver, ec);
        if (ec) return wakes.failed(ec);
    } while (wakes.woken());
}

/// A descriptor that closes.
struct Epoll {
    Epoll() : descriptor{::epoll_create1(EPOLL_CLOEXEC)} {}
    ~Epoll() { ::close(descriptor); }
    Epoll(const Epoll&) = delete;
    Epoll& operator=(const Epoll&) = delete;
    int descriptor;
};

void epoll_loop(const Target& target, Wakes& wakes) {
    const uiovfio::Subscription subscription = target.interrupts.subscribe(target.vector);
    const Epoll epoll;
    epoll_event event{.events = EPOLLIN, .data = {.fd = subscription.descriptor()}};
    if (::epoll_ctl(epoll.descriptor, EPOLL_CTL_ADD, subscription.descriptor(), &event) != 0)
        return wakes.failed(last_error());
    wakes.ready();
    for (;;) {
        const std::uint64_t generation = subscription.generation();
        if (::epoll_wait(epoll.descriptor, &event, 1, -1) < 0) return wakes.failed(last_error());
        std::uint64_t raw = 0;
        if (::read(event.data.fd, &raw, sizeof raw) != sizeof raw) return wakes.failed(last_error());
        std::error_code ec;
        const std::uint64_t count = subscription.resolve(raw, generation, ec);
        if (ec) return wakes.failed(ec);
        if (count != 0 && !wakes.woken()) return;
    }
}

void asio_callback(const Target& target, Wakes& wakes) {
    struct Callback {
        uiovfio::AsyncVector& vector;
        Wakes& wakes;
        void operator()(boost::system::error_code ec, std::uint64_t /*count*/) const {
            if (ec) return wakes.failed(ec);
            if (wakes.woken()) vector.async_wait(*this);
        }
    };
    asio::io_context io;
    uiovfio::AsyncVector vector{io.get_executor(), target.interrupts, target.vector};
    wakes.ready();
    vector.async_wait(Callback{vector, wakes});
    io.run();
}

asio::awaitable<void> follow(uiovfio::AsyncVector& vector, Wakes& wakes) {
    wakes.ready();
    do {
        co_await vector.async_wait(asio::use_awaitable);
    } while (wakes.woken());
}

void run(asio::io_context& io, asio::awaitable<void> coroutine, Wakes& wakes) {
    asio::co_spawn(io, std::move(coroutine), [&](const std::exception_ptr& failure) {
        try {
            if (failure) std::rethrow_exception(failure);
        } catch (const boost::system::system_error& error) {
            wakes.failed(error.code());
        }
    });
    io.run();
}

void wait_in_coroutine(asio::io_context& io, const Target& target, Wakes& wakes) {
    uiovfio::AsyncVector vector{io.get_executor(), target.interrupts, target.vector};
    run(io, follow(vector, wakes), wakes);
}

void asio_coroutine(const Target& target, Wakes& wakes) {
    asio::io_context io;
    wait_in_coroutine(io, target, wakes);
}

void asio_coroutine_one_thread(const Target& target, Wakes& wakes) {
    asio::io_context io{1};
    wait_in_coroutine(io, target, wakes);
}

/// Far above what a wake-up takes, also on an emulated processor: the policy goes on looking.
const uiovfio::AdaptiveSpin::Options kLook{.longest = std::chrono::milliseconds{5}};

void hybrid_wait(const Target& target, Wakes& wakes) {
    constexpr std::chrono::nanoseconds kForEver{-1};
    uiovfio::HybridWait wait{target.interrupts.subscribe(target.vector), uiovfio::AdaptiveSpin{kLook}};
    wakes.ready();
    do {
        std::error_code ec;
        wait.wait(kForEver, ec);
        if (ec) return wakes.failed(ec);
    } while (wakes.woken());
}

/// Sleeps the first time: what an operation has on first use is there before anything is counted, whichever way it goes
/// then.
class LookAfterSleeping {
  public:
    [[nodiscard]] std::chrono::nanoseconds budget() noexcept {
        return has_slept_ ? spin_.budget() : spin_.budget().zero();
    }
    void learn(std::chrono::nanoseconds waited, bool came) noexcept {
        if (std::exchange(has_slept_, true)) spin_.learn(waited, came);
    }

  private:
    bool has_slept_ = false;
    uiovfio::AdaptiveSpin spin_{kLook};
};

asio::awaitable<void> follow_hybrid(uiovfio::AsyncHybridWait<LookAfterSleeping>& wait, Wakes& wakes) {
    wakes.ready();
    do {
        co_await wait.async_wait(asio::use_awaitable);
    } while (wakes.woken());
}

void asio_hybrid_coroutine(const Target& target, Wakes& wakes) {
    asio::io_context io;
    uiovfio::AsyncHybridWait wait{io.get_executor(), target.interrupts.subscribe(target.vector), LookAfterSleeping{}};
    run(io, follow_hybrid(wait, wakes), wakes);
}

void busy_poll(const Target& target, Wakes& wakes) {
    wakes.ready();
    while (!wakes.stopped())
        if (target.interrupts.try_take(target.vector) != 0 && !wakes.woken()) return;
}

}  // namespace

const Waiter kBlockingRead{"blocking read", &blocking_read};
const std::array<Waiter, 8> kOtherWaiters{
    Waiter{"Interrupts::wait", &interrupts_wait},
    Waiter{"epoll loop", &epoll_loop},
    Waiter{"Asio callback", &asio_callback},
    Waiter{"Asio coroutine", &asio_coroutine},
    Waiter{"Asio coroutine, io_context{1}", &asio_coroutine_one_thread},
    Waiter{"HybridWait, looking", &hybrid_wait, false},
    Waiter{"Asio coroutine, hybrid, looking", &asio_hybrid_coroutine, false},
    Waiter{"busy poll", &busy_poll, false},
};

}  // namespace pcienic::bench
