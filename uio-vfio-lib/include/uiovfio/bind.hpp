// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Giving a device to another kernel driver, and giving it back.
///
///     {
///         uiovfio::ScopedBinding binding{bdf, "vfio-pci"};
///         auto device = uiovfio::Device::open(bdf);
///         ...
///     }                                                   // closed, then back with its former driver
///
/// Binding goes through driver_override, so that the new driver takes this one device and no other of its kind. The
/// previous driver's name, and the driver_override by which it may have come, are kept in SysfsRoot::run, so that
/// another process, later, can restore it. Over several binds it is the first driver that is kept, until somebody else
/// binds the device to another.
///
/// A device that the machine needs where it is (uses_of()) is refused, unless BindOptions::force says otherwise. One
/// that a process has open through VFIO is not unbound: the kernel would wait for that process for as long as it takes.
/// That process may be this one: when the kernel asks for a device back (device_events.hpp), close it first.
///
/// All functions need the right to write to sysfs and to SysfsRoot::run (root), unless the device has the driver
/// already that it is to have. They may be called from any thread and any process; changes of one device's driver wait
/// for each other.

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "uiovfio/bdf.hpp"
#include "uiovfio/sysfs.hpp"
#include "uiovfio/use.hpp"

namespace uiovfio {

/// How bind() and what is like it go about it.
struct BindOptions {
    /// Also where the machine uses the device, and loses what it uses it for.
    bool force = false;
    /// How long to wait for a process that still has the device open: one that just ended may take a moment.
    std::chrono::milliseconds busy_timeout{1000};
};

/// Takes the device from its driver and binds it to `driver` ("vfio-pci"). Returns the previous driver's name, empty if
/// it had none; when the device has that driver already, does nothing and returns its name. Waits for the node that the
/// kernel makes for the new driver, for at most a second.
/// On failure the previous driver has the device again and driver_override is as it was.
/// Throws no_such_device, no_such_driver, bind_failed, device_in_use, device_busy, permission_denied.
std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root = {}, const BindOptions& options = {});
std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, const BindOptions& options,
                 std::error_code& ec) noexcept;
std::string bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, std::error_code& ec) noexcept;

/// bind() for several functions, all or none: when one fails, all are as they were. Returns the previous drivers, in
/// the order of the functions. All of them are looked at before the first is touched.
std::vector<std::string> bind_all(std::span<const Bdf> functions, std::string_view driver, const SysfsRoot& root = {},
                                  const BindOptions& options = {});
std::vector<std::string> bind_all(std::span<const Bdf> functions, std::string_view driver, const SysfsRoot& root,
                                  const BindOptions& options, std::error_code& ec) noexcept;

/// Takes the device from its driver, clears driver_override, and leaves it without one. Returns the driver's name,
/// empty if it had none. What restore() gives back stays on record.
/// Throws no_such_device, bind_failed, device_in_use, device_busy, permission_denied.
std::string unbind(const Bdf& bdf, const SysfsRoot& root = {}, const BindOptions& options = {});
std::string unbind(const Bdf& bdf, const SysfsRoot& root, const BindOptions& options, std::error_code& ec) noexcept;
std::string unbind(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept;

/// Undoes bind(): clears driver_override and gives the device back to the driver that is on record, or to none if it
/// had none. Returns that driver's name. Without a record, does what the kernel would do by itself: clears
/// driver_override and lets it look for a driver. If the record is that of another device, which was in this slot
/// before, and this one has no driver_override, only the record goes.
/// Throws no_such_device, no_such_driver, bind_failed, device_in_use, device_busy, permission_denied. A device that is
/// gone has no record any more.
std::string restore(const Bdf& bdf, const SysfsRoot& root = {}, const BindOptions& options = {});
std::string restore(const Bdf& bdf, const SysfsRoot& root, const BindOptions& options, std::error_code& ec) noexcept;
std::string restore(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept;

/// The driver that restore() would give the device back to; empty text for "it had none", nothing without a record of
/// this device.
std::optional<std::string> recorded_driver(const Bdf& bdf, const SysfsRoot& root = {});

/// The functions that bind() has on record, in order: restoring all of them undoes everything.
std::vector<Bdf> recorded_functions(const SysfsRoot& root = {});

/// The function, and the other members of its IOMMU group that userspace can have: all but bridges, which stay with the
/// kernel and do no harm there; of host and ISA bridges those that a driver has which keeps the group from userspace.
/// Throws no_such_device.
std::vector<Bdf> bindable_group(const Bdf& bdf, const SysfsRoot& root = {});
std::vector<Bdf> bindable_group(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept;

/// What bind() would do.
struct BindPlan {
    Bdf bdf;
    std::string now;   ///< the driver that has it, or empty
    std::string then;  ///< the driver that would; the same as `now` where there is nothing to do
    /// The driver that restore() would give it back to afterwards, empty for none; nothing where that would be the
    /// kernel's choice.
    std::optional<std::string> back;
    std::vector<Use> uses;  ///< what bind() would refuse for
};

/// Changes nothing, and needs no rights. To see whether a disk is in use it claims the disk for a moment, in which
/// another program's claim fails with EBUSY. Throws no_such_device, no_such_driver, bind_failed.
BindPlan plan_bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root = {});
BindPlan plan_bind(const Bdf& bdf, std::string_view driver, const SysfsRoot& root, std::error_code& ec) noexcept;

/// Binds for as long as it lives, then puts back what it found: not the driver of an earlier bind(), and nothing where
/// the device had that driver already, which needs no rights, or where somebody has given it to a third one by hand.
/// Until then, changes of these functions' drivers by others are refused, but for those of a device that had the driver
/// already and whose user may not write to SysfsRoot::run. What a process that was killed has left is undone by
/// restore(), `pcienic-ctl restore`. A child of fork() has no part in it: there, the destructor changes nothing, and
/// restore() fails. Move-only.
class ScopedBinding {
  public:
    /// Throws as bind() does.
    ScopedBinding(const Bdf& bdf, std::string_view driver, const SysfsRoot& root = {}, const BindOptions& options = {});
    /// Several functions, at least one, all or none.
    ScopedBinding(std::span<const Bdf> functions, std::string_view driver, const SysfsRoot& root = {},
                  const BindOptions& options = {});
    ScopedBinding(ScopedBinding&& other) noexcept;
    ScopedBinding& operator=(ScopedBinding&& other) noexcept;
    /// Restores, and ignores a failure: then the record stays for restore().
    ~ScopedBinding();

    /// Restores now. Goes on to the next function where one fails, and throws the first failure; those that failed can
    /// be tried again. One whose device is gone, or which somebody else has bound meanwhile, counts as restored.
    /// Throws no_such_driver, bind_failed, device_in_use, device_busy, permission_denied; forked in a child of the
    /// process that bound them.
    void restore();
    void restore(std::error_code& ec) noexcept;

    /// Leaves the devices with their new driver; the records stay for a later restore().
    void release() noexcept;

    /// The driver that the first function had; empty for none, and after a move.
    [[nodiscard]] const std::string& previous_driver() const noexcept;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace uiovfio
