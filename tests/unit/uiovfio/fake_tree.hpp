// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A fake of /sys, /dev and /run in a folder of its own, for what reads them.

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <uiovfio/sysfs.hpp>

namespace uiovfio::test {

class FakeTree {
  public:
    FakeTree() {
        std::string name = (std::filesystem::temp_directory_path() / "uiovfio-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"no temporary folder"};
        top_ = name;
        std::filesystem::permissions(top_, std::filesystem::perms{0755});
        root = {.sys = top_ / "sys", .dev = top_ / "dev", .run = top_ / "run"};
        std::filesystem::create_directories(root.sys / "bus/pci/devices");
        std::filesystem::create_directories(root.sys / "bus/pci/drivers");
        put(root.sys / "bus/pci/drivers_probe", "");
    }
    ~FakeTree() {
        std::error_code none;
        std::filesystem::remove_all(top_, none);
    }
    FakeTree(const FakeTree&) = delete;
    FakeTree& operator=(const FakeTree&) = delete;

    static void put(const std::filesystem::path& file, const std::string& text) {
        std::filesystem::create_directories(file.parent_path());
        std::ofstream{file} << text;
    }

    [[nodiscard]] std::filesystem::path device(const std::string& bdf) const {
        return root.sys / "bus/pci/devices" / bdf;
    }

    void add_driver(const std::string& driver) const {
        put(root.sys / "bus/pci/drivers" / driver / "bind", "");
        put(root.sys / "bus/pci/drivers" / driver / "unbind", "");
    }

    void add_function(const std::string& bdf, const std::string& vendor = "0x1af4", const std::string& id = "0x10f2",
                      const std::string& class_code = "0x020000") const {
        put(device(bdf) / "vendor", vendor + "\n");
        put(device(bdf) / "device", id + "\n");
        put(device(bdf) / "subsystem_vendor", "0x1af4\n");
        put(device(bdf) / "subsystem_device", "0x5043\n");
        put(device(bdf) / "class", class_code + "\n");
        put(device(bdf) / "revision", "0x01\n");
        put(device(bdf) / "numa_node", "-1\n");
        put(device(bdf) / "driver_override", "(null)\n");
        put(device(bdf) / "resource",
            "0x00000000fe800000 0x00000000fe80ffff 0x0000000000040200\n"
            "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
            "0x000000000000c000 0x000000000000c01f 0x0000000000040101\n"
            "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
            "0x0000380000000000 0x0000380000ffffff 0x000000000014220c\n"
            "0x0000000000000000 0x0000000000000000 0x0000000000000000\n");
    }

    void set_driver(const std::string& bdf, const std::string& driver) const {
        std::filesystem::remove(device(bdf) / "driver");
        if (driver.empty()) return;
        add_driver(driver);
        std::filesystem::create_symlink(root.sys / "bus/pci/drivers" / driver, device(bdf) / "driver");
    }

    void set_group(const std::string& bdf, unsigned group) const {
        const auto directory = root.sys / "kernel/iommu_groups" / std::to_string(group);
        std::filesystem::create_directories(directory / "devices");
        std::filesystem::create_directory_symlink(device(bdf), directory / "devices" / bdf);
        std::filesystem::create_directory_symlink(directory, device(bdf) / "iommu_group");
        std::filesystem::create_directories(root.sys / "class/iommu/dmar0");
    }

    /// A further function of a group that set_group() made.
    void join_group(const std::string& bdf, unsigned group) const {
        const auto directory = root.sys / "kernel/iommu_groups" / std::to_string(group);
        std::filesystem::create_directory_symlink(device(bdf), directory / "devices" / bdf);
        std::filesystem::create_directory_symlink(directory, device(bdf) / "iommu_group");
    }

    void add_vfio_nodes(unsigned group) const {
        put(root.dev / "vfio/vfio", "");
        put(root.dev / "vfio" / std::to_string(group), "");
    }

    SysfsRoot root;

  private:
    std::filesystem::path top_;
};

}  // namespace uiovfio::test
