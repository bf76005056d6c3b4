// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The driver of the pcienic device, on the library's public interface alone, so that it doubles as an example of one.
///
///     uiovfio::Device device = uiovfio::Device::open(uiovfio::Bdf::parse("01:00.0"));
///     pcienic::Driver driver(device);
///     driver.enable_interrupts(uiovfio::InterruptMode::msix);
///     driver.fire(5);
///     device.interrupts().wait(5, 1s);
///
/// Nothing here allocates after construction. The calls that change a bit of a mask register read it, change it and
/// write it back: they, and a DmaEngine, want one thread at a time. fire() may come from any thread.

#include <cstdint>
#include <optional>
#include <string>

#include "pcienic/dma.hpp"
#include "pcienic/error.hpp"
#include "pcienic/registers.hpp"
#include "uiovfio/bar.hpp"
#include "uiovfio/device.hpp"
#include "uiovfio/interrupts.hpp"
#include "uiovfio/window.hpp"

namespace pcienic {

/// Of the register interface: another major number is another interface.
struct Version {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;
};
/// "1.0.0".
std::string to_string(const Version&);

/// What the device says of itself.
struct Identity {
    Version version;
    bool dma = false;
    bool fill = false;
    bool scatter_gather = false;
    bool memory = false;
    unsigned vectors = 0;
    std::uint64_t memory_size = 0;
};

/// Where the vendor capability says that things are.
struct Layout {
    unsigned register_bar = 0;
    unsigned memory_bar = 0;
    unsigned msix_bar = 0;
    std::uint32_t register_offset = 0;
    unsigned doorbells = 0;
    std::uint32_t doorbell_offset = 0;
    std::uint32_t doorbell_stride = 0;
};

/// Enables as many vectors as the device has, `at_most` so many, and where the kernel has fewer to give, half as many
/// until it does. Returns how many those are. For any device.
unsigned enable_granted(uiovfio::Interrupts& interrupts, uiovfio::InterruptMode mode, unsigned at_most);

/// The driver of an open pcienic. Registers are the device's own: functions that read and write them want one thread,
/// or an order that the callers arrange; fire() and ring_doorbell() are single stores, for any thread.
class Driver {
  public:
    /// Finds the registers and identifies the device. One that opening has not reset (uiovfio::Device::was_reset()),
    /// and that is no bus master yet, is reset() and then made one, where the backend has use for that: also with
    /// OpenOptions::bus_master false, which is about what opening does. Throws
    /// Errc::not_a_pcienic, unsupported_version, bad_layout or reset_failed. The device must outlive the driver.
    explicit Driver(uiovfio::Device& device);
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    /// Reads the identity again, with the same checks.
    Identity identify();
    /// What was found when it was last asked.
    const Identity& identity() const noexcept { return identity_; }
    const Layout& layout() const noexcept { return layout_; }

    /// Software reset: registers to their reset values (the sticky ones kept), DMA cancelled, configuration space and
    /// interrupts untouched. Throws Errc::reset_failed. A DmaEngine then wants a restart().
    void reset();
    /// Function-level reset, through the kernel, and then waits for the device to be ready. What becomes of the
    /// interrupts is for uiovfio::Device::reset to say.
    void reset_function();

    /// Registers that only store, and keep what they store over a reset.
    std::uint32_t scratch() noexcept;
    void set_scratch(std::uint32_t value) noexcept;
    std::uint64_t scratch64() noexcept;
    void set_scratch64(std::uint64_t value) noexcept;

    /// What the error latch holds, left as it is; empty where it holds nothing.
    std::optional<LatchedError> peek_error() noexcept;
    /// As peek_error(), and frees the latch.
    std::optional<LatchedError> take_error() noexcept;

    /// Enables `count` vectors, or where it is 0 as many as enable_granted() gets, and returns how many those are.
    /// Causes that were left over are cleared first, so that none of them fires. Throws what Interrupts::enable throws.
    unsigned enable_interrupts(uiovfio::InterruptMode mode, unsigned count = 0);
    void disable_interrupts();

    /// Raises a vector. One that the device lacks, or that is not enabled, ends in the error latch as BAD_VECTOR.
    void fire(unsigned vector) noexcept;
    /// Hold a vector back, and let it go; what was raised in between is sent then, once. Throw Errc::no_such_vector.
    void mask(unsigned vector);
    void unmask(unsigned vector);
    /// Whether a vector was raised and its message has not left the device. Throws Errc::no_such_vector.
    bool cause(unsigned vector);
    void clear_cause(unsigned vector);

    /// DmaEngine's constructor.
    DmaEngine make_dma(EngineOptions options = {}) { return DmaEngine(*this, options); }
    /// Makes the DMA engine look at its ring; the stores to memory before it are visible to the device first.
    void ring_doorbell() noexcept;

    /// The register block, for the types of pcienic/registers.hpp.
    uiovfio::Window& registers() noexcept { return registers_; }
    /// Device memory as the processor sees it. Throws what Device::bar throws where the device has none.
    const uiovfio::Bar& memory();
    /// The BAR of the MSI-X table and the pending-bit array.
    const uiovfio::Bar& msix_bar();
    /// What it drives.
    uiovfio::Device& device() noexcept { return device_; }

  private:
    void wait_ready();
    void check_vector(unsigned vector) const;
    /// The bits of a cause or mask register that stand for vectors which this device has.
    std::uint32_t valid_bits(std::size_t element) const noexcept;

    uiovfio::Device& device_;
    Layout layout_;
    uiovfio::Window registers_;
    uiovfio::Window doorbell_;
    Identity identity_;
};

}  // namespace pcienic
