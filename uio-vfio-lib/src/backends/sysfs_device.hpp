// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A function through the files that sysfs has of it: BARs (resourceN), configuration space (config), reset. What the
/// backends without VFIO are made of. Needs root.

#include <array>
#include <filesystem>

#include "backend.hpp"
#include "backends/file.hpp"
#include "backends/mapped_region.hpp"
#include "system.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio::detail {

class SysfsDevice : public Backend {
  public:
    [[nodiscard]] std::uint16_t config_size() const noexcept override { return config_size_; }
    [[nodiscard]] std::uint32_t config_read(std::uint16_t offset, unsigned width) override;
    void config_write(std::uint16_t offset, unsigned width, std::uint32_t value) override;

    [[nodiscard]] BarInfo bar_info(unsigned bar) const override { return bars_[bar].info; }
    [[nodiscard]] bool is_mappable(unsigned bar, std::uint64_t offset, std::uint64_t length) const noexcept override;
    [[nodiscard]] volatile void* map(unsigned bar, std::uint64_t offset, std::uint64_t length) override;
    [[nodiscard]] std::uint64_t region_read(unsigned bar, std::uint64_t offset, unsigned width) override;
    void region_write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override;

    [[nodiscard]] bool can_reset() const noexcept override { return can_reset_; }
    void reset() override;

  protected:
    /// Throws device_busy, permission_denied, device_gone, system_error.
    SysfsDevice(const Bdf& bdf, const OpenOptions& options, System& system, PciFunction function);

    void presence_changed(bool is_present) noexcept override;
    /// The first part of do_close(): mappings and files.
    void close_files() noexcept;
    void give_up_to_parent() noexcept override;
    /// Opens for reading and writing. Throws permission_denied, system_error.
    [[nodiscard]] File open_file(const std::filesystem::path& path);

    [[nodiscard]] System& system() const noexcept { return system_; }
    [[nodiscard]] const PciFunction& function() const noexcept { return function_; }
    [[nodiscard]] const std::filesystem::path& directory() const noexcept { return directory_; }

  private:
    struct SysfsBar {
        explicit SysfsBar(System& system) noexcept : region{system} {}

        BarInfo info;
        std::uint64_t within_page = 0;  // where a BAR that is smaller than a page begins in its own
        File file;
        MappedRegion region;
    };

    [[nodiscard]] File& file_of(unsigned bar);
    [[noreturn]] void throw_not_mapped(unsigned bar, const Error& error) const;
    void require_port_width(unsigned bar, unsigned width) const;

    System& system_;
    PciFunction function_;
    std::filesystem::path directory_;
    File config_;
    std::uint16_t config_size_ = 256;
    bool can_reset_ = false;
    std::mutex mutex_;  // guards the opening of the BARs' files
    std::array<SysfsBar, kBarCount> bars_;
};

}  // namespace uiovfio::detail
