// SPDX-License-Identifier: MIT
#include "kernel_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace uiovfio::detail {

namespace {

// Flags of a route (the kernel's include/uapi/linux/route.h).
constexpr std::uint64_t kRouteUp = 0x1;
constexpr std::uint64_t kRouteReject = 0x200;

constexpr std::size_t kLongestName = 255;

void add_once(std::vector<std::string>& names, std::string_view name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
}

/// Whether the route is in force; unreachable ones are shown, too.
bool leads_anywhere(std::string_view flags) noexcept {
    const auto bits = to_number(flags, 16);
    return bits && (*bits & kRouteUp) != 0 && (*bits & kRouteReject) == 0;
}

/// Undoes what the kernel does to blanks and backslashes. Control characters, which it passes on, are none of a
/// terminal's that shows the text.
std::string unescape(std::string_view text) {
    std::string plain;
    while (!text.empty()) {
        if (text.starts_with("\\040") || text.starts_with("\\134")) {
            plain += text[1] == '0' ? ' ' : '\\';
            text.remove_prefix(4);
        } else {
            const auto byte = static_cast<unsigned char>(text.front());
            plain += byte < ' ' || byte == 0x7f ? '?' : text.front();
            text.remove_prefix(1);
        }
    }
    return plain;
}

std::optional<Mount> parse_mount(std::string_view line) {
    take_word(line);  // the mount's number, and its parent's
    take_word(line);
    const std::string_view device = take_word(line);
    take_word(line);  // the root within the file system
    const std::string_view point = take_word(line);
    take_word(line);  // the mount's options
    std::string_view word;
    do word = take_word(line);  // any number of further fields
    while (!word.empty() && word != "-");
    const std::string_view type = take_word(line);
    const std::string_view source = take_word(line);
    const std::string_view options = take_word(line);
    if (point.empty() || type.empty()) return std::nullopt;
    return Mount{std::string{device}, unescape(point), std::string{type}, unescape(source), std::string{options}};
}

}  // namespace

std::string_view take_line(std::string_view& text) noexcept {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    return line;
}

std::string_view take_word(std::string_view& line) noexcept {
    constexpr std::string_view kBlanks = " \t\r";
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
    line.remove_prefix(word.size());
    return word;
}

std::optional<std::uint64_t> to_number(std::string_view text, int base) noexcept {
    if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

bool is_name(std::string_view text) noexcept {
    const bool is_plain =
        std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f && c != '/'; });
    return is_plain && !text.empty() && text.size() <= kLongestName && text != "." && text != "..";
}

std::vector<std::string> parse_default_routes(std::string_view text) {
    std::vector<std::string> interfaces;
    while (!text.empty()) {
        std::string_view line = take_line(text);
        std::array<std::string_view, 8> fields;  // Iface Destination Gateway Flags RefCnt Use Metric Mask
        for (std::string_view& field : fields) field = take_word(line);
        if (to_number(fields[1], 16) == 0U && to_number(fields[7], 16) == 0U && leads_anywhere(fields[3]) &&
            is_name(fields[0]))
            add_once(interfaces, fields[0]);
    }
    return interfaces;
}

std::vector<std::string> parse_default_routes_ipv6(std::string_view text) {
    std::vector<std::string> interfaces;
    while (!text.empty()) {
        std::string_view line = take_line(text);
        std::array<std::string_view, 10>
            fields;  // target, bits, source, bits, gateway, metric, uses, uses, flags, name
        for (std::string_view& field : fields) field = take_word(line);
        const bool is_any = !fields[0].empty() && fields[0].find_first_not_of('0') == std::string_view::npos;
        if (is_any && to_number(fields[1], 16) == 0U && leads_anywhere(fields[8]) && is_name(fields[9]))
            add_once(interfaces, fields[9]);
    }
    return interfaces;
}

std::vector<Mount> parse_mounts(std::string_view text) {
    std::vector<Mount> mounts;
    while (!text.empty())
        if (auto mount = parse_mount(take_line(text))) mounts.push_back(std::move(*mount));
    return mounts;
}

std::vector<std::string> parse_swaps(std::string_view text) {
    std::vector<std::string> devices;
    while (!text.empty()) {
        std::string_view line = take_line(text);
        const std::string_view name = take_word(line);
        if (take_word(line) == "partition") devices.push_back(unescape(name));
    }
    return devices;
}

std::optional<MemoryLockLimits> parse_memory_lock_limits(std::string_view text) {
    constexpr std::string_view kLabel = "Max locked memory";
    while (!text.empty()) {
        std::string_view line = take_line(text);
        if (!line.starts_with(kLabel)) continue;
        line.remove_prefix(kLabel.size());
        const std::string_view soft = take_word(line);
        const std::string_view hard = take_word(line);
        const MemoryLockLimits limits{to_number(soft, 10), to_number(hard, 10)};
        if ((!limits.soft && soft != "unlimited") || (!limits.hard && hard != "unlimited")) return std::nullopt;
        return limits;
    }
    return std::nullopt;
}

std::optional<std::string> parse_status_value(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        std::string_view line = take_line(text);
        if (!line.starts_with(key) || line.substr(key.size(), 1) != ":") continue;
        line.remove_prefix(key.size() + 1);
        line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
        return std::string{line};
    }
    return std::nullopt;
}

std::string parse_choice(std::string_view text) {
    const auto open = text.find('[');
    if (open == std::string_view::npos) return {};
    const auto close = text.find(']', open);
    if (close == std::string_view::npos) return {};
    return std::string{text.substr(open + 1, close - open - 1)};
}

}  // namespace uiovfio::detail
