// SPDX-License-Identifier: GPL-2.0-or-later
// Resizable BAR, of the function and of its virtual functions (PCI Express Base 5.0, 7.8.6 and 9.3.7.5).
#include <fmt/format.h>

#include "decode.hpp"

namespace pcienic::ls {
namespace {

constexpr unsigned kEntrySize = 8;
constexpr unsigned kSizes = 44;      ///< powers of two from 1 MB to 8 EB
constexpr unsigned kNearSizes = 28;  ///< those that the capability register has; the control register has the rest
constexpr unsigned kMegabyteShift = 20;

std::string size_name(unsigned power) {
    constexpr const char* kUnits[] = {"MB", "GB", "TB", "PB", "EB"};
    return power < kSizes ? fmt::format("{}{}", 1U << power % 10, kUnits[power / 10]) : "<unknown>";
}

void entry(const ConfigImage& config, unsigned at, Capability& out) {
    const std::uint32_t control = config.u32(at + 4);
    const std::uint64_t supported = (config.u32(at) >> 4) | std::uint64_t{control >> 16} << kNearSizes;
    const unsigned current = control >> 8 & 0x3f;
    Row& row = out.add(fmt::format("BAR {}", control & 7)).row();
    row.text("CurrentSize", size_name(current), " current size: ");
    if (current < kSizes)
        row.silent("CurrentBytes", Number{std::uint64_t{1} << (current + kMegabyteShift)});
    else
        row.silent("CurrentBytes", Absent{});
    std::string names;
    for (unsigned power = 0; power < kSizes; ++power)
        if ((supported >> power & 1) != 0) names += (names.empty() ? "" : " ") + size_name(power);
    if (supported != 0) row.text("Supported", names, ", supported: ");
    row.silent("SupportedSizes", Number{supported, 11});
}

void decode(const CapabilityInput& in, Capability& out) {
    unsigned count = 1;  // the first entry says how many there are
    for (unsigned index = 0; index < count; ++index) {
        const unsigned at = out.offset + 4 + kEntrySize * index;
        if (!in.config.has(at, kEntrySize)) return out.remark("<unreadable>");
        if (index == 0) count = in.config.u32(at + 4) >> 5 & 7;
        if (count < 1 || count > 6)
            return out.remark(fmt::format("<error in resizable BAR: num_bars={} is out of specification>", count));
        entry(in.config, at, out);
    }
}

}  // namespace

void decode_resizable_bar(const CapabilityInput& in, Capability& out) {
    out.name = "Physical Resizable BAR";
    decode(in, out);
}

void decode_virtual_resizable_bar(const CapabilityInput& in, Capability& out) {
    out.name = "Virtual Resizable BAR";
    decode(in, out);
}

}  // namespace pcienic::ls
