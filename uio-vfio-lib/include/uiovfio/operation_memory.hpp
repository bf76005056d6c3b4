// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where the operations of asio.hpp, asio_hybrid.hpp and drivers live while they are pending. Not for use by itself.

#include <array>
#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <utility>

namespace uiovfio::detail {

/// Memory for the operations of one object: what one has had serves the next, so that only the first ones allocate.
/// Asio itself keeps two pieces for each thread, too few as soon as that waits for a second thing.
///
/// Any thread may take memory and give it back: Asio frees an operation in whatever thread its handler runs. There is
/// no lock: a place holds a free piece or none, and its pointer is exchanged by the thread that takes or leaves one.
class OperationMemory {
  public:
    OperationMemory() = default;
    OperationMemory(const OperationMemory&) = delete;
    OperationMemory& operator=(const OperationMemory&) = delete;
    ~OperationMemory() { drop_all(); }

    /// Aligned as operator new does it. Throws std::bad_alloc.
    void* allocate(std::size_t size) {
        if (size > std::numeric_limits<std::size_t>::max() - sizeof(Piece)) throw std::bad_alloc{};
        const std::size_t largest = largest_.load(std::memory_order_relaxed);
        if (size > largest) return grow(size);
        for (std::atomic<Piece*>& place : places_) {
            Piece* piece = place.exchange(nullptr, std::memory_order_acquire);
            if (piece == nullptr) continue;
            if (piece->size >= size) return piece + 1;
            drop(piece);  // left by a thread that did not know yet how large they have to be
        }
        return new_piece(largest) + 1;
    }

    /// What allocate() gave.
    void deallocate(void* memory) noexcept {
        Piece* piece = static_cast<Piece*>(memory) - 1;
        if (piece->size >= largest_.load(std::memory_order_relaxed))
            for (std::atomic<Piece*>& place : places_) {
                Piece* none = nullptr;
                if (place.compare_exchange_strong(none, piece, std::memory_order_release, std::memory_order_relaxed))
                    return;
            }
        drop(piece);
    }

  private:
    /// In front of the memory that it describes.
    struct alignas(__STDCPP_DEFAULT_NEW_ALIGNMENT__) Piece {
        std::size_t size;  ///< of what follows
    };

    static Piece* new_piece(std::size_t size) { return new (::operator new(sizeof(Piece) + size)) Piece{size}; }
    static void drop(Piece* piece) noexcept { ::operator delete(piece); }
    void drop_all() noexcept {
        for (std::atomic<Piece*>& place : places_)
            if (Piece* piece = place.exchange(nullptr, std::memory_order_acquire)) drop(piece);
    }

    /// All pieces are as large as the largest that was ever asked for: then any of them will do, and those that are
    /// smaller are given up at once rather than one after the other later. A size that there is no memory for is
    /// forgotten.
    void* grow(std::size_t size) {
        Piece* piece = new_piece(size);
        std::size_t largest = largest_.load(std::memory_order_relaxed);
        while (largest < size && !largest_.compare_exchange_weak(largest, size, std::memory_order_relaxed)) {
        }
        drop_all();
        return piece + 1;
    }

    std::atomic<std::size_t> largest_{0};
    std::array<std::atomic<Piece*>, 4> places_{};  // an operation in an operation, what it reads, and one to spare
};

/// As the standard's allocators are. It shares the memory: an executor may give back what it took after the object, and
/// all of the operation besides, are gone.
template <class T>
class OperationAllocator {
  public:
    using value_type = T;  // NOLINT(readability-identifier-naming): the standard's name

    explicit OperationAllocator(std::shared_ptr<OperationMemory> memory) noexcept : memory_{std::move(memory)} {}
    // Copied, never moved: an allocator that was moved from is still equal to the one that it was moved to.
    OperationAllocator(const OperationAllocator&) noexcept = default;
    OperationAllocator& operator=(const OperationAllocator&) noexcept = default;
    template <class Other>
    OperationAllocator(const OperationAllocator<Other>& other) noexcept : memory_{other.memory()} {}
    ~OperationAllocator() = default;

    T* allocate(std::size_t number) {
        if (number > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_array_new_length{};
        if constexpr (kIsOverAligned) return static_cast<T*>(::operator new(number * sizeof(T), kAlignment));
        return static_cast<T*>(memory_->allocate(number * sizeof(T)));
    }
    void deallocate(T* memory, std::size_t /*number*/) noexcept {
        if constexpr (kIsOverAligned) return ::operator delete(memory, kAlignment);
        memory_->deallocate(memory);
    }

    [[nodiscard]] const std::shared_ptr<OperationMemory>& memory() const noexcept { return memory_; }

    template <class Other>
    friend bool operator==(const OperationAllocator& left, const OperationAllocator<Other>& right) noexcept {
        return left.memory() == right.memory();
    }

  private:
    /// A handler may hold anything; what needs more than operator new gives is not kept for the next.
    static constexpr bool kIsOverAligned = alignof(T) > __STDCPP_DEFAULT_NEW_ALIGNMENT__;
    static constexpr std::align_val_t kAlignment{alignof(T)};

    std::shared_ptr<OperationMemory> memory_;
};

}  // namespace uiovfio::detail
