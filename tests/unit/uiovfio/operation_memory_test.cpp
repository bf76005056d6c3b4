// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <uiovfio/operation_memory.hpp>
#include <utility>
#include <vector>

namespace uiovfio::detail {
namespace {

std::shared_ptr<OperationMemory> make_memory() { return std::make_shared<OperationMemory>(); }

TEST(OperationMemory, GivesWhatCameBack) {
    OperationMemory memory;
    std::set<void*> first;
    for (const std::size_t size : {200U, 8U, 96U, 120U}) first.insert(memory.allocate(size));
    ASSERT_EQ(first.size(), 4u);
    for (void* piece : first) memory.deallocate(piece);
    std::set<void*> second;
    for (const std::size_t size : {8U, 120U, 200U, 96U}) second.insert(memory.allocate(size));
    EXPECT_EQ(second, first);
    for (void* piece : second) memory.deallocate(piece);
}

// The size of an operation is known when it is there: the pieces that are too small for it go.
TEST(OperationMemory, GrowsWithWhatIsAskedFor) {
    OperationMemory memory;
    for (std::size_t size = 1; size < 5000; size = 2 * size + 1) {
        std::array<void*, 6> pieces{};
        for (void*& piece : pieces) {
            piece = memory.allocate(size);
            std::memset(piece, 0xa5, size);
            EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % __STDCPP_DEFAULT_NEW_ALIGNMENT__, 0u);
        }
        for (void* piece : pieces) memory.deallocate(piece);
    }
}

TEST(OperationMemory, RefusesWhatCannotBe) {
    const OperationAllocator<std::uint64_t> allocator{make_memory()};
    auto copy = allocator;
    EXPECT_THROW((void)copy.allocate(SIZE_MAX / 4), std::bad_array_new_length);
    EXPECT_THROW((void)copy.allocate(SIZE_MAX / sizeof(std::uint64_t)), std::bad_alloc);
}

TEST(OperationMemory, HoldsWhatNeedsAStricterAlignment) {
    struct alignas(256) Strict {
        std::byte bytes[256];
    };
    OperationAllocator<Strict> allocator{make_memory()};
    for (int i = 0; i < 3; ++i) {
        Strict* strict = allocator.allocate(1);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(strict) % alignof(Strict), 0u);
        allocator.deallocate(strict, 1);
    }
}

TEST(OperationMemory, OutlivesWhoMadeIt) {
    std::optional<OperationAllocator<std::byte>> allocator{make_memory()};
    std::byte* memory = allocator->allocate(64);
    OperationAllocator<std::uint64_t> last{*allocator};
    const OperationAllocator<std::byte> moved{std::move(*allocator)};
    EXPECT_EQ(moved, *allocator) << "the standard wants a moved-from allocator to be as it was";
    allocator.reset();
    OperationAllocator<std::byte>{last}.deallocate(memory, 64);
}

// As an operation's memory goes: taken in one thread and given back in another, which takes some of its own besides.
// Neither waits for the other.
TEST(OperationMemory, IsHandedFromThreadToThread) {
    constexpr std::size_t kRounds = 20'000;
    OperationMemory memory;
    std::array<std::atomic<std::uintptr_t*>, 3> handed{};
    const auto give_back = [&](std::uintptr_t* piece) {
        if (piece == nullptr) return;
        EXPECT_EQ(*piece, reinterpret_cast<std::uintptr_t>(piece)) << "somebody else had it, too";
        *piece = 0;
        memory.deallocate(piece);
    };
    const auto work = [&] {
        for (std::size_t round = 0; round < kRounds; ++round) {
            auto* piece = static_cast<std::uintptr_t*>(memory.allocate(sizeof(std::uintptr_t) + round / 100));
            *piece = reinterpret_cast<std::uintptr_t>(piece);
            give_back(handed[round % handed.size()].exchange(piece));
        }
    };
    std::thread other{work};
    work();
    other.join();
    for (auto& piece : handed) give_back(piece.exchange(nullptr));
}

}  // namespace
}  // namespace uiovfio::detail
