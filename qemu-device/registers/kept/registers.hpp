// SPDX-License-Identifier: MIT
// Generated from qemu-device/registers/pcienic.yaml; do not edit.
#pragma once

// The pcienic's registers as types, its structures in memory, and its constants.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "uiovfio/register.hpp"

namespace pcienic {

inline constexpr std::uint32_t kVendorId = 0x1af4u;
inline constexpr std::uint32_t kDeviceId = 0x10f2u;
inline constexpr std::uint32_t kSubsystemVendorId = 0x1af4u;
inline constexpr std::uint32_t kSubsystemId = 0x5043u;
inline constexpr std::uint32_t kRevision = 0x1u;
inline constexpr std::uint32_t kVersionMajor = 0x1u;
inline constexpr std::uint32_t kVersionMinor = 0x0u;
inline constexpr std::uint32_t kVersionPatch = 0x0u;
inline constexpr std::uint32_t kMaxVectors = 0x800u;
inline constexpr std::uint32_t kMaxMsiVectors = 0x20u;
inline constexpr std::uint32_t kRingMinLog2 = 0x1u;
inline constexpr std::uint32_t kRingMaxLog2 = 0xcu;
inline constexpr std::uint32_t kRingAlignment = 0x40u;
inline constexpr std::uint32_t kMaxSgEntries = 0x100u;
inline constexpr std::uint32_t kClassCode = 0x20000u;
inline constexpr unsigned kBarRegisters = 0;  // Registers in page 0, then one page for each doorbell.
inline constexpr std::uint64_t kBarRegistersBytes = 0x10000ull;
inline constexpr unsigned kBarMsix = 2;  // MSI-X table and pending-bit array, in a BAR of their own so that no register page is lost to them.
inline constexpr unsigned kBarMemory = 4;  // Device memory, backed by RAM; its size is the property memory-size.

namespace vendor_capability {
inline constexpr unsigned kSize = 24;
inline constexpr unsigned kVersion = 0x1u;
inline constexpr unsigned kCapIdOffset = 0;  // Vendor-specific.
inline constexpr unsigned kNextOffset = 1;  // Next capability.
inline constexpr unsigned kLengthOffset = 2;  // Bytes of this capability.
inline constexpr unsigned kVersionOffset = 3;  // Version of this layout.
inline constexpr unsigned kRegisterBarOffset = 4;  // BAR of the register block.
inline constexpr unsigned kMemoryBarOffset = 5;  // BAR of the device memory.
inline constexpr unsigned kMsixBarOffset = 6;  // BAR of the MSI-X table and PBA.
inline constexpr unsigned kDoorbellsOffset = 7;  // Number of doorbells.
inline constexpr unsigned kRegisterOffsetOffset = 8;  // Offset of the register block in its BAR.
inline constexpr unsigned kDoorbellOffsetOffset = 12;  // Offset of the first doorbell in the register BAR.
inline constexpr unsigned kDoorbellStrideOffset = 16;  // Bytes from one doorbell to the next.
inline constexpr unsigned kVectorsOffset = 20;  // Vectors, as VECTORS.COUNT.
inline constexpr unsigned kReservedOffset = 22;  // 0.
}  // namespace vendor_capability

namespace dvsec {
inline constexpr unsigned kSize = 20;
inline constexpr unsigned kVendor = 0x1af4u;
inline constexpr unsigned kRevision = 0x1u;
inline constexpr unsigned kId = 0x1u;
inline constexpr unsigned kFeaturesOffset = 12;  // Low half of the FEATURES register, for software that looks only at configuration space.
inline constexpr unsigned kNoteOffset = 16;  // The driver's; kept over a function-level reset and a hot reset.
}  // namespace dvsec

namespace regs {

/// Identifies the register block; a driver that reads anything else is not talking to a pcienic.
struct Id : uiovfio::Register<0x000, std::uint32_t, uiovfio::Access::ro> {};

/// Version of this register interface; minor versions only add.
struct Version : uiovfio::Register<0x004, std::uint32_t, uiovfio::Access::ro> {
    /// Patch level.
    using Patch = uiovfio::Field<Version, 0, 7, uiovfio::Access::ro, std::uint32_t>;
    /// Minor version.
    using Minor = uiovfio::Field<Version, 8, 15, uiovfio::Access::ro, std::uint32_t>;
    /// Major version; a driver refuses one that it does not know.
    using Major = uiovfio::Field<Version, 16, 31, uiovfio::Access::ro, std::uint32_t>;
};

/// What this device can do.
struct Features : uiovfio::Register<0x008, std::uint64_t, uiovfio::Access::ro> {
    /// There is a DMA engine.
    using Dma = uiovfio::Field<Features, 0, 0, uiovfio::Access::ro, bool>;
    /// The DMA engine fills memory with a pattern.
    using Fill = uiovfio::Field<Features, 1, 1, uiovfio::Access::ro, bool>;
    /// Descriptors may name scatter-gather lists.
    using Sg = uiovfio::Field<Features, 2, 2, uiovfio::Access::ro, bool>;
    /// There is device memory in BAR4.
    using Memory = uiovfio::Field<Features, 3, 3, uiovfio::Access::ro, bool>;
};

/// Holds what was written; for bring-up, and for telling that a value lasts from one process to the next.
struct Scratch : uiovfio::Register<0x010, std::uint32_t, uiovfio::Access::rw> {};

/// As SCRATCH, 64 bits wide.
struct Scratch64 : uiovfio::Register<0x018, std::uint64_t, uiovfio::Access::rw> {};

/// Control of the whole function.
struct Ctrl : uiovfio::Register<0x020, std::uint32_t, uiovfio::Access::rw, 0x1u> {
    /// Software reset: registers to their reset values (sticky ones kept), DMA cancelled, nothing of configuration space touched. Complete when it reads 0, which is at once.
    using Reset = uiovfio::Field<Ctrl, 0, 0, uiovfio::Access::rw1s, bool>;
};

/// State of the whole function.
struct Status : uiovfio::Register<0x024, std::uint32_t, uiovfio::Access::ro> {
    /// Out of reset.
    using Ready = uiovfio::Field<Status, 0, 0, uiovfio::Access::ro, bool>;
    /// The DMA engine has work that it knows of.
    using DmaBusy = uiovfio::Field<Status, 1, 1, uiovfio::Access::ro, bool>;
    /// ERR_STATUS.VALID is set.
    using Error = uiovfio::Field<Status, 2, 2, uiovfio::Access::ro, bool>;
    /// The Bus Master bit of the command register is set: the device may use DMA and send messages.
    using BusMaster = uiovfio::Field<Status, 3, 3, uiovfio::Access::ro, bool>;
};

/// Number of interrupt vectors that the device was built with (property vectors).
struct Vectors : uiovfio::Register<0x028, std::uint32_t, uiovfio::Access::ro> {
    /// 1 to 2048.
    using Count = uiovfio::Field<Vectors, 0, 11, uiovfio::Access::ro, std::uint32_t>;
};

/// How interrupts reach the driver now.
struct IrqStatus : uiovfio::Register<0x02c, std::uint32_t, uiovfio::Access::ro> {
    enum class ModeValue : std::uint32_t {
        kIntx = 0,
        kMsi = 1,
        kMsix = 2,
    };
    /// Delivery in force.
    using Mode = uiovfio::Field<IrqStatus, 0, 1, uiovfio::Access::ro, ModeValue>;
    /// Vectors that the driver enabled: 1 with INTx (all vectors share the line), 1 to 32 with MSI, VECTORS.COUNT with MSI-X.
    using Enabled = uiovfio::Field<IrqStatus, 16, 27, uiovfio::Access::ro, std::uint32_t>;
};

/// Bytes of device memory in BAR4 (property memory-size).
struct MemorySize : uiovfio::Register<0x030, std::uint64_t, uiovfio::Access::ro> {};

/// State of the error latch. It holds the first error until VALID is cleared.
struct ErrStatus : uiovfio::Register<0x040, std::uint32_t, uiovfio::Access::rw1c> {
    /// An error is latched; ERR_CODE and ERR_INFO describe it. Writing 1 frees the latch.
    using Valid = uiovfio::Field<ErrStatus, 0, 0, uiovfio::Access::rw1c, bool>;
    /// Further errors came while one was latched.
    using Overflow = uiovfio::Field<ErrStatus, 1, 1, uiovfio::Access::rw1c, bool>;
};

/// The latched error.
struct ErrCode : uiovfio::Register<0x044, std::uint32_t, uiovfio::Access::ro> {
    enum class CodeValue : std::uint32_t {
        kNone = 0,  ///< Nothing latched.
        kBadOffset = 1,  ///< Access to an offset that holds no register; ERR_INFO is the offset.
        kReadOnly = 2,  ///< Write to a read-only register; ERR_INFO is the offset.
        kBadVector = 3,  ///< A vector that the device lacks or the driver has not enabled; ERR_INFO is the vector.
        kBadConfig = 4,  ///< The DMA engine was enabled with a ring that breaks the rules; ERR_INFO is the offset of the offending register.
        kLocked = 5,  ///< Write to a ring register while the DMA engine is enabled; ERR_INFO is the offset.
        kDescriptorFault = 6,  ///< A descriptor could not be read; ERR_INFO is its address; the queue has stopped.
        kCompletionFault = 7,  ///< A completion could not be written; ERR_INFO is its address; the queue has stopped.
        kBadValue = 8,  ///< A write set reserved bits; they were ignored; ERR_INFO is the offset.
    };
    /// What went wrong.
    using Code = uiovfio::Field<ErrCode, 0, 7, uiovfio::Access::ro, CodeValue>;
};

/// The offset, vector or address that belongs to ERR_CODE.
struct ErrInfo : uiovfio::Register<0x048, std::uint64_t, uiovfio::Access::ro> {};

/// Writing a vector's number raises that vector as if the device had cause to.
struct IrqTest : uiovfio::Register<0x100, std::uint32_t, uiovfio::Access::wo> {};

/// Bit v % 32 of element v / 32: vector v was raised. A message (MSI, MSI-X) that leaves the device takes its bit with it; with INTx, or while IRQ_MASK holds the vector back, the bit stays until it is cleared here. Bits of vectors that the device lacks are reserved.
struct IrqCause : uiovfio::RegisterArray<0x200, std::uint32_t, 64, uiovfio::Access::rw1c> {};

/// Bit v % 32 of element v / 32: hold vector v back. Clearing the bit while the cause is set sends the message. Bits of vectors that the device lacks are reserved.
struct IrqMask : uiovfio::RegisterArray<0x300, std::uint32_t, 64, uiovfio::Access::rw> {};

/// Control of the DMA engine.
struct DmaCtrl : uiovfio::Register<0x400, std::uint32_t, uiovfio::Access::rw> {
    /// Setting it checks the ring registers and starts the queue at index 0 with phase 1; it stays 0 if they break the rules (BAD_CONFIG). Clearing it stops the queue and drops what is in flight, without a completion.
    using Enable = uiovfio::Field<DmaCtrl, 0, 0, uiovfio::Access::rw, bool>;
};

/// State of the DMA engine.
struct DmaStatus : uiovfio::Register<0x404, std::uint32_t, uiovfio::Access::ro> {
    enum class StateValue : std::uint32_t {
        kDisabled = 0,
        kIdle = 1,
        kBusy = 2,
        kStopped = 3,
    };
    /// State of the queue.
    using State = uiovfio::Field<DmaStatus, 0, 1, uiovfio::Access::ro, StateValue>;
    /// Index of the next descriptor that the device will read.
    using Head = uiovfio::Field<DmaStatus, 16, 27, uiovfio::Access::ro, std::uint32_t>;
};

/// Bus address (IOVA) of the descriptor ring, aligned to 64 bytes. Locked while DMA_CTRL.ENABLE is set.
struct DmaRingBase : uiovfio::Register<0x408, std::uint64_t, uiovfio::Access::rw> {};

/// Bus address (IOVA) of the completion ring, aligned to 64 bytes; it has as many entries as the descriptor ring. Locked while DMA_CTRL.ENABLE is set.
struct DmaCompletionBase : uiovfio::Register<0x410, std::uint64_t, uiovfio::Access::rw> {};

/// Size of both rings. Locked while DMA_CTRL.ENABLE is set.
struct DmaRingSize : uiovfio::Register<0x418, std::uint32_t, uiovfio::Access::rw> {
    /// Binary logarithm of the number of entries, 1 to 12.
    using Log2 = uiovfio::Field<DmaRingSize, 0, 3, uiovfio::Access::rw, std::uint32_t>;
};

/// Completions written since the engine was enabled.
struct DmaCompleted : uiovfio::Register<0x420, std::uint64_t, uiovfio::Access::ro> {};

/// A write makes the device look at the descriptor ring. The value is ignored: indices and ownership live in memory. Write 4 bytes: 8 bytes are two writes, the second of which meets no register and is latched as BAD_OFFSET.
struct DmaDoorbell : uiovfio::Register<0x1000, std::uint32_t, uiovfio::Access::wo> {};

}  // namespace regs

/// A command to the DMA engine. The driver writes every other word first and CONTROL last, with a release store: its PHASE says that the descriptor is the device's. PHASE of the first lap is 1, and turns with each lap.
struct Descriptor {
    std::uint64_t source;  ///< Where from: a bus address, an offset in device memory, the address of a scatter-gather list (SOURCE_SG), or the fill pattern: 8 bytes, the lowest first, repeated.
    std::uint64_t destination;  ///< Where to: a bus address, an offset in device memory, or the address of a scatter-gather list (DESTINATION_SG).
    std::uint32_t length;  ///< Bytes to move, at least 1.
    std::uint32_t tag;  ///< The driver's; comes back in the completion.
    std::uint32_t sg_count;  ///< Entries of the scatter-gather lists; 0 where there is none.
    std::uint32_t control;  ///< What to do.

    /// The word sg_count as fields: SgCount::Value{}.set<SgCount::Source>(...).raw().
    struct SgCount {
        using Value = uiovfio::RegisterValue<SgCount, std::uint32_t>;
        /// Entries of the source's list, 1 to 256.
        using Source = uiovfio::Field<SgCount, 0, 15, uiovfio::Access::rw, std::uint32_t>;
        /// Entries of the destination's list, 1 to 256.
        using Destination = uiovfio::Field<SgCount, 16, 31, uiovfio::Access::rw, std::uint32_t>;
    };

    /// The word control as fields: Control::Value{}.set<Control::Opcode>(...).raw().
    struct Control {
        using Value = uiovfio::RegisterValue<Control, std::uint32_t>;
        enum class OpcodeValue : std::uint32_t {
            kNop = 0,
            kHostToDevice = 1,
            kDeviceToHost = 2,
            kHostToHost = 3,
            kFillHost = 4,
            kFillDevice = 5,
        };
        /// The operation.
        using Opcode = uiovfio::Field<Control, 0, 7, uiovfio::Access::rw, OpcodeValue>;
        /// SOURCE is the address of a scatter-gather list (only where the source is in host memory).
        using SourceSg = uiovfio::Field<Control, 8, 8, uiovfio::Access::rw, bool>;
        /// DESTINATION is the address of a scatter-gather list (only where the destination is in host memory).
        using DestinationSg = uiovfio::Field<Control, 9, 9, uiovfio::Access::rw, bool>;
        /// Raise VECTOR after the completion is written.
        using Interrupt = uiovfio::Field<Control, 10, 10, uiovfio::Access::rw, bool>;
        /// The vector to raise.
        using Vector = uiovfio::Field<Control, 16, 27, uiovfio::Access::rw, std::uint32_t>;
        /// Whose the descriptor is.
        using Phase = uiovfio::Field<Control, 31, 31, uiovfio::Access::rw, bool>;
    };
};
static_assert(sizeof(Descriptor) == 32 && std::is_trivially_copyable_v<Descriptor>);
static_assert(offsetof(Descriptor, source) == 0);
static_assert(offsetof(Descriptor, destination) == 8);
static_assert(offsetof(Descriptor, length) == 16);
static_assert(offsetof(Descriptor, tag) == 20);
static_assert(offsetof(Descriptor, sg_count) == 24);
static_assert(offsetof(Descriptor, control) == 28);

/// One piece of a scatter-gather list in host memory. The pieces are used in order; together they hold at least LENGTH bytes.
struct ScatterEntry {
    std::uint64_t address;  ///< Bus address.
    std::uint32_t length;  ///< Bytes, at least 1.
    std::uint32_t reserved;  ///< 0.
};
static_assert(sizeof(ScatterEntry) == 16 && std::is_trivially_copyable_v<ScatterEntry>);
static_assert(offsetof(ScatterEntry, address) == 0);
static_assert(offsetof(ScatterEntry, length) == 8);
static_assert(offsetof(ScatterEntry, reserved) == 12);

/// What became of a descriptor. The device writes STATUS last, as one 4-byte store: its PHASE, which turns with each lap as the descriptor's does, says that the entry is new.
struct Completion {
    std::uint64_t detail;  ///< OK: bytes moved. Faults: the bus address that failed. DEVICE_RANGE: the offset that the descriptor named. Otherwise 0.
    std::uint32_t tag;  ///< The descriptor's TAG.
    std::uint32_t status;  ///< The outcome.

    /// The word status as fields: Status::Value{}.set<Status::Code>(...).raw().
    struct Status {
        using Value = uiovfio::RegisterValue<Status, std::uint32_t>;
        enum class CodeValue : std::uint32_t {
            kOk = 0,  ///< Done; DETAIL is the number of bytes moved.
            kBadOpcode = 1,  ///< The opcode is none of the list.
            kZeroLength = 2,  ///< LENGTH is 0 (NOP excepted).
            kDeviceRange = 3,  ///< Beyond the end of device memory.
            kSourceFault = 4,  ///< The source could not be read: not mapped by the IOMMU, or not memory.
            kDestinationFault = 5,  ///< The destination could not be written.
            kSgFault = 6,  ///< A scatter-gather list could not be read.
            kBadSg = 7,  ///< A list with 0 or too many entries, an empty entry, one shorter than LENGTH, or entries without a list.
            kBadFlags = 8,  ///< Reserved bits set, in CONTROL or in a list, or a scatter-gather flag where there is no host side.
            kBadVector = 9,  ///< INTERRUPT names a vector that the device lacks; the command was not run.
        };
        /// The outcome.
        using Code = uiovfio::Field<Status, 0, 7, uiovfio::Access::rw, CodeValue>;
        /// Index of the descriptor in its ring.
        using Index = uiovfio::Field<Status, 8, 19, uiovfio::Access::rw, std::uint32_t>;
        /// Says that the entry is new.
        using Phase = uiovfio::Field<Status, 31, 31, uiovfio::Access::rw, bool>;
    };
};
static_assert(sizeof(Completion) == 16 && std::is_trivially_copyable_v<Completion>);
static_assert(offsetof(Completion, detail) == 0);
static_assert(offsetof(Completion, tag) == 8);
static_assert(offsetof(Completion, status) == 12);

}  // namespace pcienic
