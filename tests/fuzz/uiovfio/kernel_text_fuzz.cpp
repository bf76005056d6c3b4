// SPDX-License-Identifier: MIT
// The texts of /proc, and the record of a binding: whatever they say, what is made of them can be a path, and a
// terminal can show it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "bind_record.hpp"
#include "kernel_text.hpp"

namespace {

using namespace uiovfio::detail;

void check(bool holds) {
    if (!holds) std::abort();
}

void check_names(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
        check(is_name(name) && name.find('/') == std::string::npos);
        check(std::count(names.begin(), names.end(), name) == 1);
    }
}

bool is_harmless(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    check_names(parse_default_routes(text));
    check_names(parse_default_routes_ipv6(text));
    for (const Mount& mount : parse_mounts(text)) check(!mount.point.empty() && is_harmless(mount.point));
    for (const std::string& swap : parse_swaps(text)) check(!swap.empty() && is_harmless(swap));
    parse_memory_lock_limits(text);
    parse_status_value(text, "CapEff");
    check(parse_choice(text).size() < std::max<std::size_t>(text.size(), 1));
    const std::optional<Record> record = parse_record(text);
    if (record) {
        check(record->previous.empty() || is_name(record->previous));
        check(record->bound.empty() || is_name(record->bound));
        check(to_text(*record) == text);
    }
    return 0;
}
