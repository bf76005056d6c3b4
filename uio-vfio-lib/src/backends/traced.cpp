// SPDX-License-Identifier: MIT
#include "backends/traced.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "counter_set.hpp"
#include "guarded.hpp"
#include "trace_file.hpp"
#include "trace_memory.hpp"
#include "trace_sink.hpp"
#include "uiovfio/trace.hpp"

namespace uiovfio {

namespace detail {

namespace {

using trace::RecordHead;
using Clock = std::chrono::steady_clock;

std::string kernel_text() {
    utsname name{};
    if (::uname(&name) != 0) return "unknown";
    return fmt::format("{} {} {}", name.sysname, name.release, name.machine);
}

/// As much of configuration space as can be read.
std::vector<std::byte> config_of(Backend& backend) {
    std::vector<std::byte> bytes;
    std::error_code unreadable;  // what follows will tell why, and the trace will have it
    guarded(unreadable, [&] {
        for (std::uint16_t offset = 0; offset < backend.config_size();
             offset = static_cast<std::uint16_t>(offset + 4)) {
            const std::uint32_t value = backend.config_read(offset, 4);
            const auto four = trace::bytes_of(value);
            bytes.insert(bytes.end(), four.begin(), four.end());
        }
    });
    return bytes;
}

TraceHeader header_of(const Bdf& bdf, Backend& backend, const TraceOptions& options) {
    TraceHeader header{.bdf = bdf,
                       .backend = std::string{backend.name()},
                       .kernel = kernel_text(),
                       .library = UIOVFIO_VERSION,
                       .started = std::chrono::system_clock::now()};
    for (unsigned bar = 0; bar < kBarCount; ++bar) {
        const BarInfo info = backend.bar_info(bar);
        header.bars[bar] = {
            .size = info.size, .is_64bit = info.is_64bit, .is_prefetchable = info.is_prefetchable, .is_io = info.is_io};
    }
    header.config = config_of(backend);
    const std::uint64_t pages = backend.iova_page_sizes();
    header.granule = pages & (~pages + 1);
    header.file_limit = options.file_limit;
    header.memory_limit = options.memory_limit;
    return header;
}

/// What an eventfd's counter holds, without taking it; 0 where the kernel does not tell.
std::uint64_t count_left(int event_fd) noexcept {
    if (event_fd < 0) return 0;
    std::array<char, 64> path{};
    *fmt::format_to_n(path.begin(), path.size() - 1, "/proc/self/fdinfo/{}", event_fd).out = '\0';
    std::uint64_t count = 0;
    if (std::FILE* file = std::fopen(path.data(), "re")) {
        std::array<char, 256> line{};
        while (std::fgets(line.data(), line.size(), file) != nullptr) {
            unsigned long long value = 0;
            if (std::sscanf(line.data(), "eventfd-count: %llx", &value) == 1) count = value;  // NOLINT(cert-err34-c)
        }
        std::fclose(file);
    }
    return count & (kMark - 1);
}

}  // namespace

/// Does what another backend does, and records it: the calls one at a time, in the order in which the device meets
/// them. Before each it looks at the memory that the device has. What cannot be recorded is done all the same.
class TracedBackend final : public Backend {
  public:
    TracedBackend(const Bdf& bdf, std::shared_ptr<Backend> inner, const TraceOptions& options)
        : Backend{bdf},
          inner_{std::move(inner)},
          traits_{inner_->traits()},
          why_not_mapped_{fmt::format("it is traced to {}", options.file.string())},
          began_{Clock::now()},
          file_{options, header_of(bdf, *inner_, options)},
          memory_{options.memory_limit} {
        traits_.features &= ~(std::uint32_t{1} << static_cast<unsigned>(Feature::mmap));
        threads_.reserve(kMostThreads);
        set_trace({.vectors = &vectors_, .events = &events_});
    }

    ~TracedBackend() override { close(); }

    [[nodiscard]] std::shared_ptr<Backend> inner() const noexcept override { return inner_; }
    [[nodiscard]] TraceStatus status() const noexcept {
        const std::lock_guard lock{mutex_};
        return file_.status();
    }

    [[nodiscard]] const BackendTraits& traits() const noexcept override { return traits_; }
    [[nodiscard]] std::uint64_t unanswered() const noexcept override {
        return Backend::unanswered() + inner_->unanswered();
    }

    [[nodiscard]] std::mutex& command_mutex() noexcept override { return inner_->command_mutex(); }
    [[nodiscard]] std::uint16_t config_size() const noexcept override { return inner_->config_size(); }

    [[nodiscard]] std::uint32_t config_read(std::uint16_t offset, unsigned width) override {
        return record({.kind = TraceKind::config_load, .detail = narrow(width), .address = offset},
                      [&](RecordHead& head) {
                          const std::uint32_t value = inner_->config_read(offset, width);
                          head.value = value;
                          return value;
                      });
    }

    void config_write(std::uint16_t offset, unsigned width, std::uint32_t value) override {
        record({.kind = TraceKind::config_store, .detail = narrow(width), .address = offset, .value = value},
               [&](RecordHead&) { inner_->config_write(offset, width, value); });
    }

    [[nodiscard]] BarInfo bar_info(unsigned bar) const override { return inner_->bar_info(bar); }

    // A mapped access is an instruction, which cannot be seen.
    [[nodiscard]] bool is_mappable(unsigned, std::uint64_t, std::uint64_t) const noexcept override { return false; }

    [[nodiscard]] volatile void* map(unsigned bar, std::uint64_t, std::uint64_t) override {
        throw Error{Errc::not_mappable, fmt::format("{} BAR{}", object(), bar), why_not_mapped_};
    }

    [[nodiscard]] std::uint64_t region_read(unsigned bar, std::uint64_t offset, unsigned width) override {
        return record({.kind = TraceKind::load, .detail = narrow(width), .index = narrow16(bar), .address = offset},
                      [&](RecordHead& head) { return head.value = inner_->region_read(bar, offset, width); });
    }

    void region_write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override {
        record({.kind = TraceKind::store,
                .detail = narrow(width),
                .index = narrow16(bar),
                .address = offset,
                .value = value},
               [&](RecordHead&) { inner_->region_write(bar, offset, width, value); });
    }

    [[nodiscard]] unsigned interrupt_capacity(InterruptMode mode) override { return inner_->interrupt_capacity(mode); }

    void arm(InterruptMode mode, std::span<const int> event_fds) override {
        tell_what_is_left(event_fds);
        RecordHead head{.kind = TraceKind::arm, .detail = narrow(mode), .value = event_fds.size()};
        {
            const std::lock_guard lock{mutex_};
            head.address = left_.empty() ? 0 : 1;
            event_fds_.reserve(event_fds.size());  // nothing may fail once the vectors are armed
        }
        record(
            head,
            [&](RecordHead&) {
                inner_->arm(mode, event_fds);
                left_.clear();
                event_fds_.clear();
                remember(0, event_fds);
            },
            connected(event_fds));
    }

    void arm_some(InterruptMode mode, unsigned first, std::span<const int> event_fds) override {
        record(
            {.kind = TraceKind::arm, .detail = narrow(mode), .index = narrow16(first), .value = event_fds.size()},
            [&](RecordHead&) {
                event_fds_.reserve(first + event_fds.size());
                inner_->arm_some(mode, first, event_fds);
                remember(first, event_fds);
            },
            connected(event_fds));
    }

    [[nodiscard]] bool adds_vectors(InterruptMode mode) const noexcept override { return inner_->adds_vectors(mode); }

    void disarm(InterruptMode mode) override {
        record({.kind = TraceKind::disarm, .detail = narrow(mode)}, [&](RecordHead&) {
            inner_->disarm(mode);
            if (!file_.is_recording()) return;
            left_.clear();
            std::error_code no_memory;  // then the trace lacks some: the vectors are disarmed
            guarded(no_memory, [&] {
                for (unsigned vector = 0; vector < event_fds_.size(); ++vector)
                    if (const std::uint64_t count = count_left(event_fds_[vector])) left_[vector] = count;
            });
        });
    }

    void trigger(InterruptMode mode, unsigned vector) override {
        record({.kind = TraceKind::trigger, .detail = narrow(mode), .index = narrow16(vector)},
               [&](RecordHead&) { inner_->trigger(mode, vector); });
    }

    void trigger_some(InterruptMode mode, std::span<const std::uint8_t> fire) override {
        const auto first =
            static_cast<std::size_t>(std::ranges::find_if(fire, [](auto byte) { return byte != 0; }) - fire.begin());
        if (first == fire.size()) return inner_->trigger_some(mode, fire);
        // One call, and a record for each vector: nothing comes in between.
        const std::lock_guard lock{mutex_};
        record_locked({.kind = TraceKind::trigger, .detail = narrow(mode), .index = narrow16(first)},
                      [&](RecordHead&) { inner_->trigger_some(mode, fire); });
        for (std::size_t vector = first + 1; vector < fire.size(); ++vector)
            if (fire[vector] != 0)
                append({.kind = TraceKind::trigger, .detail = narrow(mode), .index = narrow16(vector)});
    }

    void mask_intx() override {
        record({.kind = TraceKind::mask_intx}, [&](RecordHead&) { inner_->mask_intx(); });
    }
    void unmask_intx() override {
        record({.kind = TraceKind::unmask_intx}, [&](RecordHead&) { inner_->unmask_intx(); });
    }
    [[nodiscard]] bool keeps_interrupts_over_reset() const noexcept override {
        return inner_->keeps_interrupts_over_reset();
    }

    [[nodiscard]] bool has_event(DeviceEvent event) const noexcept override { return inner_->has_event(event); }
    void arm_event(DeviceEvent event, int event_fd) override { inner_->arm_event(event, event_fd); }
    void trigger_event(DeviceEvent event) override {
        record({.kind = TraceKind::event_trigger, .detail = narrow(event)},
               [&](RecordHead&) { inner_->trigger_event(event); });
    }

    [[nodiscard]] std::vector<IovaRange> iova_ranges() override { return inner_->iova_ranges(); }
    [[nodiscard]] std::uint64_t iova_page_sizes() override { return inner_->iova_page_sizes(); }
    [[nodiscard]] std::optional<std::uint64_t> mappings_left() override { return inner_->mappings_left(); }
    [[nodiscard]] std::vector<ReservedRegion> reserved_regions() override { return inner_->reserved_regions(); }

    Iova dma_map(std::optional<Iova> wanted, std::span<std::byte> memory, DmaDirection direction) override {
        const std::lock_guard lock{mutex_};
        const Iova iova = record_locked({.kind = TraceKind::dma_map,
                                         .detail = narrow(direction),
                                         .address = wanted ? to_integer(*wanted) : 0,
                                         .value = memory.size()},
                                        [&](RecordHead& head) {
                                            const Iova chosen = inner_->dma_map(wanted, memory, direction);
                                            head.address = to_integer(chosen);
                                            if (file_.is_recording())
                                                head.index = memory_.add(chosen, memory, direction) ? 1 : 0;
                                            return chosen;
                                        });
        look(MemoryWriter::driver);  // the device does not know of it yet
        return iova;
    }

    void dma_unmap(Iova iova, std::uint64_t length) override {
        record({.kind = TraceKind::dma_unmap, .address = to_integer(iova), .value = length}, [&](RecordHead&) {
            memory_.remove(iova);  // however it goes, the memory may be gone afterwards
            inner_->dma_unmap(iova, length);
        });
    }

    // Only ever before close(), whose record ends the mappings in a replay.
    void dma_unmap_all() noexcept override {
        const std::lock_guard lock{mutex_};
        look(MemoryWriter::probably_device);
        memory_.clear();  // it may be gone afterwards
        inner_->dma_unmap_all();
    }

    [[nodiscard]] bool is_shared() const noexcept override { return inner_->is_shared(); }
    [[nodiscard]] bool can_reset() const noexcept override { return inner_->can_reset(); }
    [[nodiscard]] bool was_reset() const noexcept override { return inner_->was_reset(); }

    void reset() override {
        record({.kind = TraceKind::reset}, [&](RecordHead&) { inner_->reset(); });
    }

  protected:
    void do_close() noexcept override {
        tell_what_is_left({});
        record({.kind = TraceKind::close}, [&](RecordHead&) { inner_->close(); });
        const std::lock_guard lock{mutex_};
        memory_.clear();
        file_.finish();
    }

    // The file is the parent's as well: what its buffer holds is written there.
    void give_up_to_parent() noexcept override {
        Backend::give_up_to_parent();
        file_.abandon();
    }

    [[nodiscard]] std::string_view why_not(Feature feature) const noexcept override {
        return feature == Feature::mmap ? why_not_mapped_ : inner_->reason(feature);
    }

  private:
    static constexpr std::size_t kMostThreads = 256;

    template <class Number>
    static constexpr std::uint8_t narrow(Number number) noexcept {
        return static_cast<std::uint8_t>(number);
    }
    static constexpr std::uint16_t narrow16(std::size_t number) noexcept { return static_cast<std::uint16_t>(number); }

    /// Is told of the counts of vectors.
    class Vectors final : public TraceSink {
      public:
        explicit Vectors(TracedBackend& backend) noexcept : backend_{backend} {}
        void taken(unsigned vector, std::uint64_t count) noexcept override { backend_.taken(vector, count); }

      private:
        TracedBackend& backend_;
    };

    /// Is told of the counts of events.
    class Events final : public TraceSink {
      public:
        explicit Events(TracedBackend& backend) noexcept : backend_{backend} {}
        void taken(unsigned event, std::uint64_t count) noexcept override { backend_.event_taken(event, count); }

      private:
        TracedBackend& backend_;
    };

    void taken(unsigned vector, std::uint64_t count) noexcept {
        if (is_parents()) return;
        const std::lock_guard lock{mutex_};
        look(MemoryWriter::probably_device);
        append({.kind = TraceKind::taken, .index = narrow16(vector), .value = count});
        const auto left = left_.find(vector);
        if (left == left_.end()) return;
        left->second -= std::min(left->second, count);
        if (left->second == 0) left_.erase(left);
    }

    void event_taken(unsigned event, std::uint64_t count) noexcept {
        if (is_parents()) return;
        const std::lock_guard lock{mutex_};
        append({.kind = TraceKind::event_taken, .detail = narrow(event), .value = count});
    }

    /// Vectors that are armed after others were disarmed have the same eventfds, where those were armed for a reset or
    /// to have more of them, or new ones. What was left tells: new ones have counted nothing.
    void tell_what_is_left(std::span<const int> event_fds) noexcept {
        const std::lock_guard lock{mutex_};
        const bool is_kept = std::ranges::all_of(left_, [&](const auto& entry) {
            return entry.first < event_fds.size() && count_left(event_fds[entry.first]) >= entry.second;
        });
        if (is_kept) return;
        for (const auto& [vector, count] : left_)
            append({.kind = TraceKind::left, .index = narrow16(vector), .value = count});
        left_.clear();
    }

    void remember(unsigned first, std::span<const int> event_fds) {
        event_fds_.resize(std::max(event_fds_.size(), first + event_fds.size()), -1);
        for (std::size_t i = 0; i < event_fds.size(); ++i)
            if (event_fds[i] >= 0) event_fds_[first + i] = event_fds[i];  // one that is silenced keeps its count
    }

    static std::vector<std::byte> connected(std::span<const int> event_fds) {
        std::vector<std::byte> bytes;
        for (const int event_fd : event_fds) bytes.push_back(event_fd >= 0 ? std::byte{1} : std::byte{0});
        return bytes;
    }

    /// Makes `call(head)`, which adds to the head what came back, and records it, also where it throws.
    template <class Call>
    auto record(RecordHead head, Call&& call, std::span<const std::byte> payload = {})
        -> std::invoke_result_t<Call, RecordHead&> {
        const std::lock_guard lock{mutex_};
        return record_locked(head, call, payload);
    }

    template <class Call>
    auto record_locked(RecordHead head, Call&& call, std::span<const std::byte> payload = {})
        -> std::invoke_result_t<Call, RecordHead&> {
        look(head.kind == TraceKind::store || head.kind == TraceKind::config_store ? MemoryWriter::probably_driver
                                                                                   : MemoryWriter::probably_device);
        const Clock::time_point start = Clock::now();
        stamp(head, start);
        const auto write = [&](Errc errc) {
            constexpr std::uint64_t kLongest = std::numeric_limits<std::uint32_t>::max();
            const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
            head.duration = static_cast<std::uint32_t>(std::min(static_cast<std::uint64_t>(took), kLongest));
            head.error = static_cast<std::uint16_t>(errc);
            file_.append(head, payload);
            if (!file_.is_recording()) memory_.clear();
        };
        try {
            if constexpr (std::is_void_v<std::invoke_result_t<Call, RecordHead&>>) {
                call(head);
                write(Errc{});
            } else {
                const auto result = call(head);
                write(Errc{});
                return result;
            }
        } catch (const Error& error) {
            write(error.errc());
            throw;
        } catch (...) {
            write(Errc::system_error);
            throw;
        }
    }

    void append(RecordHead head) noexcept {
        stamp(head, Clock::now());
        file_.append(head);
    }

    /// Records what has changed in the memory that the device has. Where only one of the two may write, it was that.
    void look(MemoryWriter writer) {
        if (memory_.empty()) return;
        const Clock::time_point now = Clock::now();
        const auto record = [&](const TraceMemory::Change& change) {
            const bool is_readable_only = change.direction == DmaDirection::to_device;
            RecordHead head{.kind = TraceKind::memory,
                            .detail = narrow(is_readable_only ? MemoryWriter::driver : writer),
                            .address = to_integer(change.iova),
                            .value = change.bytes.size()};
            stamp(head, now);
            file_.append(head, change.bytes, change.changed_bits);
        };
        memory_.look(std::cref(record));  // a copy of it might need memory, and nothing may fail here
    }

    void stamp(RecordHead& head, Clock::time_point now) noexcept {
        head.at =
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now - began_).count());
        const auto id = std::this_thread::get_id();
        const auto found = std::ranges::find(threads_, id);
        if (found == threads_.end() && threads_.size() < kMostThreads) threads_.push_back(id);
        head.thread = narrow16(static_cast<std::size_t>(
            std::min<std::ptrdiff_t>(found - threads_.begin(), std::ptrdiff_t{kMostThreads} - 1)));
    }

    const std::shared_ptr<Backend> inner_;
    BackendTraits traits_;
    const std::string why_not_mapped_;
    const Clock::time_point began_;

    mutable std::mutex mutex_;  // guards what follows, and keeps the calls in one order
    TraceFile file_;
    TraceMemory memory_;
    std::vector<int> event_fds_;              // as they were armed last
    std::map<unsigned, std::uint64_t> left_;  // what they had counted, and was not taken, when they were disarmed
    std::vector<std::thread::id> threads_;
    Vectors vectors_{*this};
    Events events_{*this};
};

std::shared_ptr<Backend> traced(const Bdf& bdf, std::shared_ptr<Backend> backend, const TraceOptions& options) {
    if (options.file.empty()) return backend;
    return make_fork_guarded<TracedBackend>(bdf, std::move(backend), options);
}

}  // namespace detail

std::optional<TraceStatus> trace_status(const Device& device) noexcept {
    const auto traced = std::dynamic_pointer_cast<detail::TracedBackend>(DeviceFactory::backend(device));
    return traced && !traced->is_parents() ? std::optional{traced->status()} : std::nullopt;
}

}  // namespace uiovfio
