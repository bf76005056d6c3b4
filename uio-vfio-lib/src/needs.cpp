// SPDX-License-Identifier: MIT
#include "needs.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>

#include "kernel_text.hpp"
#include "sysfs_files.hpp"

namespace uiovfio::detail {

namespace {

namespace fs = std::filesystem;

using Version = std::pair<std::uint64_t, std::uint64_t>;

// drivers/vfio/device_cdev.c and iommufd's VFIO_DEVICE_BIND_IOMMUFD are of this one.
constexpr Version kFirstWithIommufd{6, 6};

/// "6.1.0-28-amd64" is 6.1.
std::optional<Version> kernel_version(const SysfsRoot& root) {
    const std::string text = read_text(root.proc / "sys/kernel/osrelease").value_or("");
    const std::string_view all{text};
    const std::size_t dot = all.find('.');
    if (dot == std::string_view::npos) return std::nullopt;
    const std::string_view rest = all.substr(dot + 1);
    const auto major = to_number(all.substr(0, dot), 10);
    const auto minor = to_number(rest.substr(0, rest.find_first_not_of("0123456789")), 10);
    if (!major || !minor) return std::nullopt;
    return Version{*major, *minor};
}

/// What VFIO has can be seen only while it is loaded. Its node is no proof: systemd makes it so
/// that opening it loads the module.
std::optional<Lack> unknown_before_vfio(const SysfsRoot& root) {
    if (is_there(root.sys / "module/vfio")) return std::nullopt;
    return Lack{"not known before the kernel's VFIO modules are loaded", "load them with `modprobe vfio-pci`"};
}

}  // namespace

std::optional<Lack> lacks_iommu(const SysfsRoot& root) {
    if (!names_in(root.sys / "class/iommu").empty()) return std::nullopt;
    return Lack{"the machine has no IOMMU in use",
                "turn it on in the firmware (VT-d, AMD-Vi) and boot with intel_iommu=on or amd_iommu=on; give a "
                "virtual machine one (QEMU: -device intel-iommu,intremap=on)"};
}

std::optional<Lack> lacks_vfio(const SysfsRoot& root) {
    const fs::path node = root.dev / "vfio/vfio";
    if (is_there(node)) return std::nullopt;
    if (is_there(root.sys / "class/misc/vfio")) return not_in_dev(node);
    return Lack{fmt::format("{} does not exist: the kernel's VFIO modules are not loaded", node.string()),
                "load them with `modprobe vfio-pci`"};
}

std::optional<Lack> lacks_iommufd(const SysfsRoot& root) {
    const fs::path node = root.dev / "iommu";
    if (is_there(node)) return std::nullopt;
    if (is_there(root.sys / "class/misc/iommu")) return not_in_dev(node);
    if (const auto version = kernel_version(root); version && *version < kFirstWithIommufd)
        return Lack{
            fmt::format("{} does not exist: VFIO has IOMMUFD from Linux {}.{} on, and this is {}.{}", node.string(),
                        kFirstWithIommufd.first, kFirstWithIommufd.second, version->first, version->second),
            "use the backend vfio, or a later kernel with CONFIG_IOMMUFD; `modprobe iommufd` helps only where "
            "the distribution has ported it back"};
    return Lack{fmt::format("{} does not exist: the kernel has no IOMMUFD, or its module is not loaded", node.string()),
                "load it with `modprobe iommufd`, which a kernel with CONFIG_IOMMUFD has, or use the backend vfio"};
}

std::optional<Lack> lacks_vfio_device_nodes(const SysfsRoot& root) {
    if (read_text(root.proc / "devices").value_or("").find(" vfio-dev") != std::string::npos) return std::nullopt;
    if (auto unknown = unknown_before_vfio(root)) return unknown;
    return no_vfio_device_nodes();
}

Lack not_in_dev(const fs::path& node) {
    return {fmt::format("{} does not exist here, though the kernel has that device", node.string()),
            fmt::format("give it to this container (docker and podman: `--device {}`)", node.string())};
}

Lack no_vfio_device_nodes() {
    return {"the kernel gives VFIO devices no nodes of their own",
            fmt::format("use the backend vfio, or a kernel with CONFIG_VFIO_DEVICE_CDEV (Linux {}.{})",
                        kFirstWithIommufd.first, kFirstWithIommufd.second)};
}

std::optional<Lack> lacks_noiommu_mode(const SysfsRoot& root) {
    if (auto unknown = unknown_before_vfio(root)) return unknown;
    const fs::path parameter = root.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode";
    const auto setting = read_text(parameter);
    if (!setting)
        return Lack{"the kernel's VFIO has no no-IOMMU mode",
                    "use a kernel with CONFIG_VFIO_NOIOMMU, or a machine with an IOMMU and the backend vfio"};
    if (*setting != "Y" && *setting != "1")
        return Lack{"the no-IOMMU mode of the kernel's VFIO is off",
                    fmt::format("turn it on, knowing that the device can then reach all memory: `echo 1 > {}`",
                                parameter.string())};
    return std::nullopt;
}

namespace {

std::string_view module_of(UnsafeInterrupts parameter) noexcept {
    return parameter == UnsafeInterrupts::type1 ? "vfio_iommu_type1" : "iommufd";
}

constexpr std::string_view kUnsafe = "allow_unsafe_interrupts";

fs::path path_of(UnsafeInterrupts parameter, const SysfsRoot& root) {
    return root.sys / "module" / module_of(parameter) / "parameters" / kUnsafe;
}

}  // namespace

InterruptRemapping interrupt_remapping(const SysfsRoot& root) {
    const std::string chips = read_text(root.proc / "interrupts").value_or("");
    if (chips.find(" IR-") != std::string::npos) return InterruptRemapping::on;
    return chips.find("IO-APIC") != std::string::npos ? InterruptRemapping::off : InterruptRemapping::not_told;
}

bool allows_unsafe_interrupts(const SysfsRoot& root, UnsafeInterrupts parameter) {
    const auto setting = read_text(path_of(parameter, root));
    return setting == "Y" || setting == "1";
}

bool may_pass_interrupts(const SysfsRoot& root, UnsafeInterrupts parameter) {
    return interrupt_remapping(root) == InterruptRemapping::on || allows_unsafe_interrupts(root, parameter);
}

// drivers/vfio/vfio_iommu_type1.c, vfio_iommu_type1_attach_group(), at VFIO_SET_IOMMU; drivers/iommu/iommufd/device.c,
// iommufd_device_bind(), at VFIO_DEVICE_BIND_IOMMUFD.
std::optional<Lack> lacks_interrupt_remapping(const SysfsRoot& root, UnsafeInterrupts parameter) {
    if (interrupt_remapping(root) != InterruptRemapping::off || allows_unsafe_interrupts(root, parameter))
        return std::nullopt;
    return no_interrupt_remapping(root, parameter);
}

Lack no_interrupt_remapping(const SysfsRoot& root, UnsafeInterrupts parameter) {
    const fs::path file = path_of(parameter, root);
    const std::string waive = is_there(file) ? fmt::format("`echo 1 > {}`", file.string())
                                             : fmt::format("`modprobe {} {}=1`", module_of(parameter), kUnsafe);
    return {
        "interrupts are not remapped, so a device could raise any interrupt of the machine, and the kernel refuses "
        "VFIO",
        "turn interrupt remapping on (in the firmware, with the IOMMU; QEMU: -machine kernel-irqchip=split -device "
        "intel-iommu,intremap=on); or, where the machine has none and the device and its driver are trusted with "
        "all of its interrupts: " +
            waive};
}

std::optional<Lack> lacks_device_files(const SysfsRoot& root) {
    const std::string mode = parse_choice(read_text(root.sys / "kernel/security/lockdown").value_or(""));
    if (mode.empty() || mode == "none") return std::nullopt;
    return Lack{fmt::format("the kernel is locked down ({}) and lets no process reach a device's own files", mode),
                "use vfio, which a locked-down kernel allows, or boot without Secure Boot's lockdown"};
}

}  // namespace uiovfio::detail
