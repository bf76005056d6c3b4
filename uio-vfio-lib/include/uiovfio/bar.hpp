// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A base address register: a piece of the device's memory or I/O space.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <type_traits>

#include "uiovfio/mmio.hpp"
#include "uiovfio/window.hpp"

namespace uiovfio {

/// A BAR of an open device; Device::bar() gives it. Copied freely. All functions may be called from any thread.
class Bar {
  public:
    /// "To the end of the BAR".
    static constexpr std::uint64_t kToEnd = ~std::uint64_t{0};

    /// 0 to 5; a 64-bit BAR takes two indices and has the lower one.
    [[nodiscard]] unsigned index() const noexcept { return index_; }
    /// Bytes, a power of two; 0 for an index that the device does not implement.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    /// What kind of address the device has there, from the register's lowest bits (PCI Local Bus 3.0, 6.2.5.1).
    [[nodiscard]] bool is_64bit() const noexcept { return is_64bit_; }
    [[nodiscard]] bool is_prefetchable() const noexcept { return is_prefetchable_; }
    /// I/O space, which is never mapped; otherwise memory space.
    [[nodiscard]] bool is_io() const noexcept { return is_io_; }
    /// Whether map() would succeed for these bytes.
    [[nodiscard]] bool is_mappable(std::uint64_t offset = 0, std::uint64_t length = kToEnd) const noexcept;

    /// A pointer window onto `length` bytes from `offset`, both multiples of 8.
    /// Throws out_of_bounds, misaligned, not_mappable (no part of sim's BARs can be mapped, nor can I/O space or,
    /// on old kernels, the page of the MSI-X table), no_such_bar, closed.
    [[nodiscard]] MappedWindow map(std::uint64_t offset = 0, std::uint64_t length = kToEnd) const;
    MappedWindow map(std::uint64_t offset, std::uint64_t length, std::error_code& ec) const noexcept;

    /// A window that also works where nothing is mapped. Throws out_of_bounds, misaligned, no_such_bar, closed.
    [[nodiscard]] Window window(std::uint64_t offset = 0, std::uint64_t length = kToEnd) const;
    Window window(std::uint64_t offset, std::uint64_t length, std::error_code& ec) const noexcept;

    /// One checked access of T's width. Throws out_of_bounds, misaligned, no_such_bar, closed, device_gone when the
    /// access itself fails.
    template <MmioWidth T>
    [[nodiscard]] T read(std::uint64_t offset) const {
        return static_cast<T>(read_checked(offset, sizeof(T)));
    }
    template <MmioWidth T>
    T read(std::uint64_t offset, std::error_code& ec) const noexcept {
        return static_cast<T>(read_checked(offset, sizeof(T), ec));
    }
    /// As read().
    template <MmioWidth T>
    void write(std::uint64_t offset, std::type_identity_t<T> value) const {
        write_checked(offset, sizeof(T), value);
    }
    template <MmioWidth T>
    void write(std::uint64_t offset, std::type_identity_t<T> value, std::error_code& ec) const noexcept {
        write_checked(offset, sizeof(T), value, ec);
    }

  private:
    friend class Device;
    Bar(std::shared_ptr<detail::Backend> backend, unsigned index);

    std::uint64_t read_checked(std::uint64_t offset, unsigned width) const;
    std::uint64_t read_checked(std::uint64_t offset, unsigned width, std::error_code& ec) const noexcept;
    void write_checked(std::uint64_t offset, unsigned width, std::uint64_t value) const;
    void write_checked(std::uint64_t offset, unsigned width, std::uint64_t value, std::error_code& ec) const noexcept;
    std::uint64_t checked_length(std::uint64_t offset, std::uint64_t length) const;

    std::shared_ptr<detail::Backend> backend_;
    unsigned index_ = 0;
    std::uint64_t size_ = 0;
    bool is_64bit_ = false;
    bool is_prefetchable_ = false;
    bool is_io_ = false;
};

}  // namespace uiovfio
