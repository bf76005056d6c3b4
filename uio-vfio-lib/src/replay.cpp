// SPDX-License-Identifier: MIT
#include "uiovfio/replay.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "backend.hpp"
#include "file_descriptor.hpp"
#include "guarded.hpp"
#include "pcienic_regs.h"
#include "replay_memory.hpp"
#include "text.hpp"
#include "trace_format.hpp"

namespace uiovfio {

namespace {

using detail::FileDescriptor;
using detail::ReplayMemory;

// How far ahead is looked for what the device wrote a moment later. A bound on work, for traces that are hostile.
constexpr std::size_t kLongestLook = 4096;

constexpr const char* kAllowMore = "allow more with ReplayOptions::memory_limit, `pcienic-ctl trace replay --memory`";

std::uint64_t mask_of_bytes(unsigned bytes) noexcept { return ~std::uint64_t{0} >> (64 - 8 * bytes); }

std::string hex(std::uint64_t value, unsigned bytes) { return fmt::format("0x{:0{}x}", value, 2 * bytes); }

std::string interrupts(std::uint64_t count) { return fmt::format("{} interrupt{}", count, count == 1 ? "" : "s"); }

/// One replay.
class Replay {
  public:
    Replay(const Trace& trace, Device& device, const ReplayOptions& options)
        : trace_{trace},
          device_{device},
          options_{options},
          backend_{*DeviceFactory::backend(device)},
          memory_{options.memory_limit},
          may_differ_{platform_assigned(trace.header())} {
        may_differ_.insert(may_differ_.end(), options.may_differ.begin(), options.may_differ.end());
        stored_.resize(may_differ_.size());
    }

    ~Replay() {
        // The memory goes with this object: nothing of the device may reach it any more.
        std::error_code gone_already;
        device_.config().set_bus_master(false, gone_already);
        if (armed_) detail::guarded(gone_already, [&] { backend_.disarm(*armed_); });
        for (const Iova iova : memory_.mappings()) unmap(iova);
    }
    Replay(const Replay&) = delete;
    Replay& operator=(const Replay&) = delete;

    ReplayReport run() {
        restore_command();
        for (at_ = 0; at_ < trace_.records().size() && !report_.device_was_lost; ++at_) {
            const TraceRecord& record = trace_.records()[at_];
            settle();
            if (record.error == Errc::device_gone) {
                report_.device_was_lost = true;
            } else if (record.error || is_kernels(record.kind)) {
                ++report_.skipped;
            } else {
                step(record);
                ++report_.records;
            }
        }
        settle();
        return std::move(report_);
    }

  private:
    /// What is done with one record.
    void step(const TraceRecord& record) {
        switch (record.kind) {
            case TraceKind::load:
                return compare_load(record, backend_.region_read(record.bar, record.offset, record.width));
            case TraceKind::store:
                note_store(record);
                return backend_.region_write(record.bar, record.offset, record.width, record.value);
            case TraceKind::config_load:
                if (!is_in_config(record)) contradiction("an access beyond the end of configuration space");
                return compare_load(record, backend_.config_read(narrow16(record.offset), record.width));
            case TraceKind::config_store:
                if (!is_in_config(record)) contradiction("an access beyond the end of configuration space");
                note_store(record);
                return backend_.config_write(narrow16(record.offset), record.width,
                                             static_cast<std::uint32_t>(record.value));
            case TraceKind::dma_map:
                return map(record);
            case TraceKind::dma_unmap:
                return end_mapping(record);
            case TraceKind::memory:
                return change_memory(record);
            case TraceKind::arm:
                return arm(record);
            case TraceKind::disarm:
                return disarm(record);
            case TraceKind::taken:
                return take(record);
            case TraceKind::left:
                count_of(record.vector).left = record.count;
                return;
            case TraceKind::trigger:
                require_vector(record.vector);
                return backend_.trigger(*armed_, record.vector);
            case TraceKind::mask_intx:
                require_intx();
                return backend_.mask_intx();
            case TraceKind::unmask_intx:
                require_intx();
                return backend_.unmask_intx();
            case TraceKind::reset:
                if (!backend_.can_reset()) contradiction("a reset of a device that cannot be reset");
                return backend_.reset();
            case TraceKind::event_taken:
            case TraceKind::event_trigger:
                return;
            case TraceKind::close:
                judge_counts();
                for (const Iova iova : memory_.mappings()) judge_mapping(iova);
                return;
            case TraceKind::stopped:
                return;
        }
    }

    /// Events come from the kernel, not from the device.
    static bool is_kernels(TraceKind kind) noexcept {
        return kind == TraceKind::event_taken || kind == TraceKind::event_trigger;
    }

    static std::uint16_t narrow16(std::uint64_t number) noexcept { return static_cast<std::uint16_t>(number); }

    [[noreturn]] void contradiction(std::string_view what) const {
        throw Error{Errc::bad_trace, fmt::format("record {}", at_), std::string{what}};
    }

    /// The command register as the trace found it.
    void restore_command() {
        const std::uint32_t command = trace_.header().config_value(config::kCommand, 2);
        if (trace_.header().config.size() > config::kCommand + 1) backend_.config_write(config::kCommand, 2, command);
    }

    void settle() const {
        if (!sim::settle(device_, options_.patience))
            throw Error{Errc::timed_out, backend_.object(),
                        fmt::format("it is still at work on what record {} told it", at_ == 0 ? 0 : at_ - 1), 0,
                        "give it more time, or see whether its commands make it go round in circles"};
    }

    void mismatch(std::string place, std::string expected, std::string got) {
        mismatch(std::move(place), std::move(expected), std::move(got), at_);
    }
    void mismatch(std::string place, std::string expected, std::string got, std::size_t record) {
        ++report_.mismatch_count;
        if (report_.mismatches.size() < options_.most_mismatches)
            report_.mismatches.push_back({record, std::move(place), std::move(expected), std::move(got)});
    }

    // --- accesses ---------------------------------------------------------------------------------------------------

    [[nodiscard]] bool is_in_config(const TraceRecord& record) const noexcept {
        return record.offset + record.width <= backend_.config_size();
    }

    static bool is_config(const TraceRecord& record) noexcept {
        return record.kind == TraceKind::config_load || record.kind == TraceKind::config_store;
    }

    static bool concerns(const MayDiffer& entry, const TraceRecord& record) noexcept {
        const bool same_space = entry.bar ? !is_config(record) && *entry.bar == record.bar : is_config(record);
        return same_space && record.offset < entry.offset + entry.length && entry.offset < record.offset + record.width;
    }

    /// The bits of a load that need not be as they were.
    [[nodiscard]] std::uint64_t free_bits(const TraceRecord& record) const noexcept {
        std::uint64_t bits = 0;
        for (std::size_t i = 0; i < may_differ_.size(); ++i) {
            const MayDiffer& entry = may_differ_[i];
            if (!concerns(entry, record) || (entry.until_stored && stored_[i])) continue;
            for (unsigned byte = 0; byte < record.width; ++byte) {
                const std::uint64_t at = record.offset + byte;
                if (at < entry.offset || at - entry.offset >= entry.length) continue;
                const std::uint64_t in_entry = at - entry.offset;
                const std::uint64_t mask = in_entry < 8 ? entry.mask >> (8 * in_entry) & 0xff : 0xff;
                bits |= mask << (8 * byte);
            }
        }
        return bits;
    }

    void note_store(const TraceRecord& record) noexcept {
        for (std::size_t i = 0; i < may_differ_.size(); ++i)
            if (may_differ_[i].until_stored && concerns(may_differ_[i], record)) stored_[i] = true;
    }

    [[nodiscard]] std::string place_of(const TraceRecord& record) const {
        if (is_config(record)) return fmt::format("configuration space {:#x}", record.offset);
        const std::string place = fmt::format("BAR{} {:#x}", record.bar, record.offset);
        const std::string name = options_.name_of ? options_.name_of(record.bar, record.offset) : std::string{};
        return name.empty() ? place : fmt::format("{} ({})", name, place);
    }

    void compare_load(const TraceRecord& record, std::uint64_t value) {
        value &= mask_of_bytes(record.width);
        ++report_.loads;
        if (value == record.value) return;
        if (((value ^ record.value) & ~free_bits(record)) == 0) {
            ++report_.differing;
        } else {
            mismatch(place_of(record), hex(record.value, record.width), hex(value, record.width));
        }
    }

    // --- memory -----------------------------------------------------------------------------------------------------

    void map(const TraceRecord& record) {
        const std::span memory = memory_.add(record.iova, record.length, record.has_contents);
        if (memory.empty())
            throw Error{Errc::bad_trace, fmt::format("record {}", at_),
                        fmt::format("{:#x} bytes at {:#x} are mapped already, or more memory than a replay is allowed",
                                    record.length, to_integer(record.iova)),
                        0, kAllowMore};
        try {
            const std::uint64_t granule = backend_.iova_page_sizes() & (~backend_.iova_page_sizes() + 1);
            if ((record.length | to_integer(record.iova)) % granule != 0)
                contradiction("a mapping that is no multiple of a page");
            backend_.dma_map(record.iova, memory, record.direction);
        } catch (const Error& error) {
            memory_.remove(record.iova);
            if (error.errc() == Errc::bad_trace) throw;
            mismatch(memory_at(record.iova), "mapped", std::string{error.what_was_wrong()});
        }
    }

    void unmap(Iova iova) noexcept {
        std::error_code lost;
        detail::guarded(lost, [&] { backend_.dma_unmap(iova, memory_.length(iova)); });
        memory_.remove(iova);
    }

    void end_mapping(const TraceRecord& record) {
        if (memory_.length(record.iova) != record.length) contradiction("an unmap of what is not mapped");
        judge_mapping(record.iova);
        unmap(record.iova);
    }

    static std::string memory_at(Iova iova) { return fmt::format("memory at {:#x}", to_integer(iova)); }

    /// What the trace has not seen the device write, and what is there all the same.
    void judge_mapping(Iova iova) {
        if (const auto difference = memory_.unexpected(iova)) tell(*difference);
    }

    void tell(const ReplayMemory::Difference& difference) {
        mismatch(memory_at(difference.iova), hex(std::to_integer<unsigned>(difference.expected), 1),
                 hex(std::to_integer<unsigned>(difference.got), 1));
    }

    void change_memory(const TraceRecord& record) {
        auto outcome = memory_.apply(record, [&](Iova iova) { return is_superseded(iova); });
        if (!outcome.is_mapped) contradiction("memory that is not mapped, or not followed");
        report_.device_bytes += outcome.device;
        report_.assumed_bytes += outcome.assumed;
        if (outcome.difference) tell(*outcome.difference);
        const bool is_open =
            record.writer == MemoryWriter::probably_driver || record.writer == MemoryWriter::probably_device;
        if (is_open) report_.device_wrote.emplace(at_, std::move(outcome.device_bits));
    }

    /// Whether the device wrote to that byte again before it was told anything new.
    [[nodiscard]] bool is_superseded(Iova iova) const noexcept {
        const std::span records = trace_.records().subspan(at_ + 1);
        for (const TraceRecord& record : records.first(std::min(records.size(), kLongestLook))) {
            switch (record.kind) {
                case TraceKind::memory:
                    if (iova >= record.iova && iova - record.iova < record.length &&
                        record.is_changed(static_cast<std::size_t>(iova - record.iova)))
                        return true;
                    break;
                case TraceKind::store:
                case TraceKind::config_store:
                case TraceKind::reset:
                    return false;
                default:
                    break;
            }
        }
        return false;
    }

    // --- interrupts -------------------------------------------------------------------------------------------------

    struct Count {
        std::uint64_t came = 0;   ///< in the replay
        std::uint64_t taken = 0;  ///< in the trace
        std::uint64_t left = 0;   ///< in the trace, and never taken
    };

    void require_vector(unsigned vector) const {
        if (!armed_ || vector >= event_fds_.size()) contradiction("a vector that is not armed");
    }
    void require_intx() const {
        if (armed_ != InterruptMode::intx) contradiction("INTx masked where it is not armed");
    }
    [[nodiscard]] Count& count_of(unsigned vector) {
        if (vector >= counts_.size()) contradiction("a count of a vector that was not armed");
        return counts_[vector];
    }

    void arm(const TraceRecord& record) {
        if (record.vector + record.vectors > backend_.interrupt_capacity(record.mode))
            contradiction("more vectors than there are");
        if (armed_) return arm_some(record);
        if (record.vector != 0) contradiction("the first vectors are not among those armed");
        if (record.keeps_counts) {
            disarmed_at_.reset();
        } else {
            judge_counts();
            counts_.clear();
        }
        backend_.arm(record.mode, descriptors(record));
        armed_ = record.mode;
    }

    void arm_some(const TraceRecord& record) {
        if (record.mode != armed_) contradiction("interrupts armed in two modes");
        backend_.arm_some(record.mode, record.vector, descriptors(record));
    }

    /// For each vector of the record an eventfd, or -1 where it is silent.
    std::vector<int> descriptors(const TraceRecord& record) {
        const std::size_t end = std::size_t{record.vector} + record.vectors;
        event_fds_.resize(std::max(event_fds_.size(), end));
        counts_.resize(std::max(counts_.size(), end));
        std::vector<int> raw;
        for (std::size_t vector = record.vector; vector < end; ++vector) {
            FileDescriptor& event_fd = event_fds_[vector];
            const bool is_connected = record.connected[vector - record.vector] != std::byte{0};
            if (is_connected && !event_fd) event_fd = FileDescriptor{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
            if (is_connected && !event_fd)
                throw Error{Errc::system_error, "replay", fmt::format("cannot make eventfd {}", vector), errno,
                            "raise the limit of open files with `ulimit -n`"};
            raw.push_back(is_connected ? event_fd.get() : -1);
        }
        return raw;
    }

    void disarm(const TraceRecord& record) {
        if (armed_ != record.mode) contradiction("interrupts disarmed that are not armed");
        // Before as well: where the replay is traced itself, its trace tells what is left.
        for (unsigned vector = 0; vector < event_fds_.size(); ++vector) collect(vector);
        backend_.disarm(record.mode);
        for (unsigned vector = 0; vector < event_fds_.size(); ++vector) collect(vector);
        armed_.reset();
        event_fds_.clear();
        disarmed_at_ = at_;
    }

    void collect(unsigned vector) {
        std::uint64_t value = 0;
        if (::read(event_fds_[vector].get(), &value, sizeof value) != sizeof value) return;
        counts_[vector].came += value;
        if (detail::TraceSink* trace = backend_.trace().vectors) trace->taken(vector, value);
    }

    void take(const TraceRecord& record) {
        Count& count = count_of(record.vector);
        if (record.vector < event_fds_.size()) collect(record.vector);
        count.taken += record.count;
        if (count.came < count.taken) {
            const std::uint64_t missing = count.taken - count.came;
            mismatch(fmt::format("vector {}", record.vector), interrupts(record.count),
                     interrupts(record.count - std::min(record.count, missing)));
            count.came = count.taken;
        } else {
            report_.interrupts += record.count;
        }
    }

    /// Whether as many came as were taken and left. Only when they are over: a count may be recorded as taken after its
    /// vector was disarmed, by another thread.
    void judge_counts() {
        if (!disarmed_at_) return;
        for (unsigned vector = 0; vector < counts_.size(); ++vector) {
            const auto& [came, taken, left] = counts_[vector];
            if (came == taken + left || (options_.merged_interrupts && came > taken + left)) continue;
            mismatch(fmt::format("vector {}, never taken", vector), interrupts(left), interrupts(came - taken),
                     *disarmed_at_);
        }
        disarmed_at_.reset();
    }

    const Trace& trace_;
    Device& device_;
    const ReplayOptions& options_;
    detail::Backend& backend_;
    std::size_t at_ = 0;  // the record at hand
    ReplayReport report_;
    ReplayMemory memory_;
    std::vector<MayDiffer> may_differ_;
    std::vector<bool> stored_;  // for those that may differ until they are stored to
    std::optional<InterruptMode> armed_;
    std::vector<FileDescriptor> event_fds_;
    std::vector<Count> counts_;
    std::optional<std::size_t> disarmed_at_;
};

void require_same_device(const Trace& trace, const Device& device) {
    const TraceHeader& header = trace.header();
    const std::uint32_t ids = device.config().read32(config::kVendorId);
    const auto refuse = [&](std::string what) {
        throw Error{Errc::invalid_argument, to_string(device.bdf()), std::move(what), 0,
                    "open a device as sim_options() has it"};
    };
    if (ids != header.config_value(config::kVendorId, 4))
        refuse(fmt::format("it is {:04x}:{:04x}, the trace is of {:04x}:{:04x}", ids & 0xffff, ids >> 16,
                           header.vendor(), header.device()));
    for (unsigned index = 0; index < header.bars.size(); ++index) {
        std::error_code none;
        const Bar* bar = device.bar(index, none);
        const std::uint64_t size = bar != nullptr ? bar->size() : 0;
        if (size != header.bars[index].size)
            refuse(fmt::format("its BAR{} has {:#x} bytes, in the trace it has {:#x}", index, size,
                               header.bars[index].size));
    }
}

/// Where a capability lies in the snapshot, as ConfigSpace::find() would have it; 0 for none.
std::uint16_t capability_in(const TraceHeader& header, std::uint16_t id) {
    std::uint32_t offset = header.config_value(config::kCapabilityPointer, 1) & 0xfc;
    for (unsigned steps = 0; steps < (config::kExtended - 0x40) / 4 && offset >= 0x40; ++steps) {
        const auto here = static_cast<std::uint16_t>(offset);
        if (header.config_value(here, 1) == id) return here;
        offset = header.config_value(static_cast<std::uint16_t>(here + 1), 1) & 0xfc;
    }
    return 0;
}

}  // namespace

std::string ReplayMismatch::text() const {
    return fmt::format("record {}: {}: expected {}, got {}", record, place, expected, got);
}

std::vector<MayDiffer> platform_assigned(const TraceHeader& header) {
    std::vector<MayDiffer> all{
        {.offset = 0x0c, .length = 2, .why = "the kernel sets cache line size and latency"},
        {.offset = config::kBar0, .length = 24, .why = "the platform assigns addresses"},
        {.offset = 0x30, .length = 4, .why = "the platform assigns addresses"},
        {.offset = 0x3c, .length = 1, .why = "the platform assigns the interrupt line"},
    };
    constexpr std::uint16_t kMsiBytes = 24;  // with 64-bit addresses and mask bits, which is the longest
    if (const std::uint16_t msi = capability_in(header, capability::kMsi))
        all.push_back({.offset = msi + 2U, .length = kMsiBytes - 2, .why = "the kernel writes messages and masks"});
    if (const std::uint16_t express = capability_in(header, capability::kPciExpress))
        all.push_back({.offset = express + 8U, .length = 0x34, .why = "the platform sets up device and link"});
    const std::uint16_t msix = capability_in(header, capability::kMsix);
    if (msix == 0) return all;
    all.push_back({.offset = msix + 2U, .length = 2, .mask = 0xc000, .why = "the kernel enables MSI-X"});
    const unsigned entries = (header.config_value(static_cast<std::uint16_t>(msix + 2), 2) & 0x7ff) + 1;
    const std::uint32_t table = header.config_value(static_cast<std::uint16_t>(msix + 4), 4);
    for (unsigned entry = 0; entry < entries; ++entry)
        all.push_back({.bar = table & 7,
                       .offset = (table & ~7U) + std::uint64_t{16} * entry,
                       .length = 12,
                       .why = "the kernel writes messages"});
    return all;
}

SimOptions sim_options(const TraceHeader& header, const ReplayOptions& replay_options) {
    if (header.vendor() != PCIENIC_VENDOR_ID || header.device() != PCIENIC_DEVICE_ID)
        throw Error{Errc::invalid_argument, to_string(header.bdf),
                    fmt::format("the trace is of {:04x}:{:04x}, and only a pcienic ({:04x}:{:04x}) can be simulated",
                                header.vendor(), header.device(), PCIENIC_VENDOR_ID, PCIENIC_DEVICE_ID)};
    if (const std::uint64_t size = header.bars[PCIENIC_BAR_MEMORY].size; size > replay_options.memory_limit)
        throw Error{Errc::invalid_argument, to_string(header.bdf),
                    fmt::format("the trace is of a device with {} of memory, and a replay is allowed {}",
                                detail::bytes_text(size), detail::bytes_text(replay_options.memory_limit)),
                    0, kAllowMore};
    SimOptions options{.bdf = header.bdf, .memory_size = header.bars[PCIENIC_BAR_MEMORY].size};
    if (const std::uint16_t msix = capability_in(header, capability::kMsix))
        options.vectors = (header.config_value(static_cast<std::uint16_t>(msix + 2), 2) & 0x7ff) + 1;
    return options;
}

SimOptions sim_options(const TraceHeader& header, const ReplayOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return sim_options(header, options); });
}

SimOptions sim_options(const TraceHeader& header, std::error_code& ec) noexcept {
    return sim_options(header, ReplayOptions{}, ec);
}

ReplayReport replay(const Trace& trace, Device& device, const ReplayOptions& options) {
    if (!device.is_open()) throw Error{Errc::closed, "replay", "the device is not open"};
    if (device.backend() != "sim")
        throw Error{
            Errc::unsupported, to_string(device.bdf()),
            fmt::format("it is open through {}, and a trace is replayed on a simulated device", device.backend()), 0,
            "open one with open_sim()"};
    if (device.interrupts().count() != 0)
        throw Error{Errc::interrupt_mode_busy,
                    to_string(device.bdf()) + " interrupts",
                    {},
                    0,
                    "replay on a device that was newly opened"};
    require_same_device(trace, device);
    return Replay{trace, device, options}.run();
}

ReplayReport replay(const Trace& trace, Device& device, const ReplayOptions& options, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return replay(trace, device, options); });
}

std::vector<std::byte> resolved(const Trace& trace, const ReplayReport& report) {
    using detail::trace::RecordHead;
    if (!report.matched())
        throw Error{Errc::invalid_argument, "trace", fmt::format("its replay has {} mismatches", report.mismatch_count),
                    0, "resolve it with a device that does what it did"};
    const std::span file = trace.bytes();
    std::vector<std::byte> bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(trace.position(0)));
    const auto append = [&](std::span<const std::byte> more) { bytes.insert(bytes.end(), more.begin(), more.end()); };
    for (std::size_t i = 0; i < trace.records().size(); ++i) {
        const TraceRecord& record = trace.records()[i];
        const std::span raw = file.subspan(trace.position(i), trace.position(i + 1) - trace.position(i));
        const auto device_bits = report.device_wrote.find(i);
        if (device_bits == report.device_wrote.end()) {
            append(raw);
            continue;
        }
        // A record of each of the two, where both wrote: the same bytes, with the bits of its own.
        for (const MemoryWriter writer : {MemoryWriter::device, MemoryWriter::driver}) {
            std::vector<std::byte> bits(record.changed_bits.begin(), record.changed_bits.end());
            for (std::size_t byte = 0; byte < bits.size(); ++byte)
                bits[byte] &= writer == MemoryWriter::device ? device_bits->second[byte] : ~device_bits->second[byte];
            if (std::ranges::all_of(bits, [](std::byte byte) { return byte == std::byte{0}; })) continue;
            RecordHead head;
            std::memcpy(&head, raw.data(), sizeof head);
            head.detail = static_cast<std::uint8_t>(writer);
            append(detail::trace::bytes_of(head));
            append(record.bytes);
            append(bits);
            bytes.resize(detail::trace::padded(bytes.size()));
        }
    }
    return bytes;
}

std::vector<std::byte> resolved(const Trace& trace, const ReplayReport& report, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return resolved(trace, report); });
}

}  // namespace uiovfio
