// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What bind() keeps for restore(), in a file of the function's name in SysfsRoot::run.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace uiovfio::detail {

struct Record {
    std::string identity;           ///< vendor and device, "1af4:10f2": another one in the slot has no record
    std::string previous;           ///< the driver that had the device, or empty
    std::string previous_override;  ///< the override by which that one may have come
    std::string bound;              ///< the driver that bind() gave it to

    friend bool operator==(const Record&, const Record&) = default;
};

std::string to_text(const Record& record);

/// Nothing for what to_text() cannot have written, whole: a file cut short, or one that somebody else made. Names in it
/// become paths, so that they are looked at.
std::optional<Record> parse_record(std::string_view text);

/// Nothing where there is no file, or none of ours.
std::optional<Record> read_record(const std::filesystem::path& file);

/// Whoever reads meanwhile finds the old record or the new one. The errno of the failure, 0 for none.
int write_record(const std::filesystem::path& file, const Record& record);

}  // namespace uiovfio::detail
