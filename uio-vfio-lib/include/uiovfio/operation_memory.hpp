// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where the operations of asio.hpp and asio_hybrid.hpp live while they are pending. Not for use by itself.

#include <array>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>

namespace uiovfio::detail {

/// Memory for the operations of one object, which has one at a time: what one has had serves the next, so that only the
/// first ones allocate. Asio itself keeps two pieces for each thread, too few as soon as that waits for a second thing.
/// As thread-safe as the object: not.
class OperationMemory {
  public:
    OperationMemory() = default;
    OperationMemory(const OperationMemory&) = delete;
    OperationMemory& operator=(const OperationMemory&) = delete;

    /// Aligned as operator new does it. Throws std::bad_alloc.
    void* allocate(std::size_t size) {
        Piece* best = nullptr;
        for (Piece& piece : pieces_)
            if (!piece.is_used && (best == nullptr || is_better(piece, *best, size))) best = &piece;
        if (best == nullptr) return ::operator new(size);
        if (best->size < size) {
            best->memory = std::make_unique_for_overwrite<std::byte[]>(size);
            best->size = size;
        }
        best->is_used = true;
        return best->memory.get();
    }

    void deallocate(void* memory) noexcept {
        for (Piece& piece : pieces_)
            if (piece.memory.get() == memory) {
                piece.is_used = false;
                return;
            }
        ::operator delete(memory);
    }

  private:
    struct Piece {
        std::unique_ptr<std::byte[]> memory;
        std::size_t size = 0;
        bool is_used = false;
    };

    /// The smallest that is large enough, else the smallest: that is given up for a larger one.
    static bool is_better(const Piece& piece, const Piece& than, std::size_t size) noexcept {
        const bool fits = piece.size >= size;
        return fits == (than.size >= size) ? piece.size < than.size : fits;
    }

    std::array<Piece, 4> pieces_;  // an operation in an operation, the bytes that it reads, and one to spare
};

/// As the standard's allocators are. The memory must outlive what it allocates.
template <class T>
class OperationAllocator {
  public:
    using value_type = T;  // NOLINT(readability-identifier-naming): the standard's name

    explicit OperationAllocator(OperationMemory& memory) noexcept : memory_{&memory} {}
    template <class Other>
    OperationAllocator(const OperationAllocator<Other>& other) noexcept : memory_{other.memory()} {}

    T* allocate(std::size_t number) {
        static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
        if (number > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length{};
        return static_cast<T*>(memory_->allocate(number * sizeof(T)));
    }
    void deallocate(T* memory, std::size_t /*number*/) noexcept { memory_->deallocate(memory); }

    [[nodiscard]] OperationMemory* memory() const noexcept { return memory_; }

    template <class Other>
    friend bool operator==(const OperationAllocator& left, const OperationAllocator<Other>& right) noexcept {
        return left.memory() == right.memory();
    }

  private:
    OperationMemory* memory_;
};

}  // namespace uiovfio::detail
