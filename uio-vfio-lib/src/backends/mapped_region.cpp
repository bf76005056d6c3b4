// SPDX-License-Identifier: MIT
#include "backends/mapped_region.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "text.hpp"
#include "uiovfio/mmio.hpp"

namespace uiovfio::detail {

namespace {

// Of a region that is covered: each chunk of ones takes one of the mappings that a process may have (65530 by default),
// and some devices have BARs of hundreds of GiB.
constexpr std::size_t kOnesAtOnce = 16 * AllOnes::kChunk;

std::uint64_t rounded_to_pages(std::uint64_t length) noexcept {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return (length + page - 1) / page * page;
}

}  // namespace

MappedRegion::~MappedRegion() {
    range_ = {};
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
    if (base_ != nullptr) return base_;
    descriptor_ = descriptor;
    file_offset_ = file_offset;
    map_whole();
    return base_;
}

void MappedRegion::map_whole() {
    const std::uint64_t length = rounded_to_pages(size_);
    void* base = system_.mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        throw Error{Errc::system_error, object_, fmt::format("no addresses for {}", bytes_text(length)), errno};
    try {
        if (const Area* refused = map_areas(static_cast<std::byte*>(base)); refused != nullptr)
            throw Error{Errc::not_mappable, object_,
                        fmt::format("the kernel does not map {:#x} bytes at {:#x}", refused->length, refused->offset),
                        errno};
        range_ = FaultRange{base, length, this};
    } catch (...) {
        system_.munmap(base, length);
        throw;
    }
    base_ = static_cast<std::byte*>(base);
    length_ = length;
}

const Area* MappedRegion::map_areas(std::byte* base) noexcept {
    for (const Area& area : mappable_) {
        const std::uint64_t length = rounded_to_pages(area.length);
        void* at = system_.mmap(base + area.offset, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor_,
                                file_offset_ + area.offset);
        if (at == MAP_FAILED) return &area;
        // A child of fork() must not come between a device and the process that drives it.
        ::madvise(at, length, MADV_DONTFORK);
    }
    return nullptr;
}

void MappedRegion::presence_changed(bool is_present) noexcept {
    {
        const std::lock_guard lock{mutex_};
        is_lost_ = !is_present;
        if (is_lost_) return cover_locked();
    }
    uncover();
}

void MappedRegion::cover_in_child() noexcept {
    // Not with the lock: a thread that the child does not have may hold it, in the middle of whatever it did.
    is_closed_ = true;
    cover_locked();
}

void MappedRegion::close() noexcept {
    const std::lock_guard lock{mutex_};
    is_closed_ = true;
    cover_locked();
}

void MappedRegion::cover_locked() noexcept {
    if (base_ == nullptr) return;
    range_.set_covered(true);
    // One mapping in place of what was there cannot be one too many. The fault of an access puts the ones there.
    if (system_.mmap(base_, length_, PROT_READ | PROT_WRITE, AllOnes::kBeyondFlags | MAP_FIXED, range_.ones(),
                     AllOnes::kBeyond) == MAP_FAILED) {
        system_.mmap(base_, length_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
        return;
    }
    // Where registers are, they are there already: some thread may block the signal. Best effort.
    for (std::size_t offset = 0; offset < std::min(length_, kOnesAtOnce); offset += AllOnes::kChunk)
        system_.mmap(base_ + offset, std::min(AllOnes::kChunk, length_ - offset), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_FIXED, range_.ones(), 0);
}

bool MappedRegion::uncover() noexcept {
    if (is_closed_) return false;  // for good; and a child cannot have the lock
    const std::lock_guard lock{mutex_};
    if (base_ == nullptr || !range_.is_covered()) return true;
    if (is_closed_ || is_lost_) return false;
    // Elsewhere first: where the kernel refuses, it leaves a hole.
    constexpr std::size_t kProbe = 1;
    void* probe =
        system_.mmap(nullptr, kProbe, PROT_READ, MAP_SHARED, descriptor_, file_offset_ + mappable_.front().offset);
    if (probe == MAP_FAILED) return false;
    system_.munmap(probe, kProbe);
    // Before the device is put back: a fault that comes in between says that it is covered again.
    range_.set_covered(false);
    if (map_areas(base_) == nullptr) return true;
    cover_locked();  // what the kernel refuses to map leaves a hole
    return false;
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
