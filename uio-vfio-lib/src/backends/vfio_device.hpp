// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What every VFIO device file does, however it was opened: regions, configuration space, interrupts, reset. Knows no
/// IOMMU: the backends that are made of it add that.

#include <linux/vfio.h>

#include <array>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "backend.hpp"
#include "backends/file.hpp"
#include "backends/mapped_region.hpp"
#include "vfio_calls.hpp"

namespace uiovfio::detail {

class VfioDevice : public Backend {
  public:
    [[nodiscard]] std::uint16_t config_size() const noexcept override;
    [[nodiscard]] std::uint32_t config_read(std::uint16_t offset, unsigned width) override;
    void config_write(std::uint16_t offset, unsigned width, std::uint32_t value) override;

    [[nodiscard]] BarInfo bar_info(unsigned bar) const override { return bars_[bar]; }
    [[nodiscard]] bool is_mappable(unsigned bar, std::uint64_t offset, std::uint64_t length) const noexcept override {
        return mappings_[bar].is_mappable(offset, length);
    }
    [[nodiscard]] volatile void* map(unsigned bar, std::uint64_t offset, std::uint64_t length) override;
    [[nodiscard]] std::uint64_t region_read(unsigned bar, std::uint64_t offset, unsigned width) override;
    void region_write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) override;

    [[nodiscard]] unsigned interrupt_capacity(InterruptMode mode) override;
    void arm(InterruptMode mode, std::span<const int> event_fds) override;
    void arm_some(InterruptMode mode, unsigned first, std::span<const int> event_fds) override;
    [[nodiscard]] bool adds_vectors(InterruptMode mode) const noexcept override;
    void disarm(InterruptMode mode) override;
    void trigger(InterruptMode mode, unsigned vector) override;
    void trigger_some(InterruptMode mode, std::span<const std::uint8_t> fire) override;
    void mask_intx() override;
    void unmask_intx() override;

    [[nodiscard]] bool has_event(DeviceEvent event) const noexcept override;
    void arm_event(DeviceEvent event, int event_fd) override;
    void trigger_event(DeviceEvent event) override;

    [[nodiscard]] bool can_reset() const noexcept override { return can_reset_; }
    [[nodiscard]] bool was_reset() const noexcept override { return was_reset_; }
    void reset() override;

  protected:
    void presence_changed(bool is_present) noexcept override;
    /// Takes the device file, which the kernel has just opened for the first time, and asks it everything. Throws
    /// unsupported, device_gone, system_error.
    VfioDevice(const Bdf& bdf, System& system, File device, const SysfsRoot& root);

    /// The first part of do_close(): the mappings hold the device open, so they go before its file; their addresses
    /// stay, and read all ones.
    void close_device() noexcept;
    void give_up_to_parent() noexcept override;

    [[nodiscard]] System& system() const noexcept { return system_; }
    [[nodiscard]] int device() const noexcept { return device_.get(); }
    [[noreturn]] void fail(std::string_view call, int error) const;

  private:
    vfio::Outcome<unsigned> request(std::vector<std::byte> bytes);
    void require(const vfio::Outcome<unsigned>& outcome) const;
    [[nodiscard]] std::uint64_t read_file(unsigned region, std::uint64_t offset, unsigned width);
    void write_file(unsigned region, std::uint64_t offset, unsigned width, std::uint64_t value);
    /// Throws unsupported for what the kernel's file of a BAR does not make one access of.
    void require_one_access(unsigned bar, std::uint64_t offset, unsigned width);
    [[nodiscard]] bool reads_8_bytes_at_once();
    [[noreturn]] void throw_access(unsigned region, std::uint64_t offset, int error, std::string_view what) const;
    void load_interrupts(unsigned index);
    void load_region(unsigned region);
    void load_bar(unsigned bar);
    [[nodiscard]] std::vector<Area> mappable_areas(unsigned bar);
    void load_msix_table();
    /// Where the MSI-X table lies in the BAR; of length 0 if it does not.
    [[nodiscard]] Area msix_table(unsigned bar) const noexcept { return bar == msix_bar_ ? msix_table_ : Area{}; }
    [[nodiscard]] bool ends_dma(const SysfsRoot& root);
    [[nodiscard]] std::optional<std::uint16_t> find_capability(std::uint16_t id);

    System& system_;
    File device_;
    bool can_reset_ = false;
    unsigned msix_bar_ = kBarCount;
    Area msix_table_;
    std::once_flag asked_kernel_;
    bool reads_8_bytes_at_once_ = false;
    bool was_reset_ = false;
    std::array<vfio::RegionInfo, VFIO_PCI_CONFIG_REGION_INDEX + 1> regions_;
    std::array<BarInfo, kBarCount> bars_;
    std::array<MappedRegion, kBarCount> mappings_;
    std::array<vfio::InterruptInfo, VFIO_PCI_REQ_IRQ_INDEX + 1> interrupts_{};
};

}  // namespace uiovfio::detail
