// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The DMA engine: a ring of descriptors in host memory that the device works through in order.
///
///     pcienic::DmaEngine dma = driver.make_dma({.entries = 256});
///     pcienic::Ticket ticket = dma.submit(pcienic::copy(source, destination, 4096));
///     pcienic::Result result = dma.wait(ticket, 1s);        // {empty code, 4096 bytes}
///
/// Ownership: a descriptor, the memory it names and its lists are the device's from post() until the result is there.
/// The engine holds a lease meanwhile on what a command names by its DmaBuffer, DmaMapping or ScatterList.
/// poll() and wait() never hang on a queue that stopped: every outstanding command then ends with the reason.
/// post(), submit(), ring(), poll(), result() and wait() do not allocate and, post() and submit() with a full ring
/// excepted, do not throw. An engine serves one thread at a time.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>
#include <vector>

#include "pcienic/command.hpp"
#include "pcienic/error.hpp"
#include "uiovfio/dma.hpp"

namespace pcienic {

class Driver;

/// Names a submitted command. Tickets count up by one from the engine's making.
enum class Ticket : std::uint64_t {};

/// How a DmaEngine is set up.
struct EngineOptions {
    std::size_t entries = 256;  ///< a power of two from 2 to 4096
    /// Raised by every command that names none itself; wait() then sleeps on it rather than spin. Interrupts must be
    /// enabled, and this vector be among them, before the engine is made.
    std::optional<std::uint16_t> vector = {};
    /// Memory for the rings, where it matters which that is: ring_bytes(entries) at the least. It must outlive the
    /// engine; without it, the engine allocates its own.
    const uiovfio::DmaMapping* memory = nullptr;
};

/// What the rings of an engine take.
constexpr std::size_t ring_bytes(std::size_t entries) noexcept {
    constexpr std::size_t kAlignment = 64;  // of either ring: the registers DMA_RING_BASE and DMA_COMPLETION_BASE
    return entries * sizeof(Descriptor) + (entries * sizeof(Completion) + kAlignment - 1) / kAlignment * kAlignment;
}

/// The device's one DMA queue: a ring of descriptors, and of their completions. Its functions want one thread at a
/// time.
class DmaEngine {
  public:
    /// Allocates the rings, or takes the memory for them, and starts the queue. Throws Errc::bad_ring_size (also where
    /// the memory is too small), no_such_vector or engine_refused (with the error latch, or because another engine
    /// runs), and what DmaSpace::allocate throws. Driver must outlive the
    /// engine. The device has one queue: while one engine runs, there can be no other.
    DmaEngine(Driver& driver, EngineOptions options = {});
    /// Stops the queue, so that the device owns none of the memory any more, and only then unmaps the rings. With
    /// memory of the caller's, which stays mapped, a device that does not stop is no bus master any longer.
    ~DmaEngine();
    DmaEngine(const DmaEngine&) = delete;
    DmaEngine& operator=(const DmaEngine&) = delete;

    /// Writes the descriptor and hands it to the device, which need not look before ring(); one that is still at work
    /// on what came before may find it earlier.
    /// Errc::ring_full where `capacity()` commands are outstanding, engine_disabled or the queue's reason where it
    /// stopped, not_mapped where the memory of the command's was unmapped since it was made.
    Ticket post(const Command& command);
    Ticket post(const Command& command, std::error_code& ec) noexcept;
    /// One doorbell for everything posted so far.
    void ring() noexcept;
    /// post() and ring().
    Ticket submit(const Command& command);
    Ticket submit(const Command& command, std::error_code& ec) noexcept;

    /// Takes the completions that the device has written; returns how many.
    std::size_t poll() noexcept;
    /// As poll(), and looks at the state of the queue, which costs a register read: a queue that has stopped, was reset
    /// or is gone ends what is outstanding.
    std::size_t inspect() noexcept;
    /// Empty while the command is outstanding. A result is kept until its descriptor is used again, which is
    /// `capacity()` commands later; after that it is Errc::stale_ticket.
    std::optional<Result> result(Ticket ticket) const noexcept;
    /// Polls, or sleeps on the engine's vector, until the result is there; uiovfio::Errc::timed_out when the time is
    /// up, in which case the command is still outstanding.
    Result wait(Ticket ticket, std::chrono::nanoseconds timeout) noexcept;
    /// submit() and wait(); where the command could not be submitted, that is the result.
    Result run(const Command& command, std::chrono::nanoseconds timeout) noexcept;

    /// Stops the queue and waits until the device says that it has; what is outstanding ends as Errc::cancelled.
    /// Throws Errc::engine_stuck where the device does not answer; what is outstanding then stays the device's until
    /// it was reset and inspect() or stop() has seen that.
    void stop();
    void stop(std::error_code& ec) noexcept;
    /// Starts a stopped queue again, with an empty ring; frees the error latch of the fault that stopped it.
    /// Throws Errc::engine_refused.
    void restart();

    /// Whether the queue takes commands.
    bool running() const noexcept { return running_; }
    /// What the device had latched when the queue stopped by itself; empty while it runs.
    const std::optional<LatchedError>& stop_reason() const noexcept { return stop_reason_; }
    /// Commands that may be outstanding at a time, those that are, and the vector that they raise at their end.
    std::size_t capacity() const noexcept { return slots_.size(); }
    std::size_t outstanding() const noexcept { return static_cast<std::size_t>(next_ - consumed_); }
    const std::optional<std::uint16_t>& vector() const noexcept { return options_.vector; }

    /// Whether an outstanding command names any of these bytes, itself or through its list, in whatever way.
    bool owns(uiovfio::Iova first, std::size_t length) const noexcept;
    /// Unmaps a DmaMapping or DmaBuffer; throws Errc::buffer_in_use while the device owns it, also where commands name
    /// it by its bus address, of which there is no lease.
    template <typename Memory>
    void unmap(Memory& memory) {
        check_free(memory.iova(), memory.size());
        memory.unmap();
    }

    /// With INTx, where all vectors share one line: drops the line and lets it interrupt again. Otherwise nothing.
    void acknowledge() noexcept;
    /// Which of Interrupts' vectors the completions arrive on. Only with a vector.
    unsigned event() const noexcept;
    /// Whose queue it is.
    Driver& driver() noexcept { return driver_; }

  private:
    struct Slot {
        std::uint64_t sequence = ~std::uint64_t{0};
        Command command;
        Result result;
        uiovfio::DmaLease source;
        uiovfio::DmaLease destination;
    };

    /// Where a ring is.
    struct Ring {
        std::byte* at;
        std::size_t size;
        uiovfio::Iova iova;
    };

    /// In the caller's memory or the engine's own.
    Ring ring_at(std::size_t offset, std::size_t size) const;
    Descriptor* descriptor(std::uint64_t sequence) const noexcept;
    Completion* completion(std::uint64_t sequence) const noexcept;
    std::size_t index(std::uint64_t sequence) const noexcept { return sequence & (slots_.size() - 1); }
    bool phase(std::uint64_t sequence) const noexcept { return ((sequence >> log2_) & 1) == 0; }
    bool shares_line() const noexcept;
    void start();
    bool halt() noexcept;  ///< whether the device has let go of the memory
    static void end(Slot& slot, Result result) noexcept;
    void end_outstanding(Result result) noexcept;
    void check_free(uiovfio::Iova first, std::size_t length) const;

    Driver& driver_;
    EngineOptions options_;
    unsigned log2_;
    uiovfio::DmaBuffer own_;  ///< empty if the caller has brought the memory
    Ring descriptors_;
    Ring completions_;
    std::vector<Slot> slots_;
    std::uint64_t next_ = 0;      ///< ticket of the next command
    std::uint64_t consumed_ = 0;  ///< ticket of the next completion
    bool running_ = false;
    bool enabled_ = false;  ///< by this engine, which alone may then disable it; longer than running_ after a fault
    std::optional<LatchedError> stop_reason_;
};

}  // namespace pcienic
