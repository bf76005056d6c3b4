// SPDX-License-Identifier: MIT
#include "uiovfio/trace.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "file_descriptor.hpp"
#include "guarded.hpp"
#include "text.hpp"
#include "trace_file.hpp"
#include "trace_format.hpp"
#include "uiovfio/config_space.hpp"

namespace uiovfio {

std::string_view to_string(TraceKind kind) noexcept {
    switch (kind) {
        case TraceKind::load:
            return "load";
        case TraceKind::store:
            return "store";
        case TraceKind::config_load:
            return "config_load";
        case TraceKind::config_store:
            return "config_store";
        case TraceKind::dma_map:
            return "dma_map";
        case TraceKind::dma_unmap:
            return "dma_unmap";
        case TraceKind::memory:
            return "memory";
        case TraceKind::arm:
            return "arm";
        case TraceKind::disarm:
            return "disarm";
        case TraceKind::taken:
            return "taken";
        case TraceKind::left:
            return "left";
        case TraceKind::trigger:
            return "trigger";
        case TraceKind::mask_intx:
            return "mask_intx";
        case TraceKind::unmask_intx:
            return "unmask_intx";
        case TraceKind::reset:
            return "reset";
        case TraceKind::event_taken:
            return "event_taken";
        case TraceKind::event_trigger:
            return "event_trigger";
        case TraceKind::close:
            return "close";
        case TraceKind::stopped:
            return "stopped";
    }
    return "unknown";
}

std::string_view to_string(MemoryWriter writer) noexcept {
    switch (writer) {
        case MemoryWriter::driver:
            return "driver";
        case MemoryWriter::device:
            return "device";
        case MemoryWriter::probably_driver:
            return "probably_driver";
        case MemoryWriter::probably_device:
            return "probably_device";
    }
    return "unknown";
}

std::uint32_t TraceHeader::config_value(std::uint16_t offset, unsigned width) const noexcept {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
        const std::size_t at = std::size_t{offset} + i;
        const std::uint32_t byte = at < config.size() ? std::to_integer<std::uint32_t>(config[at]) : 0xff;
        value |= byte << (8 * i);
    }
    return value;
}

std::uint16_t TraceHeader::vendor() const noexcept {
    return static_cast<std::uint16_t>(config_value(config::kVendorId, 2));
}
std::uint16_t TraceHeader::device() const noexcept {
    return static_cast<std::uint16_t>(config_value(config::kDeviceId, 2));
}

namespace {

using detail::trace::RecordHead;

// PCI Local Bus 3.0, 6.8: as many as an MSI-X table can have.
constexpr std::uint64_t kMostVectors = 2048;
// What a record of configuration space may name: all of a PCI Express function's.
constexpr std::uint64_t kConfigBytes = 4096;

/// What is known of records by their kind alone, without the ones before them.
class RecordDecoder {
  public:
    explicit RecordDecoder(const TraceHeader& header) : header_{header} {}

    /// Fills the record, or says what is wrong with it.
    [[nodiscard]] std::string decode(const RecordHead& head, std::span<const std::byte> payload, TraceRecord& record) {
        record.kind = head.kind;
        record.at = std::chrono::nanoseconds{static_cast<std::int64_t>(head.at & (~std::uint64_t{0} >> 1))};
        record.duration = std::chrono::nanoseconds{head.duration};
        record.thread = head.thread;
        if (head.error != 0) record.error = static_cast<Errc>(head.error);
        const bool carries_payload = head.kind == TraceKind::memory || head.kind == TraceKind::arm;
        if (!payload.empty() && !carries_payload)
            return fmt::format("{} bytes behind a record that has none", payload.size());
        switch (head.kind) {
            case TraceKind::load:
            case TraceKind::store:
                return access(head, record);
            case TraceKind::config_load:
            case TraceKind::config_store:
                return config_access(head, record);
            case TraceKind::dma_map:
            case TraceKind::dma_unmap:
                return mapping(head, record);
            case TraceKind::memory:
                return memory(head, payload, record);
            case TraceKind::arm:
                return arm(head, payload, record);
            case TraceKind::disarm:
                return mode(head, record);
            case TraceKind::taken:
            case TraceKind::left:
                record.vector = head.index;
                record.count = head.value;
                return head.index < kMostVectors ? "" : fmt::format("vector {}", head.index);
            case TraceKind::trigger:
                record.vector = head.index;
                return head.index < kMostVectors ? mode(head, record) : fmt::format("vector {}", head.index);
            case TraceKind::event_taken:
            case TraceKind::event_trigger:
                record.event = static_cast<DeviceEvent>(head.detail);
                record.count = head.value;
                return head.detail <= static_cast<unsigned>(DeviceEvent::removal_request)
                           ? ""
                           : fmt::format("event {}", head.detail);
            case TraceKind::stopped:
                record.count = head.value;
                return "";
            case TraceKind::mask_intx:
            case TraceKind::unmask_intx:
            case TraceKind::reset:
            case TraceKind::close:
                return "";
        }
        return fmt::format("there is no record of kind {}", static_cast<unsigned>(head.kind));
    }

  private:
    static bool lies_within(std::uint64_t offset, unsigned width, std::uint64_t size) noexcept {
        return offset % width == 0 && offset < size && size - offset >= width;
    }

    std::string access(const RecordHead& head, TraceRecord& record) const {
        record.width = head.detail;
        record.bar = head.index;
        record.offset = head.address;
        record.value = head.value;
        if (head.detail != 1 && head.detail != 2 && head.detail != 4 && head.detail != 8)
            return fmt::format("an access of {} bytes", head.detail);
        if (head.index >= header_.bars.size()) return fmt::format("BAR{}", head.index);
        const std::uint64_t size = header_.bars[head.index].size;
        if (!lies_within(head.address, head.detail, size))
            return fmt::format("{} bytes at {:#x} of BAR{}, which has {:#x}", head.detail, head.address, head.index,
                               size);
        return value_fits(head);
    }

    static std::string config_access(const RecordHead& head, TraceRecord& record) {
        record.width = head.detail;
        record.offset = head.address;
        record.value = head.value;
        if (head.detail != 1 && head.detail != 2 && head.detail != 4)
            return fmt::format("an access of {} bytes to configuration space", head.detail);
        if (!lies_within(head.address, head.detail, kConfigBytes))
            return fmt::format("{} bytes at {:#x} of configuration space", head.detail, head.address);
        return value_fits(head);
    }

    static std::string value_fits(const RecordHead& head) {
        if (head.detail < 8 && head.value >> (8 * head.detail) != 0)
            return fmt::format("{:#x} in {} bytes", head.value, head.detail);
        return "";
    }

    static std::string mapping(const RecordHead& head, TraceRecord& record) {
        record.iova = Iova{head.address};
        record.length = head.value;
        record.has_contents = head.index != 0;
        if (head.detail > static_cast<unsigned>(DmaDirection::from_device))
            return fmt::format("direction {}", head.detail);
        record.direction = static_cast<DmaDirection>(head.detail);
        if (head.value == 0 || head.value - 1 > ~head.address)
            return fmt::format("{:#x} bytes at bus address {:#x}", head.value, head.address);
        return "";
    }

    static std::string memory(const RecordHead& head, std::span<const std::byte> payload, TraceRecord& record) {
        record.iova = Iova{head.address};
        record.length = head.value;
        record.writer = static_cast<MemoryWriter>(head.detail);
        if (head.detail < static_cast<unsigned>(MemoryWriter::driver) ||
            head.detail > static_cast<unsigned>(MemoryWriter::probably_device))
            return fmt::format("writer {}", head.detail);
        if (head.value == 0 || head.value > detail::trace::kMostBytes || head.value - 1 > ~head.address)
            return fmt::format("{:#x} bytes of memory at bus address {:#x}", head.value, head.address);
        const auto length = static_cast<std::size_t>(head.value);
        if (payload.size() != length + (length + 7) / 8)
            return fmt::format("{} bytes that tell of {} bytes of memory", payload.size(), length);
        record.bytes = payload.first(length);
        record.changed_bits = payload.subspan(length);
        return "";
    }

    static std::string arm(const RecordHead& head, std::span<const std::byte> payload, TraceRecord& record) {
        record.vector = head.index;
        if (head.value == 0 || head.value > kMostVectors || head.index + head.value > kMostVectors)
            return fmt::format("{} vectors from {} on", head.value, head.index);
        record.vectors = static_cast<unsigned>(head.value);
        record.connected = payload;
        record.keeps_counts = head.address != 0;
        if (payload.size() != head.value)
            return fmt::format("{} bytes that tell of {} vectors", payload.size(), head.value);
        return mode(head, record);
    }

    static std::string mode(const RecordHead& head, TraceRecord& record) {
        if (head.detail > static_cast<unsigned>(InterruptMode::msix))
            return fmt::format("interrupt mode {}", head.detail);
        record.mode = static_cast<InterruptMode>(head.detail);
        return "";
    }

    const TraceHeader& header_;
};

std::vector<std::byte> whole_file(const std::filesystem::path& path) {
    const std::string object = path.string();
    const detail::FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) throw Error{Errc::system_error, object, "cannot be opened", errno, "check the path and the rights"};
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) throw Error{Errc::system_error, object, "cannot be read", errno};
    if (!S_ISREG(status.st_mode)) throw Error{Errc::bad_trace, object, "it is no ordinary file"};
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size > Trace::kLargestFile)
        throw Error{
            Errc::bad_trace, object,
            fmt::format("it has {}, more than {}", detail::bytes_text(size), detail::bytes_text(Trace::kLargestFile))};
    std::vector<std::byte> bytes(size);
    std::size_t done = 0;
    while (done < bytes.size()) {
        const auto got = ::read(file.get(), bytes.data() + done, bytes.size() - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw Error{Errc::system_error, object, "cannot be read", errno};
        if (got == 0) break;  // it has become shorter meanwhile
        done += static_cast<std::size_t>(got);
    }
    bytes.resize(done);
    return bytes;
}

}  // namespace

Trace Trace::read(const std::filesystem::path& file) { return parse(whole_file(file), file.string()); }
Trace Trace::read(const std::filesystem::path& file, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return read(file); });
}

Trace Trace::parse(std::vector<std::byte> bytes, const std::string& name) {
    Trace trace;
    trace.bytes_ = std::move(bytes);
    std::size_t at = detail::trace::decode_header(trace.bytes_, name, trace.header_);
    const std::span<const std::byte> file{trace.bytes_};
    RecordDecoder decoder{trace.header_};
    while (at < file.size()) {
        RecordHead head;
        if (file.size() - at < sizeof head) break;
        std::memcpy(&head, file.data() + at, sizeof head);
        const std::size_t left = file.size() - at - sizeof head;
        const auto damaged = [&](std::string_view what) {
            throw Error{Errc::bad_trace, name,
                        fmt::format("it is damaged at byte {:#x}, record {}: {}", at, trace.records_.size(), what)};
        };
        if (head.payload_bytes > detail::trace::kMostPayload)
            damaged(fmt::format("{} bytes behind a record", head.payload_bytes));
        if (detail::trace::padded(head.payload_bytes) > left) break;
        TraceRecord record;
        const auto payload = file.subspan(at + sizeof head, head.payload_bytes);
        if (const std::string wrong = decoder.decode(head, payload, record); !wrong.empty()) damaged(wrong);
        trace.records_.push_back(record);
        trace.positions_.push_back(at);
        at += sizeof head + detail::trace::padded(head.payload_bytes);
        if (head.kind == TraceKind::close || head.kind == TraceKind::stopped) break;
    }
    trace.positions_.push_back(at);
    const TraceKind last = trace.records_.empty() ? TraceKind{} : trace.records_.back().kind;
    if ((last == TraceKind::close || last == TraceKind::stopped) && at < file.size())
        throw Error{Errc::bad_trace, name, fmt::format("{} bytes follow its last record", file.size() - at)};
    if (last == TraceKind::close) {
        trace.end_ = TraceEnd::closed;
    } else if (last == TraceKind::stopped) {
        trace.end_ = TraceEnd::stopped;
        trace.missing_ = trace.records_.back().count;
    } else if (at < file.size()) {
        trace.end_ = TraceEnd::cut;
    }
    return trace;
}

Trace Trace::parse(std::vector<std::byte> bytes, const std::string& name, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return parse(std::move(bytes), name); });
}

void write_trace(const std::filesystem::path& file, std::span<const std::byte> bytes) {
    detail::write_trace(file, bytes);
}
void write_trace(const std::filesystem::path& file, std::span<const std::byte> bytes, std::error_code& ec) noexcept {
    detail::guarded(ec, [&] { write_trace(file, bytes); });
}

}  // namespace uiovfio
