// SPDX-License-Identifier: MIT
#include "measure/vfio_file.hpp"

#include <linux/vfio.h>
#include <sys/ioctl.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>

namespace pcienic::bench {

std::optional<std::uint64_t> VfioFile::region_offset(unsigned region) const noexcept {
    vfio_region_info info{};
    info.argsz = sizeof info;
    info.index = region;
    if (::ioctl(descriptor, VFIO_DEVICE_GET_REGION_INFO, &info) != 0 || info.size == 0) return std::nullopt;
    return info.offset;
}

std::optional<VfioFile> find_vfio_file() {
    std::optional<VfioFile> found;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code closed_meanwhile;  // the directory's own descriptor is among them
        const std::string target = std::filesystem::read_symlink(entry.path(), closed_meanwhile);
        if (target != "anon_inode:[vfio-device]" && !target.starts_with("/dev/vfio/devices/")) continue;
        if (found) return std::nullopt;
        const std::string name = entry.path().filename();
        VfioFile file;
        std::from_chars(name.data(), name.data() + name.size(), file.descriptor);
        found = file;
    }
    return found;
}

}  // namespace pcienic::bench
