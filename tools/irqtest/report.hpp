// SPDX-License-Identifier: MIT
//
// What pcienic-irqtest found, as a table, as JSON and as TAP.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checks.hpp"

namespace irqtest {

std::string_view name(Via via);

// A table per source, then the problems and the verdict; with `histogram`, the distribution of the latencies as well.
std::string to_table(const std::vector<SourceReport>& sources, bool histogram, bool colour);
// The `data` of the schema pcienic.irqtest/1: an element per source.
nlohmann::ordered_json to_json(const std::vector<SourceReport>& sources);
// A test point for each vector of each source.
std::string to_tap(const std::vector<SourceReport>& sources);

}  // namespace irqtest
