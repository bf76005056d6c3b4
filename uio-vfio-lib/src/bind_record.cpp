// SPDX-License-Identifier: MIT
#include "bind_record.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "file_descriptor.hpp"
#include "kernel_text.hpp"

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

bool write_whole(int file, std::string_view text) {
    while (!text.empty()) {
        const auto written = ::write(file, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
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
    const fs::path unfinished = file.parent_path() / ("." + file.filename().string() + ".new");
    FileDescriptor out{
        ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644)};
    if (!out) return errno;
    if (!write_whole(out.get(), to_text(record)) || ::fsync(out.get()) != 0) return errno;
    out.reset();
    return std::rename(unfinished.c_str(), file.c_str()) == 0 ? 0 : errno;
}

}  // namespace uiovfio::detail
