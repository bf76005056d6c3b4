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
#include <vector>

namespace uiovfio::test {

class FakeTree {
  public:
    FakeTree() {
        std::string name = (std::filesystem::temp_directory_path() / "uiovfio-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"no temporary folder"};
        top_ = name;
        std::filesystem::permissions(top_, std::filesystem::perms{0755});
        root = {.sys = top_ / "sys", .dev = top_ / "dev", .run = top_ / "run", .proc = top_ / "proc"};
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

    /// A device of the kernel's in the tree, and the link by which its class has it.
    void add_class_device(const std::string& class_name, const std::filesystem::path& place) const {
        std::filesystem::create_directories(place);
        const auto link = root.sys / "class" / class_name / place.filename();
        std::filesystem::create_directories(link.parent_path());
        std::filesystem::create_directory_symlink(place, link);
    }

    /// A network interface of the function's.
    void add_interface(const std::string& bdf, const std::string& name, const std::string& state = "up") const {
        add_class_device("net", device(bdf) / "net" / name);
        put(device(bdf) / "net" / name / "operstate", state + "\n");
    }

    /// A bridge, bond or VLAN on top of interfaces.
    void add_virtual_interface(const std::string& name, const std::vector<std::string>& lower) const {
        const auto place = root.sys / "devices/virtual/net" / name;
        add_class_device("net", place);
        for (const std::string& interface : lower)
            std::filesystem::create_directory_symlink(root.sys / "class/net" / interface,
                                                      place / ("lower_" + interface));
    }

    /// A block device at a place of its own, with its node and its number ("8:1").
    void add_block(const std::filesystem::path& place, const std::string& number) const {
        add_class_device("block", place);
        std::filesystem::create_directories(root.sys / "dev/block");
        std::filesystem::create_directory_symlink(place, root.sys / "dev/block" / number);
        put(root.dev / place.filename(), "");
    }

    /// A mapped device ("dm-0") on top of others.
    void add_virtual_block(const std::string& name, const std::string& number,
                           const std::vector<std::string>& slaves) const {
        const auto place = root.sys / "devices/virtual/block" / name;
        add_block(place, number);
        std::filesystem::create_directories(place / "slaves");
        for (const std::string& slave : slaves)
            std::filesystem::create_directory_symlink(root.sys / "class/block" / slave, place / "slaves" / slave);
    }

    /// The lines of /proc/net/route for default routes over these interfaces.
    void set_default_route(const std::vector<std::string>& interfaces) const {
        std::string text =
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT      \n";
        for (const std::string& interface : interfaces)
            text += interface + "\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0          \n";
        put(root.proc / "net/route", text);
    }

    void set_mounts(const std::string& text) const { put(root.proc / "self/mountinfo", text); }

    /// A process that has files open.
    void add_process(int process, const std::string& command, const std::vector<std::filesystem::path>& open) const {
        const auto directory = root.proc / std::to_string(process);
        put(directory / "comm", command + "\n");
        std::filesystem::create_directories(directory / "fd");
        for (std::size_t i = 0; i < open.size(); ++i)
            std::filesystem::create_symlink(open[i], directory / "fd" / std::to_string(i + 3));
    }

    SysfsRoot root;

  private:
    std::filesystem::path top_;
};

}  // namespace uiovfio::test
