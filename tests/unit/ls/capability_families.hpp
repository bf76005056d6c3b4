// SPDX-License-Identifier: GPL-2.0-or-later
/// What the comparison with lspci tries: every capability, in the forms that it comes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <ostream>
#include <string>
#include <vector>

namespace pcienic::test {

/// The bytes of one capability, its header included.
class CapabilityBytes {
  public:
    static CapabilityBytes standard(std::uint8_t id, std::size_t size, std::uint8_t fill = 0);
    static CapabilityBytes extended(std::uint16_t id, unsigned version, std::size_t size, std::uint8_t fill = 0);

    CapabilityBytes& put(std::size_t at, std::initializer_list<unsigned> bytes);
    CapabilityBytes& put32(std::size_t at, std::uint32_t word);
    CapabilityBytes& keep(std::size_t at, std::uint8_t mask);  ///< clears the other bits of a byte
    std::uint32_t u32(std::size_t at) const;

    std::vector<std::uint8_t> bytes;
};

/// One capability, or one of its forms.
struct Family {
    std::string name;
    bool extended = false;
    /// Each is compared as it is, with each of its bits turned over, and cut at each byte.
    std::vector<CapabilityBytes> seeds = {};
    /// Takes a value out of a seed's change that lspci itself has no words for; docs/reference/pcienic-ls.md says
    /// which.
    std::function<void(CapabilityBytes&)> avoid = {};
    std::uint8_t header_type = 0;
    unsigned express_type = 0;
    bool cut = true;  ///< not if lspci then leaves its line without an end

    friend void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }
};

/// All of them.
const std::vector<Family>& capability_families();

/// Where the capability of space_with() is.
inline constexpr std::size_t kStandardAt = 0x80, kExtendedAt = 0x100;
inline constexpr std::size_t kMargin = 64;  ///< what follows it, for those that point behind their end

/// Configuration space with this one capability (and the PCI Express one that extended ones need).
std::vector<std::uint8_t> space_with(const Family& family, const CapabilityBytes& capability);

}  // namespace pcienic::test
