// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// That a device's use is recorded; see trace.hpp.

#include <cstdint>
#include <filesystem>

namespace uiovfio {

/// What is recorded of a device's use, and how much of it. Without a file nothing is, at no cost.
///
/// While a device is traced none of its BARs can be mapped: Bar::map() fails with not_mappable, and every access of a
/// Window goes through the backend, which records it.
struct TraceOptions {
    /// The file to write, readable by its owner only: it holds what the device's memory held. A file that is
    /// there and that this user owns is replaced by a new one; opening the device fails with invalid_argument for a
    /// link and for what is no ordinary file (a pipe, a terminal), and with permission_denied for a file owned by
    /// another user. Empty: no trace.
    std::filesystem::path file = {};
    /// Bytes that the file may have. What does not fit is counted and left out: the trace stops, with a mark, because
    /// its beginning is what a replay needs.
    std::uint64_t file_limit = std::uint64_t{64} << 20;
    /// Bytes of mapped memory whose contents are followed, by a copy to compare with. Of mappings beyond it only
    /// address and length are recorded. Each record compares all of it: what is large is slow.
    std::uint64_t memory_limit = std::uint64_t{16} << 20;
};

}  // namespace uiovfio
