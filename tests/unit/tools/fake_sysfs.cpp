// SPDX-License-Identifier: MIT
#include "fake_sysfs.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <system_error>

namespace pcienic {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream{file} << text << '\n';
}

}  // namespace

FakeSysfs::FakeSysfs() {
    std::string name = (fs::temp_directory_path() / "fake-sysfs-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::system_error{errno, std::generic_category(), name};
    folder_ = name;
    fs::create_directories(root().sys / "bus/pci/devices");
    fs::create_directories(root().sys / "bus/pci/drivers");
    fs::create_directories(root().sys / "class/iommu/dmar0");
    fs::create_directories(root().dev / "vfio");
    write(root().dev / "vfio/vfio", "");
}

FakeSysfs::~FakeSysfs() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
}

void FakeSysfs::add(const std::string& bdf, std::uint16_t vendor, std::uint16_t device, const std::string& driver) {
    const fs::path function = root().sys / "bus/pci/devices" / bdf;
    write(function / "vendor", fmt::format("0x{:04x}", vendor));
    write(function / "device", fmt::format("0x{:04x}", device));
    write(function / "subsystem_vendor", "0x1af4");
    write(function / "subsystem_device", "0x0000");
    write(function / "class", "0x020000");
    write(function / "revision", "0x01");
    write(function / "driver_override", "(null)");
    write(function / "resource", "0x00000000febf0000 0x00000000febfffff 0x0000000000040200");
    const fs::path group = root().sys / "kernel/iommu_groups" / std::to_string(++groups_);
    fs::create_directories(group / "devices" / bdf);
    fs::create_symlink(group, function / "iommu_group");
    write(root().dev / "vfio" / std::to_string(groups_), "");
    if (driver.empty()) return;
    add_driver(driver);
    fs::create_symlink(root().sys / "bus/pci/drivers" / driver, function / "driver");
}

void FakeSysfs::add_driver(const std::string& driver) {
    write(root().sys / "bus/pci/drivers" / driver / "bind", "");
    write(root().sys / "bus/pci/drivers" / driver / "unbind", "");
}

void FakeSysfs::join_group(const std::string& bdf, const std::string& other) {
    const fs::path devices = root().sys / "bus/pci/devices";
    const fs::path group = fs::read_symlink(devices / other / "iommu_group");
    fs::remove(devices / bdf / "iommu_group");
    fs::create_symlink(group, devices / bdf / "iommu_group");
    fs::create_directories(group / "devices" / bdf);
}

void FakeSysfs::add_interface(const std::string& bdf, const std::string& name, const std::string& state) {
    const fs::path place = root().sys / "bus/pci/devices" / bdf / "net" / name;
    write(place / "operstate", state);
    fs::create_directories(root().sys / "class/net");
    fs::create_directory_symlink(place, root().sys / "class/net" / name);
}

void FakeSysfs::set_default_route(const std::string& interface) {
    write(root().proc / "net/route", interface + "\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0");
}

}  // namespace pcienic
