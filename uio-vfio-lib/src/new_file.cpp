// SPDX-License-Identifier: MIT
#include "new_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace uiovfio::detail {

NewFile::NewFile(NewFile&& other) noexcept
    : file_{std::move(other.file_)}, name_{std::exchange(other.name_, std::string{})} {}

NewFile& NewFile::operator=(NewFile&& other) noexcept {
    std::swap(file_, other.file_);
    std::swap(name_, other.name_);
    return *this;
}

NewFile::~NewFile() {
    if (!name_.empty()) ::unlink(name_.c_str());
}

NewFile NewFile::beside(const std::filesystem::path& place) {
    // Not after the name that it will have: that may be as long as a name can be.
    std::string name = (place.parent_path() / ".uiovfio-XXXXXX").string();
    NewFile made;
    const int file = ::mkostemp(name.data(), O_CLOEXEC);  // of its owner only, and none that was there
    if (file < 0) return made;
    made.name_ = std::move(name);
    made.file_ = FileDescriptor{file};
    return made;
}

int NewFile::write(std::span<const std::byte> bytes) noexcept {
    while (!bytes.empty()) {
        const auto written = ::write(file_.get(), bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return written < 0 ? errno : EIO;
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return 0;
}

int NewFile::put_in_place(const std::filesystem::path& place) noexcept {
    if (std::rename(name_.c_str(), place.c_str()) != 0) return errno;
    name_.clear();
    return 0;
}

}  // namespace uiovfio::detail
