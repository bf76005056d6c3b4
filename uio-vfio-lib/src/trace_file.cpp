// SPDX-License-Identifier: MIT
#include "trace_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "new_file.hpp"
#include "text.hpp"

namespace uiovfio::detail {

namespace {

// Holds the largest record, so that one flush always makes room.
constexpr std::size_t kBuffer = std::size_t{64} << 10;
static_assert(sizeof(trace::RecordHead) + trace::padded(trace::kMostPayload) <= kBuffer);

constexpr std::uint64_t kMark = sizeof(trace::RecordHead);

constexpr const char* kNoFile = "check the path, and that you may make files in its directory";
constexpr const char* kNoRoom = "see whether its file system has room";

[[noreturn]] void cannot_be_written(const std::string& object, int error, std::string remedy) {
    throw Error{Errc::system_error, object, "the trace cannot be written", error, std::move(remedy)};
}

/// A file that is there is replaced only where that takes nothing from anybody.
void require_ours(const std::filesystem::path& file) {
    struct stat status{};
    if (::lstat(file.c_str(), &status) != 0) return;
    if (S_ISLNK(status.st_mode))
        throw Error{Errc::invalid_argument, file.string(), "it is a link, and a trace is not written through one", 0,
                    "name the file itself, or remove the link"};
    if (!S_ISREG(status.st_mode))
        throw Error{Errc::invalid_argument, file.string(), "it is no ordinary file, which a trace needs", 0,
                    "name a file that is not there yet"};
    if (status.st_uid != ::geteuid())
        throw Error{Errc::permission_denied, file.string(),
                    fmt::format("it belongs to another user ({})", status.st_uid), 0,
                    "name another file, or remove that one first"};
}

}  // namespace

TraceFile::TraceFile(const TraceOptions& options, const TraceHeader& header)
    : limit_{options.file_limit}, buffer_(kBuffer) {
    const std::string object = options.file.string();
    const std::vector<std::byte> head = trace::encode_header(header);
    if (limit_ < head.size() + kMark)
        throw Error{Errc::invalid_argument, object,
                    fmt::format("a limit of {} has no room for a trace", bytes_text(limit_)), 0,
                    fmt::format("allow at least {} bytes", head.size() + kMark)};
    require_ours(options.file);
    NewFile made = NewFile::beside(options.file);
    if (!made) cannot_be_written(object, errno, kNoFile);
    file_ = made.release();
    put(head);
    if (!flush()) cannot_be_written(object, status_.system_errno, kNoRoom);
    if (const int error = made.put_in_place(options.file)) cannot_be_written(object, error, kNoFile);
}

void write_trace(const std::filesystem::path& file, std::span<const std::byte> bytes) {
    const std::string object = file.string();
    require_ours(file);
    NewFile made = NewFile::beside(file);
    if (!made) cannot_be_written(object, errno, kNoFile);
    if (const int error = made.write(bytes)) cannot_be_written(object, error, kNoRoom);
    if (const int error = made.put_in_place(file)) cannot_be_written(object, error, kNoFile);
}

void TraceFile::append(trace::RecordHead head, std::span<const std::byte> payload,
                       std::span<const std::byte> more) noexcept {
    head.payload_bytes = static_cast<std::uint32_t>(payload.size() + more.size());
    const std::size_t filled_up = trace::padded(head.payload_bytes);
    const std::uint64_t needed = sizeof head + filled_up;
    // The last record has the mark's room: nothing can follow it.
    const std::uint64_t kept_free = head.kind == TraceKind::close ? 0 : kMark;
    if (is_recording_ && limit_ - status_.bytes < needed + kept_free) stop(head.at);
    if (is_recording_ && kBuffer - buffered_ < needed && !flush()) is_recording_ = false;
    if (!is_recording_) {
        ++status_.missing;
        return;
    }
    put(trace::bytes_of(head));
    put(payload);
    put(more);
    constexpr std::array<std::byte, trace::kAlignment> kZeros{};
    put(std::span{kZeros}.first(filled_up - head.payload_bytes));
    ++status_.records;
    ++unwritten_;
}

void TraceFile::put(std::span<const std::byte> bytes) noexcept {
    std::ranges::copy(bytes, buffer_.begin() + static_cast<std::ptrdiff_t>(buffered_));
    buffered_ += bytes.size();
    status_.bytes += bytes.size();
}

void TraceFile::stop(std::uint64_t at) noexcept {
    is_recording_ = false;
    if (kBuffer - buffered_ < kMark && !flush()) return;
    mark_at_ = status_.bytes;
    put(trace::bytes_of(trace::RecordHead{.kind = TraceKind::stopped, .at = at}));
    flush();
}

bool TraceFile::flush() noexcept {
    std::span<const std::byte> rest{buffer_.data(), buffered_};
    while (!rest.empty()) {
        const auto written = ::write(file_.get(), rest.data(), rest.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            status_.system_errno = written < 0 ? errno : EIO;
            status_.records -= unwritten_;
            status_.missing += std::exchange(unwritten_, 0);
            return false;
        }
        rest = rest.subspan(static_cast<std::size_t>(written));
    }
    buffered_ = 0;
    unwritten_ = 0;
    return true;
}

void TraceFile::finish() noexcept {
    if (!file_) return;
    if (is_recording_) flush();
    is_recording_ = false;
    if (mark_at_ != 0) {
        // Best effort: the mark itself is there, and says enough.
        const std::uint64_t missing = status_.missing;
        [[maybe_unused]] const auto written = ::pwrite(
            file_.get(), &missing, sizeof missing, static_cast<off_t>(mark_at_ + offsetof(trace::RecordHead, value)));
    }
    file_.reset();
}

}  // namespace uiovfio::detail
