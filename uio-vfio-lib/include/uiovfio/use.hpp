// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a device is in use for: what the machine would lose if its driver were taken away, and which processes have it
/// open. bind(), unbind() and restore() look here before they do anything.

#include <string>
#include <string_view>
#include <vector>

#include "uiovfio/bdf.hpp"
#include "uiovfio/sysfs.hpp"

namespace uiovfio {

/// Something of the machine's that goes when the device goes.
struct Use {
    /// What it is.
    enum class Kind {
        default_route,  ///< the way to everything that is not near
        mount,          ///< a mounted file system
        swap,           ///< swap space in use
        console,        ///< the screen to which the kernel writes
        stack,          ///< a disk that is part of a RAID, a mapped device, a cache or a loop device
        target,         ///< a disk that is given to other machines: by nvmet or LIO
        process,        ///< a disk that a process has open for writing
        claim,          ///< a disk that the kernel has claimed for what does not say so: a pool of ZFS, a RAID member
        pool,           ///< a pool of ZFS, that may be on the disk
        maybe_claim,    ///< a disk of which the kernel cannot be asked whether it is claimed
        interface,      ///< a network interface that is up
    };

    Kind kind{};
    /// The interface, disk, partition or screen that the device has: "eth0", "nvme0n1p2", "fb0".
    std::string through{};
    /// What stands on it and is in use itself: a bridge, bond or VLAN, a mapped or RAID device: "br0", "dm-1"; the
    /// file or folder in configfs of a target, "process 4711 (qemu)", a pool's name, or why the kernel cannot be asked.
    /// The same as `through` if nothing is between.
    std::string by{};
    /// The mount point; empty for the other kinds.
    std::string mount_point{};

    friend bool operator==(const Use&, const Use&) = default;
};

/// "default_route", for machine-readable output.
std::string_view name(Use::Kind kind) noexcept;

/// "eth0 carries the machine's default route, by way of br0".
std::string to_string(const Use& use);

/// What the machine uses the function for, or what is behind it (a USB disk at a controller, virtual functions). Sees
/// the network namespace of this process, the main routing table, and of a route over several interfaces the first; the
/// mounts of this process and of process 1. Of a disk that none of this names it asks the kernel, by opening it
/// exclusively for a moment, which needs its node and the right to read it; a disk of which that cannot be asked, as in
/// most containers, may be in use, and counts as such. Not seen are tunnels beneath a default route. Never fails: what
/// cannot be read is left out.
std::vector<Use> uses_of(const Bdf& bdf, const SysfsRoot& root = {});

/// A process that has a device open.
struct Holder {
    int process = 0;
    std::string command;  ///< "my-driver"; empty where the process does not let it be seen

    friend bool operator==(const Holder&, const Holder&) = default;
};

/// "process 4711 (my-driver)".
std::string to_string(const Holder& holder);

/// The processes that have a node of the function open: its VFIO group's or its own, its UIO node, its resource files.
/// Without root, those of this user only. Never fails.
std::vector<Holder> holders_of(const Bdf& bdf, const SysfsRoot& root = {});

/// Whether some process has the function's VFIO group or the function itself open, so that unbinding it from vfio-pci
/// would block until that ends; also while the kernel waits in unbinding or removing it, and names no driver any more.
/// False for another driver, and where this process may not look.
bool is_held(const Bdf& bdf, const SysfsRoot& root = {});

}  // namespace uiovfio
