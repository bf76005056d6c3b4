// SPDX-License-Identifier: GPL-2.0-or-later
/// Configuration space as far as it could be read: 64 bytes for an ordinary user, 256, or 4096.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace pcienic::ls {

class ConfigImage {
  public:
    static constexpr std::size_t kMaxSize = 4096;
    static constexpr std::size_t kHeaderSize = 64;
    static constexpr std::size_t kCardBusHeaderSize = 128;

    explicit ConfigImage(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {
        if (bytes_.size() > kMaxSize) bytes_.resize(kMaxSize);
    }

    /// Whether all of these bytes could be read. A decoder asks before it reads a structure.
    bool has(std::size_t offset, std::size_t length) const {
        return offset <= bytes_.size() && length <= bytes_.size() - offset;
    }

    /// Bytes that are not there read as ones, as a bus without a responder answers.
    std::uint8_t u8(std::size_t offset) const { return offset < bytes_.size() ? bytes_[offset] : 0xff; }
    std::uint16_t u16(std::size_t offset) const {
        return static_cast<std::uint16_t>(u8(offset) | static_cast<unsigned>(u8(offset + 1)) << 8);
    }
    std::uint32_t u32(std::size_t offset) const {
        return u16(offset) | static_cast<std::uint32_t>(u16(offset + 2)) << 16;
    }

    const std::vector<std::uint8_t>& bytes() const { return bytes_; }

  private:
    std::vector<std::uint8_t> bytes_;
};

}  // namespace pcienic::ls
