// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace uiovfio::detail {

/// The same file by a number that no standard stream has. Where a program was started with one of them closed, the
/// kernel gives its number to the next file, and what the program prints goes there: into a device's registers, say.
/// -1 and errno on failure, also of the call that the descriptor is from.
inline int above_standard_streams(int descriptor) noexcept {
    constexpr int kFirst = STDERR_FILENO + 1;
    if (descriptor < 0 || descriptor >= kFirst) return descriptor;
    const int moved = ::fcntl(descriptor, F_DUPFD_CLOEXEC, kFirst);
    const int error = errno;
    ::close(descriptor);
    errno = error;
    return moved;
}

/// Owns a file descriptor, which is none of the standard streams'. Move-only.
class FileDescriptor {
  public:
    FileDescriptor() noexcept = default;
    /// Takes it over, by another number where need be; empty, and errno, where that fails.
    explicit FileDescriptor(int descriptor) noexcept : descriptor_{above_standard_streams(descriptor)} {}
    FileDescriptor(FileDescriptor&& other) noexcept : descriptor_{other.release()} {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        if (this != &other) {
            reset();
            descriptor_ = other.release();
        }
        return *this;
    }
    ~FileDescriptor() { reset(); }

    [[nodiscard]] int get() const noexcept { return descriptor_; }
    [[nodiscard]] int release() noexcept { return std::exchange(descriptor_, -1); }
    void reset() noexcept {
        if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
    }
    explicit operator bool() const noexcept { return descriptor_ >= 0; }

  private:
    int descriptor_ = -1;
};

}  // namespace uiovfio::detail
