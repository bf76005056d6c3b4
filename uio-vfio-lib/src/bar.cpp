// SPDX-License-Identifier: MIT
#include "uiovfio/bar.hpp"

#include <fmt/format.h>

#include <utility>

#include "backend.hpp"
#include "guarded.hpp"

namespace uiovfio {

namespace {

// Of a window, so that its offsets are aligned for every width of access when they are multiples of the width.
constexpr std::uint64_t kWindowAlignment = 8;

std::string object_of(const detail::Backend& backend, unsigned index) {
    return fmt::format("{} BAR{}", backend.object(), index);
}

void check_access(const detail::Backend& backend, unsigned index, std::uint64_t size, std::uint64_t offset,
                  unsigned width) {
    if (offset >= size || size - offset < width)
        throw Error{Errc::out_of_bounds, object_of(backend, index),
                    fmt::format("{} bytes at {:#x} do not lie within its {:#x} bytes", width, offset, size)};
    if (offset % width != 0)
        throw Error{Errc::misaligned, object_of(backend, index),
                    fmt::format("offset {:#x} is not a multiple of the access's {} bytes", offset, width)};
}

}  // namespace

Bar::Bar(std::shared_ptr<detail::Backend> backend, unsigned index) : backend_{std::move(backend)}, index_{index} {
    const detail::BarInfo info = backend_->bar_info(index);
    size_ = info.size;
    is_64bit_ = info.is_64bit;
    is_prefetchable_ = info.is_prefetchable;
    is_io_ = info.is_io;
}

std::uint64_t Bar::checked_length(std::uint64_t offset, std::uint64_t length) const {
    backend_->require_present();
    if (size_ == 0) throw Error{Errc::no_such_bar, object_of(*backend_, index_)};
    if (length == kToEnd) {
        if (offset >= size_)
            throw Error{Errc::out_of_bounds, object_of(*backend_, index_),
                        fmt::format("{:#x} does not lie within its {:#x} bytes", offset, size_)};
        length = size_ - offset;
    }
    if (length == 0 || offset >= size_ || size_ - offset < length)
        throw Error{Errc::out_of_bounds, object_of(*backend_, index_),
                    fmt::format("{:#x} bytes at {:#x} do not lie within its {:#x} bytes", length, offset, size_)};
    if (offset % kWindowAlignment != 0 || length % kWindowAlignment != 0)
        throw Error{Errc::misaligned, object_of(*backend_, index_),
                    fmt::format("a window of {:#x} bytes at {:#x}", length, offset), 0,
                    fmt::format("use multiples of {}", kWindowAlignment)};
    return length;
}

bool Bar::is_mappable(std::uint64_t offset, std::uint64_t length) const noexcept {
    if (!backend_->is_open() || offset >= size_) return false;
    if (length == kToEnd) length = size_ - offset;
    return length != 0 && size_ - offset >= length && backend_->is_mappable(index_, offset, length);
}

MappedWindow Bar::map(std::uint64_t offset, std::uint64_t length) const {
    length = checked_length(offset, length);
    if (!backend_->is_mappable(index_, offset, length)) {
        const std::string_view reason = backend_->reason(Feature::mmap);
        throw Error{Errc::not_mappable, object_of(*backend_, index_),
                    fmt::format("{:#x} bytes at {:#x} cannot be mapped into the process{}{}", length, offset,
                                reason.empty() ? "" : ": ", reason)};
    }
    return MappedWindow{backend_->map(index_, offset, length), length};
}

MappedWindow Bar::map(std::uint64_t offset, std::uint64_t length, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return map(offset, length); });
}

Window Bar::window(std::uint64_t offset, std::uint64_t length) const {
    length = checked_length(offset, length);
    const bool mappable = backend_->is_mappable(index_, offset, length);
    return Window{backend_, index_, offset, length, mappable ? backend_->map(index_, offset, length) : nullptr};
}

Window Bar::window(std::uint64_t offset, std::uint64_t length, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return window(offset, length); });
}

std::uint64_t Bar::read_checked(std::uint64_t offset, unsigned width) const {
    backend_->require_present();
    check_access(*backend_, index_, size_, offset, width);
    const std::uint64_t value = backend_->region_read(index_, offset, width);
    // A register may hold nothing but ones; a device that is gone answers with them, too.
    if (value == ~std::uint64_t{0} >> (64 - 8 * width) && !backend_->check_presence())
        throw Error{Errc::device_gone, object_of(*backend_, index_),
                    fmt::format("the read at {:#x} gave all ones, and so does configuration space", offset)};
    return value;
}

std::uint64_t Bar::read_checked(std::uint64_t offset, unsigned width, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return read_checked(offset, width); });
}

void Bar::write_checked(std::uint64_t offset, unsigned width, std::uint64_t value) const {
    backend_->require_present();
    check_access(*backend_, index_, size_, offset, width);
    backend_->region_write(index_, offset, width, value);
}

void Bar::write_checked(std::uint64_t offset, unsigned width, std::uint64_t value, std::error_code& ec) const noexcept {
    detail::guarded(ec, [&] { write_checked(offset, width, value); });
}

}  // namespace uiovfio
