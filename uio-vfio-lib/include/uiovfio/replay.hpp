// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A recorded trace as a regression test: what the driver did is done again to the simulated device, and what comes
/// back is compared with what came back then.
///
///     const auto trace = uiovfio::Trace::read("run.trace");
///     auto device = uiovfio::open_sim(uiovfio::sim_options(trace.header()));
///     const auto report = uiovfio::replay(trace, device);
///     for (const auto& mismatch : report.mismatches) std::cerr << mismatch.text() << '\n';
///
/// Stores are repeated; loads must give what they gave. Memory is mapped at the same bus addresses and written as the
/// driver had written it, and the device must write to it what it had written. Interrupts are armed, and each count
/// that was taken must have come. The simulated device is given the time to finish before anything is compared, so
/// that how far it had come when the driver looked makes no difference, except in registers that tell just that: those
/// are named in ReplayOptions::may_differ.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "uiovfio/device.hpp"
#include "uiovfio/sim.hpp"
#include "uiovfio/trace.hpp"

namespace uiovfio {

/// Bits that a load may find otherwise than it did when the trace was recorded.
struct MayDiffer {
    std::optional<unsigned> bar = {};  ///< nothing: configuration space
    std::uint64_t offset = 0;
    std::uint64_t length = 0;                ///< bytes
    std::uint64_t mask = ~std::uint64_t{0};  ///< which bits of the first 8 bytes, as a little-endian number; then all
    bool until_stored = false;               ///< only until the trace stores to it: what it was before is not known
    std::string why = {};                    ///< for the report: "the platform assigns it"
};

/// How a trace is replayed, and what is let pass.
struct ReplayOptions {
    /// Besides what platform_assigned() names.
    std::vector<MayDiffer> may_differ = {};
    /// A name for a place in a BAR ("SCRATCH"), or nothing where it has none; for the report.
    std::function<std::string(unsigned bar, std::uint64_t offset)> name_of = {};
    /// More interrupts than were counted are fine: a real machine merges a message with one that is still pending.
    bool merged_interrupts = false;
    /// Bytes of memory that the trace may map at a time; and of memory that the device may have, for sim_options().
    std::uint64_t memory_limit = std::uint64_t{256} << 20;
    /// How long the device may be at work on what it was told last. A watchdog, not a measure.
    std::chrono::nanoseconds patience = std::chrono::seconds{60};
    /// Mismatches that are reported; the others are only counted.
    std::size_t most_mismatches = 100;
};

/// Something that was not as it had been.
struct ReplayMismatch {
    std::size_t record = 0;  ///< its number in the trace
    std::string place;       ///< "SCRATCH (BAR0 0x10)", "memory at 0x200000", "vector 3"
    std::string expected;    ///< "0x0000002a", "1 interrupt"
    std::string got;

    /// "record 12: SCRATCH (BAR0 0x10): expected 0x0000002a, got 0x00000000".
    [[nodiscard]] std::string text() const;
};

/// What a replay found.
struct ReplayReport {
    std::size_t records = 0;         ///< that were replayed
    std::size_t skipped = 0;         ///< that failed when they were recorded, or tell of the kernel's own events
    std::uint64_t loads = 0;         ///< that were compared
    std::uint64_t differing = 0;     ///< of those, as may_differ permits
    std::uint64_t interrupts = 0;    ///< that were expected, and came
    std::uint64_t device_bytes = 0;  ///< of memory that the device wrote as it had
    /// Bytes of memory that the trace does not say who wrote, and that the device did not: they were taken for the
    /// driver's. See resolved().
    std::uint64_t assumed_bytes = 0;
    std::uint64_t mismatch_count = 0;
    std::vector<ReplayMismatch> mismatches;  ///< the first of them
    bool device_was_lost = false;            ///< the trace tells that the device was gone; the replay ended there
    /// Which bytes of a memory record whose writer was not known the device wrote: a bit for each, by record.
    std::map<std::size_t, std::vector<std::byte>> device_wrote;

    /// Whether all was as it had been, but for what may differ.
    [[nodiscard]] bool matched() const noexcept { return mismatch_count == 0; }
};

/// What the machine and its kernel choose, of a device with that configuration space: addresses of BARs, interrupt
/// messages, the state of the link. replay() permits it to differ.
std::vector<MayDiffer> platform_assigned(const TraceHeader& header);

/// A simulated device with as many vectors and as much memory as the traced one. Throws invalid_argument where that was
/// no pcienic, or had more memory than ReplayOptions::memory_limit: a file says so, and it may be hostile.
SimOptions sim_options(const TraceHeader& header, const ReplayOptions& options = {});
SimOptions sim_options(const TraceHeader& header, const ReplayOptions& options, std::error_code& ec) noexcept;
SimOptions sim_options(const TraceHeader& header, std::error_code& ec) noexcept;

/// Replays the trace on `device`, which is simulated, newly opened, and afterwards only good for being closed.
///
/// The trace may be hostile: it gets no more memory than the options say, only as it is written to, and descriptors for
/// its vectors.
/// Throws unsupported where the device is not simulated; invalid_argument where identity or BARs are not those of the
/// trace; bad_trace where the records contradict each other; interrupt_mode_busy where interrupts are enabled;
/// timed_out where the device does not come to rest; system_error, closed.
ReplayReport replay(const Trace& trace, Device& device, const ReplayOptions& options = {});
ReplayReport replay(const Trace& trace, Device& device, const ReplayOptions& options, std::error_code& ec) noexcept;

/// The file of the same trace, with the writers of memory that a replay without mismatches found. A replay of it can
/// tell also of memory that the device should have written and did not. Throws invalid_argument where the report has
/// mismatches.
std::vector<std::byte> resolved(const Trace& trace, const ReplayReport& report);
std::vector<std::byte> resolved(const Trace& trace, const ReplayReport& report, std::error_code& ec) noexcept;

}  // namespace uiovfio
