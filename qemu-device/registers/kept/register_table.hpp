// SPDX-License-Identifier: MIT
// Generated from qemu-device/registers/pcienic.yaml; do not edit.
#pragma once

// Every register of the pcienic as data, in the order of the offsets; doorbells come last, as write-only registers.

#include <cstdint>
#include <span>
#include <string_view>

#include "uiovfio/register.hpp"

namespace pcienic {

struct EnumInfo {
    std::string_view name;
    std::uint64_t value;
    std::string_view doc;
};

struct FieldInfo {
    std::string_view name;
    unsigned lsb;
    unsigned msb;
    uiovfio::Access access;
    std::string_view doc;
    std::span<const EnumInfo> enums;

    constexpr unsigned width() const { return msb - lsb + 1; }
    constexpr std::uint64_t max() const { return ~std::uint64_t{0} >> (64 - width()); }
    constexpr std::uint64_t mask() const { return max() << lsb; }
};

struct RegisterInfo {
    std::string_view name;
    std::uint64_t offset;
    unsigned width;  ///< bits of one element
    unsigned count;  ///< elements; 1 where the register is no array
    uiovfio::Access access;
    std::uint64_t reset;
    bool reset_from_property;  ///< a device property decides the reset value; reset is 0 here
    bool sticky;               ///< kept over a function-level reset and a software reset
    bool is_volatile;          ///< the device changes it by itself
    std::uint64_t defined;     ///< bits that are not reserved
    std::string_view doc;
    std::span<const FieldInfo> fields;  ///< from the lowest bit up

    constexpr unsigned bytes() const { return width / 8; }
    constexpr std::uint64_t mask_of(uiovfio::Access kind) const {
        if (fields.empty()) return access == kind ? defined : 0;
        std::uint64_t mask = 0;
        for (const FieldInfo& field : fields) mask |= field.access == kind ? field.mask() : 0;
        return mask;
    }
};

namespace detail {
inline constexpr FieldInfo kVersionFields[] = {
    {"PATCH", 0, 7, uiovfio::Access::ro, "Patch level.", {}},
    {"MINOR", 8, 15, uiovfio::Access::ro, "Minor version.", {}},
    {"MAJOR", 16, 31, uiovfio::Access::ro, "Major version; a driver refuses one that it does not know.", {}},
};
inline constexpr FieldInfo kFeaturesFields[] = {
    {"DMA", 0, 0, uiovfio::Access::ro, "There is a DMA engine.", {}},
    {"FILL", 1, 1, uiovfio::Access::ro, "The DMA engine fills memory with a pattern.", {}},
    {"SG", 2, 2, uiovfio::Access::ro, "Descriptors may name scatter-gather lists.", {}},
    {"MEMORY", 3, 3, uiovfio::Access::ro, "There is device memory in BAR4.", {}},
};
inline constexpr FieldInfo kCtrlFields[] = {
    {"RESET", 0, 0, uiovfio::Access::rw1s, "Software reset: registers to their reset values (sticky ones kept), DMA cancelled, nothing of configuration space touched. Complete when it reads 0, which is at once.", {}},
};
inline constexpr FieldInfo kStatusFields[] = {
    {"READY", 0, 0, uiovfio::Access::ro, "Out of reset.", {}},
    {"DMA_BUSY", 1, 1, uiovfio::Access::ro, "The DMA engine has work that it knows of.", {}},
    {"ERROR", 2, 2, uiovfio::Access::ro, "ERR_STATUS.VALID is set.", {}},
    {"BUS_MASTER", 3, 3, uiovfio::Access::ro, "The Bus Master bit of the command register is set: the device may use DMA and send messages.", {}},
};
inline constexpr FieldInfo kVectorsFields[] = {
    {"COUNT", 0, 11, uiovfio::Access::ro, "1 to 2048.", {}},
};
inline constexpr EnumInfo kIrqStatusModeEnums[] = {EnumInfo{"INTX", 0, ""}, EnumInfo{"MSI", 1, ""}, EnumInfo{"MSIX", 2, ""}};
inline constexpr FieldInfo kIrqStatusFields[] = {
    {"MODE", 0, 1, uiovfio::Access::ro, "Delivery in force.", kIrqStatusModeEnums},
    {"ENABLED", 16, 27, uiovfio::Access::ro, "Vectors that the driver enabled: 1 with INTx (all vectors share the line), 1 to 32 with MSI, VECTORS.COUNT with MSI-X.", {}},
};
inline constexpr FieldInfo kErrStatusFields[] = {
    {"VALID", 0, 0, uiovfio::Access::rw1c, "An error is latched; ERR_CODE and ERR_INFO describe it. Writing 1 frees the latch.", {}},
    {"OVERFLOW", 1, 1, uiovfio::Access::rw1c, "Further errors came while one was latched.", {}},
};
inline constexpr EnumInfo kErrCodeCodeEnums[] = {EnumInfo{"NONE", 0, "Nothing latched."}, EnumInfo{"BAD_OFFSET", 1, "Access to an offset that holds no register; ERR_INFO is the offset."}, EnumInfo{"READ_ONLY", 2, "Write to a read-only register; ERR_INFO is the offset."}, EnumInfo{"BAD_VECTOR", 3, "A vector that the device lacks or the driver has not enabled; ERR_INFO is the vector."}, EnumInfo{"BAD_CONFIG", 4, "The DMA engine was enabled with a ring that breaks the rules; ERR_INFO is the offset of the offending register."}, EnumInfo{"LOCKED", 5, "Write to a ring register while the DMA engine is enabled; ERR_INFO is the offset."}, EnumInfo{"DESCRIPTOR_FAULT", 6, "A descriptor could not be read; ERR_INFO is its address; the queue has stopped."}, EnumInfo{"COMPLETION_FAULT", 7, "A completion could not be written; ERR_INFO is its address; the queue has stopped."}, EnumInfo{"BAD_VALUE", 8, "A write set reserved bits; they were ignored; ERR_INFO is the offset."}};
inline constexpr FieldInfo kErrCodeFields[] = {
    {"CODE", 0, 7, uiovfio::Access::ro, "What went wrong.", kErrCodeCodeEnums},
};
inline constexpr FieldInfo kDmaCtrlFields[] = {
    {"ENABLE", 0, 0, uiovfio::Access::rw, "Setting it checks the ring registers and starts the queue at index 0 with phase 1; it stays 0 if they break the rules (BAD_CONFIG). Clearing it stops the queue and drops what is in flight, without a completion.", {}},
};
inline constexpr EnumInfo kDmaStatusStateEnums[] = {EnumInfo{"DISABLED", 0, ""}, EnumInfo{"IDLE", 1, ""}, EnumInfo{"BUSY", 2, ""}, EnumInfo{"STOPPED", 3, ""}};
inline constexpr FieldInfo kDmaStatusFields[] = {
    {"STATE", 0, 1, uiovfio::Access::ro, "State of the queue.", kDmaStatusStateEnums},
    {"HEAD", 16, 27, uiovfio::Access::ro, "Index of the next descriptor that the device will read.", {}},
};
inline constexpr FieldInfo kDmaRingSizeFields[] = {
    {"LOG2", 0, 3, uiovfio::Access::rw, "Binary logarithm of the number of entries, 1 to 12.", {}},
};
inline constexpr RegisterInfo kRegisterRows[] = {
    {"ID", 0x0, 32, 1, uiovfio::Access::ro, 0x6e696370ull, false, false, false, 0xffffffffull, "Identifies the register block; a driver that reads anything else is not talking to a pcienic.", {}},
    {"VERSION", 0x4, 32, 1, uiovfio::Access::ro, 0x10000ull, false, false, false, 0xffffffffull, "Version of this register interface; minor versions only add.", kVersionFields},
    {"FEATURES", 0x8, 64, 1, uiovfio::Access::ro, 0xfull, false, false, false, 0xfull, "What this device can do.", kFeaturesFields},
    {"SCRATCH", 0x10, 32, 1, uiovfio::Access::rw, 0x0ull, false, true, false, 0xffffffffull, "Holds what was written; for bring-up, and for telling that a value lasts from one process to the next.", {}},
    {"SCRATCH64", 0x18, 64, 1, uiovfio::Access::rw, 0x0ull, false, true, false, 0xffffffffffffffffull, "As SCRATCH, 64 bits wide.", {}},
    {"CTRL", 0x20, 32, 1, uiovfio::Access::rw, 0x0ull, false, false, false, 0x1ull, "Control of the whole function.", kCtrlFields},
    {"STATUS", 0x24, 32, 1, uiovfio::Access::ro, 0x1ull, false, false, true, 0xfull, "State of the whole function.", kStatusFields},
    {"VECTORS", 0x28, 32, 1, uiovfio::Access::ro, 0x0ull, true, false, false, 0xfffull, "Number of interrupt vectors that the device was built with (property vectors).", kVectorsFields},
    {"IRQ_STATUS", 0x2c, 32, 1, uiovfio::Access::ro, 0x10000ull, false, false, true, 0xfff0003ull, "How interrupts reach the driver now.", kIrqStatusFields},
    {"MEMORY_SIZE", 0x30, 64, 1, uiovfio::Access::ro, 0x0ull, true, false, false, 0xffffffffffffffffull, "Bytes of device memory in BAR4 (property memory-size).", {}},
    {"ERR_STATUS", 0x40, 32, 1, uiovfio::Access::rw1c, 0x0ull, false, false, true, 0x3ull, "State of the error latch. It holds the first error until VALID is cleared.", kErrStatusFields},
    {"ERR_CODE", 0x44, 32, 1, uiovfio::Access::ro, 0x0ull, false, false, true, 0xffull, "The latched error.", kErrCodeFields},
    {"ERR_INFO", 0x48, 64, 1, uiovfio::Access::ro, 0x0ull, false, false, true, 0xffffffffffffffffull, "The offset, vector or address that belongs to ERR_CODE.", {}},
    {"IRQ_TEST", 0x100, 32, 1, uiovfio::Access::wo, 0x0ull, false, false, false, 0xffffffffull, "Writing a vector's number raises that vector as if the device had cause to.", {}},
    {"IRQ_CAUSE", 0x200, 32, 64, uiovfio::Access::rw1c, 0x0ull, false, false, true, 0xffffffffull, "Bit v % 32 of element v / 32: vector v was raised. A message (MSI, MSI-X) that leaves the device takes its bit with it; with INTx, or while IRQ_MASK holds the vector back, the bit stays until it is cleared here. Bits of vectors that the device lacks are reserved.", {}},
    {"IRQ_MASK", 0x300, 32, 64, uiovfio::Access::rw, 0x0ull, false, false, false, 0xffffffffull, "Bit v % 32 of element v / 32: hold vector v back. Clearing the bit while the cause is set sends the message. Bits of vectors that the device lacks are reserved.", {}},
    {"DMA_CTRL", 0x400, 32, 1, uiovfio::Access::rw, 0x0ull, false, false, false, 0x1ull, "Control of the DMA engine.", kDmaCtrlFields},
    {"DMA_STATUS", 0x404, 32, 1, uiovfio::Access::ro, 0x0ull, false, false, true, 0xfff0003ull, "State of the DMA engine.", kDmaStatusFields},
    {"DMA_RING_BASE", 0x408, 64, 1, uiovfio::Access::rw, 0x0ull, false, false, false, 0xffffffffffffffffull, "Bus address (IOVA) of the descriptor ring, aligned to 64 bytes. Locked while DMA_CTRL.ENABLE is set.", {}},
    {"DMA_COMPLETION_BASE", 0x410, 64, 1, uiovfio::Access::rw, 0x0ull, false, false, false, 0xffffffffffffffffull, "Bus address (IOVA) of the completion ring, aligned to 64 bytes; it has as many entries as the descriptor ring. Locked while DMA_CTRL.ENABLE is set.", {}},
    {"DMA_RING_SIZE", 0x418, 32, 1, uiovfio::Access::rw, 0x0ull, false, false, false, 0xfull, "Size of both rings. Locked while DMA_CTRL.ENABLE is set.", kDmaRingSizeFields},
    {"DMA_COMPLETED", 0x420, 64, 1, uiovfio::Access::ro, 0x0ull, false, false, true, 0xffffffffffffffffull, "Completions written since the engine was enabled.", {}},
    {"DMA_DOORBELL", 0x1000, 32, 1, uiovfio::Access::wo, 0x0ull, false, false, false, 0xffffffffull, "A write makes the device look at the descriptor ring. The value is ignored: indices and ownership live in memory. Write 4 bytes: 8 bytes are two writes, the second of which meets no register and is latched as BAD_OFFSET.", {}},
};
}  // namespace detail

inline constexpr std::span<const RegisterInfo> kRegisters{detail::kRegisterRows};

}  // namespace pcienic
