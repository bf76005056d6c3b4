// SPDX-License-Identifier: MIT
#include "system.hpp"

#include <fcntl.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>

#include "file_descriptor.hpp"

namespace uiovfio::detail {

namespace {

class RealSystem final : public System {
  public:
    int open(const char* path, int flags) noexcept override { return above_standard_streams(::open(path, flags)); }
    int close(int descriptor) noexcept override { return ::close(descriptor); }
    int ioctl(int descriptor, unsigned long request, void* argument) noexcept override {
        const int result = ::ioctl(descriptor, request, argument);
        return request == VFIO_GROUP_GET_DEVICE_FD ? above_standard_streams(result) : result;
    }
    int ioctl(int descriptor, unsigned long request, unsigned long argument) noexcept override {
        return ::ioctl(descriptor, request, argument);
    }
    ssize_t pread(int descriptor, void* buffer, std::size_t length, std::uint64_t offset) noexcept override {
        return ::pread(descriptor, buffer, length, static_cast<off_t>(offset));
    }
    ssize_t pwrite(int descriptor, const void* buffer, std::size_t length, std::uint64_t offset) noexcept override {
        return ::pwrite(descriptor, buffer, length, static_cast<off_t>(offset));
    }
    void* mmap(void* address, std::size_t length, int protection, int flags, int descriptor,
               std::uint64_t offset) noexcept override {
        return ::mmap(address, length, protection, flags, descriptor, static_cast<off_t>(offset));
    }
    int munmap(void* address, std::size_t length) noexcept override { return ::munmap(address, length); }
    std::uint64_t memory_lock_limit() noexcept override {
        rlimit limit{};
        if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
        return limit.rlim_cur;
    }
    void sleep_milliseconds(unsigned milliseconds) noexcept override {
        std::this_thread::sleep_for(std::chrono::milliseconds{milliseconds});
    }
    // Names are told to everybody there, addresses are not. A line: "ffffffffc0a01234 T name\t[module]".
    bool has_kernel_function(std::string_view name) noexcept override {
        std::FILE* file = std::fopen("/proc/kallsyms", "re");
        if (file == nullptr) return false;
        std::array<char, 1024> line{};
        bool is_found = false;
        while (!is_found && std::fgets(line.data(), line.size(), file) != nullptr) {
            const std::string_view text{line.data()};
            const std::size_t begin = text.find(' ', text.find(' ') + 1) + 1;
            is_found = text.substr(begin, text.find_first_of("\t\n", begin) - begin) == name;
        }
        std::fclose(file);
        return is_found;
    }
};

}  // namespace

System& real_system() noexcept {
    static RealSystem system;
    return system;
}

}  // namespace uiovfio::detail
