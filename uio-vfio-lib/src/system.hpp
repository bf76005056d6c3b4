// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The system calls that the vfio backend makes, behind a seam: tests put a model of the kernel there, and so see every
/// call in its order and make any of them fail.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace uiovfio::detail {

/// As the calls of the same names: -1 and errno on failure.
class System {
  public:
    virtual ~System() = default;
    virtual int open(const char* path, int flags) noexcept = 0;
    virtual int close(int descriptor) noexcept = 0;
    virtual int ioctl(int descriptor, unsigned long request, void* argument) noexcept = 0;
    /// For requests that take a number.
    virtual int ioctl(int descriptor, unsigned long request, unsigned long argument) noexcept = 0;
    virtual ssize_t pread(int descriptor, void* buffer, std::size_t length, std::uint64_t offset) noexcept = 0;
    virtual ssize_t pwrite(int descriptor, const void* buffer, std::size_t length, std::uint64_t offset) noexcept = 0;
    virtual void* mmap(void* address, std::size_t length, int protection, int flags, int descriptor,
                       std::uint64_t offset) noexcept = 0;
    virtual int munmap(void* address, std::size_t length) noexcept = 0;
    static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
    /// RLIMIT_MEMLOCK's soft limit in bytes, or kUnlimited.
    virtual std::uint64_t memory_lock_limit() noexcept = 0;
    virtual void sleep_milliseconds(unsigned milliseconds) noexcept = 0;
    /// Whether the kernel has a function of that name; false where it does not tell. Takes some milliseconds.
    virtual bool has_kernel_function(std::string_view name) noexcept = 0;
};

/// The kernel itself.
System& real_system() noexcept;

}  // namespace uiovfio::detail
