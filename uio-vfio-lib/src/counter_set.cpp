// SPDX-License-Identifier: MIT
#include "counter_set.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "mutation.hpp"

namespace uiovfio {

namespace detail {

namespace {

/// What the counter held, 0 when nothing.
std::uint64_t take(int event_fd) noexcept {
    std::uint64_t value = 0;
    if (mutation::kNoEventfdDrain) {
        pollfd entry{.fd = event_fd, .events = POLLIN, .revents = 0};
        return ::poll(&entry, 1, 0) == 1 ? 1 : 0;
    }
    return ::read(event_fd, &value, sizeof value) == sizeof value ? value : 0;
}

void add(int event_fd, std::uint64_t value) noexcept {
    // Fails only when the counter is full, which means that the mark is there already.
    [[maybe_unused]] const auto written = ::write(event_fd, &value, sizeof value);
}

constexpr std::uint64_t count_of(std::uint64_t raw) noexcept { return raw & (kMark - 1); }
constexpr bool has_mark(std::uint64_t raw) noexcept { return raw >= kMark; }

/// A point in time, or never.
class Deadline {
  public:
    explicit Deadline(std::chrono::nanoseconds timeout) noexcept : never_{timeout < std::chrono::nanoseconds::zero()} {
        const auto now = std::chrono::steady_clock::now();
        const auto longest = std::chrono::steady_clock::time_point::max() - now;
        at_ = timeout > longest ? std::chrono::steady_clock::time_point::max() : now + timeout;
    }

    /// For ppoll(): null stands for ever.
    const timespec* remaining(timespec& storage) const noexcept {
        if (never_) return nullptr;
        const auto left = std::max(at_ - std::chrono::steady_clock::now(), std::chrono::steady_clock::duration::zero());
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        storage.tv_sec = static_cast<time_t>(seconds.count());
        storage.tv_nsec = static_cast<long>(std::chrono::nanoseconds{left - seconds}.count());
        return &storage;
    }

  private:
    bool never_;
    std::chrono::steady_clock::time_point at_;
};

}  // namespace

void CounterSet::restart(unsigned capacity) {
    size_.store(0);
    event_fds_ = capacity != 0 ? std::make_unique<FileDescriptor[]>(capacity) : nullptr;
    capacity_ = capacity;
    // The generation goes on: it tells the waits of before from those to come.
    generation_.fetch_add(1);
    end_.store(0);
}

void CounterSet::prepare(unsigned count, const std::string& object) {
    const unsigned first = size();
    for (unsigned index = first; index < count; ++index) {
        event_fds_[index] = FileDescriptor{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
        if (event_fds_[index]) continue;
        const int error = errno;
        drop_prepared();
        throw Error{Errc::system_error, object, fmt::format("cannot make {} eventfds", count - first), error,
                    "raise the limit of open files with `ulimit -n`"};
    }
}

void CounterSet::drop_prepared() noexcept {
    for (unsigned index = size(); index < capacity_; ++index) event_fds_[index].reset();
}

void CounterSet::wake() noexcept {
    for (unsigned index = 0; index < size(); ++index) add(event_fds_[index].get(), kMark);
}

void CounterSet::count_one(unsigned index) noexcept { add(event_fds_[index].get(), 1); }

void CounterSet::interrupt_waits(Errc why) noexcept {
    interruption_.store(static_cast<int>(why));
    generation_.fetch_add(1);
    wake();
}

void CounterSet::end(Errc why) noexcept {
    end_.store(static_cast<int>(why));
    interrupt_waits(why);
}

void CounterSet::give_up_to_parent() noexcept { end_.store(static_cast<int>(Errc::forked)); }

std::error_code CounterSet::status() const noexcept {
    const int why = end_.load();
    return why != 0 ? make_error_code(static_cast<Errc>(why)) : std::error_code{};
}

std::uint64_t CounterSet::resolve(unsigned index, std::uint64_t raw, std::uint64_t generation,
                                  std::error_code& ec) const noexcept {
    ec.clear();
    const std::uint64_t count = count_of(raw);
    ec = interruption(generation);
    if (!ec) return told(index, count);
    // The mark as well: it may have been meant for another, too, who would sleep on.
    if (has_mark(raw)) add(descriptor(index), kMark);
    // By itself: with a mark that is there again already, the two would not fit, and the count be lost.
    if (count != 0) add(descriptor(index), count);
    return 0;
}

std::error_code CounterSet::interruption(std::uint64_t generation) const noexcept {
    if (const std::error_code ended = status()) return ended;
    if (this->generation() == generation) return {};
    return make_error_code(static_cast<Errc>(interruption_.load()));
}

std::uint64_t CounterSet::try_take(unsigned index, std::uint64_t generation, std::error_code& ec) const noexcept {
    if (is_parents()) {
        ec = Errc::forked;
        return 0;
    }
    return resolve(index, take(descriptor(index)), generation, ec);
}

std::uint64_t CounterSet::try_take(unsigned index) const noexcept {
    if (is_parents()) return 0;
    const std::uint64_t raw = take(descriptor(index));
    if (has_mark(raw) && status()) add(descriptor(index), kMark);
    return told(index, count_of(raw));
}

std::uint64_t CounterSet::told(unsigned index, std::uint64_t count) const noexcept {
    if (trace_ != nullptr && count != 0) trace_->taken(index, count);
    return count;
}

Waited CounterSet::wait(unsigned index, std::chrono::nanoseconds timeout, std::uint64_t began_at) const noexcept {
    if (const std::error_code over = interruption(began_at)) return {.ec = over};
    const int event_fd = descriptor(index);
    const Deadline deadline{timeout};
    for (;;) {
        if (const std::uint64_t raw = take(event_fd)) {
            Waited waited;
            waited.count = resolve(index, raw, began_at, waited.ec);
            if (waited.ec || waited.count != 0) return waited;
        }
        pollfd entry{.fd = event_fd, .events = POLLIN, .revents = 0};
        timespec storage{};
        const int ready = ::ppoll(&entry, 1, deadline.remaining(storage), nullptr);
        if (ready < 0 && errno != EINTR) return {.ec = Errc::system_error, .system_errno = errno};
        if (ready == 0) return {.ec = Errc::timed_out};
    }
}

int CounterSet::duplicate(unsigned index, const std::string& object) const {
    const int duplicate = ::fcntl(descriptor(index), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (duplicate < 0)
        throw Error{Errc::system_error, object, "cannot duplicate the eventfd", errno,
                    "raise the limit of open files with `ulimit -n`"};
    return duplicate;
}

}  // namespace detail

Subscription::Subscription(std::shared_ptr<detail::CounterSet> counters, unsigned index, int descriptor) noexcept
    : counters_{std::move(counters)}, index_{index}, descriptor_{descriptor} {}

Subscription::Subscription(Subscription&& other) noexcept
    : counters_{std::move(other.counters_)}, index_{other.index_}, descriptor_{other.release_descriptor()} {}

Subscription& Subscription::operator=(Subscription&& other) noexcept {
    if (this != &other) {
        if (descriptor_ >= 0) ::close(descriptor_);
        counters_ = std::move(other.counters_);
        index_ = other.index_;
        descriptor_ = other.release_descriptor();
    }
    return *this;
}

Subscription::~Subscription() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

int Subscription::release_descriptor() noexcept { return std::exchange(descriptor_, -1); }
std::uint64_t Subscription::generation() const noexcept { return counters_->generation(); }
std::uint64_t Subscription::resolve(std::uint64_t raw, std::uint64_t generation, std::error_code& ec) const noexcept {
    return counters_->resolve(index_, raw, generation, ec);
}
std::error_code Subscription::status() const noexcept { return counters_->status(); }
std::uint64_t Subscription::try_take(std::uint64_t generation, std::error_code& ec) const noexcept {
    return counters_->try_take(index_, generation, ec);
}
std::error_code Subscription::interruption(std::uint64_t generation) const noexcept {
    return counters_->interruption(generation);
}
std::uint64_t Subscription::wait(std::chrono::nanoseconds timeout, std::uint64_t generation,
                                 std::error_code& ec) const noexcept {
    const detail::Waited waited = counters_->wait(index_, timeout, generation);
    ec = waited.ec;
    return waited.count;
}

}  // namespace uiovfio
