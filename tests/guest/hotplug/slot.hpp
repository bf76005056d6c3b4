// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A hot-plug slot of the guest's: QEMU's root port, and what is plugged into it.

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <uiovfio/bdf.hpp>

namespace pcienic::test {

// A watchdog, not a measure: an emulated guest on a busy machine is slow.
inline constexpr auto kPatience = std::chrono::seconds(120);

/// The runner's device number `index`, in the slot that it booted with.
class Slot {
  public:
    explicit Slot(std::size_t index);

    [[nodiscard]] const uiovfio::Bdf& bdf() const noexcept { return bdf_; }
    /// The device's folder in sysfs.
    [[nodiscard]] std::filesystem::path folder() const;
    /// Whether the kernel knows of a device there.
    [[nodiscard]] bool is_occupied() const;

    /// Asks QEMU for the removal, which asks the kernel, which asks the driver. Returns at once.
    void request_removal();
    /// The device is gone when this returns, without anybody having been asked. The kernel learns of it at the same
    /// time, where the port's own driver looks after the slot (pciehp).
    void pull_out();
    /// Waits until the port's driver has switched the empty slot off, a second after it has removed the device. What is
    /// plugged in before that is taken out again. False when it takes longer than kPatience.
    [[nodiscard]] bool await_power_off() const;
    /// Plugs in a new device, waits until the kernel has found it, and binds it to vfio-pci.
    void plug_in(const std::string& driver = "pcienic");
    /// Waits until the kernel knows of no device there any more. False when it takes longer than kPatience.
    [[nodiscard]] bool await_empty() const;

  private:
    uiovfio::Bdf bdf_;
    uiovfio::Bdf port_bdf_;
    std::string port_;
    std::string device_;  ///< QEMU's name for what is plugged in
    unsigned plugged_ = 0;
};

}  // namespace pcienic::test
