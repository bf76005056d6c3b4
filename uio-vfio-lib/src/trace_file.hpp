// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The file of a trace while it is being written.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "file_descriptor.hpp"
#include "trace_format.hpp"
#include "uiovfio/trace.hpp"

namespace uiovfio::detail {

/// Writes a whole trace. Throws as TraceFile does.
void write_trace(const std::filesystem::path& file, std::span<const std::byte> bytes);

/// Writes records, a buffer at a time, until the limit is reached or the file cannot be written; from there on it only
/// counts. Within the limit is always room for the mark that says so. Its memory is that one buffer. Not thread-safe.
class TraceFile {
  public:
    /// Makes the file and writes the header. Throws system_error; invalid_argument for a limit that has no room for it,
    /// and for what is no ordinary file; permission_denied for another user's.
    TraceFile(const TraceOptions& options, const TraceHeader& header);
    ~TraceFile() { finish(); }
    TraceFile(const TraceFile&) = delete;
    TraceFile& operator=(const TraceFile&) = delete;

    /// False once it has stopped, and after finish().
    [[nodiscard]] bool is_recording() const noexcept { return is_recording_; }
    /// Sets the record's payload_bytes, from the two pieces that the payload has.
    void append(trace::RecordHead head, std::span<const std::byte> payload = {},
                std::span<const std::byte> more = {}) noexcept;
    /// Writes what is buffered, and, where it has stopped, how many records are missing. Nothing is recorded
    /// afterwards.
    void finish() noexcept;
    /// Leaves the file as it is: somebody else goes on writing it. Nothing is recorded afterwards.
    void abandon() noexcept {
        is_recording_ = false;
        file_.reset();
    }

    [[nodiscard]] const TraceStatus& status() const noexcept { return status_; }

  private:
    void put(std::span<const std::byte> bytes) noexcept;
    void stop(std::uint64_t at) noexcept;
    bool flush() noexcept;

    FileDescriptor file_;
    std::uint64_t limit_;
    std::vector<std::byte> buffer_;
    std::size_t buffered_ = 0;
    std::uint64_t mark_at_ = 0;    // where in the file the mark lies, once it has stopped; never 0
    std::uint64_t unwritten_ = 0;  ///< records in the buffer
    bool is_recording_ = true;
    TraceStatus status_;
};

}  // namespace uiovfio::detail
