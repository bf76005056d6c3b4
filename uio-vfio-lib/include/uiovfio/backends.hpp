// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The ways to reach a device, and what each of them can do.
///
///     for (const uiovfio::BackendTraits& backend : uiovfio::backends())
///         if (backend.can(uiovfio::Feature::msix)) std::cout << backend.name << '\n';

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

namespace uiovfio {

/// What a backend can do, or cannot whatever the device is. Whether a device has it, too, is told where it is used:
/// Interrupts::available(), Device::can_reset(), Bar::is_mappable().
enum class Feature {
    mmap,     ///< BARs mapped into the process; without it, every access goes through a call
    dma,      ///< memory mapped for the device by an IOMMU: Device::dma()
    intx,     ///< InterruptMode::intx
    msi,      ///< InterruptMode::msi
    msix,     ///< InterruptMode::msix
    trigger,  ///< Interrupts::trigger()
    reset,    ///< Device::reset()
    events,   ///< errors on the link, and requests of the kernel to let the device go
};

/// As a sentence about a backend puts it: "mapped BARs", "DMA", "MSI-X".
std::string_view to_string(Feature feature) noexcept;

/// A way to reach a device. All of it is known without opening anything.
struct BackendTraits {
    /// What OpenOptions::backend takes.
    std::string_view name;
    /// What it goes through, as one clause.
    std::string_view summary;
    /// The kernel driver that a device must be bound to; empty where none must be.
    std::string_view driver;
    /// Whether "auto" may choose it.
    bool is_automatic = false;
    /// A bit for each Feature, by its number.
    std::uint32_t features = 0;

    /// Whether `features` has it.
    [[nodiscard]] constexpr bool can(Feature feature) const noexcept {
        return (features >> static_cast<unsigned>(feature) & 1U) != 0;
    }
};

/// All of them, in the order in which "auto" tries.
std::span<const BackendTraits> backends() noexcept;

/// Null for a name that none has; "auto" is none.
const BackendTraits* find_backend(std::string_view name) noexcept;

}  // namespace uiovfio
