// SPDX-License-Identifier: MIT
#include "uiovfio/sysfs.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>

#include "file_descriptor.hpp"
#include "guarded.hpp"
#include "reserved_regions.hpp"
#include "sysfs_files.hpp"

namespace uiovfio {

namespace fs = std::filesystem;

namespace detail {

std::optional<std::string> read_text(const fs::path& file) {
    std::ifstream in{file};
    if (!in) return std::nullopt;
    std::ostringstream text;
    text << in.rdbuf();
    std::string result = std::move(text).str();
    result.erase(result.find_last_not_of(" \t\r\n") + 1);
    return result;
}

std::string link_name(const fs::path& link) {
    std::error_code none;
    return fs::read_symlink(link, none).filename().string();
}

namespace {

std::function<int(const fs::path&, std::string_view)>& write_replacement() {
    static std::function<int(const fs::path&, std::string_view)> replacement;
    return replacement;
}

}  // namespace

int write_text(const fs::path& file, std::string_view text) {
    if (write_replacement()) return write_replacement()(file, text);
    const FileDescriptor out{::open(file.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!out) return errno;
    const auto written = ::write(out.get(), text.data(), text.size());
    if (written < 0) return errno;
    return static_cast<std::size_t>(written) == text.size() ? 0 : EIO;
}

void replace_write_text(std::function<int(const fs::path&, std::string_view)> replacement) {
    write_replacement() = std::move(replacement);
}

}  // namespace detail

namespace {

// Bits of the flags in the file "resource" (the kernel's include/linux/ioport.h).
constexpr std::uint64_t kResourceIo = 0x100;
constexpr std::uint64_t kResourceMemory = 0x200;
constexpr std::uint64_t kResourcePrefetch = 0x2000;
constexpr std::uint64_t kResource64Bit = 0x100000;

template <class Number>
std::optional<Number> parse_number(std::string_view text, int base) {
    if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return value;
}

template <class Number>
Number hex_file(const fs::path& file) {
    return parse_number<Number>(detail::read_text(file).value_or(""), 16).value_or(Number{});
}

std::vector<PciResource> resources_of(const fs::path& directory) {
    std::vector<PciResource> found;
    std::istringstream lines{detail::read_text(directory / "resource").value_or("")};
    std::string first;
    std::string last;
    std::string flags;
    for (unsigned index = 0; index < 6 && lines >> first >> last >> flags; ++index) {
        const auto begin = parse_number<std::uint64_t>(first, 16).value_or(0);
        const auto end = parse_number<std::uint64_t>(last, 16).value_or(0);
        const auto bits = parse_number<std::uint64_t>(flags, 16).value_or(0);
        if ((bits & (kResourceIo | kResourceMemory)) == 0) continue;
        found.push_back({.index = index,
                         .address = begin,
                         .size = end - begin + 1,
                         .is_io = (bits & kResourceIo) != 0,
                         .is_64bit = (bits & kResource64Bit) != 0,
                         .is_prefetchable = (bits & kResourcePrefetch) != 0});
    }
    return found;
}

std::vector<Bdf> members_of(const fs::path& group) {
    std::vector<Bdf> found;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator{group / "devices", none})
        if (const auto bdf = Bdf::try_parse(entry.path().filename().string())) found.push_back(*bdf);
    std::sort(found.begin(), found.end());
    return found;
}

std::string join(const std::vector<std::string>& words) {
    std::string joined;
    for (const std::string& word : words) joined += (joined.empty() ? "" : ", ") + word;
    return joined;
}

/// vfio-pci, and the drivers for one kind of device that are built on it (mlx5_vfio_pci).
bool is_vfio_driver(std::string_view driver) { return driver.ends_with("vfio-pci") || driver.ends_with("vfio_pci"); }

/// Drivers that the kernel lets stay in a group that userspace uses, because they leave DMA alone.
bool is_harmless_driver(std::string_view driver) {
    return driver.empty() || is_vfio_driver(driver) || driver == "pci-stub" || driver == "pcieport";
}

std::string owner_text(const struct stat& status) {
    const passwd* user = ::getpwuid(status.st_uid);
    const group* owners = ::getgrgid(status.st_gid);
    return fmt::format("{}:{}, mode {:04o}", user != nullptr ? user->pw_name : std::to_string(status.st_uid),
                       owners != nullptr ? owners->gr_name : std::to_string(status.st_gid), status.st_mode & 07777U);
}

std::optional<Obstacle> no_vfio_modules(const std::string& object, const SysfsRoot& root) {
    std::error_code none;
    if (fs::exists(root.dev / "vfio/vfio", none)) return std::nullopt;
    return Obstacle{
        Errc::no_vfio, object,
        fmt::format("{} does not exist: the kernel's VFIO modules are not loaded", (root.dev / "vfio/vfio").string()),
        "load them with `modprobe vfio-pci`"};
}

std::optional<Obstacle> no_iommu_group(const std::string& object, const PciFunction& function, const SysfsRoot& root) {
    if (function.iommu_group) return std::nullopt;
    std::error_code none;
    const bool has_iommu = !fs::is_empty(root.sys / "class/iommu", none) && !none;
    if (has_iommu)
        return Obstacle{Errc::no_iommu, object, "the machine has an IOMMU, but this device is not behind it",
                        "plug the device where the IOMMU translates; see `dmesg | grep -e DMAR -e AMD-Vi`"};
    return Obstacle{Errc::no_iommu, object, "the machine has no IOMMU in use",
                    "turn it on in the firmware (VT-d, AMD-Vi) and boot with intel_iommu=on or amd_iommu=on; give a "
                    "virtual machine one (QEMU: -device intel-iommu,intremap=on)"};
}

std::optional<Obstacle> not_bound(const std::string& object, const PciFunction& function) {
    if (is_vfio_driver(function.driver)) return std::nullopt;
    const std::string what = function.driver.empty()
                                 ? "no driver has the device; vfio-pci must"
                                 : fmt::format("the driver {} has the device; vfio-pci must", function.driver);
    return Obstacle{Errc::not_bound, object, what,
                    fmt::format("bind it with `pcienic-ctl -s {} bind vfio-pci`", object)};
}

std::optional<Obstacle> group_not_viable(const std::string& object, const PciFunction& function,
                                         const SysfsRoot& root) {
    std::vector<std::string> in_the_way;
    std::string commands;
    for (const Bdf& member : function.group_members) {
        const std::string driver = detail::link_name(detail::device_directory(root, member) / "driver");
        if (is_harmless_driver(driver)) continue;
        in_the_way.push_back(fmt::format("{} (driver {})", to_string(member), driver));
        commands += fmt::format("{}`pcienic-ctl -s {} bind vfio-pci`", commands.empty() ? "" : ", ", to_string(member));
    }
    if (in_the_way.empty()) return std::nullopt;
    return Obstacle{Errc::group_not_viable, object,
                    fmt::format("kernel drivers have other devices of IOMMU group {}: {}",
                                function.iommu_group.value_or(0), join(in_the_way)),
                    "bind these, too: " + commands};
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

}  // namespace

PciFunction describe(const Bdf& bdf, const SysfsRoot& root) {
    const fs::path directory = detail::device_directory(root, bdf);
    std::error_code none;
    if (!fs::exists(directory / "vendor", none))
        throw Error{Errc::no_such_device, to_string(bdf), "there is no PCI function at this address"};
    PciFunction function;
    function.bdf = bdf;
    function.vendor = hex_file<std::uint16_t>(directory / "vendor");
    function.device = hex_file<std::uint16_t>(directory / "device");
    function.subsystem_vendor = hex_file<std::uint16_t>(directory / "subsystem_vendor");
    function.subsystem_device = hex_file<std::uint16_t>(directory / "subsystem_device");
    function.class_code = hex_file<std::uint32_t>(directory / "class");
    function.revision = hex_file<std::uint8_t>(directory / "revision");
    function.driver = detail::link_name(directory / "driver");
    const auto override_text = detail::read_text(directory / "driver_override").value_or("");
    if (override_text != "(null)") function.driver_override = override_text;
    function.iommu_group = parse_number<unsigned>(detail::link_name(directory / "iommu_group"), 10);
    if (function.iommu_group) {
        function.group_members = members_of(directory / "iommu_group");
        function.reserved_regions =
            detail::parse_reserved_regions(detail::read_text(directory / "iommu_group/reserved_regions").value_or(""));
    }
    const auto node = parse_number<int>(detail::read_text(directory / "numa_node").value_or(""), 10);
    if (node && *node >= 0) function.numa_node = node;
    function.resources = resources_of(directory);
    function.is_bridge = (function.class_code >> 16) == 0x06 && ((function.class_code >> 8) & 0xff) == 0x04;
    return function;
}

PciFunction describe(const Bdf& bdf, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return describe(bdf, root); });
}

std::vector<PciFunction> enumerate(const SysfsRoot& root) {
    const fs::path directory = root.sys / "bus/pci/devices";
    std::error_code error;
    std::vector<Bdf> addresses;
    for (const auto& entry : fs::directory_iterator{directory, error})
        if (const auto bdf = Bdf::try_parse(entry.path().filename().string())) addresses.push_back(*bdf);
    if (error)
        throw Error{Errc::system_error, directory.string(), "cannot list the PCI bus", error.value(),
                    "mount sysfs, or see whether the machine has a PCI bus at all"};
    std::sort(addresses.begin(), addresses.end());
    std::vector<PciFunction> functions;
    for (const Bdf& bdf : addresses) {
        std::error_code unplugged;  // between listing and reading
        auto function = describe(bdf, root, unplugged);
        if (!unplugged) functions.push_back(std::move(function));
    }
    return functions;
}

std::vector<PciFunction> enumerate(const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return enumerate(root); });
}

PciFunction find_function(std::string_view selector, const SysfsRoot& root) {
    const auto colon = selector.find(':');
    const bool is_ids = selector.find('.') == std::string_view::npos && colon != std::string_view::npos;
    if (!is_ids) return describe(Bdf::parse(selector), root);

    const auto vendor = parse_number<std::uint16_t>(selector.substr(0, colon), 16);
    const auto device = parse_number<std::uint16_t>(selector.substr(colon + 1), 16);
    if (!vendor || !device)
        throw Error{Errc::invalid_bdf, fmt::format("\"{}\"", selector), "neither an address nor VENDOR:DEVICE", 0,
                    "write 0000:01:00.0 or 1af4:10f2"};
    std::vector<PciFunction> matches;
    for (PciFunction& function : enumerate(root))
        if (function.vendor == *vendor && function.device == *device) matches.push_back(std::move(function));
    if (matches.empty())
        throw Error{Errc::no_such_device, std::string{selector}, "no PCI function has this vendor and device"};
    if (matches.size() > 1) {
        std::vector<std::string> candidates;
        candidates.reserve(matches.size());
        for (const PciFunction& match : matches) candidates.push_back(to_string(match.bdf));
        throw Error{Errc::ambiguous_device, std::string{selector},
                    fmt::format("{} PCI functions match: {}", matches.size(), join(candidates))};
    }
    return matches.front();
}

PciFunction find_function(std::string_view selector, const SysfsRoot& root, std::error_code& ec) noexcept {
    return detail::guarded(ec, [&] { return find_function(selector, root); });
}

std::optional<Obstacle> why_not_vfio(const PciFunction& function, const SysfsRoot& root) {
    const std::string object = to_string(function.bdf);
    if (auto obstacle = no_vfio_modules(object, root)) return obstacle;
    if (auto obstacle = no_iommu_group(object, function, root)) return obstacle;
    if (auto obstacle = not_bound(object, function)) return obstacle;
    if (auto obstacle = group_not_viable(object, function, root)) return obstacle;
    if (auto obstacle = no_permission(object, root.dev / "vfio/vfio")) return obstacle;
    return no_permission(object, root.dev / "vfio" / std::to_string(*function.iommu_group));
}

std::optional<Obstacle> why_not_vfio(const Bdf& bdf, const SysfsRoot& root) {
    std::error_code ec;
    const PciFunction function = describe(bdf, root, ec);
    if (ec)
        return Obstacle{Errc::no_such_device, to_string(bdf), "there is no PCI function at this address",
                        std::string{remedy(Errc::no_such_device)}};
    return why_not_vfio(function, root);
}

}  // namespace uiovfio
