// SPDX-License-Identifier: MIT
/// What would keep each backend from having a function, told from what the kernel shows of it: nothing is opened.

#include "obstacles.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "backend_list.hpp"
#include "needs.hpp"
#include "sysfs_files.hpp"
#include "text.hpp"
#include "uiovfio/sysfs.hpp"
#include "uiovfio/use.hpp"

namespace uiovfio {

namespace fs = std::filesystem;

namespace {

// What an entry of the user or group database needs; one that needs more is given by its number.
using EntryText = std::array<char, 4096>;

std::string user_name(uid_t id) {
    passwd entry{};
    passwd* found = nullptr;
    EntryText text;
    return ::getpwuid_r(id, &entry, text.data(), text.size(), &found) == 0 && found != nullptr ? entry.pw_name
                                                                                               : std::to_string(id);
}

std::string group_name(gid_t id) {
    group entry{};
    group* found = nullptr;
    EntryText text;
    return ::getgrgid_r(id, &entry, text.data(), text.size(), &found) == 0 && found != nullptr ? entry.gr_name
                                                                                               : std::to_string(id);
}

std::string owner_text(const struct stat& status) {
    return fmt::format("{}:{}, mode {:04o}", user_name(status.st_uid), group_name(status.st_gid),
                       status.st_mode & 07777U);
}

/// What is lacking on the machine keeps the device from being reached.
std::optional<Obstacle> from_lack(Errc errc, const std::string& object, std::optional<detail::Lack> lack) {
    if (!lack) return std::nullopt;
    return Obstacle{errc, object, std::move(lack->what), std::move(lack->remedy)};
}

std::optional<Obstacle> no_iommu_group(const std::string& object, const PciFunction& function, const SysfsRoot& root) {
    if (function.iommu_group) return std::nullopt;
    if (auto obstacle = from_lack(Errc::no_iommu, object, detail::lacks_iommu(root))) return obstacle;
    return Obstacle{Errc::no_iommu, object, "the machine has an IOMMU, but this device is not behind it",
                    "plug the device where the IOMMU translates; see `dmesg | grep -e DMAR -e AMD-Vi`"};
}

/// `driver` is the one of the kernel's that must have the device.
Obstacle not_bound_to(std::string_view driver, const std::string& object, const PciFunction& function,
                      const SysfsRoot& root) {
    const std::string what = function.driver.empty()
                                 ? fmt::format("no driver has the device; {} must", driver)
                                 : fmt::format("the driver {} has the device; {} must", function.driver, driver);
    const std::string bind = fmt::format("bind it with `pcienic-ctl -s {} bind {}`", object, driver);
    if (!detail::is_there(root.sys / "bus/pci/drivers" / driver))
        return {Errc::not_bound, object, what,
                fmt::format("load the driver with `modprobe {}`, then {}", driver, bind)};
    return {Errc::not_bound, object, what, bind};
}

std::optional<Obstacle> not_bound(const std::string& object, const PciFunction& function, const SysfsRoot& root) {
    if (detail::is_vfio_driver(function.driver)) return std::nullopt;
    if (function.is_bridge)
        return Obstacle{Errc::not_bound, object, "it is a bridge, and vfio-pci takes none",
                        detail::kBridgesAreNotNeeded};
    return not_bound_to("vfio-pci", object, function, root);
}

std::optional<Obstacle> group_not_viable(const std::string& object, const PciFunction& function,
                                         const SysfsRoot& root) {
    std::vector<std::string> in_the_way;
    std::string commands;
    bool has_bridge = false;
    for (const Bdf& member : function.group_members) {
        const std::string driver = detail::link_name(detail::device_directory(root, member) / "driver");
        if (may_stay_in_group(driver)) continue;
        in_the_way.push_back(fmt::format("{} (driver {})", to_string(member), driver));
        std::error_code gone;
        const bool is_bridge = describe(member, root, gone).is_bridge;
        has_bridge = has_bridge || is_bridge;
        commands += fmt::format("{}`pcienic-ctl -s {} {}`", commands.empty() ? "" : ", ", to_string(member),
                                is_bridge ? "unbind --none" : "bind vfio-pci");
    }
    if (in_the_way.empty()) return std::nullopt;
    return Obstacle{Errc::group_not_viable, object,
                    fmt::format("kernel drivers have other devices of IOMMU group {}: {}",
                                function.iommu_group.value_or(0), detail::join(in_the_way)),
                    has_bridge
                        ? fmt::format("free these, too: {}", commands)
                        : fmt::format("bind these, too: {}, or the whole group: `pcienic-ctl -s {} bind --group`",
                                      commands, object)};
}

std::optional<Obstacle> no_permission(const std::string& object, const fs::path& node) {
    struct stat status{};
    if (::stat(node.c_str(), &status) != 0) return std::nullopt;  // opening it will tell
    if (::faccessat(AT_FDCWD, node.c_str(), R_OK | W_OK, AT_EACCESS) == 0) return std::nullopt;
    return Obstacle{
        Errc::permission_denied, object,
        fmt::format("this process may not open {} ({})", node.string(), owner_text(status)),
        fmt::format("run as root, or give the node to this user: `chown {} {}`", ::geteuid(), node.string())};
}

/// The device's own files, those of its BARs and these. To give them to somebody would not do: the kernel asks who
/// enables the device, and who reads all of its configuration space, for more than that.
std::optional<Obstacle> not_roots(const std::string& object, const PciFunction& function, const SysfsRoot& root,
                                  std::vector<std::string> files) {
    for (const PciResource& resource : function.resources) files.push_back(fmt::format("resource{}", resource.index));
    for (const std::string& file : files)
        if (auto obstacle = no_permission(object, detail::device_directory(root, function.bdf) / file)) {
            obstacle->remedy = "run as root: what sysfs has of a device is root's";
            return obstacle;
        }
    return std::nullopt;
}

bool is_noiommu_group(const PciFunction& function) { return function.iommu_group && !function.is_behind_iommu; }

/// What VFIO's files and the device's say; the kernel's own refusals come after.
std::optional<Obstacle> vfio(const PciFunction& function, const SysfsRoot& root) {
    const std::string object = to_string(function.bdf);
    if (auto obstacle = from_lack(Errc::no_vfio, object, detail::lacks_vfio(root))) return obstacle;
    if (auto obstacle = no_iommu_group(object, function, root)) return obstacle;
    if (is_noiommu_group(function))
        return Obstacle{Errc::no_iommu, object, "the device is not behind an IOMMU, and VFIO has it in no-IOMMU mode",
                        "turn the IOMMU on, or accept that nothing guards memory: open it with vfio-noiommu"};
    if (auto obstacle = not_bound(object, function, root)) return obstacle;
    if (auto obstacle = group_not_viable(object, function, root)) return obstacle;
    const fs::path node = root.dev / "vfio" / std::to_string(*function.iommu_group);
    if (!detail::is_there(node) && detail::is_there(root.sys / "class/vfio" / node.filename()))
        return from_lack(Errc::no_vfio, object, detail::not_in_dev(node));
    if (!detail::is_there(node))
        return Obstacle{Errc::no_vfio, object,
                        fmt::format("{} does not exist: this kernel's VFIO has no groups", node.string()),
                        "use the backend iommufd, or a kernel with CONFIG_VFIO_GROUP"};
    if (auto obstacle = no_permission(object, root.dev / "vfio/vfio")) return obstacle;
    return no_permission(object, node);
}

std::optional<Obstacle> iommufd(const PciFunction& function, const SysfsRoot& root) {
    const std::string object = to_string(function.bdf);
    if (auto obstacle = from_lack(Errc::no_vfio, object, detail::lacks_iommufd(root))) return obstacle;
    if (auto obstacle = no_iommu_group(object, function, root)) return obstacle;
    if (is_noiommu_group(function))
        return Obstacle{Errc::no_iommu, object, "the device is not behind an IOMMU", "turn the IOMMU on"};
    if (auto obstacle = not_bound(object, function, root)) return obstacle;
    if (auto obstacle = group_not_viable(object, function, root)) return obstacle;
    const fs::path node = detail::vfio_device_node(function.bdf, root);
    if (node.empty()) return from_lack(Errc::no_vfio, object, detail::no_vfio_device_nodes());
    if (!detail::is_there(node)) return from_lack(Errc::no_vfio, object, detail::not_in_dev(node));
    if (auto obstacle = no_permission(object, root.dev / "iommu")) return obstacle;
    return no_permission(object, node);
}

std::optional<Obstacle> uio(const PciFunction& function, const SysfsRoot& root) {
    const std::string object = to_string(function.bdf);
    if (auto obstacle = from_lack(Errc::permission_denied, object, detail::lacks_device_files(root))) return obstacle;
    const fs::path node = detail::uio_node(function.bdf, root);
    if (node.empty() || function.driver != "uio_pci_generic")
        return not_bound_to("uio_pci_generic", object, function, root);
    if (!detail::is_there(node)) return from_lack(Errc::permission_denied, object, detail::not_in_dev(node));
    if (auto obstacle = no_permission(object, node)) return obstacle;
    return not_roots(object, function, root, {"config"});
}

std::optional<Obstacle> sysfs(const PciFunction& function, const SysfsRoot& root) {
    const std::string object = to_string(function.bdf);
    if (auto obstacle = from_lack(Errc::permission_denied, object, detail::lacks_device_files(root))) return obstacle;
    if (!function.driver.empty())
        return Obstacle{Errc::not_bound, object,
                        fmt::format("the driver {} has the device; for sysfs no driver should", function.driver),
                        fmt::format("take it away with `pcienic-ctl -s {} unbind --none`; a program can share it: "
                                    "OpenOptions::share_with_driver",
                                    object)};
    return not_roots(object, function, root, {"config", "enable"});
}

std::optional<Obstacle> noiommu(const PciFunction& function, const SysfsRoot& root) {
    const std::string object = to_string(function.bdf);
    if (function.is_behind_iommu)
        return Obstacle{Errc::unsupported, object, "the device is behind an IOMMU, so it has no no-IOMMU mode",
                        "open it with the backend vfio"};
    if (auto obstacle = from_lack(Errc::no_vfio, object, detail::lacks_vfio(root))) return obstacle;
    if (auto obstacle = from_lack(Errc::no_vfio, object, detail::lacks_noiommu_mode(root))) return obstacle;
    if (auto obstacle = not_bound(object, function, root)) return obstacle;
    const fs::path node = root.dev / "vfio" / fmt::format("noiommu-{}", function.iommu_group.value_or(0));
    if (!detail::is_there(node) && detail::is_there(root.sys / "class/vfio" / node.filename()))
        return from_lack(Errc::no_vfio, object, detail::not_in_dev(node));
    if (!detail::is_there(node))
        return Obstacle{Errc::no_vfio, object,
                        fmt::format("{} does not exist: vfio-pci had the device before the mode was on", node.string()),
                        fmt::format("take it away with `pcienic-ctl -s {} unbind --none`, then give it back with "
                                    "`pcienic-ctl -s {} bind vfio-pci`",
                                    object, object)};
    auto obstacle = no_permission(object, node);
    if (obstacle) obstacle->remedy = detail::kNoIommuNeedsRoot;  // the node alone would not do
    return obstacle;
}

using WhyNot = std::optional<Obstacle> (*)(const PciFunction&, const SysfsRoot&);

struct Asked {
    std::string_view backend;
    WhyNot why_not;
};

/// Not asked before a device is opened, but of the kernel then: it is told from the names of chips, and a name that is
/// not known here must not cost anybody a device.
std::optional<Obstacle> refused_interrupts(const PciFunction& function, std::string_view backend,
                                           const SysfsRoot& root) {
    const bool is_vfio = backend == "vfio";
    if (!is_vfio && backend != "iommufd") return std::nullopt;
    return from_lack(Errc::no_iommu, to_string(function.bdf),
                     detail::lacks_interrupt_remapping(
                         root, is_vfio ? detail::UnsafeInterrupts::type1 : detail::UnsafeInterrupts::iommufd));
}

constexpr std::array kAsked{
    Asked{"vfio", vfio},
    Asked{"iommufd", iommufd},
    Asked{"uio", uio},
    Asked{"sysfs", sysfs},
    Asked{"vfio-noiommu", noiommu},
    Asked{"sim", [](const PciFunction&, const SysfsRoot&) -> std::optional<Obstacle> { return std::nullopt; }},
};
static_assert(kAsked.size() == detail::kBackends.size());

}  // namespace

namespace detail {

bool is_vfio_driver(std::string_view driver) noexcept {
    return driver.ends_with("vfio-pci") || driver.ends_with("vfio_pci");
}

fs::path vfio_device_node(const Bdf& bdf, const SysfsRoot& root) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator{device_directory(root, bdf) / "vfio-dev", none})
        if (is_there(entry.path() / "dev")) return root.dev / "vfio/devices" / entry.path().filename();
    return {};
}

fs::path uio_node(const Bdf& bdf, const SysfsRoot& root) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator{device_directory(root, bdf) / "uio", none})
        return root.dev / entry.path().filename();
    return {};
}

std::string holders_text(const Bdf& bdf, const SysfsRoot& root) {
    std::vector<std::string> texts;
    for (const Holder& holder : holders_of(bdf, root)) texts.push_back(to_string(holder));
    return join(texts);
}

void throw_obstacle(const Obstacle& obstacle) {
    throw Error{obstacle.errc, obstacle.object, obstacle.what_was_wrong, 0, obstacle.remedy};
}

std::optional<Obstacle> obstacle_before_opening(const PciFunction& function, std::string_view backend,
                                                const SysfsRoot& root) {
    for (const Asked& asked : kAsked)
        if (asked.backend == backend) return asked.why_not(function, root);
    return Obstacle{Errc::unknown_backend, fmt::format("\"{}\"", backend),
                    make_error_code(Errc::unknown_backend).message(), std::string{remedy(Errc::unknown_backend)}};
}

const BackendTraits& automatic_backend(const PciFunction& function, const SysfsRoot& root) {
    const BackendTraits* by_driver = nullptr;
    for (const BackendTraits& traits : kBackends) {
        if (!traits.is_automatic) continue;
        if (!why_not(function, traits.name, root)) return traits;
        const bool is_its =
            traits.driver == function.driver || (traits.driver == "vfio-pci" && is_vfio_driver(function.driver));
        if (is_its && by_driver == nullptr) by_driver = &traits;
    }
    return by_driver != nullptr ? *by_driver : kBackends.front();
}

}  // namespace detail

bool may_stay_in_group(std::string_view driver) noexcept {
    return driver.empty() || detail::is_vfio_driver(driver) || driver == "pci-stub" || driver == "pcieport";
}

std::optional<Obstacle> why_not(const PciFunction& function, std::string_view backend, const SysfsRoot& root) {
    if (backend == "auto") backend = detail::automatic_backend(function, root).name;
    if (auto obstacle = detail::obstacle_before_opening(function, backend, root)) return obstacle;
    return refused_interrupts(function, backend, root);
}

std::optional<Obstacle> why_not(const Bdf& bdf, std::string_view backend, const SysfsRoot& root) {
    std::error_code ec;
    const PciFunction function = describe(bdf, root, ec);
    if (ec)
        return Obstacle{Errc::no_such_device, to_string(bdf), "there is no PCI function at this address",
                        std::string{remedy(Errc::no_such_device)}};
    return why_not(function, backend, root);
}

std::optional<Obstacle> why_not_vfio(const PciFunction& function, const SysfsRoot& root) {
    return why_not(function, "vfio", root);
}

std::optional<Obstacle> why_not_vfio(const Bdf& bdf, const SysfsRoot& root) { return why_not(bdf, "vfio", root); }

}  // namespace uiovfio
