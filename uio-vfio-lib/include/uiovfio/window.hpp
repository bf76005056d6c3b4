// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Windows onto a BAR: what typed registers are read and written through.
///
/// MappedWindow is a pointer: a load or store through it is one instruction. Window works on every BAR of every
/// backend: it takes the mapped page where there is one and asks the backend where there is none.
/// Bounds and alignment of a window are checked when it is made (Bar::map, Bar::window). Those of an access are the
/// caller's to keep: an offset is a multiple of the access's width, and below size() by that much. A checked build
/// stops at the first access that is not, and names it: see checked.hpp.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include "uiovfio/checked.hpp"
#include "uiovfio/mmio.hpp"

namespace uiovfio {

class FaultGuard;

namespace detail {
class Backend;
}

/// A piece of a BAR that is mapped into the process. Two words, copied freely.
///
/// Like a std::span it does not keep alive what it looks at: it may be used until the Device is destroyed. After
/// Device::close(), and for as long as the Device object exists, it reads all ones.
/// load() and store() check nothing, except in a checked build.
/// Registers of one device from several threads: each access is whole, their order is the callers' to arrange.
class MappedWindow {
  public:
    constexpr MappedWindow() noexcept = default;
    /// For Bar, and for tests that put a register block into ordinary memory.
    constexpr MappedWindow(volatile void* base, std::size_t size) noexcept : base_{base}, size_{size} {}

    /// One load of T's width, `offset` bytes from the window's start.
    template <MmioWidth T>
    [[nodiscard, gnu::always_inline]] T load(std::size_t offset) const noexcept {
        check(detail::AccessKind::load, offset, sizeof(T));
        return uiovfio::load<T>(static_cast<const volatile std::byte*>(base_) + offset);
    }

    /// One store of T's width.
    template <MmioWidth T>
    [[gnu::always_inline]] void store(std::size_t offset, std::type_identity_t<T> value) const noexcept {
        check(detail::AccessKind::store, offset, sizeof(T));
        uiovfio::store<T>(static_cast<volatile std::byte*>(base_) + offset, value);
    }

    /// Its first byte, its length in bytes, and whether there is anything: false for a default-constructed one.
    [[nodiscard]] constexpr volatile void* data() const noexcept { return base_; }
    [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
    constexpr explicit operator bool() const noexcept { return base_ != nullptr; }

  private:
    [[gnu::always_inline]] void check(detail::AccessKind kind, std::size_t offset, unsigned width) const noexcept {
        if (detail::kIsChecked && (!detail::fits(offset, width, size_) || offset % width != 0))
            detail::stop_at_mapped_window(kind, base_, size_, offset, width);
    }

    volatile void* base_ = nullptr;
    std::size_t size_ = 0;
};

/// A piece of a BAR, mapped or not. Copied freely; keeps the device's state alive, so that an access after
/// Device::close() is defined: it reads all ones and stores nothing.
///
/// Where the piece is mapped, an access is one instruction of its width. Where it is not, it goes through the backend,
/// which makes one access of that width, or none: what the kernel would split (8 bytes, on some kernels) and what is
/// not aligned is refused. A load that is refused, that goes unanswered or that lies beyond the window's end gives all
/// ones, and such a store is dropped; a FaultGuard tells of the first two, Bar::read() and Bar::write() throw, and a
/// checked build stops. Thread safety as MappedWindow.
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
    [[nodiscard, gnu::always_inline]] T load(std::size_t offset) const noexcept {
        check(detail::AccessKind::load, offset, sizeof(T));
        if (detail::fits(offset, sizeof(T), mapped_size_)) [[likely]]
            return uiovfio::load<T>(static_cast<const volatile std::byte*>(mapped_) + offset);
        std::uint64_t value = ~std::uint64_t{0};
        by_call(detail::AccessKind::load, offset, sizeof(T), value, detail::kIsChecked);
        return static_cast<T>(value);
    }

    /// One store of T's width.
    template <MmioWidth T>
    [[gnu::always_inline]] void store(std::size_t offset, std::type_identity_t<T> value) const noexcept {
        check(detail::AccessKind::store, offset, sizeof(T));
        if (detail::fits(offset, sizeof(T), mapped_size_)) [[likely]]
            return uiovfio::store<T>(static_cast<volatile std::byte*>(mapped_) + offset, value);
        std::uint64_t bits = value;
        by_call(detail::AccessKind::store, offset, sizeof(T), bits, detail::kIsChecked);
    }

    /// Bytes.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// True where loads and stores are single instructions.
    [[nodiscard]] bool is_mapped() const noexcept { return mapped_ != nullptr; }
    explicit operator bool() const noexcept { return backend_ != nullptr; }

  private:
    friend class FaultGuard;
    [[gnu::always_inline]] void check(detail::AccessKind kind, std::size_t offset, unsigned width) const noexcept {
        if (detail::kIsChecked && (!detail::fits(offset, width, size_) || offset % width != 0))
            stop(kind, offset, width);
    }
    /// Prints what is wrong, and aborts; an empty `why` is for what check() finds.
    [[noreturn, gnu::cold]] void stop(detail::AccessKind kind, std::size_t offset, unsigned width,
                                      std::string_view why = {}) const noexcept;
    /// Through the backend, if there is one; a load that cannot be had leaves `value`.
    void by_call(detail::AccessKind kind, std::size_t offset, unsigned width, std::uint64_t& value,
                 bool is_checked) const noexcept;

    volatile void* mapped_ = nullptr;
    std::size_t mapped_size_ = 0;
    std::size_t size_ = 0;
    std::uint64_t offset_ = 0;
    unsigned region_ = 0;
    std::shared_ptr<detail::Backend> backend_;
};

}  // namespace uiovfio
