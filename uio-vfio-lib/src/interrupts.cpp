// SPDX-License-Identifier: MIT
#include "uiovfio/interrupts.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "guarded.hpp"
#include "interrupt_state.hpp"

namespace uiovfio {

namespace detail {

namespace {

/// What the counter held, 0 when nothing.
std::uint64_t take(int event_fd) noexcept {
    std::uint64_t value = 0;
    return ::read(event_fd, &value, sizeof value) == sizeof value ? value : 0;
}

void add(int event_fd, std::uint64_t value) noexcept {
    // Fails only when the counter is full, which means that the mark is there already.
    [[maybe_unused]] const auto written = ::write(event_fd, &value, sizeof value);
}

void wake_all(const VectorSet& vectors) noexcept {
    for (const FileDescriptor& event_fd : vectors.event_fds) add(event_fd.get(), kMark);
}

std::vector<int> raw_descriptors(const VectorSet& vectors) {
    std::vector<int> raw;
    raw.reserve(vectors.event_fds.size());
    for (const FileDescriptor& event_fd : vectors.event_fds) raw.push_back(event_fd.get());
    return raw;
}

constexpr Feature feature_of(InterruptMode mode) noexcept {
    return mode == InterruptMode::intx ? Feature::intx : mode == InterruptMode::msi ? Feature::msi : Feature::msix;
}

constexpr std::uint64_t count_of(std::uint64_t raw) noexcept { return raw & (kMark - 1); }

}  // namespace

InterruptState::Snapshot InterruptState::snapshot() const noexcept {
    const std::lock_guard lock{mutex_};
    return {vectors_, generation_};
}

void InterruptState::replace(std::shared_ptr<VectorSet> vectors) noexcept {
    const std::lock_guard lock{mutex_};
    vectors_.swap(vectors);
    ++generation_;
    if (vectors) wake_all(*vectors);
}

void InterruptState::enable(InterruptMode mode, unsigned count) {
    const std::lock_guard control{control_};
    backend_->require_open();
    const std::string object = backend_->object() + " interrupts";
    backend_->require(feature_of(mode));
    if (count == 0) throw Error{Errc::invalid_argument, object, "enabling 0 vectors"};
    if (const auto current = snapshot().vectors)
        throw Error{Errc::interrupt_mode_busy, object,
                    fmt::format("{} is enabled with {} vectors", to_string(current->mode), current->event_fds.size())};
    const unsigned available = backend_->interrupt_capacity(mode);
    if (available == 0)
        throw Error{Errc::unsupported, object, fmt::format("the device has no {}", to_string(mode)), 0,
                    "use a mode for which Interrupts::available() is not 0"};
    if (count > available)
        throw Error{Errc::interrupt_capacity, object,
                    fmt::format("{} {} vectors were asked for, {} are available", count, to_string(mode), available)};
    auto vectors = std::make_shared<VectorSet>();
    vectors->mode = mode;
    vectors->event_fds.reserve(count);
    for (unsigned vector = 0; vector < count; ++vector) {
        vectors->event_fds.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        if (!vectors->event_fds.back())
            throw Error{Errc::system_error, object, fmt::format("cannot make eventfd {} of {}", vector + 1, count),
                        errno, "raise the limit of open files with `ulimit -n`"};
    }
    backend_->arm(mode, raw_descriptors(*vectors));
    replace(std::move(vectors));
}

void InterruptState::disable() {
    const std::lock_guard control{control_};
    backend_->require_open();
    if (const auto current = snapshot().vectors) {
        backend_->disarm(current->mode);
        replace(nullptr);
    }
}

void InterruptState::reset_around(const std::function<void()>& reset) {
    const std::lock_guard control{control_};
    const auto current = snapshot().vectors;
    if (!current) return reset();
    const auto rearm = [&] {
        try {
            backend_->arm(current->mode, raw_descriptors(*current));
        } catch (...) {
            replace(nullptr);  // those who wait must not wait for what cannot come
            throw;
        }
    };
    backend_->disarm(current->mode);
    try {
        reset();
    } catch (...) {
        rearm();
        throw;
    }
    rearm();
    const std::lock_guard lock{mutex_};
    ++generation_;
    wake_all(*current);
}

void InterruptState::close() noexcept {
    const std::lock_guard control{control_};
    if (const auto current = snapshot().vectors) {
        std::error_code gone_already;
        guarded(gone_already, [&] { backend_->disarm(current->mode); });
    }
    {
        const std::lock_guard lock{mutex_};
        closed_ = true;
    }
    replace(nullptr);
}

void InterruptState::with_vectors(const std::function<void(const VectorSet&)>& action) {
    const std::lock_guard control{control_};
    backend_->require_open();
    const auto current = snapshot().vectors;
    if (!current) throw Error{Errc::interrupts_not_enabled, backend_->object() + " interrupts"};
    action(*current);
}

std::error_code InterruptState::status(const std::shared_ptr<VectorSet>& vectors) const noexcept {
    const std::lock_guard lock{mutex_};
    if (closed_) return Errc::closed;
    if (!vectors || vectors_ != vectors) return Errc::interrupts_not_enabled;
    return {};
}

std::uint64_t InterruptState::resolve(const std::shared_ptr<VectorSet>& vectors, unsigned vector, std::uint64_t raw,
                                      std::uint64_t generation, std::error_code& ec) const noexcept {
    ec.clear();
    const std::uint64_t count = count_of(raw);
    if (snapshot().generation == generation) return count;
    if (count != 0) add(vectors->event_fds[vector].get(), count);
    ec = status(vectors);
    if (!ec) ec = Errc::device_reset;
    return 0;
}

}  // namespace detail

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

Error no_such_vector(const detail::InterruptState& state, const detail::VectorSet& vectors, unsigned vector) {
    return Error{Errc::no_such_vector, fmt::format("{} vector {}", state.backend().object(), vector),
                 fmt::format("{} vectors are enabled", vectors.event_fds.size())};
}

std::shared_ptr<detail::VectorSet> enabled_vectors(const detail::InterruptState& state) {
    state.backend().require_open();
    auto vectors = state.snapshot().vectors;
    if (!vectors) throw Error{Errc::interrupts_not_enabled, state.backend().object() + " interrupts"};
    return vectors;
}

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

/// How a wait ended.
struct Waited {
    std::uint64_t count = 0;
    std::error_code ec = {};
    int system_errno = 0;
    std::shared_ptr<detail::VectorSet> vectors = {};  ///< those waited on; null when none were enabled
};

/// Both forms of Interrupts::wait. It makes no text: a time that is up is no more than a turn of many a caller's loop,
/// and must not allocate.
Waited wait_for(const detail::InterruptState& state, unsigned vector, std::chrono::nanoseconds timeout) noexcept {
    if (!state.backend().is_open()) return {.ec = Errc::closed};
    const auto [vectors, generation] = state.snapshot();
    if (!vectors) return {.ec = Errc::interrupts_not_enabled};
    if (vector >= vectors->event_fds.size()) return {.ec = Errc::no_such_vector, .vectors = vectors};
    const int event_fd = vectors->event_fds[vector].get();
    const Deadline deadline{timeout};
    for (;;) {
        if (const std::uint64_t raw = detail::take(event_fd)) {
            std::error_code ec;
            const std::uint64_t count = state.resolve(vectors, vector, raw, generation, ec);
            if (ec || count != 0) return {.count = count, .ec = ec, .vectors = vectors};
        }
        pollfd entry{.fd = event_fd, .events = POLLIN, .revents = 0};
        timespec storage{};
        const int ready = ::ppoll(&entry, 1, deadline.remaining(storage), nullptr);
        if (ready < 0 && errno != EINTR) return {.ec = Errc::system_error, .system_errno = errno, .vectors = vectors};
        if (ready == 0) return {.ec = Errc::timed_out, .vectors = vectors};
    }
}

}  // namespace

Interrupts::Interrupts(std::shared_ptr<detail::Backend> backend)
    : state_{std::make_shared<detail::InterruptState>(std::move(backend))} {}
Interrupts::~Interrupts() = default;

unsigned Interrupts::available(InterruptMode mode) const {
    state_->backend().require_open();
    return state_->backend().interrupt_capacity(mode);
}
unsigned Interrupts::available(InterruptMode mode, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return available(mode); });
}

void Interrupts::enable(InterruptMode mode, unsigned count) { state_->enable(mode, count); }
void Interrupts::enable(InterruptMode mode, unsigned count, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { enable(mode, count); });
}

void Interrupts::disable() { state_->disable(); }
void Interrupts::disable(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { disable(); });
}

InterruptMode Interrupts::mode() const { return enabled_vectors(*state_)->mode; }
InterruptMode Interrupts::mode(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return mode(); });
}

unsigned Interrupts::count() const noexcept {
    const auto vectors = state_->snapshot().vectors;
    return vectors ? static_cast<unsigned>(vectors->event_fds.size()) : 0;
}

int Interrupts::event_fd(unsigned vector) const {
    const auto vectors = enabled_vectors(*state_);
    if (vector >= vectors->event_fds.size()) throw no_such_vector(*state_, *vectors, vector);
    return vectors->event_fds[vector].get();
}
int Interrupts::event_fd(unsigned vector, std::error_code& ec) const noexcept {
    const int descriptor = detail::guarded(ec, [&] { return event_fd(vector); });
    return ec ? -1 : descriptor;
}

std::uint64_t Interrupts::try_take(unsigned vector) noexcept {
    const auto vectors = state_->snapshot().vectors;
    if (!vectors || vector >= vectors->event_fds.size()) return 0;
    return detail::count_of(detail::take(vectors->event_fds[vector].get()));
}

std::uint64_t Interrupts::wait(unsigned vector, std::chrono::nanoseconds timeout) {
    const Waited waited = wait_for(*state_, vector, timeout);
    if (!waited.ec) return waited.count;
    if (waited.ec == Errc::closed) state_->backend().require_open();
    const std::string device = state_->backend().object();
    if (!waited.vectors) throw Error{Errc::interrupts_not_enabled, device + " interrupts"};
    if (waited.ec == Errc::no_such_vector) throw no_such_vector(*state_, *waited.vectors, vector);
    std::string what_was_wrong;
    if (waited.ec == Errc::timed_out)
        what_was_wrong = fmt::format("no interrupt within {} ms",
                                     std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count());
    if (waited.ec == Errc::system_error) what_was_wrong = "cannot wait";
    throw Error{static_cast<Errc>(waited.ec.value()),
                fmt::format("{} {} vector {}", device, to_string(waited.vectors->mode), vector),
                std::move(what_was_wrong), waited.system_errno};
}
std::uint64_t Interrupts::wait(unsigned vector, std::chrono::nanoseconds timeout, std::error_code& ec) noexcept {
    const Waited waited = wait_for(*state_, vector, timeout);
    ec = waited.ec;
    return waited.count;
}

void Interrupts::trigger(unsigned vector) {
    state_->with_vectors([&](const detail::VectorSet& vectors) {
        if (vector >= vectors.event_fds.size()) throw no_such_vector(*state_, vectors, vector);
        state_->backend().require(Feature::trigger);
        state_->backend().trigger(vectors.mode, vector);
    });
}
void Interrupts::trigger(unsigned vector, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { trigger(vector); });
}

namespace {

void require_intx(const detail::InterruptState& state, const detail::VectorSet& vectors) {
    if (vectors.mode != InterruptMode::intx)
        throw Error{Errc::unsupported, state.backend().object() + " interrupts",
                    fmt::format("the kernel masks no {} vectors", to_string(vectors.mode)), 0,
                    "mask them in the device, or in the MSI-X table"};
}

}  // namespace

void Interrupts::mask() {
    state_->with_vectors([&](const detail::VectorSet& vectors) {
        require_intx(*state_, vectors);
        state_->backend().mask_intx();
    });
}
void Interrupts::mask(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { mask(); });
}

void Interrupts::unmask() {
    state_->with_vectors([&](const detail::VectorSet& vectors) {
        require_intx(*state_, vectors);
        state_->backend().unmask_intx();
    });
}
void Interrupts::unmask(std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { unmask(); });
}

VectorSubscription Interrupts::subscribe(unsigned vector) const {
    auto vectors = enabled_vectors(*state_);
    if (vector >= vectors->event_fds.size()) throw no_such_vector(*state_, *vectors, vector);
    // A duplicate, because an event loop closes what it is given: the eventfd itself must outlive that.
    const int descriptor = ::fcntl(vectors->event_fds[vector].get(), F_DUPFD_CLOEXEC, 0);
    if (descriptor < 0)
        throw Error{Errc::system_error, fmt::format("{} vector {}", state_->backend().object(), vector),
                    "cannot duplicate its eventfd", errno, "raise the limit of open files with `ulimit -n`"};
    return VectorSubscription{state_, std::move(vectors), vector, descriptor};
}
std::optional<VectorSubscription> Interrupts::subscribe(unsigned vector, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return std::optional{subscribe(vector)}; });
}

void Interrupts::reset_around(const std::function<void()>& reset) { state_->reset_around(reset); }
void Interrupts::close() noexcept { state_->close(); }

VectorSubscription::VectorSubscription(std::shared_ptr<detail::InterruptState> state,
                                       std::shared_ptr<detail::VectorSet> vectors, unsigned vector,
                                       int descriptor) noexcept
    : state_{std::move(state)}, vectors_{std::move(vectors)}, vector_{vector}, descriptor_{descriptor} {}

VectorSubscription::VectorSubscription(VectorSubscription&& other) noexcept
    : state_{std::move(other.state_)},
      vectors_{std::move(other.vectors_)},
      vector_{other.vector_},
      descriptor_{other.release_descriptor()} {}

VectorSubscription& VectorSubscription::operator=(VectorSubscription&& other) noexcept {
    if (this != &other) {
        if (descriptor_ >= 0) ::close(descriptor_);
        state_ = std::move(other.state_);
        vectors_ = std::move(other.vectors_);
        vector_ = other.vector_;
        descriptor_ = other.release_descriptor();
    }
    return *this;
}

VectorSubscription::~VectorSubscription() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

int VectorSubscription::release_descriptor() noexcept { return std::exchange(descriptor_, -1); }
std::uint64_t VectorSubscription::generation() const noexcept { return state_->generation(); }
std::uint64_t VectorSubscription::resolve(std::uint64_t raw, std::uint64_t generation,
                                          std::error_code& ec) const noexcept {
    return state_->resolve(vectors_, vector_, raw, generation, ec);
}
std::error_code VectorSubscription::status() const noexcept { return state_->status(vectors_); }

}  // namespace uiovfio
