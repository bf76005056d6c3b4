// SPDX-License-Identifier: MIT
#include "uiovfio/use.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "disk_uses.hpp"
#include "kernel_text.hpp"
#include "obstacles.hpp"
#include "sysfs_files.hpp"

namespace uiovfio {

namespace fs = std::filesystem;

namespace {

/// The function, and those that go with it: its virtual functions are sysfs's siblings of it, not its children.
std::set<Bdf> with_virtual_functions(const Bdf& bdf, const SysfsRoot& root) {
    std::set<Bdf> functions{bdf};
    const fs::path directory = detail::device_directory(root, bdf);
    for (const std::string& name : detail::names_in(directory))
        if (name.starts_with("virtfn"))
            if (const auto function = Bdf::try_parse(detail::link_name(directory / name))) functions.insert(*function);
    return functions;
}

/// Where sysfs's tree has what a link or a class entry stands for; empty where there is nothing.
fs::path real_place(const fs::path& path) {
    std::error_code none;
    fs::path real = fs::canonical(path, none);
    return none ? fs::path{} : real;
}

/// What stands on what, from the top down to the functions of interest.
class Search {
  public:
    Search(std::set<Bdf> functions, const SysfsRoot& root) : functions_{std::move(functions)}, root_{root} {}

    /// Adds a use for each interface of the functions' that is `top`, or that `top` stands on.
    void add_interface(const std::string& top) {
        descend(Use{.kind = Use::Kind::default_route, .by = top}, top, [this](const std::string& interface) {
            const fs::path entry = root_.sys / "class/net" / interface;
            std::vector<std::string> lower = members_of(interface);
            for (const std::string& name : detail::names_in(entry))
                if (name.starts_with("lower_")) lower.push_back(name.substr(6));
            return Step{real_place(entry), std::move(lower)};
        });
    }

    /// As add_interface(), for a block device by its name in sysfs ("sda1", "dm-0").
    void add_block(Use use, const std::string& top) {
        descend(std::move(use), top, [this](const std::string& block) {
            const fs::path place = real_place(root_.sys / "class/block" / block);
            std::vector<std::string> lower = detail::names_in(place / "slaves");
            // A partition of a RAID or of a mapped device: the whole has the slaves.
            const auto whole = detail::names_in(place.parent_path() / "slaves");
            lower.insert(lower.end(), whole.begin(), whole.end());
            if (const auto file = detail::read_text(place / "loop/backing_file"))
                lower.push_back(detail::block_of(*file, root_));
            return Step{place, std::move(lower)};
        });
    }

    /// A use by something whose place in sysfs is known.
    void add_place(const Use& use, const fs::path& place) {
        if (is_of_functions(place)) add(use);
    }

    /// What holds the functions' disks beside what was found.
    void add_disks() {
        // Ways to a disk's data beside the block device: ng0n1 (since 5.13), sg0, and bsg's.
        std::vector<std::string> passages;
        for (const char* passage : {"nvme-generic", "scsi_generic", "bsg"})
            for (const std::string& name : of_class(passage)) passages.push_back(std::string{passage} + '/' + name);
        for (const Use& use : detail::disk_uses(of_class("block"), passages, found_, root_)) add(use);
    }

    /// The functions' interfaces that are up, but for those that were found.
    void add_interfaces_up() {
        for (const std::string& name : of_class("net")) {
            const bool is_found = std::any_of(found_.begin(), found_.end(), [&](const Use& use) {
                return use.kind == Use::Kind::default_route && use.through == name;
            });
            // Some drivers leave the state unknown; the carrier can be read of an interface that is up alone.
            const fs::path entry = root_.sys / "class/net" / name;
            if (!is_found &&
                (detail::read_text(entry / "operstate") == "up" || detail::read_text(entry / "carrier") == "1"))
                add({.kind = Use::Kind::interface, .through = name, .by = name});
        }
    }

    [[nodiscard]] std::vector<Use> take() { return std::move(found_); }

  private:
    struct Step {
        fs::path place;
        std::vector<std::string> lower;
    };

    template <class StepAt>
    void descend(Use use, const std::string& top, StepAt&& step_at) {
        std::set<std::string> seen{top};  // hostile links may go in a circle
        std::vector<std::string> open{top};
        while (!open.empty()) {
            const std::string name = std::move(open.back());
            open.pop_back();
            Step step = step_at(name);
            if (is_of_functions(step.place)) {
                use.through = name;
                add(use);
            }
            for (std::string& lower : step.lower)
                if (detail::is_name(lower) && seen.insert(lower).second) open.push_back(std::move(lower));
        }
    }

    [[nodiscard]] std::vector<std::string> of_class(const std::string& name) const {
        std::vector<std::string> names = detail::names_in(root_.sys / "class" / name);
        std::erase_if(names, [&](const std::string& entry) {
            return !is_of_functions(real_place(root_.sys / "class" / name / entry));
        });
        return names;
    }

    void add(const Use& use) {
        // Bind mounts show one file system at many places.
        const bool is_known = std::any_of(found_.begin(), found_.end(), [&](const Use& other) {
            return other.kind == use.kind && other.through == use.through && other.by == use.by;
        });
        if (!is_known) found_.push_back(use);
    }

    [[nodiscard]] bool is_of_functions(const fs::path& place) const {
        if (is_below_functions(place)) return true;
        // A disk with several paths stands beside its controllers: nvme-subsys0/{nvme0,nvme1,nvme0n1}.
        const fs::path subsystem = subsystem_of(place);
        if (subsystem.empty()) return false;
        const auto controllers = detail::names_in(subsystem);
        return std::any_of(controllers.begin(), controllers.end(), [&](const std::string& name) {
            std::error_code none;
            return fs::is_symlink(subsystem / name, none) && name.starts_with("nvme") &&
                   is_below_functions(real_place(subsystem / name));
        });
    }

    [[nodiscard]] bool is_below_functions(const fs::path& place) const {
        return std::any_of(place.begin(), place.end(), [this](const fs::path& component) {
            const auto bdf = Bdf::try_parse(component.string());
            return bdf && functions_.contains(*bdf);
        });
    }

    static fs::path subsystem_of(const fs::path& place) {
        for (fs::path up = place; up.has_relative_path(); up = up.parent_path())
            if (up.filename().string().starts_with("nvme-subsys")) return up;
        return {};
    }

    /// Interfaces that name this one as their master: an older kernel has no other link down.
    std::vector<std::string> members_of(const std::string& master) {
        if (!has_masters_) {
            for (const std::string& name : detail::names_in(root_.sys / "class/net"))
                if (const auto above = detail::link_name(root_.sys / "class/net" / name / "master"); !above.empty())
                    members_[above].push_back(name);
            has_masters_ = true;
        }
        const auto found = members_.find(master);
        return found != members_.end() ? found->second : std::vector<std::string>{};
    }

    std::set<Bdf> functions_;
    SysfsRoot root_;
    std::vector<Use> found_;
    std::map<std::string, std::vector<std::string>> members_;
    bool has_masters_ = false;
};

void find_routes(Search& search, const SysfsRoot& root) {
    auto interfaces = detail::parse_default_routes(detail::read_text(root.proc / "net/route").value_or(""));
    const auto more = detail::parse_default_routes_ipv6(detail::read_text(root.proc / "net/ipv6_route").value_or(""));
    for (const std::string& interface : more)
        if (std::find(interfaces.begin(), interfaces.end(), interface) == interfaces.end())
            interfaces.push_back(interface);
    for (const std::string& interface : interfaces) search.add_interface(interface);
}

using detail::block_of;

/// Btrfs numbers its mounts itself, and may be spread over several devices: it lists them.
std::vector<std::string> btrfs_devices(const std::string& block, const SysfsRoot& root) {
    const fs::path all = root.sys / "fs/btrfs";
    for (const std::string& id : detail::names_in(all)) {
        const auto devices = detail::names_in(all / id / "devices");
        if (std::find(devices.begin(), devices.end(), block) != devices.end()) return devices;
    }
    return {block};
}

/// Bcachefs gives all of its devices as one source, "/dev/sda:/dev/sdb"; a single node's name may have colons, too.
std::vector<std::string> nodes_in(const std::string& source, const SysfsRoot& root) {
    if (!source.starts_with("/dev/") || detail::is_there(root.dev / source.substr(5))) return {source};
    std::vector<std::string> nodes;
    for (std::size_t at = 0; at < source.size();) {
        const std::size_t next = std::min(source.find(":/dev/", at), source.size());
        nodes.push_back(source.substr(at, next - at));
        at = next + 1;
    }
    return nodes;
}

std::vector<std::string> blocks_of(const detail::Mount& mount, const SysfsRoot& root) {
    // The link's name is the device number, which is the kernel's own: no path can hide in it.
    const auto colon = mount.device.find(':');
    if (colon != std::string::npos && detail::to_number(mount.device.substr(0, colon), 10) &&
        detail::to_number(mount.device.substr(colon + 1), 10)) {
        const std::string block = real_place(root.sys / "dev/block" / mount.device).filename().string();
        if (!block.empty()) return {block};
    }
    std::vector<std::string> blocks;
    for (const std::string& node : nodes_in(mount.source, root))
        if (const std::string block = block_of(node, root); !block.empty())
            for (std::string& device : btrfs_devices(block, root)) blocks.push_back(std::move(device));
    return blocks;
}

void find_mounts(Search& search, const SysfsRoot& root) {
    // What process 1 sees, too: this one may live in a namespace of its own.
    for (const char* process : {"self", "1"}) {
        const auto text = detail::read_text(root.proc / process / "mountinfo");
        if (!text) continue;
        std::set<std::string> done;  // thousands of mounts stand on a few devices
        for (const detail::Mount& mount : detail::parse_mounts(*text)) {
            if (!done.insert(mount.device + ' ' + mount.source).second) continue;
            for (const std::string& block : blocks_of(mount, root))
                search.add_block({.kind = Use::Kind::mount, .by = block, .mount_point = mount.point}, block);
        }
    }
}

void find_swaps(Search& search, const SysfsRoot& root) {
    for (const std::string& node : detail::parse_swaps(detail::read_text(root.proc / "swaps").value_or("")))
        if (const std::string block = block_of(node, root); !block.empty())
            search.add_block({.kind = Use::Kind::swap, .by = block}, block);
}

/// A screen is the console where the kernel's console driver for it has taken hold of one.
void find_console(Search& search, const SysfsRoot& root) {
    const fs::path consoles = root.sys / "class/vtconsole";
    const auto names = detail::names_in(consoles);
    const bool is_on_screen = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return detail::read_text(consoles / name / "bind") == "1" &&
               detail::read_text(consoles / name / "name").value_or("").find("frame buffer") != std::string::npos;
    });
    if (!is_on_screen) return;
    const fs::path screens = root.sys / "class/graphics";
    for (const std::string& name : detail::names_in(screens))
        search.add_place({.kind = Use::Kind::console, .through = name, .by = name}, real_place(screens / name));
}

/// What a process has open when it has the function.
struct Nodes {
    std::vector<fs::path> groups;  ///< of VFIO: the group's, or where there is no IOMMU, that which stands for one
    fs::path own;                  ///< of VFIO: the device's, where the kernel makes one
    std::vector<fs::path> others;  ///< UIO's, and the files of the BARs
};

Nodes nodes_of(const Bdf& bdf, const SysfsRoot& root) {
    const fs::path directory = detail::device_directory(root, bdf);
    Nodes nodes;
    if (const std::string group = detail::link_name(directory / "iommu_group"); !group.empty())
        nodes.groups = {root.dev / "vfio" / group, root.dev / "vfio" / ("noiommu-" + group)};
    for (const std::string& name : detail::names_in(directory / "vfio-dev"))
        nodes.own = root.dev / "vfio/devices" / name;
    for (const std::string& name : detail::names_in(directory / "uio")) nodes.others.push_back(root.dev / name);
    const fs::path real = real_place(directory);
    for (const std::string& name : detail::names_in(directory))
        if (name.starts_with("resource") && name != "resource") nodes.others.push_back(real / name);
    return nodes;
}

std::vector<Holder> holders_of_nodes(const std::set<fs::path>& nodes, const SysfsRoot& root) {
    std::vector<Holder> holders;
    for (const std::string& process : detail::names_in(root.proc)) {
        const auto number = detail::to_number(process, 10);
        if (!number || *number > std::numeric_limits<int>::max()) continue;
        const fs::path files = root.proc / process / "fd";
        const auto names = detail::names_in(files);
        const bool holds = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
            std::error_code none;
            return nodes.contains(fs::read_symlink(files / name, none));
        });
        if (!holds) continue;
        holders.push_back({static_cast<int>(*number), detail::command_of(process, root)});
    }
    std::sort(holders.begin(), holders.end(), [](const Holder& a, const Holder& b) { return a.process < b.process; });
    return holders;
}

}  // namespace

std::string_view name(Use::Kind kind) noexcept {
    switch (kind) {
        case Use::Kind::default_route:
            return "default_route";
        case Use::Kind::mount:
            return "mount";
        case Use::Kind::swap:
            return "swap";
        case Use::Kind::console:
            return "console";
        case Use::Kind::stack:
            return "stack";
        case Use::Kind::target:
            return "target";
        case Use::Kind::process:
            return "process";
        case Use::Kind::claim:
            return "claim";
        case Use::Kind::pool:
            return "pool";
        case Use::Kind::maybe_claim:
            return "maybe_claim";
        case Use::Kind::interface:
            return "interface";
    }
    return "unknown";
}

std::string to_string(const Use& use) {
    const std::string way = use.by == use.through ? std::string{} : ", by way of " + use.by;
    switch (use.kind) {
        case Use::Kind::default_route:
            return fmt::format("{} carries the machine's default route{}", use.through, way);
        case Use::Kind::mount:
            return fmt::format("{} holds the file system that is mounted on {}{}", use.through, use.mount_point, way);
        case Use::Kind::swap:
            return fmt::format("{} is swap space in use{}", use.through, way);
        case Use::Kind::console:
            return fmt::format("{} is the machine's console{}", use.through, way);
        case Use::Kind::stack:
            return fmt::format("{} is part of {}", use.through, use.by);
        case Use::Kind::target:
            return fmt::format("{} is given to other machines by {}", use.through, use.by);
        case Use::Kind::process:
            return fmt::format("{} has {} open for writing", use.by, use.through);
        case Use::Kind::claim:
            return fmt::format("the kernel has claimed {}, and does not say for what", use.through);
        case Use::Kind::pool:
            return fmt::format("the ZFS pool {} may be on {}: whether it is cannot be read", use.by, use.through);
        case Use::Kind::maybe_claim:
            return fmt::format("{} may be in use: the kernel cannot be asked ({})", use.through, use.by);
        case Use::Kind::interface:
            return fmt::format("the network interface {} is up", use.through);
    }
    return use.through;
}

std::vector<Use> uses_of(const Bdf& bdf, const SysfsRoot& root) {
    Search search{with_virtual_functions(bdf, root), root};
    find_routes(search, root);
    find_mounts(search, root);
    find_swaps(search, root);
    search.add_disks();
    find_console(search, root);
    search.add_interfaces_up();  // last: the first one is the one to give a way out of
    return search.take();
}

std::string to_string(const Holder& holder) {
    return holder.command.empty() ? fmt::format("process {}", holder.process)
                                  : fmt::format("process {} ({})", holder.process, holder.command);
}

std::vector<Holder> holders_of(const Bdf& bdf, const SysfsRoot& root) {
    const Nodes nodes = nodes_of(bdf, root);
    std::set<fs::path> all(nodes.groups.begin(), nodes.groups.end());
    all.insert(nodes.others.begin(), nodes.others.end());
    if (!nodes.own.empty()) all.insert(nodes.own);
    return holders_of_nodes(all, root);
}

bool is_held(const Bdf& bdf, const SysfsRoot& root) {
    const auto driver_of = [&](const Bdf& function) {
        return detail::link_name(detail::device_directory(root, function) / "driver");
    };
    const std::string driver = driver_of(bdf);
    if (!driver.empty() && !detail::is_vfio_driver(driver)) return false;
    Nodes nodes = nodes_of(bdf, root);
    // A driver that the kernel is taking away, waiting for the device to be let go of, is not told any more. Where it
    // is another device that may have the group open, that says nothing of this one.
    std::error_code gone;
    if (driver.empty() && std::ranges::any_of(describe(bdf, root, gone).group_members, [&](const Bdf& member) {
            return detail::is_vfio_driver(driver_of(member));
        }))
        nodes.groups.clear();
    // A group opens once, and stays open for as long as one of its devices is: also where its file was closed before.
    for (const fs::path& group : nodes.groups)
        if (detail::try_open(group) == EBUSY) return true;
    // The device's own node opens any number of times; it blocks from the first.
    return !nodes.own.empty() && !holders_of_nodes({nodes.own}, root).empty();
}

}  // namespace uiovfio
