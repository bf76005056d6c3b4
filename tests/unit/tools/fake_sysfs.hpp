// SPDX-License-Identifier: MIT
#pragma once

/// A tree of files that looks like sysfs, for what the tools do before they open a device.

#include <cstdint>
#include <filesystem>
#include <string>

#include "uiovfio/sysfs.hpp"

namespace pcienic {

class FakeSysfs {
  public:
    /// In a new folder, removed with the object.
    FakeSysfs();
    ~FakeSysfs();
    FakeSysfs(const FakeSysfs&) = delete;
    FakeSysfs& operator=(const FakeSysfs&) = delete;

    /// Adds a function with a BAR0 of 64 KiB, in an IOMMU group of its own; without a driver where `driver` is empty.
    void add(const std::string& bdf, std::uint16_t vendor, std::uint16_t device, const std::string& driver);
    /// A driver that has no device yet. What is written for it changes nothing: no kernel acts on it.
    void add_driver(const std::string& driver);
    /// Puts a function into another's IOMMU group.
    void join_group(const std::string& bdf, const std::string& other);
    /// Gives a function a network interface in this state.
    void add_interface(const std::string& bdf, const std::string& name, const std::string& state);

    /// The machine's default route is over this interface.
    void set_default_route(const std::string& interface);

    [[nodiscard]] uiovfio::SysfsRoot root() const {
        return {.sys = folder_ / "sys", .dev = folder_ / "dev", .run = folder_ / "run", .proc = folder_ / "proc"};
    }

  private:
    std::filesystem::path folder_;
    unsigned groups_ = 0;
};

}  // namespace pcienic
