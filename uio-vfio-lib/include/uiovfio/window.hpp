// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Windows onto a BAR: what typed registers are read and written through.
///
/// MappedWindow is a pointer: a load or store through it is one instruction. Window works on every BAR of every
/// backend: it takes the mapped page where there is one and asks the backend where there is none.
/// Bounds and alignment of a window are checked when it is made (Bar::map, Bar::window).

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "uiovfio/mmio.hpp"

namespace uiovfio {

class FaultGuard;

namespace detail {
class Backend;
/// An access through the backend. A load that cannot be served gives all ones and a store is dropped, which is what a
/// PCI bus does with an access that nobody answers.
std::uint64_t region_load(Backend& backend, unsigned region, std::uint64_t offset, unsigned width) noexcept;
void region_store(Backend& backend, unsigned region, std::uint64_t offset, unsigned width,
                  std::uint64_t value) noexcept;
}  // namespace detail

/// A piece of a BAR that is mapped into the process. Two words, copied freely.
///
/// Like a std::span it does not keep alive what it looks at: it may be used until the Device is destroyed. After
/// Device::close(), and for as long as the Device object exists, it reads all ones.
/// load() and store() check nothing: the offset is the caller's to keep below size() - sizeof(T) and aligned.
/// Registers of one device from several threads: each access is whole, their order is the callers' to arrange.
class MappedWindow {
  public:
    constexpr MappedWindow() noexcept = default;
    /// For Bar, and for tests that put a register block into ordinary memory.
    constexpr MappedWindow(volatile void* base, std::size_t size) noexcept : base_{base}, size_{size} {}

    /// One load of T's width, `offset` bytes from the window's start.
    template <MmioWidth T>
    [[nodiscard, gnu::always_inline]] T load(std::size_t offset) const noexcept {
        return uiovfio::load<T>(static_cast<const volatile std::byte*>(base_) + offset);
    }

    /// One store of T's width.
    template <MmioWidth T>
    [[gnu::always_inline]] void store(std::size_t offset, std::type_identity_t<T> value) const noexcept {
        uiovfio::store<T>(static_cast<volatile std::byte*>(base_) + offset, value);
    }

    /// Its first byte, its length in bytes, and whether there is anything: false for a default-constructed one.
    [[nodiscard]] constexpr volatile void* data() const noexcept { return base_; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    constexpr explicit operator bool() const noexcept { return base_ != nullptr; }

  private:
    volatile void* base_ = nullptr;
    std::size_t size_ = 0;
};

/// A piece of a BAR, mapped or not. Copied freely; keeps the device's state alive, so that an access after
/// Device::close() is defined: it reads all ones and stores nothing.
///
/// A load beyond the window's end gives all ones and a store there is dropped. Thread safety as MappedWindow.
class Window {
  public:
    Window() noexcept = default;
    /// For Bar. `mapped` is null where the piece has to go through the backend.
    Window(std::shared_ptr<detail::Backend> backend, unsigned region, std::uint64_t offset, std::size_t size,
           volatile void* mapped) noexcept
        : mapped_{mapped},
          mapped_size_{mapped != nullptr ? size : 0},
          size_{size},
          offset_{offset},
          region_{region},
          backend_{std::move(backend)} {}

    /// One load of T's width, `offset` bytes from the window's start.
    template <MmioWidth T>
    [[nodiscard]] T load(std::size_t offset) const noexcept {
        if (fits(offset, sizeof(T), mapped_size_)) [[likely]]
            return uiovfio::load<T>(static_cast<const volatile std::byte*>(mapped_) + offset);
        if (!backend_ || !fits(offset, sizeof(T), size_)) return static_cast<T>(~T{0});
        return static_cast<T>(detail::region_load(*backend_, region_, offset_ + offset, sizeof(T)));
    }

    /// One store of T's width.
    template <MmioWidth T>
    void store(std::size_t offset, std::type_identity_t<T> value) const noexcept {
        if (fits(offset, sizeof(T), mapped_size_)) [[likely]] {
            uiovfio::store<T>(static_cast<volatile std::byte*>(mapped_) + offset, value);
        } else if (backend_ && fits(offset, sizeof(T), size_)) {
            detail::region_store(*backend_, region_, offset_ + offset, sizeof(T), value);
        }
    }

    /// Bytes.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// True where loads and stores are single instructions.
    [[nodiscard]] bool is_mapped() const noexcept { return mapped_ != nullptr; }
    explicit operator bool() const noexcept { return backend_ != nullptr; }

  private:
    friend class FaultGuard;
    [[gnu::always_inline]] static constexpr bool fits(std::size_t offset, std::size_t width,
                                                      std::size_t size) noexcept {
        return offset < size && size - offset >= width;
    }

    volatile void* mapped_ = nullptr;
    std::size_t mapped_size_ = 0;
    std::size_t size_ = 0;
    std::uint64_t offset_ = 0;
    unsigned region_ = 0;
    std::shared_ptr<detail::Backend> backend_;
};

}  // namespace uiovfio
