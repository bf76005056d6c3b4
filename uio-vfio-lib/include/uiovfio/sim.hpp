// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A pcienic device without a machine: the device's own logic, run in this process.
///
/// It behaves as the one in QEMU does when opened through VFIO: same registers, capabilities, MSI-X table with
/// mask and pending bits, DMA through an IOMMU of its own (addresses that are not mapped fault), and a thread that
/// stands for the device's bottom half. In D3hot its BARs do not answer, and work, messages and INTx wait for D0; bit
/// 15 of device control resets it, and leaves configuration space as it was but for the power state.
///
/// What is different:
/// - BARs cannot be mapped: Bar::map() fails with not_mappable and Window goes through the backend.
/// - It never has an error to report: the status registers of device status and AER read 0. The mask of uncorrectable
///   errors can be written, as the specification has it; in QEMU 7.2 it reads 0.
/// - The Interrupt Status bit of the status register reads 0.
/// - There is no link, and no slot: their registers do not change, and what happens to them is done by the functions of
///   namespace sim. Device control 2 is not there.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "uiovfio/device.hpp"

namespace uiovfio {

/// What the device is like.
struct SimOptions {
    /// Where the device says it is.
    Bdf bdf = {0, 0, 1, 0};
    /// MSI-X vectors, 1 to 2048. MSI has as many, rounded down to a power of two, at most 32.
    unsigned vectors = 32;
    /// Bytes of device memory, a power of two from 4 KiB to 4 GiB. What is not written to takes no memory.
    std::size_t memory_size = std::size_t{16} << 20;
    /// A vector whose messages are lost, so that tests of tests can see one go missing.
    std::optional<unsigned> drop_vector = {};
    /// Whether the kernel adds MSI-X vectors to those in use, as Linux 6.5 and later do.
    bool adds_vectors = true;
    /// Vectors that the kernel has left to give.
    unsigned kernel_vectors = 2048;
    /// Bits of bus addresses that the IOMMU translates: 39 or 48.
    unsigned address_width = 48;
    /// False for an IOMMU that takes every mapping and translates nothing: the device then reaches all of memory by its
    /// physical addresses, of which there are those that sim::physical_address() gives.
    bool translates = true;
    /// As the kernel's dma_entry_limit.
    unsigned max_mappings = 65535;
    /// Bytes that may be mapped, as RLIMIT_MEMLOCK would have it.
    std::optional<std::uint64_t> memory_lock_limit = {};
    /// False for a device that cannot be reset: then opening it has not reset it either (Device::was_reset()), and
    /// bus mastering is the driver's to turn on.
    bool can_reset = true;
    /// As OpenOptions::bus_master.
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

/// The physical address of a page of this process, which the machine then has for as long as the device is open: the
/// memory must outlive that. For the same page always the same; 0 for a device that is not simulated.
std::uint64_t physical_address(const Device& device, std::span<std::byte> page);

/// The next unmap of the device's IOMMU removes nothing, as a kernel does that knows of no such mapping.
void fail_next_unmap(const Device& device) noexcept;

/// Waits until the device has done all that it has to do, and is quiet until it is told something new. False when it
/// was still at work after `patience`.
bool settle(const Device& device, std::chrono::nanoseconds patience) noexcept;

}  // namespace sim

}  // namespace uiovfio
