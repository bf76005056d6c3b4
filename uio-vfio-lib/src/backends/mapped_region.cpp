// SPDX-License-Identifier: MIT
#include "backends/mapped_region.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "backends/file.hpp"
#include "text.hpp"
#include "uiovfio/mmio.hpp"

namespace uiovfio::detail {

namespace {

constexpr std::size_t kAllOnesBytes = std::size_t{2} << 20;

std::uint64_t rounded_to_pages(std::uint64_t length) noexcept {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return (length + page - 1) / page * page;
}

}  // namespace

MappedRegion::~MappedRegion() {
    if (base_ != nullptr) system_.munmap(base_, length_);
}

void MappedRegion::describe(std::string object, std::uint64_t size, std::vector<Area> mappable) {
    object_ = std::move(object);
    size_ = size;
    mappable_ = std::move(mappable);
}

bool MappedRegion::is_mappable(std::uint64_t offset, std::uint64_t length) const noexcept {
    return std::any_of(mappable_.begin(), mappable_.end(), [&](const Area& area) {
        return area.offset <= offset && offset - area.offset < area.length &&
               area.length - (offset - area.offset) >= length;
    });
}

std::byte* MappedRegion::map(int descriptor, std::uint64_t file_offset) {
    const std::lock_guard lock{mutex_};
    if (base_ == nullptr) map_whole(descriptor, file_offset);
    return base_;
}

void MappedRegion::map_whole(int descriptor, std::uint64_t file_offset) {
    const std::uint64_t length = rounded_to_pages(size_);
    void* base = system_.mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        throw Error{Errc::system_error, object_, fmt::format("no addresses for {}", bytes_text(length)), errno};
    for (const Area& area : mappable_) {
        void* wanted = static_cast<std::byte*>(base) + area.offset;
        void* at = system_.mmap(wanted, rounded_to_pages(area.length), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                descriptor, file_offset + area.offset);
        if (at == MAP_FAILED) {
            const int error = errno;
            system_.munmap(base, length);
            throw Error{Errc::not_mappable, object_,
                        fmt::format("the kernel does not map {:#x} bytes at {:#x}", area.length, area.offset), error};
        }
    }
    // A child of fork() must not come between a device and the process that drives it.
    ::madvise(base, length, MADV_DONTFORK);
    base_ = static_cast<std::byte*>(base);
    length_ = length;
}

void MappedRegion::cover_with_all_ones() noexcept {
    const std::lock_guard lock{mutex_};
    cover();
}

void MappedRegion::cover_in_child() noexcept {
    // Held by a thread that the child does not have: it was about to map, and nobody has the address yet.
    const std::unique_lock lock{mutex_, std::try_to_lock};
    if (lock) cover();
}

void MappedRegion::cover() noexcept {
    if (base_ == nullptr) return;
    const File ones{system_, ::memfd_create("uiovfio-gone", MFD_CLOEXEC)};
    const std::size_t chunk = std::min(length_, kAllOnesBytes);
    bool usable = ones.get() >= 0 && ::ftruncate(ones.get(), static_cast<off_t>(chunk)) == 0;
    if (usable) {
        void* fill = ::mmap(nullptr, chunk, PROT_READ | PROT_WRITE, MAP_SHARED, ones.get(), 0);
        usable = fill != MAP_FAILED;
        if (usable) {
            std::memset(fill, 0xff, chunk);
            ::munmap(fill, chunk);
        }
    }
    for (std::size_t offset = 0; offset < length_; offset += chunk) {
        void* at = base_ + offset;
        const std::size_t length = std::min(chunk, length_ - offset);
        if (usable &&
            system_.mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, ones.get(), 0) != MAP_FAILED)
            continue;
        system_.mmap(at, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    }
}

std::uint64_t load_width(const volatile void* at, unsigned width) noexcept {
    switch (width) {
        case 1:
            return load<std::uint8_t>(at);
        case 2:
            return load<std::uint16_t>(at);
        case 4:
            return load<std::uint32_t>(at);
        default:
            return load<std::uint64_t>(at);
    }
}

void store_width(volatile void* at, unsigned width, std::uint64_t value) noexcept {
    switch (width) {
        case 1:
            return store<std::uint8_t>(at, static_cast<std::uint8_t>(value));
        case 2:
            return store<std::uint16_t>(at, static_cast<std::uint16_t>(value));
        case 4:
            return store<std::uint32_t>(at, static_cast<std::uint32_t>(value));
        default:
            return store<std::uint64_t>(at, value);
    }
}

}  // namespace uiovfio::detail
