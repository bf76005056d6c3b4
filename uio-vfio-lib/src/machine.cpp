// SPDX-License-Identifier: MIT
#include "uiovfio/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <iterator>
#include <utility>

#include "kernel_text.hpp"
#include "needs.hpp"
#include "sysfs_files.hpp"
#include "text.hpp"

namespace uiovfio {

namespace {

namespace fs = std::filesystem;
using detail::Lack;
using detail::names_in;
using detail::read_text;
using detail::to_number;
using State = CheckState;
using Backends = std::vector<std::string_view>;

/// The pages of an IOMMU that has larger ones than its smallest: 2 MiB, on x86 and on arm64 with pages of 4 KiB.
constexpr std::uint64_t kLargePage = std::uint64_t{2} << 20;

/// `what` is told where nothing is lacking.
MachineCheck needed(std::string subject, std::optional<Lack> lack, std::string what, Backends backends) {
    if (lack)
        return {.subject = std::move(subject),
                .state = State::missing,
                .what = std::move(lack->what),
                .remedy = std::move(lack->remedy),
                .backends = std::move(backends)};
    return {
        .subject = std::move(subject), .state = State::ok, .what = std::move(what), .backends = std::move(backends)};
}

MachineCheck kernel(const SysfsRoot& root) {
    return {.subject = "kernel",
            .what = "Linux " + read_text(root.proc / "sys/kernel/osrelease").value_or("(not told)")};
}

// The capability register of VT-d (specification 4.0, 11.4.2): MGAW, the widest address, and SAGAW, the depths of page
// table that there are: 39, 48 and 57 bits.
std::optional<unsigned> width_of(const fs::path& unit) {
    const auto capabilities = to_number(read_text(unit / "intel-iommu/cap").value_or(""), 16);
    if (!capabilities) return std::nullopt;
    const auto widest = static_cast<unsigned>((*capabilities >> 16 & 0x3f) + 1);
    const auto depths = static_cast<unsigned>(*capabilities >> 8 & 0x0e);
    if (depths == 0) return std::nullopt;
    return std::min(widest, 30 + 9 * static_cast<unsigned>(std::bit_width(depths) - 1));
}

MachineCheck iommu(const SysfsRoot& root) {
    const auto width = iommu_width(root);
    return needed("IOMMU", detail::lacks_iommu(root),
                  detail::join(names_in(root.sys / "class/iommu")) +
                      (width ? fmt::format(", bus addresses of {} bits", *width) : ""),
                  {"vfio", "iommufd"});
}

/// Without it VFIO refuses devices; with it, or where the user said that it does not matter, it is no more than a note.
MachineCheck interrupt_remapping(const SysfsRoot& root) {
    using detail::InterruptRemapping;
    using detail::UnsafeInterrupts;
    MachineCheck check{.subject = "interrupt remapping", .state = State::ok, .what = "on"};
    const auto found = detail::interrupt_remapping(root);
    if (found == InterruptRemapping::on) return check;
    check.state = State::note;
    check.what = "not told";
    if (found == InterruptRemapping::not_told) return check;
    check.what = "off: there is one MSI vector for each device";
    // Without an IOMMU that is not what is missing.
    if (detail::lacks_iommu(root)) return check;
    for (const auto& [backend, parameter] :
         {std::pair{"vfio", UnsafeInterrupts::type1}, std::pair{"iommufd", UnsafeInterrupts::iommufd}}) {
        if (detail::allows_unsafe_interrupts(root, parameter)) {
            check.what += fmt::format("; allowed for {}: a device can raise any interrupt of the machine", backend);
            continue;
        }
        check.what += fmt::format("; VFIO refuses devices to {}", backend);
        check.state = State::missing;
        check.backends.emplace_back(backend);
        if (check.remedy.empty()) check.remedy = detail::no_interrupt_remapping(root, parameter).remedy;
    }
    return check;
}

MachineCheck driver(const SysfsRoot& root, const std::string& name, Backends backends) {
    const fs::path folder = root.sys / "bus/pci/drivers" / name;
    std::optional<Lack> lack;
    if (!detail::is_there(folder))
        lack = Lack{folder.string() + " does not exist", fmt::format("load it with `modprobe {}`", name)};
    return needed(name, std::move(lack), folder.string(), std::move(backends));
}

MachineCheck noiommu_mode(const SysfsRoot& root) {
    if (!detail::lacks_iommu(root))
        return {.subject = "no-IOMMU mode",
                .state = State::missing,
                .what = "only for a machine that has no IOMMU",
                .backends = {"vfio-noiommu"}};
    return needed("no-IOMMU mode", detail::lacks_noiommu_mode(root), "on: nothing guards memory", {"vfio-noiommu"});
}

bool may_lock_without_limit(const SysfsRoot& root) {
    constexpr unsigned kIpcLock = 14;  // CAP_IPC_LOCK of include/uapi/linux/capability.h
    const auto capabilities =
        detail::parse_status_value(read_text(root.proc / "self/status").value_or(""), "CapEff").value_or("");
    return (to_number(capabilities, 16).value_or(0) >> kIpcLock & 1) != 0;
}

/// Of this process: what it maps for DMA counts against it, unless it has CAP_IPC_LOCK.
MachineCheck memory_lock(const SysfsRoot& root) {
    constexpr std::uint64_t kSmall = std::uint64_t{64} << 20;
    MachineCheck check{.subject = "memory lock", .state = State::ok, .what = "unlimited"};
    const auto limits = detail::parse_memory_lock_limits(read_text(root.proc / "self/limits").value_or(""));
    if (!limits) {
        check.state = State::note;
        check.what = "the limit is not told";
    } else if (limits->soft) {
        const std::string limit = detail::bytes_text(*limits->soft);
        const bool is_free = may_lock_without_limit(root);
        check.what = is_free ? fmt::format("no limit for this process, which has CAP_IPC_LOCK; {} without", limit)
                             : fmt::format("{} may be mapped for DMA without CAP_IPC_LOCK", limit);
        if (!is_free && *limits->soft < kSmall) {
            check.state = State::note;
            check.remedy = "raise it with `ulimit -l`, or for good in /etc/security/limits.conf";
        }
    }
    return check;
}

/// In order of size. Where no page is free, there is advice for the smallest that an IOMMU has entries of: those may be
/// had without booting anew.
std::vector<MachineCheck> hugepages(const SysfsRoot& root) {
    struct Pool {
        std::uint64_t size;  ///< of a page, in bytes
        std::uint64_t all;
        std::uint64_t free;
        fs::path number;
    };
    std::vector<Pool> pools;
    const fs::path folder = root.sys / "kernel/mm/hugepages";
    for (const std::string& name : names_in(folder)) {  // hugepages-2048kB
        const std::size_t dash = name.find('-');
        if (dash == std::string::npos || !name.ends_with("kB")) continue;
        const auto size = to_number(std::string_view{name}.substr(dash + 1, name.size() - dash - 3), 10);
        const auto all = to_number(read_text(folder / name / "nr_hugepages").value_or(""), 10);
        const auto free = to_number(read_text(folder / name / "free_hugepages").value_or(""), 10);
        if (!size || !all || !free || *size > (~std::uint64_t{0} >> 10)) continue;
        pools.push_back({*size << 10, *all, *free, folder / name / "nr_hugepages"});
    }
    std::ranges::sort(pools, {}, &Pool::size);
    const bool has_any = std::ranges::any_of(pools, [](const Pool& pool) { return pool.free != 0; });
    const auto advised = std::ranges::find_if(pools, [](const Pool& pool) { return pool.size >= kLargePage; });
    std::vector<MachineCheck> found;
    found.reserve(pools.size());
    for (auto pool = pools.begin(); pool != pools.end(); ++pool)
        found.push_back(
            {.subject = "pages of " + detail::bytes_text(pool->size),
             .state = pool->free != 0 ? State::ok : State::note,
             .what = fmt::format("{} free of {}", pool->free, pool->all),
             .remedy = has_any || pool != advised
                           ? ""
                           : fmt::format("large buffers take fewer of the IOMMU's entries in them: set {} aside "
                                         "with `echo N > {}`",
                                         pool->all == 0 ? "some" : "more", pool->number.string())});
    return found;
}

}  // namespace

std::string_view to_string(CheckState state) noexcept {
    switch (state) {
        case CheckState::ok:
            return "ok";
        case CheckState::missing:
            return "missing";
        case CheckState::note:
            break;
    }
    return "note";
}

std::vector<MachineCheck> examine_machine(const SysfsRoot& root) {
    std::vector<MachineCheck> checks{
        kernel(root),
        iommu(root),
        interrupt_remapping(root),
        needed("VFIO", detail::lacks_vfio(root), (root.dev / "vfio/vfio").string(), {"vfio", "vfio-noiommu"}),
        // The node alone proves nothing: opening it loads VFIO, but not the driver that a device is bound to.
        driver(root, "vfio-pci", {"vfio", "iommufd", "vfio-noiommu"}),
        needed("IOMMUFD", detail::lacks_iommufd(root), (root.dev / "iommu").string(), {"iommufd"}),
        needed("VFIO device nodes", detail::lacks_vfio_device_nodes(root), (root.dev / "vfio/devices").string(),
               {"iommufd"}),
        noiommu_mode(root),
        driver(root, "uio_pci_generic", {"uio"}),
        needed("lockdown", detail::lacks_device_files(root), "none", {"sysfs", "uio"}),
        memory_lock(root),
    };
    std::ranges::move(hugepages(root), std::back_inserter(checks));
    return checks;
}

std::optional<unsigned> iommu_width(const SysfsRoot& root) {
    std::optional<unsigned> least;
    for (const std::string& unit : names_in(root.sys / "class/iommu"))
        if (const auto width = width_of(root.sys / "class/iommu" / unit))
            least = std::min(least.value_or(*width), *width);
    return least;
}

std::optional<unsigned> iommu_width(const Bdf& bdf, const SysfsRoot& root) {
    const fs::path own = detail::device_directory(root, bdf) / "iommu";
    return detail::is_there(own) ? width_of(own) : iommu_width(root);
}

std::vector<IovaSpan> iova_spans(unsigned width, const std::vector<ReservedRegion>& reserved) {
    const std::uint64_t last = width >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
    std::vector<IovaSpan> found;
    std::uint64_t next = 0;
    for (const ReservedRegion& region : reserved) {
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

}  // namespace uiovfio
