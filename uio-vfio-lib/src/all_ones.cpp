// SPDX-License-Identifier: MIT
#include "all_ones.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>

#include "fork_guard.hpp"
#include "uiovfio/error.hpp"

namespace uiovfio::detail {

std::shared_ptr<AllOnes> AllOnes::for_regions_of(std::size_t length) {
    static auto& mutex = *new ForkMutex;  // not destroyed: regions may outlive every order of destruction
    static std::weak_ptr<AllOnes> in_use;
    const std::lock_guard lock{mutex};
    auto ones = in_use.lock();
    if (!ones) ones = std::make_shared<AllOnes>();
    ones->grow(std::min(length, kChunk));
    in_use = ones;
    return ones;
}

void AllOnes::grow(std::size_t length) {
    const auto fail = [] {
        throw Error{Errc::system_error, "memory that stands in for a device that is gone", "cannot make it", errno,
                    "raise the limit of open files with `ulimit -n`, or free memory"};
    };
    if (!file_) file_ = FileDescriptor{::memfd_create("uiovfio-all-ones", MFD_CLOEXEC)};
    if (!file_) fail();
    std::array<unsigned char, 4096> page;
    page.fill(0xff);
    for (; length_ < length; length_ += page.size())
        if (::pwrite(file_.get(), page.data(), page.size(), static_cast<off_t>(length_)) !=
            static_cast<ssize_t>(page.size()))
            fail();
}

}  // namespace uiovfio::detail
