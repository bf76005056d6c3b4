// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Traces: what a driver did with its device and what came back, recorded to a file and read from it.
///
///     auto device = uiovfio::Device::open(bdf, {.trace = {.file = "run.trace"}});
///     ...
///     device.close();
///
///     const auto trace = uiovfio::Trace::read("run.trace");
///     for (const uiovfio::TraceRecord& record : trace.records()) ...
///
/// Recorded are accesses to BARs and configuration space, mappings for DMA and what their memory held, interrupts
/// armed, taken and fired by software, and resets: in the order in which the device met them. replay.hpp does it all
/// again on the simulated device. The format of the file is described in docs/reference/trace.md.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "uiovfio/bdf.hpp"
#include "uiovfio/device_events.hpp"
#include "uiovfio/dma.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/interrupts.hpp"
#include "uiovfio/iova.hpp"
#include "uiovfio/trace_options.hpp"

namespace uiovfio {

class Device;

/// What a record is about.
enum class TraceKind : std::uint8_t {
    load = 1,       ///< of a BAR
    store,          ///< to a BAR
    config_load,    ///< of configuration space
    config_store,   ///< to configuration space
    dma_map,        ///< memory given to the device
    dma_unmap,      ///< and taken from it
    memory,         ///< what of the memory changed since it was last looked at
    arm,            ///< vectors, connected to their eventfds or silenced: all of a mode's, or some of those armed
    disarm,         ///< the mode's vectors, all of them
    taken,          ///< a count of interrupts that the driver took
    left,           ///< a count that it never took, and that is gone: before the next arm, or before close
    trigger,        ///< a vector, fired by software
    mask_intx,      ///< the line, masked
    unmask_intx,    ///< and unmasked
    reset,          ///< of the function
    event_taken,    ///< a count of a DeviceEvent that the driver took
    event_trigger,  ///< a DeviceEvent, raised by software
    close,          ///< of the device: the last record of a whole trace
    stopped,        ///< at the limit of the file, or where it could not be written: the last record, too
};

/// "load", "dma_map".
std::string_view to_string(TraceKind kind) noexcept;

/// Who changed the memory. The recorder cannot see the driver write, nor the device: it knows only where it looked.
enum class MemoryWriter : std::uint8_t {
    driver = 1,       ///< before the device had it, or where the device may not write
    device,           ///< as a replay found (replay.hpp)
    probably_driver,  ///< seen just before a store
    probably_device,  ///< seen just before a load, a count of interrupts, or another record that is no store
};

/// "driver", "probably_device".
std::string_view to_string(MemoryWriter writer) noexcept;

/// One record. Members that its kind does not name are as they are here.
struct TraceRecord {
    TraceKind kind{};
    std::chrono::nanoseconds at{};        ///< since the trace began, by the monotonic clock
    std::chrono::nanoseconds duration{};  ///< of the call: with it, the device's answer had come; at most 4.2 s
    unsigned thread = 0;                  ///< of the process, numbered in the order of their first record
    std::optional<Errc> error = {};       ///< what the call ended with, where it failed

    unsigned width = 0;        ///< bytes of an access
    unsigned bar = 0;          ///< load, store
    std::uint64_t offset = 0;  ///< of an access, in its BAR or in configuration space
    std::uint64_t value = 0;   ///< of an access

    Iova iova{};                ///< dma_map, dma_unmap, memory
    std::uint64_t length = 0;   ///< dma_map, dma_unmap, memory: bytes
    DmaDirection direction{};   ///< dma_map
    bool has_contents = false;  ///< dma_map: what the memory holds is followed

    MemoryWriter writer{};                         ///< memory
    std::span<const std::byte> bytes = {};         ///< memory: what it holds now
    std::span<const std::byte> changed_bits = {};  ///< memory: a bit for each byte that changed, the lowest bit first

    InterruptMode mode{};                       ///< arm, disarm, trigger
    unsigned vector = 0;                        ///< taken, left, trigger; arm: the first
    unsigned vectors = 0;                       ///< arm: how many
    std::span<const std::byte> connected = {};  ///< arm: a byte for each, 0 where the vector is silent
    bool keeps_counts = false;  ///< arm: what was not taken before the vectors were disarmed still can be
    DeviceEvent event{};        ///< event_taken, event_trigger
    std::uint64_t count = 0;    ///< taken, left, event_taken; stopped: records that are missing

    /// memory: whether that byte of `bytes` is among those that changed; the others only fill a gap.
    [[nodiscard]] bool is_changed(std::size_t index) const noexcept {
        return (std::to_integer<unsigned>(changed_bits[index / 8]) >> (index % 8) & 1U) != 0;
    }
};

/// A BAR of the device that was traced; size 0 for one that it does not implement.
struct TraceBar {
    std::uint64_t size = 0;  ///< bytes
    bool is_64bit = false;
    bool is_prefetchable = false;
    bool is_io = false;

    friend bool operator==(const TraceBar&, const TraceBar&) = default;
};

/// Where a trace comes from.
struct TraceHeader {
    Bdf bdf;
    std::string backend;  ///< one of backends()
    std::string kernel;   ///< "Linux 6.1.0-32-amd64 x86_64"
    std::string library;  ///< version of this library
    std::chrono::system_clock::time_point started;
    std::array<TraceBar, 6> bars{};
    std::vector<std::byte> config =
        {};                     ///< configuration space when the trace began; shorter where it could not be read
    std::uint64_t granule = 0;  ///< bytes of the smallest page that could be mapped; 0 without DMA
    std::uint64_t file_limit = 0;
    std::uint64_t memory_limit = 0;

    /// Little-endian, from the snapshot of configuration space; all ones beyond its end.
    [[nodiscard]] std::uint32_t config_value(std::uint16_t offset, unsigned width) const noexcept;
    [[nodiscard]] std::uint16_t vendor() const noexcept;
    [[nodiscard]] std::uint16_t device() const noexcept;
};

/// How a trace ends.
enum class TraceEnd {
    closed,   ///< with the device's closing: it is whole
    open,     ///< without: the process ended, or still runs
    stopped,  ///< at its limit; Trace::missing() says how many records are not there
    cut,      ///< in the middle of a record: its file was cut short, or is still being written
};

/// A trace that was read. Move-only; records() point into it.
///
/// A file may be hostile: every length and number is checked before it is used, and no more is allocated than a small
/// multiple of the file's size.
class Trace {
  public:
    /// The largest file that is read.
    static constexpr std::uint64_t kLargestFile = std::uint64_t{1} << 30;

    /// Throws bad_trace, which says where it is damaged; system_error. A file that ends within a record is read up to
    /// there: end() says so.
    static Trace read(const std::filesystem::path& file);
    static Trace read(const std::filesystem::path& file, std::error_code& ec) noexcept;
    /// The bytes of a file; `name` is for messages. Throws bad_trace.
    static Trace parse(std::vector<std::byte> bytes, const std::string& name = "trace");
    static Trace parse(std::vector<std::byte> bytes, const std::string& name, std::error_code& ec) noexcept;

    /// An empty one, of nothing.
    Trace() noexcept = default;
    Trace(Trace&&) noexcept = default;
    Trace& operator=(Trace&&) noexcept = default;
    Trace(const Trace&) = delete;
    Trace& operator=(const Trace&) = delete;

    /// Where the trace comes from.
    [[nodiscard]] const TraceHeader& header() const noexcept { return header_; }
    /// In the order in which the device met them; good while this object lives.
    [[nodiscard]] std::span<const TraceRecord> records() const noexcept { return records_; }
    /// Whether it is whole, and else why not.
    [[nodiscard]] TraceEnd end() const noexcept { return end_; }
    /// Records that are not there because the trace had stopped, where that is known.
    [[nodiscard]] std::uint64_t missing() const noexcept { return missing_; }
    /// The file, and where in it a record begins; `index` may be records().size(), for the end of the last.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t position(std::size_t index) const noexcept { return positions_[index]; }

  private:
    std::vector<std::byte> bytes_;
    TraceHeader header_;
    std::vector<TraceRecord> records_;
    std::vector<std::size_t> positions_;
    TraceEnd end_ = TraceEnd::open;
    std::uint64_t missing_ = 0;
};

/// Writes the bytes of a trace to a file, which is made as TraceOptions::file is: readable by its owner only, in place
/// of one of this user's that may be there. Throws system_error, invalid_argument, permission_denied.
void write_trace(const std::filesystem::path& file, std::span<const std::byte> bytes);
void write_trace(const std::filesystem::path& file, std::span<const std::byte> bytes, std::error_code& ec) noexcept;

/// How a recording goes.
struct TraceStatus {
    std::uint64_t records = 0;  ///< in the file, or on their way to it
    std::uint64_t bytes = 0;    ///< of the file, when all has been written
    std::uint64_t missing = 0;  ///< records that are left out, since it stopped
    int system_errno = 0;       ///< why it stopped, where that was not its limit
};

/// The recording of an open or closed device; nothing for one that is not traced, or is the parent process's. Any
/// thread.
std::optional<TraceStatus> trace_status(const Device& device) noexcept;

}  // namespace uiovfio
