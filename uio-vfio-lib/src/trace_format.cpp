// SPDX-License-Identifier: MIT
#include "trace_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace uiovfio::detail::trace {

namespace {

constexpr std::uint64_t kBar64Bit = 1;
constexpr std::uint64_t kBarPrefetchable = 2;
constexpr std::uint64_t kBarIo = 4;

// More than any header has: configuration space is the largest section.
constexpr std::size_t kMostHeader = std::size_t{64} << 10;
constexpr std::size_t kMostConfig = 4096;

void append(std::vector<std::byte>& to, std::span<const std::byte> bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
    to.resize(padded(to.size()));
}

void append_section(std::vector<std::byte>& to, Section kind, std::span<const std::byte> bytes) {
    append(to, bytes_of(SectionHead{.kind = kind, .bytes = static_cast<std::uint32_t>(bytes.size())}));
    append(to, bytes);
}

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <class T>
T take(std::span<const std::byte> bytes) noexcept {
    T value{};
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

[[noreturn]] void refuse(const std::string& object, std::string what) {
    throw Error{Errc::bad_trace, object, std::move(what)};
}

std::array<TraceBar, 6> decode_bars(std::span<const std::byte> bytes, const std::string& object) {
    std::array<TraceBar, 6> bars{};
    if (bytes.size() != bars.size() * sizeof(Bar))
        refuse(object, fmt::format("its section of BARs has {} bytes", bytes.size()));
    for (std::size_t i = 0; i < bars.size(); ++i) {
        const auto bar = take<Bar>(bytes.subspan(i * sizeof(Bar)));
        bars[i] = {.size = bar.size,
                   .is_64bit = (bar.flags & kBar64Bit) != 0,
                   .is_prefetchable = (bar.flags & kBarPrefetchable) != 0,
                   .is_io = (bar.flags & kBarIo) != 0};
    }
    return bars;
}

/// Sections that this version does not know are passed over.
void decode_section(Section kind, std::span<const std::byte> bytes, const std::string& object, TraceHeader& header) {
    switch (kind) {
        case Section::backend:
            header.backend = text_of(bytes);
            break;
        case Section::kernel:
            header.kernel = text_of(bytes);
            break;
        case Section::library:
            header.library = text_of(bytes);
            break;
        case Section::bars:
            header.bars = decode_bars(bytes, object);
            break;
        case Section::config:
            if (bytes.size() > kMostConfig)
                refuse(object, fmt::format("its configuration space has {} bytes", bytes.size()));
            header.config.assign(bytes.begin(), bytes.end());
            break;
    }
}

}  // namespace

std::vector<std::byte> encode_header(const TraceHeader& header) {
    std::vector<std::byte> bytes(sizeof(FileHead));
    append_section(bytes, Section::backend, std::as_bytes(std::span{header.backend}));
    append_section(bytes, Section::kernel, std::as_bytes(std::span{header.kernel}));
    append_section(bytes, Section::library, std::as_bytes(std::span{header.library}));
    std::array<Bar, 6> bars{};
    for (std::size_t i = 0; i < bars.size(); ++i) {
        const TraceBar& bar = header.bars[i];
        bars[i] = {.size = bar.size,
                   .flags = (bar.is_64bit ? kBar64Bit : 0) | (bar.is_prefetchable ? kBarPrefetchable : 0) |
                            (bar.is_io ? kBarIo : 0)};
    }
    append_section(bytes, Section::bars, std::as_bytes(std::span{bars}));
    append_section(bytes, Section::config, header.config);

    const auto since_1970 = std::chrono::duration_cast<std::chrono::nanoseconds>(header.started.time_since_epoch());
    const FileHead head{.header_bytes = static_cast<std::uint32_t>(bytes.size()),
                        .started = since_1970.count(),
                        .granule = header.granule,
                        .file_limit = header.file_limit,
                        .memory_limit = header.memory_limit,
                        .domain = header.bdf.domain,
                        .bus = header.bdf.bus,
                        .device = header.bdf.device,
                        .function = header.bdf.function};
    std::memcpy(bytes.data(), &head, sizeof head);
    return bytes;
}

std::size_t decode_header(std::span<const std::byte> file, const std::string& object, TraceHeader& header) {
    if (file.size() < sizeof(FileHead)) refuse(object, fmt::format("its {} bytes are too few", file.size()));
    const auto head = take<FileHead>(file);
    if (head.magic != kMagic) refuse(object, "it does not begin as a trace does");
    if (head.version != kVersion)
        refuse(object, fmt::format("it has version {}, this library reads {}", head.version, kVersion));
    if (head.header_bytes < sizeof head || head.header_bytes > kMostHeader || head.header_bytes % kAlignment != 0 ||
        head.header_bytes > file.size())
        refuse(object, fmt::format("a header of {} bytes in a file of {}", head.header_bytes, file.size()));
    header.bdf = {.domain = head.domain, .bus = head.bus, .device = head.device, .function = head.function};
    header.started = std::chrono::system_clock::time_point{
        std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds{head.started})};
    header.granule = head.granule;
    header.file_limit = head.file_limit;
    header.memory_limit = head.memory_limit;

    std::span<const std::byte> rest = file.subspan(sizeof head, head.header_bytes - sizeof head);
    while (!rest.empty()) {
        if (rest.size() < sizeof(SectionHead)) refuse(object, "its header ends within a section");
        const auto section = take<SectionHead>(rest);
        rest = rest.subspan(sizeof section);
        if (section.bytes > rest.size() || padded(section.bytes) > rest.size())
            refuse(object, fmt::format("a section of {} bytes where {} are left", section.bytes, rest.size()));
        decode_section(section.kind, rest.first(section.bytes), object, header);
        rest = rest.subspan(padded(section.bytes));
    }
    return head.header_bytes;
}

}  // namespace uiovfio::detail::trace
