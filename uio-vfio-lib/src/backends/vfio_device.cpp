// SPDX-License-Identifier: MIT
#include "backends/vfio_device.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "reset_method.hpp"
#include "sysfs_files.hpp"
#include "uiovfio/config_space.hpp"

namespace uiovfio::detail {

namespace {

unsigned index_of(InterruptMode mode) noexcept {
    switch (mode) {
        case InterruptMode::intx:
            return VFIO_PCI_INTX_IRQ_INDEX;
        case InterruptMode::msi:
            return VFIO_PCI_MSI_IRQ_INDEX;
        case InterruptMode::msix:
            return VFIO_PCI_MSIX_IRQ_INDEX;
    }
    return VFIO_PCI_INTX_IRQ_INDEX;
}

unsigned index_of(DeviceEvent event) noexcept {
    return event == DeviceEvent::error ? VFIO_PCI_ERR_IRQ_INDEX : VFIO_PCI_REQ_IRQ_INDEX;
}

}  // namespace

VfioDevice::VfioDevice(const Bdf& bdf, System& system, File file, const SysfsRoot& root)
    : Backend{bdf}, system_{system}, device_{std::move(file)}, mappings_{MappedRegion{system}, MappedRegion{system},
                                                                         MappedRegion{system}, MappedRegion{system},
                                                                         MappedRegion{system}, MappedRegion{system}} {
    const auto info = vfio::get_device_info(system_, device());
    if (!info) fail("VFIO_DEVICE_GET_INFO", info.error);
    if (!info.value.is_pci || info.value.regions <= VFIO_PCI_CONFIG_REGION_INDEX)
        throw Error{Errc::unsupported, object(), "this VFIO device is no PCI function"};
    can_reset_ = info.value.can_reset;
    for (unsigned region = 0; region <= VFIO_PCI_CONFIG_REGION_INDEX; ++region) load_region(region);
    load_msix_table();
    for (unsigned bar = 0; bar < kBarCount; ++bar) load_bar(bar);
    for (unsigned index = 0; index < std::min<std::size_t>(info.value.interrupt_indices, interrupts_.size()); ++index)
        load_interrupts(index);
    // drivers/vfio/pci/vfio_pci_core.c, vfio_pci_core_enable(): the kernel says that it can reset the function where it
    // has just done so.
    was_reset_ = can_reset_ && ends_dma(root);
}

void VfioDevice::close_device() noexcept {
    for (MappedRegion& mapping : mappings_) mapping.close();
    device_.close();
}

void VfioDevice::give_up_to_parent() noexcept {
    Backend::give_up_to_parent();
    for (MappedRegion& mapping : mappings_) mapping.cover_in_child();
    device_.close();
}

void VfioDevice::presence_changed(bool is_present) noexcept {
    for (MappedRegion& mapping : mappings_) mapping.presence_changed(is_present);
}

std::uint16_t VfioDevice::config_size() const noexcept {
    return static_cast<std::uint16_t>(std::min<std::uint64_t>(regions_[VFIO_PCI_CONFIG_REGION_INDEX].size, 4096));
}

std::uint32_t VfioDevice::config_read(std::uint16_t offset, unsigned width) {
    return static_cast<std::uint32_t>(read_file(VFIO_PCI_CONFIG_REGION_INDEX, offset, width));
}

void VfioDevice::config_write(std::uint16_t offset, unsigned width, std::uint32_t value) {
    write_file(VFIO_PCI_CONFIG_REGION_INDEX, offset, width, value);
    // Perhaps this is what enabled memory space, or woke the device.
    for (MappedRegion& mapping : mappings_) mapping.uncover();
}

volatile void* VfioDevice::map(unsigned bar, std::uint64_t offset, std::uint64_t /*length*/) {
    return mappings_[bar].map(device(), regions_[bar].offset) + offset;
}

// Through the mapping where there is one: it is the shorter way, and has every width.
std::uint64_t VfioDevice::region_read(unsigned bar, std::uint64_t offset, unsigned width) {
    if (!is_mappable(bar, offset, width)) {
        require_one_access(bar, offset, width);
        return read_file(bar, offset, width);
    }
    const volatile void* at = map(bar, offset, width);
    const std::uint64_t faults = mappings_[bar].faults();
    mappings_[bar].uncover();
    const std::uint64_t value = load_width(at, width);
    if (mappings_[bar].has_faulted_since(faults)) throw_access(bar, offset, 0, "read");
    return value;
}

void VfioDevice::region_write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) {
    if (!is_mappable(bar, offset, width)) {
        require_one_access(bar, offset, width);
        return write_file(bar, offset, width, value);
    }
    volatile void* at = map(bar, offset, width);
    const std::uint64_t faults = mappings_[bar].faults();
    mappings_[bar].uncover();
    store_width(at, width, value);
    if (mappings_[bar].has_faulted_since(faults)) throw_access(bar, offset, 0, "write");
}

unsigned VfioDevice::interrupt_capacity(InterruptMode mode) { return interrupts_[index_of(mode)].count; }

bool VfioDevice::adds_vectors(InterruptMode mode) const noexcept { return interrupts_[index_of(mode)].adds_vectors; }

void VfioDevice::arm(InterruptMode mode, std::span<const int> event_fds) { arm_some(mode, 0, event_fds); }

void VfioDevice::arm_some(InterruptMode mode, unsigned first, std::span<const int> event_fds) {
    const auto outcome = request(vfio::bytes_to_arm(index_of(mode), first, event_fds));
    if (outcome.error == 0 && outcome.value == 0) return;
    const std::size_t wanted = first + event_fds.size();
    if (outcome.value > 0)
        throw FewerVectors{outcome.value, object() + " interrupts",
                           fmt::format("{} {} vectors were asked for, the kernel could have {}", wanted,
                                       to_string(mode), outcome.value),
                           0, fmt::format("ask for no more than {}", outcome.value)};
    if (outcome.error == ENOSPC)
        throw FewerVectors{0, object() + " interrupts", fmt::format("the kernel has not {} vectors left", wanted),
                           outcome.error};
    fail("VFIO_DEVICE_SET_IRQS", outcome.error);
}

void VfioDevice::disarm(InterruptMode mode) {
    const auto outcome = request(vfio::bytes_to_disarm(index_of(mode)));
    // EINVAL: not enabled any more, which is what is wanted.
    if (outcome.error != 0 && outcome.error != EINVAL) fail("VFIO_DEVICE_SET_IRQS", outcome.error);
}

void VfioDevice::trigger(InterruptMode mode, unsigned vector) {
    require(request(vfio::bytes_to_trigger(index_of(mode), vector)));
}

void VfioDevice::trigger_some(InterruptMode mode, std::span<const std::uint8_t> fire) {
    require(request(vfio::bytes_to_trigger_some(index_of(mode), fire)));
}

void VfioDevice::mask_intx() { require(request(vfio::bytes_to_mask(VFIO_PCI_INTX_IRQ_INDEX))); }

void VfioDevice::unmask_intx() { require(request(vfio::bytes_to_unmask(VFIO_PCI_INTX_IRQ_INDEX))); }

bool VfioDevice::has_event(DeviceEvent event) const noexcept { return interrupts_[index_of(event)].count != 0; }

void VfioDevice::arm_event(DeviceEvent event, int event_fd) {
    require(request(vfio::bytes_to_arm(index_of(event), 0, {&event_fd, 1})));
}

void VfioDevice::trigger_event(DeviceEvent event) { require(request(vfio::bytes_to_trigger(index_of(event), 0))); }

void VfioDevice::reset() {
    if (const int error = vfio::reset_device(system_, device())) fail("VFIO_DEVICE_RESET", error);
}

void VfioDevice::fail(std::string_view call, int error) const {
    const bool gone = error == ENODEV || error == ENXIO || error == EIO;
    throw Error{gone ? Errc::device_gone : Errc::system_error, object(), fmt::format("{} failed", call), error};
}

vfio::Outcome<unsigned> VfioDevice::request(std::vector<std::byte> bytes) {
    return vfio::set_irqs(system_, device(), bytes);
}

void VfioDevice::require(const vfio::Outcome<unsigned>& outcome) const {
    if (!outcome) fail("VFIO_DEVICE_SET_IRQS", outcome.error);
}

std::uint64_t VfioDevice::read_file(unsigned region, std::uint64_t offset, unsigned width) {
    std::uint64_t value = 0;
    const auto length = system_.pread(device(), &value, width, regions_[region].offset + offset);
    if (length != static_cast<ssize_t>(width)) throw_access(region, offset, length < 0 ? errno : 0, "read");
    return value;
}

void VfioDevice::write_file(unsigned region, std::uint64_t offset, unsigned width, std::uint64_t value) {
    const auto length = system_.pwrite(device(), &value, width, regions_[region].offset + offset);
    if (length != static_cast<ssize_t>(width)) throw_access(region, offset, length < 0 ? errno : 0, "write");
}

// vfio_pci_core_do_io_rw() of drivers/vfio/pci/vfio_pci_rdwr.c. Up to 4 bytes, aligned, it makes one access.
void VfioDevice::require_one_access(unsigned bar, std::uint64_t offset, unsigned width) {
    const auto refuse = [&](std::string what, std::string remedy) {
        throw Error{Errc::unsupported, fmt::format("{} BAR{}", object(), bar), std::move(what), 0, std::move(remedy)};
    };
    const Area table = msix_table(bar);
    if (offset < table.offset + table.length && table.offset < offset + width)
        refuse(
            fmt::format("the MSI-X table at {:#x} cannot be mapped, and the kernel's file leaves it out", table.offset),
            "use Interrupts, or a kernel from 4.16 on, which maps it");
    if (width <= 4) return;
    if (bars_[bar].is_io) refuse("I/O space has no accesses of 8 bytes", "use two of 4");
    if (!reads_8_bytes_at_once())
        refuse(fmt::format("the 8 bytes at {:#x} cannot be mapped, and this kernel would make two accesses of them",
                           offset),
               "use two of 4 bytes if the device takes them, or a newer kernel");
}

// The version does not tell: the change is in stable kernels, too, and on some architectures came later. It brought a
// function of this name with it, which is used for nothing else.
bool VfioDevice::reads_8_bytes_at_once() {
    std::call_once(asked_kernel_,
                   [this] { reads_8_bytes_at_once_ = system_.has_kernel_function("vfio_pci_core_ioread64"); });
    return reads_8_bytes_at_once_;
}

void VfioDevice::throw_access(unsigned region, std::uint64_t offset, int error, std::string_view what) const {
    const std::string where =
        region == VFIO_PCI_CONFIG_REGION_INDEX ? "configuration space" : fmt::format("BAR{}", region);
    throw Error{Errc::device_gone, object(), fmt::format("the {} at {:#x} of {} failed", what, offset, where), error,
                "see that the device is in its slot and its memory space is enabled"};
}

void VfioDevice::load_interrupts(unsigned index) {
    const auto info = vfio::get_interrupt_info(system_, device(), index);
    if (!info && info.error != EINVAL) fail("VFIO_DEVICE_GET_IRQ_INFO", info.error);
    interrupts_[index] = info.value;
}

void VfioDevice::load_region(unsigned region) {
    auto info = vfio::get_region_info(system_, device(), region);
    // A region that the device does not have is told by a size of 0, or by EINVAL.
    if (!info && info.error != EINVAL) fail("VFIO_DEVICE_GET_REGION_INFO", info.error);
    regions_[region] = std::move(info.value);
}

void VfioDevice::load_bar(unsigned bar) {
    const std::uint64_t size = regions_[bar].size;
    if (size == 0) return;
    // Bits of a base address register (PCI Local Bus 3.0, 6.2.5.1).
    const std::uint32_t bits = config_read(static_cast<std::uint16_t>(config::kBar0 + 4 * bar), 4);
    const bool is_io = (bits & 1U) != 0;
    bars_[bar] = {.size = size,
                  .is_64bit = !is_io && (bits >> 1 & 3U) == 2,
                  .is_prefetchable = !is_io && (bits & 8U) != 0,
                  .is_io = is_io};
    mappings_[bar].describe(fmt::format("{} BAR{}", object(), bar), size, mappable_areas(bar));
}

std::vector<Area> VfioDevice::mappable_areas(unsigned bar) {
    const vfio::RegionInfo& region = regions_[bar];
    if (!region.is_mappable) return {};
    if (region.has_sparse_areas) return region.areas;
    const Area whole{.offset = 0, .length = region.size};
    if (region.is_msix_mappable) return {whole};
    // Kernels that do not say MSIX_MAPPABLE refuse to map what contains the MSI-X table: its pages are left out.
    const Area table = msix_table(bar);
    if (table.length == 0) return {whole};
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::uint64_t first = table.offset / page * page;
    const std::uint64_t end = (table.offset + table.length + page - 1) / page * page;
    std::vector<Area> left;
    if (first > 0) left.push_back({0, std::min(first, region.size)});
    if (end < region.size) left.push_back({end, region.size - end});
    return left;
}

void VfioDevice::load_msix_table() {
    const auto capability = find_capability(capability::kMsix);
    if (!capability) return;
    const std::uint32_t entries = (config_read(*capability + 2, 2) & 0x7ffU) + 1;
    const std::uint32_t place = config_read(*capability + 4, 4);
    msix_bar_ = place & 7U;
    msix_table_ = {.offset = place & ~7U, .length = std::uint64_t{entries} * 16};
}

// Which reset it was the kernel tells from 5.15 on. Before, it took FLR, then a change of the power state, then the
// bus.
bool VfioDevice::ends_dma(const SysfsRoot& root) {
    if (const auto methods = read_text(root.sys / "bus/pci/devices" / object() / "reset_method"))
        return reset_ends_dma(*methods);
    constexpr std::uint32_t kFunctionLevelReset = 1U << 28;  // PCI Express Base 5.0, 7.5.3.3
    constexpr std::uint32_t kNoSoftReset = 1U << 3;          // PCI Bus Power Management 1.2, 3.2.4
    if (const auto express = find_capability(capability::kPciExpress);
        express && (config_read(*express + 4, 4) & kFunctionLevelReset) != 0)
        return true;
    const auto power = find_capability(capability::kPowerManagement);
    return !power || (config_read(*power + 4, 2) & kNoSoftReset) != 0;
}

std::optional<std::uint16_t> VfioDevice::find_capability(std::uint16_t id) {
    if ((config_read(config::kStatus, 2) & config::kStatusCapabilities) == 0) return std::nullopt;
    std::uint32_t offset = config_read(config::kCapabilityPointer, 1) & 0xfcU;
    for (int steps = 0; steps < 48 && offset >= 0x40; ++steps) {
        const std::uint32_t header = config_read(static_cast<std::uint16_t>(offset), 2);
        if ((header & 0xff) == id) return static_cast<std::uint16_t>(offset);
        offset = header >> 8 & 0xfcU;
    }
    return std::nullopt;
}

}  // namespace uiovfio::detail
