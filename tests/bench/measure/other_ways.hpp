// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A device in the hands of other drivers, and how others reach it: libpciaccess, and sysfs by hand.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <uiovfio/bdf.hpp>

struct pci_device;

namespace pcienic::bench {

/// Gives the device to a driver (to none where the name is empty), loading its module where the kernel has it as one,
/// and gives it back to the former driver when destroyed. Throws what uiovfio::bind and uiovfio::unbind throw.
class Bound {
  public:
    Bound(const uiovfio::Bdf& bdf, std::string_view driver);
    ~Bound();
    Bound(const Bound&) = delete;
    Bound& operator=(const Bound&) = delete;

  private:
    uiovfio::Bdf bdf_;
    std::string former_;
    bool changed_ = false;
};

/// A device by way of libpciaccess. One at a time: the library keeps its devices in a global. Throws std::system_error.
class PciAccessDevice {
  public:
    explicit PciAccessDevice(const uiovfio::Bdf& bdf);
    ~PciAccessDevice();
    PciAccessDevice(const PciAccessDevice&) = delete;
    PciAccessDevice& operator=(const PciAccessDevice&) = delete;

    /// Enables the device and maps a BAR, which works while no driver has it.
    void map_bar(unsigned bar);
    [[nodiscard]] void* bar() const noexcept { return bar_; }
    [[nodiscard]] std::size_t bar_size() const noexcept { return bar_size_; }
    [[nodiscard]] std::uint32_t read_config(unsigned offset) const noexcept;

  private:
    pci_device* device_ = nullptr;
    void* bar_ = nullptr;
    std::size_t bar_size_ = 0;
};

/// What the device has under this name in sysfs.
std::string sysfs_path(const uiovfio::Bdf& bdf, const char* name);

/// A file that is open for reading and writing. Throws std::system_error.
class OpenFile {
  public:
    explicit OpenFile(const std::string& path);
    ~OpenFile();
    OpenFile(const OpenFile&) = delete;
    OpenFile& operator=(const OpenFile&) = delete;

    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  private:
    int descriptor_ = -1;
};

}  // namespace pcienic::bench
