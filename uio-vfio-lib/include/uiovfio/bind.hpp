// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Giving a device to another kernel driver, and giving it back.
///
/// Binding goes through driver_override, so that the new driver takes this one device and no other of its kind. The
/// previous driver's name, and the driver_override by which it may have come, are kept in SysfsRoot::run, so that
/// another process, later, can restore it. Over several binds it is the first driver that is kept, until somebody else
/// binds the device to another. All functions need the right to write to sysfs (root). They are not meant to
/// run on one device from two processes at a time.

#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "uiovfio/bdf.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio {

/// Takes the device from its driver and binds it to `driver` ("vfio-pci"). Returns the previous driver's name, empty if
/// it had none; when the device has that driver already, does nothing and returns its name.
/// On failure the previous driver has the device again and driver_override is as it was.
/// Throws no_such_device, no_such_driver, bind_failed, permission_denied.
std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root = {});
std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, std::error_code& ec) noexcept;

/// Takes the device from its driver, clears driver_override, and leaves it without one. Returns the driver's name,
/// empty if it had none. Throws no_such_device, permission_denied.
std::string unbind(const Bdf& bdf, const SysfsRoot& root = {});
std::string unbind(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept;

/// Undoes bind(): clears driver_override and gives the device back to the driver that is on record, or to none if it
/// had none. Returns that driver's name. Without a record, does what the kernel would do by itself: clears
/// driver_override and lets it look for a driver. Throws no_such_device, bind_failed, permission_denied.
std::string restore(const Bdf& bdf, const SysfsRoot& root = {});
std::string restore(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept;

/// The driver that restore() would give the device back to; empty text for "it had none", nothing without a record.
std::optional<std::string> recorded_driver(const Bdf& bdf, const SysfsRoot& root = {});

/// Binds for as long as it lives, then restores. Move-only.
class ScopedBinding {
  public:
    /// bind(), with what it throws.
    ScopedBinding(const Bdf& bdf, std::string_view driver, SysfsRoot root = {});
    ScopedBinding(ScopedBinding&& other) noexcept;
    ScopedBinding& operator=(ScopedBinding&& other) noexcept;
    ~ScopedBinding();

    /// Leaves the device with its new driver; the record stays for a later restore().
    void release() noexcept { bound_ = false; }
    /// What bind() returned.
    [[nodiscard]] const std::string& previous_driver() const noexcept { return previous_; }

  private:
    void restore_quietly() noexcept;

    Bdf bdf_;
    SysfsRoot root_;
    std::string previous_;
    bool bound_ = false;
};

}  // namespace uiovfio
