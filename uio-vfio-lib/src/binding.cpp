// SPDX-License-Identifier: MIT
#include "binding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <thread>
#include <vector>

#include "guarded.hpp"
#include "kernel_text.hpp"
#include "needs.hpp"
#include "obstacles.hpp"
#include "sysfs_files.hpp"
#include "text.hpp"

namespace uiovfio::detail {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// Some kernels refuse an unbind that comes while another is just being finished.
constexpr int kUnbindAttempts = 20;
constexpr milliseconds kUnbindPause{50};

constexpr milliseconds kBusyPause{20};
constexpr milliseconds kNodePatience{1000};
constexpr milliseconds kNodePause{5};

constexpr std::size_t kUsesTold = 3;

[[noreturn]] void throw_write_failure(Errc otherwise, const std::string& object, const fs::path& file, int error) {
    if (error == EACCES || error == EPERM)
        throw Error{Errc::permission_denied, object, fmt::format("may not write to {}", file.string()), error,
                    "run as root"};
    throw Error{otherwise, object, fmt::format("the kernel refused what was written to {}", file.string()), error};
}

std::string told(const std::vector<Use>& uses) {
    std::vector<std::string> words;
    words.reserve(uses.size());
    for (const Use& use : uses) words.push_back(to_string(use));
    if (words.size() > kUsesTold) {
        words.resize(kUsesTold);
        words.push_back(fmt::format("and {} more", uses.size() - kUsesTold));
    }
    return join(words);
}

/// What takes a device apart that stands on a disk.
std::string way_apart(const std::string& block, const SysfsRoot& root) {
    // What mdadm --stop does, which need not be there.
    if (block.starts_with("md"))
        return fmt::format("stop the array with `echo clear > /sys/block/{}/md/array_state`", block);
    if (block.starts_with("loop")) return fmt::format("`losetup -d /dev/{}`", block);
    if (const auto name = read_text(root.sys / "class/block" / block / "dm/name"))
        return fmt::format("`dmsetup remove {}`", shell_word(*name));
    return fmt::format("stop {} with the tool that assembled it", block);
}

std::string way_out(const Use& use, const SysfsRoot& root) {
    constexpr std::string_view kInsist = "or insist: BindOptions::force, --force";
    switch (use.kind) {
        case Use::Kind::default_route:
            return fmt::format("give the default route to another interface first, {}", kInsist);
        case Use::Kind::mount:
            return fmt::format("`umount {}` first, {}", shell_word(use.mount_point), kInsist);
        case Use::Kind::swap:
            return fmt::format("`swapoff /dev/{}` first, {}", use.by, kInsist);
        case Use::Kind::console:
            return fmt::format("have the kernel write to another console, {}", kInsist);
        case Use::Kind::stack:
            return fmt::format("{} first, {}", way_apart(use.by, root), kInsist);
        case Use::Kind::target:
            return use.by.ends_with("/enable") ? fmt::format("`echo 0 > {}` first, {}", use.by, kInsist)
                                               : fmt::format("delete that backstore first, {}", kInsist);
        case Use::Kind::process:
            return fmt::format("end that process first, {}", kInsist);
        case Use::Kind::claim:
            return fmt::format(
                "remove it from its owner first (a ZFS pool, a file system in another mount namespace), {}", kInsist);
        case Use::Kind::pool:
            return fmt::format("ask again as root, or export the pool first, {}", kInsist);
        case Use::Kind::maybe_claim:
            return fmt::format("ask again as root and outside of a container, {}", kInsist);
        case Use::Kind::interface:
            return fmt::format("`ip link set {} down` first, {}", shell_word(use.through), kInsist);
    }
    return std::string{kInsist};
}

/// A name as one compares it with others: `vfio_pci` is vfio-pci's module, `VFIO-PCI` how it is written elsewhere.
std::string plain(std::string_view name) {
    std::string text;
    for (const char c : name)
        if (c != '-' && c != '_') text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

std::string way_to_driver(std::string_view driver, const SysfsRoot& root) {
    constexpr std::string_view kList = "give one of those in /sys/bus/pci/drivers";
    if (!is_name(driver)) return std::string{kList};
    std::vector<std::string> known = names_in(root.sys / "bus/pci/drivers");
    for (const char* ours : {"vfio-pci", "uio_pci_generic", "pci-stub"}) known.emplace_back(ours);
    const fs::path module = root.sys / "module" / std::string{driver};
    for (const std::string& name : known) {
        if (name == driver || plain(name) != plain(driver)) continue;
        return is_there(root.sys / "bus/pci/drivers" / name)
                   ? fmt::format("did you mean {}?", name)
                   : fmt::format("did you mean {}? load it with `modprobe {}`", name, name);
    }
    if (!is_there(module))
        return fmt::format("load its module with `modprobe {}`, or {}", shell_word(std::string{driver}), kList);
    std::vector<std::string> drivers;
    for (const std::string& name : names_in(module / "drivers"))
        if (name.starts_with("pci:")) drivers.push_back(name.substr(4));
    return drivers.empty() ? fmt::format("the module {} is loaded, and has no PCI driver: {}", driver, kList)
                           : fmt::format("the module {} is loaded, and its driver is {}", driver, join(drivers));
}

Error without_iommu(const std::string& object, std::string_view driver, const Lack& lack, int error) {
    return {Errc::bind_failed, object,
            fmt::format("the driver {} takes no device without an IOMMU, and {}", driver, lack.what), error,
            lack.remedy};
}

template <class Condition>
bool wait_until(milliseconds patience, milliseconds pause, Condition&& condition) {
    const auto deadline = steady_clock::now() + patience;
    while (!condition()) {
        if (steady_clock::now() >= deadline) return false;
        std::this_thread::sleep_for(pause);
    }
    return true;
}

}  // namespace

Binding::Binding(const Bdf& bdf, const SysfsRoot& root)
    : bdf_{bdf}, object_{to_string(bdf)}, root_{root}, directory_{device_directory(root, bdf)} {
    if (is_gone()) throw Error{Errc::no_such_device, object_, "there is no PCI function at this address"};
}

bool Binding::is_gone() const {
    std::error_code none;
    return !fs::exists(directory_, none);
}

std::string Binding::driver() const { return link_name(directory_ / "driver"); }

std::string Binding::identity() const {
    const auto id = [&](const char* file) {
        return to_number(read_text(directory_ / file).value_or(""), 16).value_or(0);
    };
    return fmt::format("{:04x}:{:04x}", id("vendor"), id("device"));
}

std::optional<Record> Binding::record() const {
    auto record = read_record(record_file());
    return record && record->identity == identity() ? record : std::nullopt;
}

Before Binding::before() const {
    const std::string text = read_text(directory_ / "driver_override").value_or("");
    return {driver(), is_name(text) && text != "(null)" ? text : std::string{}, record()};
}

void Binding::require_driver(std::string_view driver) const {
    if (!is_name(driver) || !is_there(driver_directory(driver)))
        throw Error{Errc::no_such_driver, std::string{driver},
                    fmt::format("the kernel has no PCI driver of that name for {}", object_), 0,
                    way_to_driver(driver, root_)};
}

void Binding::require_taken_by(std::string_view driver) const {
    if (!is_vfio_driver(driver)) return;
    std::error_code gone;
    const PciFunction function = describe(bdf_, root_, gone);
    if (gone) return;
    if (function.is_bridge)
        throw Error{Errc::bind_failed, object_, fmt::format("is a bridge, and {} takes none", driver), 0,
                    kBridgesAreNotNeeded};
    if (function.iommu_group || !is_there(root_.sys / "module/vfio") || !lacks_noiommu_mode(root_)) return;
    if (const auto lack = lacks_iommu(root_)) throw without_iommu(object_, driver, *lack, 0);
}

void Binding::require_unused(const BindOptions& options) const {
    if (options.force) return;
    if (const auto uses = uses_of(bdf_, root_); !uses.empty())
        throw Error{Errc::device_in_use, object_, told(uses), 0, way_out(uses.front(), root_)};
}

Record Binding::next_record(const Before& before, std::string_view driver) const {
    const auto& earlier = before.record;
    // An earlier bind() knows which driver was the first, unless somebody else has bound the device since.
    const bool is_of_ours =
        earlier && (before.driver.empty() || before.driver == earlier->previous || before.driver == earlier->bound);
    Record record = is_of_ours ? *earlier : Record{identity(), before.driver, before.driver_override, {}};
    record.bound = driver;
    return record;
}

void Binding::change_to(std::string_view driver, const BindOptions& options) const {
    const Before start = before();
    keep(next_record(start, driver));
    try {
        set_override(driver);
        unbind(options);
        bind(driver);
    } catch (...) {
        std::error_code lost;  // the first failure is the one to tell
        guarded(lost, [&] { set_override(start.driver_override); });
        guarded(lost, [&] {
            if (!start.driver.empty() && this->driver().empty()) bind(start.driver);
        });
        guarded(lost, [&] { keep(start.record); });
        throw;
    }
    wait_for_nodes();
}

void Binding::put_back(const Before& before, const BindOptions& options) const {
    if (driver() != before.driver) {
        if (!before.driver.empty()) require_driver(before.driver);
        unbind(options);
    }
    // A driver that came by an override, as vfio-pci does, would not take the device back without it.
    set_override(before.driver_override);
    if (driver() != before.driver) bind(before.driver);
    keep(before.record);
}

void Binding::set_override(std::string_view driver) const {
    const fs::path file = directory_ / "driver_override";
    const int error = write_text(file, std::string{driver} + "\n");
    if (error != 0) throw_write_failure(Errc::bind_failed, object_, file, error);
}

void Binding::unbind(const BindOptions& options) const {
    // The kernel would wait in this very write, and not even a signal would end that.
    if (!wait_until(options.busy_timeout, kBusyPause, [this] { return !is_held(bdf_, root_); })) {
        const std::string holders = holders_text(bdf_, root_);
        throw Error{Errc::device_busy, object_,
                    fmt::format("{} still open through VFIO{}{}", holders.empty() ? "it is" : "it, or its group, is",
                                holders.empty() ? "" : ": by ", holders)};
    }
    const fs::path file = directory_ / "driver/unbind";
    int error = 0;
    for (int attempt = 0; attempt < kUnbindAttempts; ++attempt) {
        if (driver().empty()) return;
        error = write_text(file, object_);
        if (error == 0) return;
        if (error != EINVAL && error != EBUSY && error != ENODEV) break;
        std::this_thread::sleep_for(kUnbindPause);
    }
    throw_write_failure(Errc::bind_failed, object_, file, error);
}

void Binding::bind(std::string_view driver) const {
    const fs::path file = driver_directory(driver) / "bind";
    const int error = write_text(file, object_);
    if (error != 0 && this->driver() != driver) {
        if (error == EACCES || error == EPERM) throw_write_failure(Errc::bind_failed, object_, file, error);
        std::error_code gone;
        const auto lack = lacks_iommu(root_);
        if (is_vfio_driver(driver) && error == EINVAL && lack && !describe(bdf_, root_, gone).iommu_group)
            throw without_iommu(object_, driver, *lack, error);
        throw Error{Errc::bind_failed, object_, fmt::format("the driver {} did not take the device", driver), error};
    }
}

void Binding::probe() const {
    const fs::path file = root_.sys / "bus/pci/drivers_probe";
    const int error = write_text(file, object_);
    if (error != 0 && driver().empty() && (error == EACCES || error == EPERM))
        throw_write_failure(Errc::bind_failed, object_, file, error);
}

void Binding::keep(const std::optional<Record>& record) const {
    if (!record) return forget();
    if (const int error = write_record(record_file(), *record))
        throw Error{Errc::permission_denied, object_,
                    fmt::format("cannot keep the previous driver's name in {}", record_file().string()), error,
                    "run as root"};
}

void Binding::forget() const noexcept {
    std::error_code none;
    fs::remove(record_file(), none);
}

void Binding::wait_for_nodes() const {
    std::vector<fs::path> nodes;
    std::error_code none;
    for (const std::string& name : names_in(directory_ / "vfio-dev"))
        if (fs::exists(directory_ / "vfio-dev" / name / "dev", none))  // else this kernel makes no node
            nodes.push_back(root_.dev / "vfio/devices" / name);
    const std::string group = link_name(directory_ / "iommu_group");
    if (!group.empty() && fs::exists(root_.sys / "class/vfio" / group, none))
        nodes.push_back(root_.dev / "vfio" / group);
    // One that does not come, in a container say, is for whoever opens the device to tell.
    static_cast<void>(wait_until(kNodePatience, kNodePause, [&] {
        return std::all_of(nodes.begin(), nodes.end(), [](const fs::path& node) {
            std::error_code missing;
            return fs::exists(node, missing);
        });
    }));
}

fs::path Binding::driver_directory(std::string_view driver) const {
    return root_.sys / "bus/pci/drivers" / std::string{driver};
}

}  // namespace uiovfio::detail
