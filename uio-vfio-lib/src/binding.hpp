// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The steps of a change of driver, each a file of sysfs. What bind(), restore() and their like are made of.

#include <optional>
#include <string>
#include <string_view>

#include "bind_record.hpp"
#include "uiovfio/bind.hpp"

namespace uiovfio::detail {

/// What a change of driver began with: enough to undo it exactly.
struct Before {
    std::string driver;
    std::string driver_override;
    std::optional<Record> record;
};

/// A PCI function whose driver is being changed.
class Binding {
  public:
    /// Throws no_such_device.
    Binding(const Bdf& bdf, const SysfsRoot& root);

    [[nodiscard]] const Bdf& bdf() const noexcept { return bdf_; }
    [[nodiscard]] std::string driver() const;
    [[nodiscard]] bool is_gone() const;
    /// Nothing, too, where it tells of another device that was in this slot.
    [[nodiscard]] std::optional<Record> record() const;
    [[nodiscard]] Before before() const;

    /// Throws no_such_driver.
    void require_driver(std::string_view driver) const;
    /// Throws bind_failed for what the driver is known not to take: nothing has been touched yet.
    void require_taken_by(std::string_view driver) const;
    /// Throws device_in_use, unless that is to be so.
    void require_unused(const BindOptions& options) const;

    /// Changes to the driver, and keeps a record; on failure, everything is as it was. The caller has the lock.
    void change_to(std::string_view driver, const BindOptions& options) const;
    /// Back to what it was before a change.
    void put_back(const Before& before, const BindOptions& options) const;

    /// The record that a bind to `driver` leaves.
    [[nodiscard]] Record next_record(const Before& before, std::string_view driver) const;

    /// Takes the driver away, unless there is none. Throws bind_failed, device_busy, permission_denied.
    void unbind(const BindOptions& options) const;
    void bind(std::string_view driver) const;
    /// An empty text clears it.
    void set_override(std::string_view driver) const;
    /// Lets the kernel look for a driver by itself.
    void probe() const;
    void forget() const noexcept;

  private:
    void keep(const std::optional<Record>& record) const;
    void wait_for_nodes() const;
    [[nodiscard]] std::string identity() const;
    [[nodiscard]] std::filesystem::path driver_directory(std::string_view driver) const;
    [[nodiscard]] std::filesystem::path record_file() const { return root_.run / object_; }

    Bdf bdf_;
    std::string object_;
    SysfsRoot root_;
    std::filesystem::path directory_;
};

}  // namespace uiovfio::detail
