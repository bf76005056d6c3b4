// SPDX-License-Identifier: GPL-2.0-or-later
/// Builds images of configuration space for tests.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace pcienic::test {

class Image {
  public:
    explicit Image(std::size_t size = 4096) : bytes_(size, 0) {
        put(0x00, {0xf4, 0x1a, 0xf2, 0x10});  // 1af4:10f2
        put(0x06, {0x10, 0x00});              // there is a list of capabilities
        put(0x0a, {0x00, 0x02});              // Ethernet
    }

    Image& put(std::size_t at, std::initializer_list<std::uint8_t> bytes) {
        for (const std::uint8_t byte : bytes) bytes_.at(at++) = byte;
        return *this;
    }
    Image& put32(std::size_t at, std::uint32_t word) {
        for (int shift = 0; shift < 32; shift += 8) bytes_.at(at++) = static_cast<std::uint8_t>(word >> shift);
        return *this;
    }
    /// Where the list begins.
    Image& first(std::uint8_t at) { return put(0x34, {at}); }
    /// A capability's ID and where the next one is.
    Image& capability(std::size_t at, std::uint8_t id, std::uint8_t next) { return put(at, {id, next}); }
    Image& extended(std::size_t at, std::uint16_t id, unsigned version, std::uint32_t next) {
        return put32(at, id | version << 16 | next << 20);
    }
    /// A PCI Express capability, without which the extended ones are not looked for.
    Image& express(std::uint8_t at, std::uint8_t next, unsigned type = 0) {
        capability(at, 0x10, next);
        return put(at + 2U, {static_cast<std::uint8_t>(2 | type << 4), 0});
    }

    const std::vector<std::uint8_t>& bytes() const { return bytes_; }

  private:
    std::vector<std::uint8_t> bytes_;
};

}  // namespace pcienic::test
