// SPDX-License-Identifier: MIT
#include "policy.hpp"

#include <fmt/format.h>

#include "cli/exit.hpp"
#include "cli/number.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;

[[noreturn]] void refuse(const Place& place, std::string_view wrong, std::string_view remedy) {
    throw Failure{Exit::usage, fmt::format("{}: {}: {}", place.name, wrong, remedy)};
}

/// Without a table every bit counts as read-write.
Bits bits_of(const Place& place) {
    if (place.bits) return *place.bits;
    Bits bits;
    bits.rw = bits.defined = place.full_mask();
    return bits;
}

constexpr std::string_view kForce = "--force does it all the same";

void check_verb(Verb verb, const Place& place, std::uint64_t mask) {
    const Bits bits = bits_of(place);
    if ((bits.rc & mask) != 0) refuse(place, "is cleared by being read, and cannot be written", kForce);
    if ((bits.writable() & mask) == 0) {
        const bool reserved = (bits.defined & mask) == 0;
        refuse(place, reserved ? "the bits are reserved" : "is read-only",
               place.field != nullptr || reserved
                   ? kForce
                   : "the device would ignore the write and latch an error; --force does it all the same");
    }
    if (verb == Verb::set && (bits.w1c & mask) != 0) refuse(place, "only the device sets these bits", "use clear");
    if (verb == Verb::clear && (bits.w1s & mask) != 0)
        refuse(place, "only the device clears these bits", "use wait to see it do so");
    if (verb == Verb::toggle && (mask & ~(bits.rw | ~bits.defined)) != 0) {
        refuse(place, "a toggle needs bits that keep what is written", "use set, clear or write");
    }
    if (verb != Verb::write && (bits.wo & mask) != 0) refuse(place, "is write-only", "use write, with the whole value");
}

/// The bits that the command means. set, clear and toggle of a whole register need to be told which.
std::uint64_t mask_of(Verb verb, const Assignment& assignment, const Place& place) {
    if (verb == Verb::write) {
        if (!assignment.value) refuse(place, "has no value", fmt::format("write {}=VALUE", assignment.place));
        if (!assignment.mask) return place.mask();
        if (place.field != nullptr)
            refuse(place, "a field needs no mask", fmt::format("write {}=VALUE", assignment.place));
        const std::uint64_t mask = parse_value(*assignment.mask, place);
        if (mask == 0)
            refuse(place, "the mask names no bits",
                   fmt::format("write {}={}, or give the bits that are meant as MASK", assignment.place,
                               *assignment.value));
        return mask;
    }
    if (assignment.mask) refuse(place, "a mask is for write only", fmt::format("write {}=BITS", assignment.place));
    if (assignment.value) {
        const std::uint64_t mask = parse_value(*assignment.value, place) << place.shift();
        if (mask == 0)
            refuse(place, fmt::format("{} names no bits", *assignment.value),
                   fmt::format("give those that are meant: {}=BITS", assignment.place));
        return mask;
    }
    if (place.field == nullptr)
        refuse(place, "needs to be told which bits", fmt::format("write {}=BITS, or name a field", assignment.place));
    return place.mask();
}

std::uint64_t value_of(Verb verb, const Assignment& assignment, const Place& place, std::uint64_t mask) {
    if (verb == Verb::write) {
        const std::uint64_t value = parse_value(*assignment.value, place) << place.shift();
        if (const std::uint64_t lost = value & ~mask; lost != 0)
            refuse(place, fmt::format("the value has the bits {:#x}, which the mask {:#x} leaves out", lost, mask),
                   fmt::format("write {0}={1:#x}/{2:#x}, or {0}={3:#x}/{4:#x}", assignment.place, value & mask, mask,
                               value, value | mask));
        return value;
    }
    const bool writes_zeros = verb == Verb::clear && (bits_of(place).w1c & mask) == 0;
    return writes_zeros ? 0 : mask;
}

/// What is written beside the bits that are meant: stored bits as they are, write-one bits as 0, so that nothing is
/// cleared or started by the way. Where the meant bits are write-one themselves, reserved bits need no preserving.
std::uint64_t keep_of(const Bits& bits, const Place& place, std::uint64_t mask) {
    const std::uint64_t write_one = bits.w1c | bits.w1s;
    const std::uint64_t others = place.full_mask() & ~mask & ~write_one & ~bits.wo;
    return (mask & write_one) == mask ? others & bits.rw : others;
}

/// The bits that should read back as they are written. What a device ignores reads back otherwise, which is what
/// --verify is for: reserved bits that are set, and with --force all that the table speaks against.
std::uint64_t verify_mask_of(const WritePlan& plan, const Bits& bits, bool force) {
    const std::uint64_t acts = bits.w1c | bits.w1s | bits.wo;
    if (force) return plan.mask & ~acts;
    return plan.mask & (bits.rw | (plan.value & ~bits.defined));
}

std::string warning_of(const Place& place, std::uint64_t value) {
    const std::uint64_t reserved = value & ~bits_of(place).defined;
    if (reserved == 0) return {};
    return fmt::format("{}: the value sets reserved bits ({:#x}); the device ignores them and latches an error",
                       place.name, reserved);
}

}  // namespace

Assignment Assignment::parse(std::string_view text) {
    Assignment assignment;
    const std::size_t equals = text.find('=');
    assignment.place = text.substr(0, equals);
    if (equals == std::string_view::npos) return assignment;
    const std::string_view value = text.substr(equals + 1);
    const std::size_t slash = value.find('/');
    assignment.value = value.substr(0, slash);
    if (slash != std::string_view::npos) assignment.mask = value.substr(slash + 1);
    return assignment;
}

bool is_harmless_to_read(const Place& place) {
    return place.bits && !place.bits->unmapped && place.bits->rc == 0 && place.bits->wo == 0;
}

void check_read(const Place& place, bool force) {
    if (force || !place.bits || (place.bits->wo & place.mask()) == 0) return;
    refuse(place, "is write-only and reads as 0", kForce);
}

WritePlan plan_write(Verb verb, const Assignment& assignment, const Scope& scope, const WriteOptions& options) {
    WritePlan plan{.place = parse_place(assignment.place, scope)};
    const Place& place = plan.place;
    plan.mask = mask_of(verb, assignment, place);
    if (!options.force) check_verb(verb, place, plan.mask);
    plan.value = value_of(verb, assignment, place, plan.mask);
    plan.toggle = verb == Verb::toggle;
    const Bits bits = bits_of(place);
    if (plan.mask != place.full_mask()) plan.keep = keep_of(bits, place, plan.mask);
    if (plan.toggle) plan.keep = place.full_mask() & ~(bits.w1c | bits.w1s);
    plan.read_before = plan.needs_old() || (options.read_back && is_harmless_to_read(place));
    plan.read_after = options.verify || (options.read_back && is_harmless_to_read(place));
    plan.verify_mask = verify_mask_of(plan, bits, options.force);
    if (options.verify && plan.verify_mask == 0)
        refuse(place, "none of these bits reads back as it is written", "leave out --verify, and read what it changes");
    plan.warning = warning_of(place, plan.value);
    return plan;
}

}  // namespace pcienic::ctl
