// SPDX-License-Identifier: MIT
#include "backends/sim_config.hpp"

#include <algorithm>
#include <bit>

#include "pcienic_regs.h"
#include "uiovfio/config_space.hpp"

namespace uiovfio::detail {

namespace {

constexpr std::uint16_t kSerrEnable = 0x0100;  // of the command register; kernels set it where the firmware did
// The default of the device's property `serial` in QEMU.
constexpr std::uint64_t kSerial = 0x525400fffe504301;

constexpr std::uint16_t capability_header(std::uint16_t id, std::uint16_t next) noexcept {
    return static_cast<std::uint16_t>(id | next << 8);
}

constexpr std::uint32_t kFunctionLevelReset = 1U << 28;  // of the device capabilities: PCI Express Base 5.0, 7.5.3.3

constexpr std::uint32_t extended_header(std::uint16_t id, unsigned version, std::uint16_t next) noexcept {
    return static_cast<std::uint32_t>(id | version << 16 | static_cast<std::uint32_t>(next) << 20);
}

}  // namespace

SimConfig::SimConfig(unsigned vectors, unsigned msi_vectors, std::uint64_t msix_bar_size, std::uint32_t pba_offset,
                     std::uint64_t memory_size, bool has_reset) {
    // The header (PCI Local Bus 3.0, 6.1).
    put(config::kVendorId, 2, PCIENIC_VENDOR_ID);
    put(config::kDeviceId, 2, PCIENIC_DEVICE_ID);
    put(config::kStatus, 2, config::kStatusCapabilities);
    put(config::kRevision, 1, PCIENIC_REVISION);
    put(config::kClassCode, 3, PCIENIC_CLASS_CODE);
    put(config::kSubsystemVendorId, 2, PCIENIC_SUBSYSTEM_VENDOR_ID);
    put(config::kSubsystemId, 2, PCIENIC_SUBSYSTEM_ID);
    put(config::kCapabilityPointer, 1, kMsix);
    put(config::kInterruptPin, 1, 1);  // INTA
    allow(config::kCommand, 2,
          config::kCommandIo | config::kCommandMemory | config::kCommandBusMaster | kSerrEnable |
              config::kCommandIntxDisable);
    allow(0x0c, 1, 0xff);  // cache line size
    allow(0x3c, 1, 0xff);  // interrupt line
    allow(config::kBar0 + 4 * PCIENIC_BAR_REGISTERS, 4, ~(std::uint64_t{PCIENIC_BAR_REGISTERS_BYTES} - 1));
    allow(config::kBar0 + 4 * PCIENIC_BAR_MSIX, 4, ~(msix_bar_size - 1));
    put(config::kBar0 + 4 * PCIENIC_BAR_MEMORY, 4, 0xc);  // 64 bits wide, prefetchable
    allow(config::kBar0 + 4 * PCIENIC_BAR_MEMORY, 8, ~(memory_size - 1));

    // Power management 1.2: no PME, D0 and D3hot, no soft reset from D3hot to D0.
    put(kPowerManagement, 2, capability_header(capability::kPowerManagement, 0));
    put(kPowerManagement + 2, 2, 0x0003);
    put(kPowerManagement + 4, 2, 0x0008);
    allow(kPowerManagement + 4, 2, 0x0003);

    // MSI: 64-bit addresses, per-vector masking.
    const auto multiple = static_cast<unsigned>(std::countr_zero(msi_vectors));
    put(kMsi, 2, capability_header(capability::kMsi, kVendor));
    put(kMsi + 2, 2, 0x0180U | multiple << 1);
    allow(kMsi + 2, 2, 0x0071);
    allow(kMsi + 4, 8, ~std::uint64_t{3});
    allow(kMsi + 12, 2, 0xffff);
    allow(kMsi + 16, 4, msi_vectors == 32 ? 0xffffffffU : (1U << msi_vectors) - 1);

    put(kMsix, 2, capability_header(capability::kMsix, kExpress));
    put(kMsix + 2, 2, vectors - 1);
    put(kMsix + 4, 4, PCIENIC_BAR_MSIX);
    put(kMsix + 8, 4, pba_offset | PCIENIC_BAR_MSIX);
    allow(kMsix + 2, 2, 0xc000);

    put(kVendor, 2, capability_header(PCIENIC_VENDOR_CAP_CAP_ID_VALUE, kPowerManagement));
    put(kVendor + PCIENIC_VENDOR_CAP_LENGTH_OFFSET, 1, PCIENIC_VENDOR_CAP_LENGTH_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_VERSION_OFFSET, 1, PCIENIC_VENDOR_CAP_VERSION_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_REGISTER_BAR_OFFSET, 1, PCIENIC_VENDOR_CAP_REGISTER_BAR_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_MEMORY_BAR_OFFSET, 1, PCIENIC_VENDOR_CAP_MEMORY_BAR_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_MSIX_BAR_OFFSET, 1, PCIENIC_VENDOR_CAP_MSIX_BAR_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_DOORBELLS_OFFSET, 1, PCIENIC_VENDOR_CAP_DOORBELLS_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_REGISTER_OFFSET_OFFSET, 4, PCIENIC_VENDOR_CAP_REGISTER_OFFSET_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_DOORBELL_OFFSET_OFFSET, 4, PCIENIC_VENDOR_CAP_DOORBELL_OFFSET_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_DOORBELL_STRIDE_OFFSET, 4, PCIENIC_VENDOR_CAP_DOORBELL_STRIDE_VALUE);
    put(kVendor + PCIENIC_VENDOR_CAP_VECTORS_OFFSET, 2, vectors);

    // PCI Express endpoint, version 2, with function-level reset (PCI Express Base 5.0, 7.5.3).
    put(kExpress, 2, capability_header(capability::kPciExpress, kMsi));
    put(kExpress + 2, 2, 0x0002);
    // Role-based error reporting, and function-level reset where there is one.
    put(kExpress + 4, 4, 0x00008000U | (has_reset ? kFunctionLevelReset : 0U));
    allow(kExpress + 8, 2, 0x000f);     // device control: error reporting enables; its reset bit reads 0
    put(kExpress + 12, 4, 0x00000011);  // link: 2.5 GT/s, x1
    put(kExpress + 18, 2, 0x0011);

    // Advanced error reporting (7.8.4), of a device that has no errors: the bits that QEMU gives its devices, with the
    // defaults of the specification.
    constexpr std::uint32_t kUncorrectable = 0x03fff030;
    constexpr std::uint32_t kFatal = 0x00462030;
    constexpr std::uint32_t kCorrectable = 0x0000f1c1;
    constexpr std::uint32_t kMaskedCorrectable = 0x0000e000;
    constexpr std::uint32_t kEcrcCapable = 0x000000a0;
    constexpr std::uint32_t kEcrcEnable = 0x00000140;
    put(kErrorReporting, 4, extended_header(extended_capability::kAdvancedErrorReporting, 2, kSerialNumber));
    allow(kErrorReporting + 0x08, 4, kUncorrectable);  // mask
    put(kErrorReporting + 0x0c, 4, kFatal);            // severity
    allow(kErrorReporting + 0x0c, 4, kUncorrectable);
    put(kErrorReporting + 0x14, 4, kMaskedCorrectable);  // mask
    allow(kErrorReporting + 0x14, 4, kCorrectable);
    put(kErrorReporting + 0x18, 4, kEcrcCapable);  // capabilities and control
    allow(kErrorReporting + 0x18, 4, kEcrcEnable);
    put(kSerialNumber, 4, extended_header(extended_capability::kSerialNumber, 1, kDvsec));
    put(kSerialNumber + 4, 8, kSerial);
    put(kDvsec, 4, extended_header(extended_capability::kDesignatedVendorSpecific, 1, 0));
    put(kDvsec + 4, 4, PCIENIC_DVSEC_VENDOR | PCIENIC_DVSEC_REVISION << 16 | PCIENIC_DVSEC_SIZE << 20);
    put(kDvsec + 8, 2, PCIENIC_DVSEC_ID);
    put(kDvsec + PCIENIC_DVSEC_FEATURES_OFFSET, 4, PCIENIC_REG_FEATURES_RESET & 0xffffffffU);
    allow(kDvsec + PCIENIC_DVSEC_NOTE_OFFSET, 4, 0xffffffffU);
    bytes_ = initial_;
}

std::uint32_t SimConfig::read(std::uint16_t offset, unsigned width) const noexcept {
    std::uint32_t value = 0;
    for (unsigned i = 0; i < width; ++i) value |= std::uint32_t{bytes_[offset + i]} << (8 * i);
    return value;
}

void SimConfig::write(std::uint16_t offset, unsigned width, std::uint32_t value) noexcept {
    for (unsigned i = 0; i < width; ++i) {
        const std::uint8_t mask = writable_[offset + i];
        bytes_[offset + i] = static_cast<std::uint8_t>((bytes_[offset + i] & ~mask) |
                                                       (static_cast<std::uint8_t>(value >> (8 * i)) & mask));
    }
}

void SimConfig::set(std::uint16_t offset, unsigned width, std::uint64_t value) noexcept {
    for (unsigned i = 0; i < width; ++i) bytes_[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

void SimConfig::reset() noexcept {
    constexpr std::uint16_t kNote = kDvsec + PCIENIC_DVSEC_NOTE_OFFSET;
    const auto before = bytes_;
    bytes_ = initial_;
    const auto keep = [&](std::uint16_t offset, std::size_t length) {
        std::copy_n(before.begin() + offset, length, bytes_.begin() + offset);
    };
    keep(kErrorReporting, kErrorReportingBytes);
    keep(kNote, 4);
}

bool SimConfig::starts_reset(std::uint16_t offset, unsigned width, std::uint32_t value) const noexcept {
    constexpr std::uint16_t kHighByteOfControl = kExpress + 9;
    constexpr std::uint32_t kInitiate = 0x80;
    const bool can_reset = (read(kExpress + 4, 4) & kFunctionLevelReset) != 0;
    return can_reset && offset <= kHighByteOfControl && kHighByteOfControl - offset < static_cast<int>(width) &&
           (value >> (8 * (kHighByteOfControl - offset)) & kInitiate) != 0;
}

void SimConfig::put(std::uint16_t offset, unsigned width, std::uint64_t value) noexcept {
    for (unsigned i = 0; i < width; ++i) initial_[offset + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

void SimConfig::allow(std::uint16_t offset, unsigned width, std::uint64_t mask) noexcept {
    for (unsigned i = 0; i < width; ++i) writable_[offset + i] = static_cast<std::uint8_t>(mask >> (8 * i));
}

}  // namespace uiovfio::detail
