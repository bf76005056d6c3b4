// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A pcienic device without a machine: the device's own logic, run in this process.
///
/// It behaves as the one in QEMU: same registers, capabilities, MSI-X table with mask and pending bits, DMA through an
/// IOMMU of its own (addresses that are not mapped fault), and a thread that stands for the device's bottom half.
/// BARs cannot be mapped: Bar::map() fails with not_mappable and Window goes through the backend.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "uiovfio/device.hpp"

namespace uiovfio {

/// What the device is like.
struct SimOptions {
    /// Where the device says it is.
    Bdf bdf = {0, 0, 1, 0};
    /// MSI-X vectors, 1 to 2048. MSI has as many, rounded down to a power of two, at most 32.
    unsigned vectors = 32;
    /// Bytes of device memory, a power of two from 4 KiB.
    std::size_t memory_size = std::size_t{16} << 20;
    /// A vector whose messages are lost, so that tests of tests can see one go missing.
    std::optional<unsigned> drop_vector = {};
    /// Whether the kernel adds MSI-X vectors to those in use, as Linux 6.5 and later do.
    bool adds_vectors = true;
    /// Vectors that the kernel has left to give.
    unsigned kernel_vectors = 2048;
    /// Bits of bus addresses that the IOMMU translates: 39 or 48.
    unsigned address_width = 48;
    /// As the kernel's dma_entry_limit.
    unsigned max_mappings = 65535;
    /// Bytes that may be mapped, as RLIMIT_MEMLOCK would have it.
    std::optional<std::uint64_t> memory_lock_limit = {};
    /// A device without function-level reset.
    bool can_reset = true;
    /// Whether open_sim sets the Bus Master bit.
    bool bus_master = true;
    /// As OpenOptions::trace.
    TraceOptions trace = {};
};

/// Makes a device and opens it. Throws invalid_argument.
Device open_sim(const SimOptions& options = {});
Device open_sim(const SimOptions& options, std::error_code& ec) noexcept;

/// What the world around a simulated device can do to it; `device` comes from open_sim, or all do nothing.
namespace sim {

/// Takes the device out of its slot: reads give all ones, everything else fails with device_gone. The kernel notices,
/// and raises DeviceEvent::removal_request.
void surprise_remove(const Device& device) noexcept;

/// The kernel wants the device back: raises DeviceEvent::removal_request.
void request_removal(const Device& device) noexcept;
/// The link reports an uncorrectable error: raises DeviceEvent::error.
void report_error(const Device& device) noexcept;

/// DMA accesses to addresses that were not mapped for them, since the device was made.
std::uint64_t iommu_faults(const Device& device) noexcept;

/// The next unmap of the device's IOMMU removes nothing, as a kernel does that knows of no such mapping.
void fail_next_unmap(const Device& device) noexcept;

/// Waits until the device has done all that it has to do, and is quiet until it is told something new. False when it
/// was still at work after `patience`.
bool settle(const Device& device, std::chrono::nanoseconds patience) noexcept;

}  // namespace sim

}  // namespace uiovfio
