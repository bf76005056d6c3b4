// SPDX-License-Identifier: MIT
#include "bind_record.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "file_descriptor.hpp"
#include "kernel_text.hpp"
#include "new_file.hpp"

namespace uiovfio::detail {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kHead = "uiovfio binding 1";
constexpr std::string_view kEnd = "end";  // a record without it was cut short
constexpr std::size_t kLongestRecord = 2048;

/// Takes the line "KEY VALUE" off the text; nothing where it is another.
std::optional<std::string> take_value(std::string_view& text, std::string_view key) {
    std::string_view line = take_line(text);
    if (!line.starts_with(key) || line.substr(key.size(), 1) != " ") return std::nullopt;
    line.remove_prefix(key.size() + 1);
    if (!line.empty() && !is_name(line)) return std::nullopt;
    return std::string{line};
}

}  // namespace

std::string to_text(const Record& record) {
    return fmt::format("{}\ndevice {}\nprevious {}\noverride {}\nbound {}\n{}\n", kHead, record.identity,
                       record.previous, record.previous_override, record.bound, kEnd);
}

std::optional<Record> parse_record(std::string_view text) {
    if (take_line(text) != kHead) return std::nullopt;
    const auto identity = take_value(text, "device");
    const auto previous = take_value(text, "previous");
    const auto previous_override = take_value(text, "override");
    const auto bound = take_value(text, "bound");
    if (!identity || !previous || !previous_override || !bound || text != fmt::format("{}\n", kEnd))
        return std::nullopt;
    return Record{*identity, *previous, *previous_override, *bound};
}

std::optional<Record> read_record(const fs::path& file) {
    // Neither a link to another place nor a pipe that would keep us waiting.
    const FileDescriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    struct stat status{};
    if (!in || ::fstat(in.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    std::array<char, kLongestRecord> text;
    const auto length = ::read(in.get(), text.data(), text.size());
    return length > 0 ? parse_record({text.data(), static_cast<std::size_t>(length)}) : std::nullopt;
}

int write_record(const fs::path& file, const Record& record) {
    NewFile out = NewFile::beside(file);
    if (!out) return errno;
    const std::string text = to_text(record);
    if (const int error = out.write(std::as_bytes(std::span{text}))) return error;
    constexpr mode_t kForAllToRead = 0644;  // recorded_driver() needs no rights
    if (::fchmod(out.get(), kForAllToRead) != 0 || ::fsync(out.get()) != 0) return errno;
    return out.put_in_place(file);
}

}  // namespace uiovfio::detail
