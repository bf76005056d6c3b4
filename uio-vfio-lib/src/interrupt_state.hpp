// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The eventfds of the vectors, and how those who wait on them learn of what is no interrupt.
///
/// An eventfd's counter holds 64 bits, of which interrupts never need the two highest. To wake those who wait for
/// another reason (reset, disabling, closing), kMark is added to every counter and the generation goes up. A reader
/// strips the marks; when the generation is not the one that its wait began with, the wait is over. A mark that nobody
/// waited for is a wake-up without an interrupt. Whoever loses a wait that way puts the count of interrupts back.

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "backend.hpp"
#include "file_descriptor.hpp"

namespace uiovfio::detail {

inline constexpr std::uint64_t kMark = std::uint64_t{1} << 62;

/// The vectors as they were enabled once; not changed afterwards. Those who wait keep it, and with it its eventfds.
struct VectorSet {
    InterruptMode mode{};
    std::vector<FileDescriptor> event_fds;
};

class InterruptState {
  public:
    explicit InterruptState(std::shared_ptr<Backend> backend) : backend_{std::move(backend)} {}

    /// The set in force and the generation, together. The set is null when interrupts are not enabled.
    struct Snapshot {
        std::shared_ptr<VectorSet> vectors;
        std::uint64_t generation = 0;
    };

    [[nodiscard]] Backend& backend() const noexcept { return *backend_; }
    [[nodiscard]] Snapshot snapshot() const noexcept;
    [[nodiscard]] std::uint64_t generation() const noexcept { return snapshot().generation; }

    void enable(InterruptMode mode, unsigned count);
    void disable();
    void reset_around(const std::function<void()>& reset);
    void close() noexcept;
    /// Calls `action` with the set in force, which stays in force meanwhile. Throws interrupts_not_enabled.
    void with_vectors(const std::function<void(const VectorSet&)>& action);

    /// See VectorSubscription::resolve.
    std::uint64_t resolve(const std::shared_ptr<VectorSet>& vectors, unsigned vector, std::uint64_t raw,
                          std::uint64_t generation, std::error_code& ec) const noexcept;
    /// Whether an interrupt can still come from that set.
    [[nodiscard]] std::error_code status(const std::shared_ptr<VectorSet>& vectors) const noexcept;

  private:
    void replace(std::shared_ptr<VectorSet> vectors) noexcept;

    std::shared_ptr<Backend> backend_;
    std::mutex control_;        // held by what talks to the backend; taken before mutex_
    mutable std::mutex mutex_;  // guards what follows
    std::shared_ptr<VectorSet> vectors_;
    std::uint64_t generation_ = 0;
    bool closed_ = false;
};

}  // namespace uiovfio::detail
