// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Configuration space and the capabilities in it.

#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

namespace uiovfio {

namespace detail {
class Backend;
}

/// Offsets of the type 0 header (PCI Local Bus 3.0, figure 6-1).
namespace config {
inline constexpr std::uint16_t kVendorId = 0x00;
inline constexpr std::uint16_t kDeviceId = 0x02;
inline constexpr std::uint16_t kCommand = 0x04;
inline constexpr std::uint16_t kStatus = 0x06;
inline constexpr std::uint16_t kRevision = 0x08;
inline constexpr std::uint16_t kClassCode = 0x09;
inline constexpr std::uint16_t kHeaderType = 0x0e;
inline constexpr std::uint16_t kBar0 = 0x10;
inline constexpr std::uint16_t kSubsystemVendorId = 0x2c;
inline constexpr std::uint16_t kSubsystemId = 0x2e;
inline constexpr std::uint16_t kCapabilityPointer = 0x34;
inline constexpr std::uint16_t kInterruptPin = 0x3d;
/// Where extended configuration space begins (PCI Express Base 5.0, 7.2).
inline constexpr std::uint16_t kExtended = 0x100;

// Bits of the command and status registers (PCI Local Bus 3.0, 6.2.2 and 6.2.3).
inline constexpr std::uint16_t kCommandIo = 0x0001;
inline constexpr std::uint16_t kCommandMemory = 0x0002;
inline constexpr std::uint16_t kCommandBusMaster = 0x0004;
inline constexpr std::uint16_t kCommandIntxDisable = 0x0400;
inline constexpr std::uint16_t kStatusCapabilities = 0x0010;
}  // namespace config

/// Identifiers of capabilities (PCI Local Bus 3.0, appendix H; PCI Express Base 5.0, 7.5.3).
namespace capability {
inline constexpr std::uint16_t kPowerManagement = 0x01;
inline constexpr std::uint16_t kMsi = 0x05;
inline constexpr std::uint16_t kVendorSpecific = 0x09;
inline constexpr std::uint16_t kPciExpress = 0x10;
inline constexpr std::uint16_t kMsix = 0x11;
}  // namespace capability

/// Identifiers of extended capabilities (PCI Express Base 5.0, 7.8 and 7.9).
namespace extended_capability {
inline constexpr std::uint16_t kAdvancedErrorReporting = 0x0001;
inline constexpr std::uint16_t kSerialNumber = 0x0003;
inline constexpr std::uint16_t kAccessControlServices = 0x000d;
inline constexpr std::uint16_t kDesignatedVendorSpecific = 0x0023;
}  // namespace extended_capability

/// Where a capability lies.
struct Capability {
    std::uint16_t id = 0;      ///< one of the identifiers above
    std::uint16_t offset = 0;  ///< of its header, in configuration space
    std::uint8_t version = 0;  ///< of an extended capability; 0 for the others
    bool extended = false;     ///< extended capabilities have a number space of their own

    friend bool operator==(const Capability&, const Capability&) = default;
};

/// Configuration space of an open device, as its user may see it: VFIO virtualises parts of it (the BARs, the interrupt
/// enable bits), so a write may read back differently. All functions may be called from any thread.
/// Do not clear the memory space bit while a BAR is mapped: the kernel answers each access to it with SIGBUS then.
///
/// Accesses throw out_of_bounds (beyond size()), misaligned (offset not a multiple of the width), closed, device_gone.
class ConfigSpace {
  public:
    /// 256 for a conventional function, 4096 for PCI Express.
    [[nodiscard]] std::uint16_t size() const noexcept { return size_; }

    /// One access of so many bits.
    [[nodiscard]] std::uint8_t read8(std::uint16_t offset) const;
    [[nodiscard]] std::uint16_t read16(std::uint16_t offset) const;
    [[nodiscard]] std::uint32_t read32(std::uint16_t offset) const;
    void write8(std::uint16_t offset, std::uint8_t value) const;
    void write16(std::uint16_t offset, std::uint16_t value) const;
    void write32(std::uint16_t offset, std::uint32_t value) const;

    /// Their twins.
    std::uint8_t read8(std::uint16_t offset, std::error_code& ec) const noexcept;
    std::uint16_t read16(std::uint16_t offset, std::error_code& ec) const noexcept;
    std::uint32_t read32(std::uint16_t offset, std::error_code& ec) const noexcept;
    void write8(std::uint16_t offset, std::uint8_t value, std::error_code& ec) const noexcept;
    void write16(std::uint16_t offset, std::uint16_t value, std::error_code& ec) const noexcept;
    void write32(std::uint16_t offset, std::uint32_t value, std::error_code& ec) const noexcept;

    /// The registers of the type 0 header (PCI Local Bus 3.0, 6.2.1 to 6.2.4) by name.
    [[nodiscard]] std::uint16_t vendor_id() const { return read16(config::kVendorId); }
    [[nodiscard]] std::uint16_t device_id() const { return read16(config::kDeviceId); }
    [[nodiscard]] std::uint16_t subsystem_vendor_id() const { return read16(config::kSubsystemVendorId); }
    [[nodiscard]] std::uint16_t subsystem_id() const { return read16(config::kSubsystemId); }
    [[nodiscard]] std::uint16_t command() const { return read16(config::kCommand); }
    [[nodiscard]] std::uint16_t status() const { return read16(config::kStatus); }
    [[nodiscard]] std::uint8_t revision() const { return read8(config::kRevision); }
    [[nodiscard]] std::uint8_t header_type() const { return read8(config::kHeaderType); }
    std::uint16_t vendor_id(std::error_code& ec) const noexcept { return read16(config::kVendorId, ec); }
    std::uint16_t device_id(std::error_code& ec) const noexcept { return read16(config::kDeviceId, ec); }
    std::uint16_t subsystem_vendor_id(std::error_code& ec) const noexcept {
        return read16(config::kSubsystemVendorId, ec);
    }
    std::uint16_t subsystem_id(std::error_code& ec) const noexcept { return read16(config::kSubsystemId, ec); }
    std::uint16_t command(std::error_code& ec) const noexcept { return read16(config::kCommand, ec); }
    std::uint16_t status(std::error_code& ec) const noexcept { return read16(config::kStatus, ec); }
    std::uint8_t revision(std::error_code& ec) const noexcept { return read8(config::kRevision, ec); }
    std::uint8_t header_type(std::error_code& ec) const noexcept { return read8(config::kHeaderType, ec); }
    /// Base class, subclass and programming interface: 0x020000 is an Ethernet controller.
    [[nodiscard]] std::uint32_t class_code() const;
    std::uint32_t class_code(std::error_code& ec) const noexcept;

    /// The Bus Master bit: without it the device can neither use DMA nor send MSI or MSI-X, which are memory writes.
    /// Device::open sets it only if it has reset the device: see OpenOptions::bus_master. For any other, stop what the
    /// device is at, then set it; clear it to stop a device before its memory is taken away.
    [[nodiscard]] bool bus_master() const { return (command() & config::kCommandBusMaster) != 0; }
    bool bus_master(std::error_code& ec) const noexcept { return (command(ec) & config::kCommandBusMaster) != 0; }
    /// Sets or clears it, and leaves the register's other bits as they are. May be called from any thread: two calls,
    /// and a call and Device::reset(), come one after the other.
    void set_bus_master(bool enable) const;
    void set_bus_master(bool enable, std::error_code& ec) const noexcept;

    /// The capability list, in its order. A list that loops or leaves configuration space ends where it does so.
    [[nodiscard]] std::vector<Capability> capabilities() const;
    std::vector<Capability> capabilities(std::error_code& ec) const noexcept;
    /// The extended capability list; empty for a conventional function.
    [[nodiscard]] std::vector<Capability> extended_capabilities() const;
    std::vector<Capability> extended_capabilities(std::error_code& ec) const noexcept;

    /// The first capability with that identifier.
    [[nodiscard]] std::optional<Capability> find(std::uint16_t id) const;
    std::optional<Capability> find(std::uint16_t id, std::error_code& ec) const noexcept;
    /// The first extended capability with that identifier.
    [[nodiscard]] std::optional<Capability> find_extended(std::uint16_t id) const;
    std::optional<Capability> find_extended(std::uint16_t id, std::error_code& ec) const noexcept;

  private:
    friend class Device;
    explicit ConfigSpace(std::shared_ptr<detail::Backend> backend);

    std::uint32_t read(std::uint16_t offset, unsigned width) const;
    void write(std::uint16_t offset, unsigned width, std::uint32_t value) const;

    std::shared_ptr<detail::Backend> backend_;
    std::uint16_t size_ = 0;
};

}  // namespace uiovfio
