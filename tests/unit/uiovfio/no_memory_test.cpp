// SPDX-License-Identifier: MIT
/// Memory runs out at any one place of an operation: what the kernel was told and what the library knows stay the same.

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <uiovfio/sim.hpp>
#include <uiovfio/uiovfio.hpp>
#include <utility>

#include "backends/vfio.hpp"
#include "fake_kernel.hpp"
#include "fake_tree.hpp"

namespace {

/// Allocations of this thread until one fails; below 0 for none.
thread_local int until_failure = -1;
thread_local bool has_failed = false;

void* allocate(std::size_t size, std::size_t alignment) {
    if (until_failure >= 0 && until_failure-- == 0) {
        has_failed = true;
        throw std::bad_alloc{};
    }
    void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory == nullptr) throw std::bad_alloc{};
    return memory;
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace uiovfio {

namespace {

/// The kernel has memory of its own.
class WithMemory {
  public:
    WithMemory() noexcept : before_{until_failure} { until_failure = -1; }
    ~WithMemory() { until_failure = before_; }
    WithMemory(const WithMemory&) = delete;
    WithMemory& operator=(const WithMemory&) = delete;

  private:
    int before_;
};

class Kernel final : public test::FakeKernel {
  public:
    int fails_from_open = -1;  ///< as until_failure, from the first open file on

    int open(const char* path, int flags) noexcept override {
        const int result = open_with_memory(path, flags);
        if (fails_from_open >= 0) until_failure = std::exchange(fails_from_open, -1);
        return result;
    }
    int close(int descriptor) noexcept override {
        const WithMemory its;
        return FakeKernel::close(descriptor);
    }
    int ioctl(int descriptor, unsigned long request, void* argument) noexcept override {
        const WithMemory its;
        return FakeKernel::ioctl(descriptor, request, argument);
    }
    int ioctl(int descriptor, unsigned long request, unsigned long argument) noexcept override {
        const WithMemory its;
        return FakeKernel::ioctl(descriptor, request, argument);
    }
    ssize_t pread(int descriptor, void* buffer, std::size_t length, std::uint64_t offset) noexcept override {
        const WithMemory its;
        return FakeKernel::pread(descriptor, buffer, length, offset);
    }
    ssize_t pwrite(int descriptor, const void* buffer, std::size_t length, std::uint64_t offset) noexcept override {
        const WithMemory its;
        return FakeKernel::pwrite(descriptor, buffer, length, offset);
    }
    void* mmap(void* address, std::size_t length, int protection, int flags, int descriptor,
               std::uint64_t offset) noexcept override {
        const WithMemory its;
        return FakeKernel::mmap(address, length, protection, flags, descriptor, offset);
    }

  private:
    int open_with_memory(const char* path, int flags) noexcept {
        const WithMemory its;
        return FakeKernel::open(path, flags);
    }
};

/// Calls it with the first allocation failing, with the second, and so on until none of it fails; `afterwards` is told
/// whether it failed.
void with_each_allocation_failing(const std::function<void()>& action,
                                  const std::function<void(bool has_thrown)>& afterwards) {
    bool was_enough = false;
    for (int allocation = 0; !was_enough; ++allocation) {
        has_failed = false;
        bool has_thrown = false;
        until_failure = allocation;
        try {
            action();
        } catch (const std::bad_alloc&) {
            has_thrown = true;
        } catch (const Error&) {
            has_thrown = true;
        }
        until_failure = -1;
        was_enough = !has_failed;
        SCOPED_TRACE(testing::Message() << "allocation " << allocation);
        afterwards(has_thrown);
        if (testing::Test::HasFailure()) return;
    }
}

}  // namespace

class NoMemory : public testing::Test {
  protected:
    NoMemory() {
        tree.add_function(kDevice);
        tree.set_driver(kDevice, "vfio-pci");
        tree.set_group(kDevice, 7);
        tree.add_vfio_nodes(7);
    }

    Device open() {
        const Bdf bdf = Bdf::parse(kDevice);
        return DeviceFactory::make(bdf, detail::open_vfio(bdf, {.root = tree.root}, kernel), true);
    }

    static constexpr const char* kDevice = "0000:01:00.0";
    test::FakeTree tree;
    Kernel kernel;
    alignas(4096) std::array<std::byte, 4096> memory{};
};

TEST_F(NoMemory, LeavesNothingOpen) {
    std::optional<Device> device;
    with_each_allocation_failing(
        [&] {
            // Not what comes before: the standard library looks through a directory without a way to say that it
            // failed.
            kernel.fails_from_open = std::exchange(until_failure, -1);
            device = open();
        },
        [&](bool has_thrown) {
            EXPECT_EQ(device.has_value(), !has_thrown);
            device.reset();
            EXPECT_TRUE(kernel.open_files.empty());
        });
}

TEST_F(NoMemory, LeavesNothingMapped) {
    const Device device = open();
    std::optional<DmaMapping> mapping;
    with_each_allocation_failing([&] { mapping = device.dma().map(memory); },
                                 [&](bool has_thrown) {
                                     EXPECT_EQ(mapping.has_value(), !has_thrown);
                                     EXPECT_EQ(kernel.mappings.size(), has_thrown ? 0u : 1u);
                                     mapping.reset();
                                 });
}

TEST_F(NoMemory, LeavesVectorsAsTheyAre) {
    Device device;
    for (const bool adds : {true, false}) {
        kernel.adds_vectors = adds;
        device = Device{};
        device = open();
        with_each_allocation_failing(
            [&] {
                device.interrupts().enable(InterruptMode::msix, 2);
                device.interrupts().grow(4);
            },
            [&](bool has_thrown) {
                const unsigned count = device.interrupts().count();
                EXPECT_TRUE(has_thrown ? count == 0 || count == 2 : count == 4) << count;
                for (unsigned vector = 0; vector < count; ++vector) {
                    (void)device.interrupts().try_take(vector);
                    kernel.raise(VFIO_PCI_MSIX_IRQ_INDEX, vector);
                    EXPECT_EQ(device.interrupts().try_take(vector), 1u) << vector;
                }
                if (count != 0) device.interrupts().disable();
            });
    }
}

TEST_F(NoMemory, OfATraceLeavesADeviceThatCanBeUsed) {
    const auto file = tree.root.dev / "run.trace";
    std::optional<Device> device;
    with_each_allocation_failing(
        [&] {
            device = open_sim({.vectors = 2, .memory_size = 4096, .trace = {.file = file}});
            device->interrupts().enable(InterruptMode::msix, 2);
            const DmaMapping mapping = device->dma().map(memory);
            device->interrupts().disable();
        },
        [&](bool) { device.reset(); });
    EXPECT_TRUE(std::filesystem::exists(file));
}

}  // namespace uiovfio
