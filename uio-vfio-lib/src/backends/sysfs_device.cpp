// SPDX-License-Identifier: MIT
#include "backends/sysfs_device.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "sysfs_files.hpp"

namespace uiovfio::detail {

namespace {

constexpr unsigned kBusyPauseMilliseconds = 20;

// EPERM where the files themselves could be opened.
constexpr const char* kRefused =
    "use vfio; the kernel may be locked down (`cat /sys/kernel/security/lockdown`), "
    "or a container or hypervisor forbid it";

}  // namespace

SysfsDevice::SysfsDevice(const Bdf& bdf, const OpenOptions& options, System& system, PciFunction function)
    : Backend{bdf},
      system_{system},
      function_{std::move(function)},
      directory_{device_directory(options.root, bdf)},
      bars_{SysfsBar{system}, SysfsBar{system}, SysfsBar{system},
            SysfsBar{system}, SysfsBar{system}, SysfsBar{system}} {
    config_ = open_file(directory_ / "config");
    // The kernel lets anybody in at a time; those who use this library keep out of each other's way.
    const auto attempts =
        1 + std::max<std::int64_t>(options.busy_timeout.count(), 0) / std::int64_t{kBusyPauseMilliseconds};
    for (std::int64_t attempt = 0; ::flock(config_.get(), LOCK_EX | LOCK_NB) != 0; ++attempt) {
        if (attempt + 1 >= attempts)
            throw Error{Errc::device_busy, object(), "another Device, here or in another process, has it open", errno,
                        fmt::format("end that; `fuser -v {}` names it", (directory_ / "config").string())};
        system_.sleep_milliseconds(kBusyPauseMilliseconds);
    }
    std::error_code none;
    const auto size = std::filesystem::file_size(directory_ / "config", none);
    if (!none) config_size_ = static_cast<std::uint16_t>(std::clamp<std::uintmax_t>(size, 256, 4096));
    can_reset_ = std::filesystem::exists(directory_ / "reset", none);
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    for (const PciResource& resource : function_.resources) {
        SysfsBar& bar = bars_[resource.index];
        bar.info = {.size = resource.size,
                    .is_64bit = resource.is_64bit,
                    .is_prefetchable = resource.is_prefetchable,
                    .is_io = resource.is_io};
        if (resource.is_io) continue;
        bar.within_page = resource.address % page;
        const std::uint64_t length = bar.within_page + resource.size;
        bar.region.describe(fmt::format("{} BAR{}", object(), resource.index), length, {{0, length}});
    }
}

void SysfsDevice::close_files() noexcept {
    for (SysfsBar& bar : bars_) {
        bar.region.close();
        bar.file.close();
    }
    config_.close();
}

void SysfsDevice::give_up_to_parent() noexcept {
    Backend::give_up_to_parent();
    for (SysfsBar& bar : bars_) {
        bar.region.cover_in_child();
        bar.file.close();
    }
    config_.close();
}

void SysfsDevice::presence_changed(bool is_present) noexcept {
    for (SysfsBar& bar : bars_) bar.region.presence_changed(is_present);
}

File SysfsDevice::open_file(const std::filesystem::path& path) {
    File file{system_, system_.open(path.c_str(), O_RDWR | O_CLOEXEC)};
    if (file.get() >= 0) return file;
    const int error = errno;
    if (error == EACCES || error == EPERM)
        throw Error{Errc::permission_denied, object(), fmt::format("this process may not open {}", path.string()),
                    error, "run as root: what sysfs has of a device is root's"};
    if (error == ENOENT || error == ENODEV || error == ENXIO)
        throw Error{Errc::device_gone, object(), fmt::format("{} does not exist", path.string()), error};
    throw Error{Errc::system_error, object(), fmt::format("cannot open {}", path.string()), error};
}

std::uint32_t SysfsDevice::config_read(std::uint16_t offset, unsigned width) {
    std::uint32_t value = 0;
    const auto length = system_.pread(config_.get(), &value, width, offset);
    if (length != static_cast<ssize_t>(width))
        throw Error{Errc::device_gone, object(), fmt::format("the read at {:#x} of configuration space failed", offset),
                    length < 0 ? errno : 0};
    return value;
}

void SysfsDevice::config_write(std::uint16_t offset, unsigned width, std::uint32_t value) {
    const auto length = system_.pwrite(config_.get(), &value, width, offset);
    if (length == static_cast<ssize_t>(width)) return;
    const int error = length < 0 ? errno : 0;
    if (error == EPERM)
        throw Error{Errc::permission_denied, object(), "the kernel refuses to write to configuration space", error,
                    kRefused};
    throw Error{Errc::device_gone, object(), fmt::format("the write at {:#x} of configuration space failed", offset),
                error};
}

bool SysfsDevice::is_mappable(unsigned bar, std::uint64_t offset, std::uint64_t length) const noexcept {
    const SysfsBar& at = bars_[bar];
    return !at.info.is_io && at.region.is_mappable(at.within_page + offset, length);
}

File& SysfsDevice::file_of(unsigned bar) {
    const std::lock_guard lock{mutex_};
    File& file = bars_[bar].file;
    if (file.get() < 0) file = open_file(directory_ / fmt::format("resource{}", bar));
    return file;
}

volatile void* SysfsDevice::map(unsigned bar, std::uint64_t offset, std::uint64_t /*length*/) {
    SysfsBar& at = bars_[bar];
    const int file = file_of(bar).get();
    try {
        return at.region.map(file, 0) + at.within_page + offset;
    } catch (const Error& error) {
        throw_not_mapped(bar, error);
    }
}

void SysfsDevice::throw_not_mapped(unsigned bar, const Error& error) const {
    const std::string where = fmt::format("{} BAR{}", object(), bar);
    if (error.system_errno() == EINVAL || error.system_errno() == EBUSY)
        throw Error{Errc::not_mappable, where,
                    fmt::format("a driver holds it{}, and this kernel (IO_STRICT_DEVMEM) maps nothing that a driver "
                                "holds",
                                function_.driver.empty() ? "" : " (" + function_.driver + ")"),
                    error.system_errno(),
                    fmt::format("take the device from the driver with `pcienic-ctl -s {} unbind --none`, or boot with "
                                "iomem=relaxed",
                                object())};
    if (error.system_errno() == EPERM)
        throw Error{Errc::not_mappable, where, "the kernel maps no device into a process", error.system_errno(),
                    kRefused};
    throw error;
}

void SysfsDevice::require_port_width(unsigned bar, unsigned width) const {
    if (width > 4)
        throw Error{Errc::unsupported, fmt::format("{} BAR{}", object(), bar), "I/O space has no accesses of 8 bytes",
                    0, "use two of 4"};
}

std::uint64_t SysfsDevice::region_read(unsigned bar, std::uint64_t offset, unsigned width) {
    if (!bars_[bar].info.is_io) return load_width(map(bar, offset, width), width);
    require_port_width(bar, width);
    std::uint64_t value = 0;
    const auto length = system_.pread(file_of(bar).get(), &value, width, offset);
    if (length != static_cast<ssize_t>(width))
        throw Error{Errc::device_gone, object(), fmt::format("the read at {:#x} of BAR{} failed", offset, bar),
                    length < 0 ? errno : 0};
    return value;
}

void SysfsDevice::region_write(unsigned bar, std::uint64_t offset, unsigned width, std::uint64_t value) {
    if (!bars_[bar].info.is_io) return store_width(map(bar, offset, width), width, value);
    require_port_width(bar, width);
    const auto length = system_.pwrite(file_of(bar).get(), &value, width, offset);
    if (length != static_cast<ssize_t>(width))
        throw Error{Errc::device_gone, object(), fmt::format("the write at {:#x} of BAR{} failed", offset, bar),
                    length < 0 ? errno : 0};
}

void SysfsDevice::reset() {
    const int error = write_text(directory_ / "reset", "1");
    if (error == 0) return;
    const bool gone = error == ENOENT || error == ENODEV;
    throw Error{gone ? Errc::device_gone : Errc::system_error, object(), "the reset through sysfs failed", error};
}

}  // namespace uiovfio::detail
