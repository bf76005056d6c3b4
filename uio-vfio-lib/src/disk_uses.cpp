// SPDX-License-Identifier: MIT
#include "disk_uses.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "kernel_text.hpp"
#include "sysfs_files.hpp"

namespace uiovfio::detail {

namespace fs = std::filesystem;

namespace {

using Blocks = std::vector<std::string>;

fs::path class_entry(const std::string& block, const SysfsRoot& root) { return root.sys / "class/block" / block; }

/// Sysfs has "cciss!c0d0" for /dev/cciss/c0d0.
fs::path node_of(std::string name, const SysfsRoot& root) {
    std::replace(name.begin(), name.end(), '!', '/');
    return root.dev / name;
}

bool contains(const Blocks& blocks, const std::string& block) {
    return std::find(blocks.begin(), blocks.end(), block) != blocks.end();
}

/// A partition's disk; a disk's own name.
std::string disk_of(const std::string& block, const SysfsRoot& root) {
    std::error_code none;
    const fs::path place = fs::canonical(class_entry(block, root), none);
    const std::string above = place.parent_path().filename().string();
    return !none && is_there(class_entry(above, root)) ? above : block;
}

/// RAIDs, mapped devices, caches: the kernel links them where they stand.
void find_holders(std::vector<Use>& found, const Blocks& blocks, const SysfsRoot& root) {
    for (const std::string& block : blocks)
        for (const std::string& holder : names_in(class_entry(block, root) / "holders"))
            found.push_back({.kind = Use::Kind::stack, .through = block, .by = holder});
}

/// A loop device, which leaves no link.
void find_loops(std::vector<Use>& found, const Blocks& blocks, const SysfsRoot& root) {
    for (const std::string& loop : names_in(root.sys / "class/block"))
        if (const auto file = read_text(class_entry(loop, root) / "loop/backing_file"))
            if (const std::string block = block_of(*file, root); contains(blocks, block))
                found.push_back({.kind = Use::Kind::stack, .through = block, .by = loop});
}

/// What gives the disk to other machines, which leaves no link either: nvmet's namespaces and LIO's backstores.
void find_targets(std::vector<Use>& found, const Blocks& blocks, const SysfsRoot& root) {
    const fs::path config = root.sys / "kernel/config";
    const auto add = [&](const std::string& node, std::string by) {
        if (const std::string block = block_of(node, root); contains(blocks, block))
            found.push_back({.kind = Use::Kind::target, .through = block, .by = std::move(by)});
    };
    for (const std::string& subsystem : names_in(config / "nvmet/subsystems")) {
        const fs::path namespaces = config / "nvmet/subsystems" / subsystem / "namespaces";
        for (const std::string& number : names_in(namespaces))
            if (read_text(namespaces / number / "enable") == "1")
                add(read_text(namespaces / number / "device_path").value_or(""),
                    (namespaces / number / "enable").string());
    }
    for (const std::string& adapter : names_in(config / "target/core"))
        for (const std::string& store : names_in(config / "target/core" / adapter))
            add(read_text(config / "target/core" / adapter / store / "udev_path").value_or(""),
                (config / "target/core" / adapter / store).string());
}

/// The flags in /proc/PID/fdinfo/N are octal. A reader loses nothing: udev and smartd look at every disk.
bool is_open_for_writing(const fs::path& process, const std::string& file) {
    const auto flags = parse_status_value(read_text(process / "fdinfo" / file).value_or(""), "flags");
    const auto number = to_number(flags.value_or(""), 8);
    return number && (*number & O_ACCMODE) != O_RDONLY;
}

/// The nodes of disks, by what an open file shows of one.
class DiskNodes {
  public:
    DiskNodes(const Blocks& blocks, const Blocks& passages, const SysfsRoot& root) {
        for (const std::string& block : blocks) add(class_entry(block, root), S_IFBLK, block, root);
        for (const std::string& passage : passages) {
            const fs::path entry = root.sys / "class" / passage;
            add(entry, S_IFCHR, entry.filename().string(), root);
        }
    }

    [[nodiscard]] bool empty() const noexcept { return by_path_.empty(); }

    /// The name of the disk, partition or passage that /proc/PID/fd/N stands for; empty for another file. Its number
    /// counts: a node may have any name, and stand in another file system.
    [[nodiscard]] std::string at(const fs::path& file) const {
        struct statx status{};
        // Without asking a server that may not answer.
        if (::statx(AT_FDCWD, file.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &status) == 0) {
            const auto number = fmt::format("{}:{}", status.stx_rdev_major, status.stx_rdev_minor);
            const auto found = by_number_.find({status.stx_mode & S_IFMT, number});
            if (found != by_number_.end()) return found->second;
        }
        std::error_code none;
        const auto found = by_path_.find(fs::read_symlink(file, none));
        return found != by_path_.end() ? found->second : std::string{};
    }

  private:
    void add(const fs::path& entry, unsigned type, const std::string& name, const SysfsRoot& root) {
        if (const auto number = read_text(entry / "dev")) by_number_[{type, *number}] = name;
        by_path_[node_of(name, root)] = name;
    }

    std::map<std::pair<unsigned, std::string>, std::string> by_number_;
    std::map<fs::path, std::string> by_path_;
};

void find_writers(std::vector<Use>& found, const DiskNodes& nodes, const SysfsRoot& root) {
    if (nodes.empty()) return;
    for (const std::string& process : names_in(root.proc)) {
        const auto number = to_number(process, 10);
        if (!number || *number > std::numeric_limits<int>::max()) continue;
        std::set<std::string> seen;
        for (const std::string& file : names_in(root.proc / process / "fd")) {
            const std::string name = nodes.at(root.proc / process / "fd" / file);
            if (name.empty() || !is_open_for_writing(root.proc / process, file) || !seen.insert(name).second) continue;
            const Holder holder{static_cast<int>(*number), command_of(process, root)};
            found.push_back({.kind = Use::Kind::process, .through = name, .by = to_string(holder)});
        }
    }
}

/// The pools of ZFS, which says nowhere on which disks they are.
std::vector<std::string> zfs_pools(const SysfsRoot& root) {
    std::set<std::string> pools;
    for (const char* process : {"self", "1"})
        for (const Mount& mount : parse_mounts(read_text(root.proc / process / "mountinfo").value_or("")))
            if (mount.type == "zfs") pools.insert(mount.source.substr(0, mount.source.find('/')));
    for (const std::string& name : names_in(root.proc / "spl/kstat/zfs"))
        if (is_there(root.proc / "spl/kstat/zfs" / name / "state")) pools.insert(name);
    return {pools.begin(), pools.end()};
}

int claim(const std::string& block, const SysfsRoot& root) {
    return try_claim(node_of(block, root), read_text(class_entry(block, root) / "dev").value_or(""));
}

/// The partitions of a claimed disk that are claimed themselves; the disk where none is.
Blocks claimed_parts(const std::string& disk, const Blocks& blocks, const SysfsRoot& root) {
    Blocks parts;
    for (const std::string& block : blocks)
        if (block != disk && disk_of(block, root) == disk && claim(block, root) == EBUSY) parts.push_back(block);
    return parts.empty() ? Blocks{disk} : parts;
}

/// Whatever else has a disk for itself has claimed it: then it cannot be opened exclusively a second time. A drive that
/// is empty or gone is not in use.
void find_claims(std::vector<Use>& found, const Blocks& disks, const Blocks& blocks, const SysfsRoot& root) {
    const std::vector<std::string> pools = zfs_pools(root);
    for (const std::string& disk : disks) {
        const int error = claim(disk, root);
        if (error == EBUSY) {
            for (const std::string& part : claimed_parts(disk, blocks, root))
                found.push_back({.kind = Use::Kind::claim, .through = part, .by = part});
        } else if (error != 0 && error != ENOMEDIUM && error != ENXIO) {
            // A pool may be on any disk, as far as can be seen.
            for (const std::string& pool : pools)
                found.push_back({.kind = Use::Kind::pool, .through = disk, .by = pool});
            if (pools.empty())
                found.push_back(
                    {.kind = Use::Kind::maybe_claim, .through = disk, .by = std::generic_category().message(error)});
        }
    }
}

}  // namespace

std::string block_of(const std::string& node, const SysfsRoot& root) {
    if (!node.starts_with("/dev/")) return {};
    std::error_code none;
    const fs::path real = fs::canonical(root.dev / node.substr(5), none);
    const fs::path& place = none ? fs::path{node} : real;
    std::string whole = place.lexically_relative(none ? fs::path{"/dev"} : fs::canonical(root.dev, none)).string();
    std::replace(whole.begin(), whole.end(), '/', '!');  // "cciss!c0d0", as sysfs has /dev/cciss/c0d0
    const std::string name = is_name(whole) && is_there(class_entry(whole, root)) ? whole : place.filename().string();
    return is_name(name) ? name : std::string{};
}

std::vector<Use> disk_uses(const std::vector<std::string>& blocks, const std::vector<std::string>& passages,
                           const std::vector<Use>& known, const SysfsRoot& root) {
    std::vector<Use> found;
    find_holders(found, blocks, root);
    find_loops(found, blocks, root);
    find_targets(found, blocks, root);
    find_writers(found, DiskNodes{blocks, passages, root}, root);
    std::erase_if(found, [&](const Use& use) {
        return std::any_of(known.begin(), known.end(), [&](const Use& other) { return other.through == use.through; });
    });
    const auto is_told = [&](const std::string& disk) {
        const auto is_of_disk = [&](const Use& use) { return disk_of(use.through, root) == disk; };
        return std::any_of(known.begin(), known.end(), is_of_disk) ||
               std::any_of(found.begin(), found.end(), is_of_disk);
    };
    Blocks silent;
    for (const std::string& block : blocks)
        if (disk_of(block, root) == block && !is_told(block)) silent.push_back(block);
    find_claims(found, silent, blocks, root);
    return found;
}

}  // namespace uiovfio::detail
