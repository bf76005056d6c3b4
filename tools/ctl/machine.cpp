// SPDX-License-Identifier: MIT
#include "machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

namespace pcienic::ctl {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> read(const fs::path& file) {
    std::ifstream stream{file};
    if (!stream) return std::nullopt;
    std::string text{std::istreambuf_iterator<char>{stream}, {}};
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text;
}

bool is_there(const fs::path& path) {
    std::error_code none;
    return fs::exists(path, none);
}

std::optional<std::uint64_t> number(std::string_view text, int base) {
    std::uint64_t value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::vector<fs::path> entries(const fs::path& folder) {
    std::error_code none;
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator{folder, none}) found.push_back(entry.path());
    std::ranges::sort(found);
    return found;
}

Check kernel(const uiovfio::SysfsRoot& root) {
    return {.subject = "kernel", .what = "Linux " + read(root.proc / "sys/kernel/osrelease").value_or("(not told)")};
}

// The capability register of VT-d (specification 4.0, 11.4.2): MGAW, the widest address, and SAGAW, the depths of page
// table that there are: 39, 48 and 57 bits.
std::optional<unsigned> width_of(const fs::path& unit) {
    const auto capabilities = number(read(unit / "intel-iommu/cap").value_or(""), 16);
    if (!capabilities) return std::nullopt;
    const auto widest = static_cast<unsigned>((*capabilities >> 16 & 0x3f) + 1);
    const auto depths = static_cast<unsigned>(*capabilities >> 8 & 0x0e);
    if (depths == 0) return std::nullopt;
    return std::min(widest, 30 + 9 * static_cast<unsigned>(std::bit_width(depths) - 1));
}

Check iommu(const uiovfio::SysfsRoot& root) {
    std::string names;
    for (const fs::path& unit : entries(root.sys / "class/iommu"))
        names += (names.empty() ? "" : ", ") + unit.filename().string();
    if (names.empty())
        return {.subject = "IOMMU",
                .state = State::missing,
                .what = "none is in use",
                .remedy =
                    "turn it on in the firmware (VT-d, AMD-Vi) and boot with intel_iommu=on or amd_iommu=on; "
                    "give a virtual machine one (QEMU: -device intel-iommu,intremap=on)",
                .backends = {"vfio", "iommufd"}};
    const auto width = iommu_width(root);
    return {.subject = "IOMMU",
            .state = State::ok,
            .what = names + (width ? fmt::format(", bus addresses of {} bits", *width) : ""),
            .backends = {"vfio", "iommufd"}};
}

/// x86 alone has it as a thing of its own. The chip's name says it: "IR-PCI-MSI".
Check interrupt_remapping(const uiovfio::SysfsRoot& root) {
    const bool is_on = read(root.proc / "interrupts").value_or("").find(" IR-") != std::string::npos;
    if (is_on) return {.subject = "interrupt remapping", .state = State::ok, .what = "on"};
    return {.subject = "interrupt remapping",
            .state = State::note,
            .what = "off: on x86, VFIO then refuses devices, and there is one MSI vector for each",
            .remedy = "turn it on with the IOMMU (QEMU: intremap=on and -machine kernel-irqchip=split)"};
}

Check node(std::string subject, const fs::path& path, std::string remedy, std::vector<std::string_view> backends) {
    if (is_there(path))
        return {
            .subject = std::move(subject), .state = State::ok, .what = path.string(), .backends = std::move(backends)};
    return {.subject = std::move(subject),
            .state = State::missing,
            .what = path.string() + " does not exist",
            .remedy = std::move(remedy),
            .backends = std::move(backends)};
}

Check device_nodes(const uiovfio::SysfsRoot& root) {
    const bool has = read(root.proc / "devices").value_or("").find(" vfio-dev") != std::string::npos;
    if (has)
        return {
            .subject = "VFIO device nodes", .state = State::ok, .what = "/dev/vfio/devices", .backends = {"iommufd"}};
    return {.subject = "VFIO device nodes",
            .state = State::missing,
            .what = "the kernel gives VFIO devices none",
            .remedy = "use a kernel with CONFIG_VFIO_DEVICE_CDEV (Linux 6.6), or the backend vfio",
            .backends = {"iommufd"}};
}

Check no_iommu_mode(const uiovfio::SysfsRoot& root) {
    const fs::path parameter = root.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode";
    const auto setting = read(parameter);
    const std::vector<std::string_view> backends{"vfio-noiommu"};
    if (!setting)
        return {.subject = "no-IOMMU mode",
                .state = State::missing,
                .what = "the kernel's VFIO has none",
                .remedy = "only where there is no IOMMU: use a kernel with CONFIG_VFIO_NOIOMMU",
                .backends = backends};
    if (*setting != "Y" && *setting != "1")
        return {.subject = "no-IOMMU mode",
                .state = State::missing,
                .what = "off",
                .remedy = fmt::format("only where there is no IOMMU, for the device can then reach all memory: "
                                      "`echo 1 > {}`",
                                      parameter.string()),
                .backends = backends};
    return {.subject = "no-IOMMU mode", .state = State::ok, .what = "on: nothing guards memory", .backends = backends};
}

Check lockdown(const uiovfio::SysfsRoot& root) {
    const std::string text = read(root.sys / "kernel/security/lockdown").value_or("");
    const auto open = text.find('[');
    const auto close = text.find(']', open);
    const std::string mode =
        open == std::string::npos || close == std::string::npos ? "none" : text.substr(open + 1, close - open - 1);
    if (mode == "none")
        return {.subject = "lockdown", .state = State::ok, .what = "none", .backends = {"sysfs", "uio"}};
    return {.subject = "lockdown",
            .state = State::missing,
            .what = mode + ": the kernel refuses resource files and configuration space",
            .remedy = "use vfio, or boot without Secure Boot or lockdown=",
            .backends = {"sysfs", "uio"}};
}

bool may_lock_without_limit(const uiovfio::SysfsRoot& root) {
    constexpr std::string_view kKey = "CapEff:";
    constexpr unsigned kIpcLock = 14;  // CAP_IPC_LOCK of include/uapi/linux/capability.h
    std::istringstream lines{read(root.proc / "self/status").value_or("")};
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with(kKey)) continue;
        std::istringstream words{line.substr(kKey.size())};
        std::string set;
        words >> set;
        return (number(set, 16).value_or(0) >> kIpcLock & 1) != 0;
    }
    return false;
}

/// Of this process: what it maps for DMA counts against it, unless it has CAP_IPC_LOCK.
Check memory_lock(const uiovfio::SysfsRoot& root) {
    constexpr std::string_view kName = "Max locked memory";
    constexpr std::uint64_t kSmall = std::uint64_t{64} << 20;
    std::istringstream lines{read(root.proc / "self/limits").value_or("")};
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with(kName)) continue;
        std::istringstream words{line.substr(kName.size())};
        std::string soft;
        words >> soft;
        if (soft == "unlimited") return {.subject = "memory lock", .state = State::ok, .what = "unlimited"};
        const auto bytes = number(soft, 10);
        if (!bytes) break;
        if (may_lock_without_limit(root))
            return {.subject = "memory lock",
                    .state = State::ok,
                    .what = fmt::format("no limit for this process, which has CAP_IPC_LOCK; {} without",
                                        size_text(*bytes))};
        return {.subject = "memory lock",
                .state = *bytes < kSmall ? State::note : State::ok,
                .what = fmt::format("{} may be mapped for DMA without CAP_IPC_LOCK", size_text(*bytes)),
                .remedy = *bytes < kSmall ? "raise it with `ulimit -l`, or for good in /etc/security/limits.conf" : ""};
    }
    return {.subject = "memory lock", .state = State::note, .what = "the limit is not told"};
}

std::vector<Check> hugepages(const uiovfio::SysfsRoot& root) {
    std::vector<Check> found;
    for (const fs::path& pool : entries(root.sys / "kernel/mm/hugepages")) {
        const std::string name = pool.filename().string();  // hugepages-2048kB
        const std::size_t dash = name.find('-');
        if (dash == std::string::npos || !name.ends_with("kB")) continue;
        const auto size = number(std::string_view{name}.substr(dash + 1, name.size() - dash - 3), 10);
        const auto all = number(read(pool / "nr_hugepages").value_or(""), 10);
        const auto free = number(read(pool / "free_hugepages").value_or(""), 10);
        if (!size || !all || !free || *size > (~std::uint64_t{0} >> 10)) continue;
        found.push_back({.subject = "pages of " + size_text(*size << 10),
                         .state = *free != 0 ? State::ok : State::note,
                         .what = fmt::format("{} free of {}", *free, *all),
                         .remedy = *free != 0 ? ""
                                              : fmt::format("fewer entries in the IOMMU: `echo N > {}`",
                                                            (pool / "nr_hugepages").string())});
    }
    return found;
}

}  // namespace

std::string_view to_string(State state) noexcept {
    switch (state) {
        case State::ok:
            return "ok";
        case State::missing:
            return "missing";
        case State::note:
            break;
    }
    return "note";
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::array kUnits{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    const std::size_t unit = bytes == 0 ? 0 : static_cast<std::size_t>(std::bit_width(bytes) - 1) / 10;
    if (const std::uint64_t one = std::uint64_t{1} << 10 * unit; bytes % one != 0)
        return fmt::format("{:.1f} {}", static_cast<double>(bytes) / static_cast<double>(one), kUnits[unit]);
    return fmt::format("{} {}", bytes >> 10 * unit, kUnits[unit]);
}

std::vector<Check> examine_machine(const uiovfio::SysfsRoot& root) {
    std::vector<Check> checks{
        kernel(root),
        iommu(root),
        interrupt_remapping(root),
        node("VFIO", root.dev / "vfio/vfio", "load it with `modprobe vfio-pci`", {"vfio", "vfio-noiommu"}),
        // The node alone proves nothing: opening it loads VFIO, but not the driver that a device is bound to.
        node("vfio-pci", root.sys / "bus/pci/drivers/vfio-pci", "load it with `modprobe vfio-pci`",
             {"vfio", "iommufd", "vfio-noiommu"}),
        node("IOMMUFD", root.dev / "iommu",
             "load it with `modprobe iommufd` (Linux 6.6 with CONFIG_IOMMUFD), or use the backend vfio", {"iommufd"}),
        device_nodes(root),
        no_iommu_mode(root),
        node("uio_pci_generic", root.sys / "bus/pci/drivers/uio_pci_generic", "load it with `modprobe uio_pci_generic`",
             {"uio"}),
        lockdown(root),
        memory_lock(root),
    };
    std::ranges::move(hugepages(root), std::back_inserter(checks));
    return checks;
}

std::optional<unsigned> iommu_width(const uiovfio::SysfsRoot& root) {
    std::optional<unsigned> least;
    for (const fs::path& unit : entries(root.sys / "class/iommu"))
        if (const auto width = width_of(unit)) least = std::min(least.value_or(*width), *width);
    return least;
}

std::optional<unsigned> iommu_width(const uiovfio::SysfsRoot& root, const uiovfio::Bdf& bdf) {
    const fs::path own = root.sys / "bus/pci/devices" / to_string(bdf) / "iommu";
    return is_there(own) ? width_of(own) : iommu_width(root);
}

std::vector<Span> spans(unsigned width, const std::vector<uiovfio::ReservedRegion>& reserved) {
    using uiovfio::Iova;
    const std::uint64_t last = width >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
    std::vector<Span> found;
    std::uint64_t next = 0;
    for (const uiovfio::ReservedRegion& region : reserved) {
        const std::uint64_t begin = std::max(to_integer(region.first), next);
        const std::uint64_t end = std::min(to_integer(region.last), last);
        if (begin > end) continue;
        if (begin > next) found.push_back({{Iova{next}, Iova{begin - 1}}, "free"});
        found.push_back({{Iova{begin}, Iova{end}}, region.type});
        if (end == last) return found;
        next = end + 1;
    }
    found.push_back({{Iova{next}, Iova{last}}, "free"});
    return found;
}

}  // namespace pcienic::ctl
