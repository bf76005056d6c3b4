// SPDX-License-Identifier: MIT
#include "uiovfio/window.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "backend.hpp"
#include "backends/mapped_region.hpp"
#include "fault_range.hpp"

namespace uiovfio {

namespace detail {

namespace {

[[noreturn]] void stop(AccessKind kind, unsigned width, std::string_view place, std::string_view why) noexcept {
    fmt::print(stderr, "uiovfio: a {} of {} byte{} {}: {}\n", kind == AccessKind::load ? "load" : "store", width,
               width == 1 ? "" : "s", place, why);
    std::abort();
}

std::string mistake(std::size_t offset, unsigned width, std::size_t size) {
    return fits(offset, width, size) ? fmt::format("its offset is not a multiple of {}", width) : "beyond its end";
}

/// "0x2000 of 0000:01:00.0 BAR0", or the address itself where the memory is the program's own.
std::string text_of_address(const volatile void* address) {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    if (const FaultSlot* slot = find_fault_slot(at); slot != nullptr)
        if (const MappedRegion* region = slot->region.load(); region != nullptr)
            return fmt::format("{:#x} of {}", at - slot->begin.load(), region->object());
    return fmt::format("address {:#x} of the program's own memory", at);
}

}  // namespace

void stop_at_address(AccessKind kind, const volatile void* address, unsigned width) noexcept {
    stop(kind, width, "at " + text_of_address(address), fmt::format("its address is not a multiple of {}", width));
}

void stop_at_mapped_window(AccessKind kind, const volatile void* base, std::size_t size, std::size_t offset,
                           unsigned width) noexcept {
    const std::string window =
        base == nullptr ? "an empty window" : fmt::format("a window of {:#x} bytes at {}", size, text_of_address(base));
    stop(kind, width, fmt::format("at {:#x} of {}", offset, window), mistake(offset, width, size));
}

}  // namespace detail

void Window::stop(detail::AccessKind kind, std::size_t offset, unsigned width, std::string_view why) const noexcept {
    const std::string window = !backend_ ? "an empty window"
                                         : fmt::format("a window of {:#x} bytes at {:#x} of {} BAR{}", size_, offset_,
                                                       backend_->object(), region_);
    detail::stop(kind, width, fmt::format("at {:#x} of {}", offset, window),
                 why.empty() ? detail::mistake(offset, width, size_) : why);
}

void Window::by_call(detail::AccessKind kind, std::size_t offset, unsigned width, std::uint64_t& value,
                     bool is_checked) const noexcept {
    if (!backend_ || !detail::fits(offset, width, size_) || !backend_->is_open()) return;
    try {
        if (offset % width != 0) throw Error{Errc::misaligned, backend_->object()};
        if (kind == detail::AccessKind::load)
            value = backend_->region_read(region_, offset_ + offset, width);
        else
            backend_->region_write(region_, offset_ + offset, width, value);
    } catch (const Error& error) {
        const bool is_refused = error.errc() == Errc::unsupported || error.errc() == Errc::misaligned;
        if (!is_refused) return backend_->count_unanswered();
        if (is_checked) stop(kind, offset, width, error.what_was_wrong());
        backend_->count_refused(error.errc());
    } catch (...) {
        backend_->count_unanswered();
    }
}

}  // namespace uiovfio
