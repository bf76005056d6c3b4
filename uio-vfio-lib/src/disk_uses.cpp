// SPDX-License-Identifier: MIT
#include "disk_uses.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <set>

#include "kernel_text.hpp"
#include "sysfs_files.hpp"

namespace uiovfio::detail {

namespace fs = std::filesystem;

namespace {

using Blocks = std::vector<std::string>;

fs::path class_entry(const std::string& block, const SysfsRoot& root) { return root.sys / "class/block" / block; }

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

void find_writers(std::vector<Use>& found, const Blocks& blocks, const SysfsRoot& root) {
    if (blocks.empty()) return;
    for (const std::string& process : names_in(root.proc)) {
        const auto number = to_number(process, 10);
        if (!number || *number > std::numeric_limits<int>::max()) continue;
        std::set<std::string> told;
        for (const std::string& file : names_in(root.proc / process / "fd")) {
            std::error_code none;
            const fs::path node = fs::read_symlink(root.proc / process / "fd" / file, none);
            const std::string block = node.filename().string();
            if (node != root.dev / block || !contains(blocks, block)) continue;
            if (!is_open_for_writing(root.proc / process, file) || !told.insert(block).second) continue;
            const Holder holder{static_cast<int>(*number), command_of(process, root)};
            found.push_back({.kind = Use::Kind::process, .through = block, .by = to_string(holder)});
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
    return try_claim(root.dev / block, read_text(class_entry(block, root) / "dev").value_or(""));
}

/// The partitions of a claimed disk that are claimed themselves; the disk where none is.
Blocks claimed_parts(const std::string& disk, const Blocks& blocks, const SysfsRoot& root) {
    Blocks parts;
    for (const std::string& block : blocks)
        if (block != disk && disk_of(block, root) == disk && claim(block, root) == EBUSY) parts.push_back(block);
    return parts.empty() ? Blocks{disk} : parts;
}

/// Whatever else has a disk for itself has claimed it: then it can be opened exclusively by nobody else.
void find_claims(std::vector<Use>& found, const Blocks& disks, const Blocks& blocks, const SysfsRoot& root) {
    const std::vector<std::string> pools = zfs_pools(root);
    for (const std::string& disk : disks) {
        const int error = claim(disk, root);
        if (error == EBUSY) {
            for (const std::string& part : claimed_parts(disk, blocks, root))
                found.push_back({.kind = Use::Kind::claim, .through = part, .by = part});
        } else if (error != 0) {
            // Not told, so that it may be on any of them.
            for (const std::string& pool : pools)
                found.push_back({.kind = Use::Kind::pool, .through = disk, .by = pool});
        }
    }
}

}  // namespace

std::string block_of(const std::string& node, const SysfsRoot& root) {
    if (!node.starts_with("/dev/")) return {};
    std::error_code none;
    const fs::path real = fs::canonical(root.dev / node.substr(5), none);
    const std::string name = (none ? fs::path{node} : real).filename().string();
    return is_name(name) ? name : std::string{};
}

std::vector<Use> disk_uses(const std::vector<std::string>& blocks, const std::vector<Use>& known,
                           const SysfsRoot& root) {
    std::vector<Use> found;
    find_holders(found, blocks, root);
    find_loops(found, blocks, root);
    find_targets(found, blocks, root);
    find_writers(found, blocks, root);
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
