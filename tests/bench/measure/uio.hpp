// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Interrupts by way of UIO, next to which VFIO's are measured: uio_pci_generic has the device, its interrupt is INTx,
/// which the driver masks each time, and whoever waits unmasks in the command register.

#include <optional>
#include <pcienic/driver.hpp>
#include <uiovfio/bdf.hpp>
#include <uiovfio/device.hpp>
#include <vector>

#include "measure/other_ways.hpp"
#include "measure/placement.hpp"
#include "measure/wakes.hpp"

namespace pcienic::bench {

/// A pcienic in the hands of uio_pci_generic, for as long as this lives. Throws std::system_error where it cannot be
/// had: no such module, no interrupt line.
class UioDevice {
  public:
    UioDevice(const uiovfio::Bdf& bdf, const Processors& processors);
    UioDevice(const UioDevice&) = delete;
    UioDevice& operator=(const UioDevice&) = delete;

    [[nodiscard]] Rig rig();
    /// A read of the node by hand, and the library's backend `uio`. They refer to this object.
    [[nodiscard]] std::vector<Waiter> waiters();

  private:
    void read_by_hand(Wakes& wakes);
    void wait_by_library(Wakes& wakes);

    std::optional<Bound> bound_;
    uiovfio::Device device_;
    Driver driver_;
    Processors processors_;
};

}  // namespace pcienic::bench
