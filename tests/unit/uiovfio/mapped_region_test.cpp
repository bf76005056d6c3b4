// SPDX-License-Identifier: MIT
/// BARs as large as accelerators have them.

#include "backends/mapped_region.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "file_descriptor.hpp"

namespace uiovfio::detail {

namespace {

constexpr std::uint64_t kBytes = std::uint64_t{256} << 30;

/// The kernel's mmap() itself: a sanitizer's own would look after each page.
class Mapping final : public System {
  public:
    int open(const char*, int) noexcept override { return -1; }
    int close(int) noexcept override { return -1; }
    int ioctl(int, unsigned long, void*) noexcept override { return -1; }
    int ioctl(int, unsigned long, unsigned long) noexcept override { return -1; }
    ssize_t pread(int, void*, std::size_t, std::uint64_t) noexcept override { return -1; }
    ssize_t pwrite(int, const void*, std::size_t, std::uint64_t) noexcept override { return -1; }
    void* mmap(void* address, std::size_t length, int protection, int flags, int descriptor,
               std::uint64_t offset) noexcept override {
        return reinterpret_cast<void*>(::syscall(SYS_mmap, address, length, protection, flags, descriptor, offset));
    }
    int munmap(void* address, std::size_t length) noexcept override {
        return static_cast<int>(::syscall(SYS_munmap, address, length));
    }
    std::uint64_t memory_lock_limit() noexcept override { return kUnlimited; }
    void sleep_milliseconds(unsigned) noexcept override {}
    bool has_kernel_function(std::string_view) noexcept override { return false; }
};

/// How many mappings the kernel has of these addresses.
unsigned mappings_of(const std::byte* base, std::uint64_t length) {
    const auto first = reinterpret_cast<std::uintptr_t>(base);
    std::ifstream maps{"/proc/self/maps"};
    unsigned found = 0;
    for (std::string line; std::getline(maps, line);) {
        const std::uintptr_t at = std::stoull(line, nullptr, 16);
        if (at >= first && at < first + length) ++found;
    }
    return found;
}

}  // namespace

class HugeRegion : public testing::Test {
  protected:
    HugeRegion() {
        EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(kBytes)), 0);
        region.describe("0000:01:00.0 BAR4", kBytes, {{0, kBytes}});
        base = region.map(file.get(), 0);
    }

    [[nodiscard]] std::uint64_t value_at(std::uint64_t offset) const {
        return *reinterpret_cast<const volatile std::uint64_t*>(base + offset);
    }
    void store(std::uint64_t offset, std::uint64_t value) const {
        *reinterpret_cast<volatile std::uint64_t*>(base + offset) = value;
    }
    void expect_ones() const {
        for (const std::uint64_t offset :
             {std::uint64_t{0}, std::uint64_t{40} << 20, kBytes / 2, kBytes / 2 + 4096, kBytes - 8})
            EXPECT_EQ(value_at(offset), ~std::uint64_t{0}) << offset;
    }

    Mapping system;
    FileDescriptor file{::memfd_create("huge-bar", MFD_CLOEXEC)};
    MappedRegion region{system};
    std::byte* base = nullptr;
};

TEST_F(HugeRegion, TakesFewMappingsOnceItIsClosed) {
    store(kBytes - 8, 42);
    region.close();
    EXPECT_LE(mappings_of(base, kBytes), 17u);
    expect_ones();
    store(kBytes / 2, 42);
    EXPECT_EQ(value_at(kBytes / 2), 42u) << "a copy that nobody else sees";
    EXPECT_EQ(value_at(kBytes / 2 + 4096), ~std::uint64_t{0});
}

TEST_F(HugeRegion, IsLostAndReturnsAsAWhole) {
    store(kBytes / 2, 42);
    region.presence_changed(false);
    EXPECT_LE(mappings_of(base, kBytes), 17u);
    expect_ones();
    store(kBytes / 2, 43);
    region.presence_changed(true);
    EXPECT_EQ(value_at(kBytes / 2), 42u);
    EXPECT_EQ(mappings_of(base, kBytes), 1u);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they cannot do without mappings themselves
TEST_F(HugeRegion, ReadsOnesWhereTheProcessHasNoMappingLeft) {
    region.close();
    // Every second page of something else is a mapping of its own, until the kernel gives no more.
    constexpr std::size_t kPage = 4096;
    constexpr std::size_t kPages = std::size_t{4} << 20;
    void* other = ::mmap(nullptr, kPages * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(other, MAP_FAILED);
    std::size_t page = 0;
    while (page < kPages && ::mprotect(static_cast<std::byte*>(other) + page * kPage, kPage, PROT_READ) == 0) page += 2;
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    if (page < kPages) {
        first = value_at(kBytes / 2);
        second = value_at(kBytes / 4);
    }
    ::munmap(other, kPages * kPage);
    if (page >= kPages) GTEST_SKIP() << "this kernel has no limit of mappings";
    EXPECT_EQ(first, ~std::uint64_t{0});
    EXPECT_EQ(second, ~std::uint64_t{0});
    expect_ones();
}
#endif

}  // namespace uiovfio::detail
