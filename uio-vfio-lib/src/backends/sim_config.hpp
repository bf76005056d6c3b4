// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Configuration space of the simulated device.

#include <array>
#include <cstddef>
#include <cstdint>

namespace uiovfio::detail {

/// The bytes of configuration space, and which of them software may change. Same capabilities at the same offsets as
/// the device in QEMU (qemu-device/qemu), which a guest test compares. Not thread-safe.
class SimConfig {
  public:
    static constexpr std::uint16_t kSize = 4096;

    // Where the capabilities lie.
    static constexpr std::uint16_t kPowerManagement = 0x40;
    static constexpr std::uint16_t kMsi = 0x50;
    static constexpr std::uint16_t kMsix = 0x68;
    static constexpr std::uint16_t kExpress = 0x80;
    static constexpr std::uint16_t kVendor = 0xc0;
    static constexpr std::uint16_t kErrorReporting = 0x100;
    static constexpr std::uint16_t kErrorReportingBytes = 0x48;
    static constexpr std::uint16_t kSerialNumber = 0x150;
    static constexpr std::uint16_t kDvsec = 0x160;

    SimConfig(unsigned vectors, unsigned msi_vectors, std::uint64_t msix_bar_size, std::uint32_t pba_offset,
              std::uint64_t memory_size, bool has_reset);

    [[nodiscard]] std::uint32_t read(std::uint16_t offset, unsigned width) const noexcept;
    void write(std::uint16_t offset, unsigned width, std::uint32_t value) noexcept;
    /// For the device itself: changes any byte.
    void set(std::uint16_t offset, unsigned width, std::uint64_t value) noexcept;
    /// Everything but sticky bytes as after power-on.
    void reset() noexcept;
    /// Whether that write asks for a function-level reset: the device control register's bit 15.
    [[nodiscard]] bool starts_reset(std::uint16_t offset, unsigned width, std::uint32_t value) const noexcept;
    [[nodiscard]] bool is_in_d0() const noexcept { return (read(kPowerManagement + 4, 2) & 3U) == 0; }
    void wake() noexcept { set(kPowerManagement + 4, 1, read(kPowerManagement + 4, 1) & ~3U); }

  private:
    void put(std::uint16_t offset, unsigned width, std::uint64_t value) noexcept;
    void allow(std::uint16_t offset, unsigned width, std::uint64_t mask) noexcept;

    std::array<std::uint8_t, kSize> bytes_{};
    std::array<std::uint8_t, kSize> initial_{};
    std::array<std::uint8_t, kSize> writable_{};
};

}  // namespace uiovfio::detail
