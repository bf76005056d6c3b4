// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The texts of /proc, line by line. Whatever they say, these functions end and throw nothing but bad_alloc; lines that
/// are not as they should be are left out.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uiovfio::detail {

/// Takes the first line off the text, and returns it without its end.
std::string_view take_line(std::string_view& text) noexcept;

/// Takes the first word off the line, and the blanks before it; empty at the line's end.
std::string_view take_word(std::string_view& line) noexcept;

/// The whole text as a number, with or without "0x" where the base is 16.
std::optional<std::uint64_t> to_number(std::string_view text, int base) noexcept;

/// Whether the kernel can have given this name to an interface, a block device or a driver, and it is nothing else as
/// the component of a path.
bool is_name(std::string_view text) noexcept;

/// /proc/net/route, /proc/net/ipv6_route: the interfaces of the default routes that lead anywhere, in order, each once.
/// The kernel shows the main table alone, and of a route over several interfaces the first.
std::vector<std::string> parse_default_routes(std::string_view text);
std::vector<std::string> parse_default_routes_ipv6(std::string_view text);

struct Mount {
    std::string device;   ///< "8:1"
    std::string point;    ///< as the kernel writes it, but for blanks, which it escapes
    std::string type;     ///< "ext4"
    std::string source;   ///< "/dev/sda1", and anything else for a type that has no device
    std::string options;  ///< of the file system, not of the mount

    friend bool operator==(const Mount&, const Mount&) = default;
};

/// /proc/PID/mountinfo.
std::vector<Mount> parse_mounts(std::string_view text);

/// /proc/swaps: the block devices ("/dev/sda2"); files in a file system are left out, for that is mounted.
std::vector<std::string> parse_swaps(std::string_view text);

/// /proc/PID/limits: what the line says of memory that may be locked, in bytes.
struct MemoryLockLimits {
    std::optional<std::uint64_t> soft;  ///< nothing: unlimited
    std::optional<std::uint64_t> hard;

    friend bool operator==(const MemoryLockLimits&, const MemoryLockLimits&) = default;
};
std::optional<MemoryLockLimits> parse_memory_lock_limits(std::string_view text);

/// /proc/PID/status, and any text of that form: what follows "KEY:".
std::optional<std::string> parse_status_value(std::string_view text, std::string_view key);

/// /sys/kernel/security/lockdown and its like: the word in brackets; empty where there is none.
std::string parse_choice(std::string_view text);

}  // namespace uiovfio::detail
