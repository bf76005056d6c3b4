// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The access policy: what a command may do to a place, and which bus accesses that takes. Pure: nothing in here
/// touches a device, so that a whole command line is judged before the first access.
///
///     access  read     REG=V            REG.FIELD=V
///     rw      yes      write            read, change the field, write
///     ro      yes      refused          refused
///     wo      refused  write            write, the other bits 0
///     rw1c    yes      write            write ones to the field only, never what was read
///     rw1s    yes      write            likewise
///     rc      yes      refused          refused

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "place.hpp"

namespace pcienic::ctl {

enum class Verb { write, set, clear, toggle };

/// "REG=V", "OFF.w=V/M", "REG.FIELD"; the value as text, because what it may be depends on the place.
struct Assignment {
    std::string place;
    std::optional<std::string> value{};
    std::optional<std::string> mask{};

    static Assignment parse(std::string_view text);
};

struct WriteOptions {
    bool force = false;     ///< refuse nothing
    bool read_back = true;  ///< read before and after, where that does no harm, to show the transition
    bool verify = false;    ///< read after even where no table says that it does no harm
};

/// One write as bus accesses: an optional load, one store, an optional load.
/// The value stored is (old & keep) | value, and for a toggle ((old & keep) ^ value).
struct WritePlan {
    Place place;
    std::uint64_t value = 0;  ///< in place, within mask
    std::uint64_t mask = 0;   ///< the bits that are meant
    std::uint64_t keep = 0;   ///< bits that keep what they are; the store depends on a load where it is not 0
    bool toggle = false;
    std::uint64_t verify_mask = 0;  ///< bits that should read back as written: not those where a 1 acts
    bool read_before = false;
    bool read_after = false;
    std::string warning{};

    [[nodiscard]] bool needs_old() const { return keep != 0 || toggle; }
    [[nodiscard]] std::uint64_t result(std::uint64_t old) const {
        return toggle ? (old & keep) ^ value : (old & keep) | value;
    }
};

/// Throws Failure(usage) where the policy refuses; the message names the place and the way round.
WritePlan plan_write(Verb verb, const Assignment& assignment, const Scope& scope, const WriteOptions& options);

/// Throws Failure(usage) where reading says nothing.
void check_read(const Place& place, bool force);

/// Whether a load of the place changes nothing.
bool is_harmless_to_read(const Place& place);

}  // namespace pcienic::ctl
