// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Registers and their values as rows of output, the same for every command.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/output.hpp"
#include "place.hpp"

namespace pcienic::ctl {

/// {"name", "bar", "offset", "offset_hex", "width"}
cli::Json place_row(const Place& place);

/// Adds `key`, `key`_hex: the field's value where the place is a field, else the whole.
void put_value(cli::Json& row, const std::string& key, const Place& place, std::uint64_t raw);

/// The fields of a register as {"MODE": {"value": 2, "name": "MSIX"}, ...}; for a place that is a field, only that.
cli::Json fields_of(const Place& place, std::uint64_t raw);

/// "MODE=MSIX ENABLED=32"
std::string decoded(const cli::Json& fields);

/// place_row with "value" and "fields", and "decoded" for the table.
cli::Json value_row(const Place& place, std::uint64_t raw);

/// Columns that fit value_row.
std::vector<cli::Column> value_columns();

std::string access_name(uiovfio::Access access);

}  // namespace pcienic::ctl
