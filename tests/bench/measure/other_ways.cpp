// SPDX-License-Identifier: MIT
#include "measure/other_ways.hpp"

#include <fcntl.h>
#include <pciaccess.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <uiovfio/bind.hpp>
#include <uiovfio/sysfs.hpp>

namespace pcienic::bench {
namespace {

[[noreturn]] void fail(int error, const std::string& what) {
    throw std::system_error{error, std::generic_category(), what};
}

void load_module(std::string_view name) {
    // It fails where the kernel has the driver built in, or not at all: bind() tells which.
    [[maybe_unused]] const int status = std::system(("modprobe -q " + std::string{name} + " 2>/dev/null").c_str());
}

bool is_loaded(std::string_view driver) {
    return std::filesystem::exists(std::filesystem::path{"/sys/bus/pci/drivers"} / driver);
}

}  // namespace

Bound::Bound(const uiovfio::Bdf& bdf, std::string_view driver)
    : bdf_{bdf}, former_{uiovfio::describe(bdf).driver}, changed_{former_ != driver} {
    if (!changed_) return;
    if (driver.empty()) {
        uiovfio::unbind(bdf);
    } else {
        if (!is_loaded(driver)) load_module(driver);
        uiovfio::bind(bdf, driver);
    }
}

Bound::~Bound() {
    if (!changed_) return;
    std::error_code lost;  // there is nobody to tell; whoever wants the device next is told that it is not bound
    if (former_.empty())
        uiovfio::unbind(bdf_, {}, lost);
    else
        uiovfio::bind(bdf_, former_, {}, lost);
}

PciAccessDevice::PciAccessDevice(const uiovfio::Bdf& bdf) {
    if (const int error = pci_system_init()) fail(error, "libpciaccess: pci_system_init");
    device_ = pci_device_find_by_slot(bdf.domain, bdf.bus, bdf.device, bdf.function);
    const int error = device_ == nullptr ? ENODEV : pci_device_probe(device_);
    if (error == 0) return;
    pci_system_cleanup();
    fail(error, "libpciaccess: pci_device_probe");
}

PciAccessDevice::~PciAccessDevice() {
    if (bar_ != nullptr) pci_device_unmap_range(device_, bar_, bar_size_);
    pci_system_cleanup();
}

void PciAccessDevice::map_bar(unsigned bar) {
    pci_device_enable(device_);
    const pci_mem_region& region = device_->regions[bar];
    void* mapped = nullptr;
    if (const int error =
            pci_device_map_range(device_, region.base_addr, region.size, PCI_DEV_MAP_FLAG_WRITABLE, &mapped))
        fail(error, "libpciaccess: pci_device_map_range");
    bar_ = mapped;
    bar_size_ = region.size;
}

std::uint32_t PciAccessDevice::read_config(unsigned offset) const noexcept {
    std::uint32_t value = ~std::uint32_t{0};
    pci_device_cfg_read_u32(device_, &value, offset);
    return value;
}

std::string sysfs_path(const uiovfio::Bdf& bdf, const char* name) {
    return "/sys/bus/pci/devices/" + to_string(bdf) + "/" + name;
}

OpenFile::OpenFile(const std::string& path) {
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (descriptor_ < 0) fail(errno, path);
}

OpenFile::~OpenFile() { ::close(descriptor_); }

}  // namespace pcienic::bench
