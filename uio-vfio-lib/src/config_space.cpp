// SPDX-License-Identifier: MIT
#include "uiovfio/config_space.hpp"

#include <fmt/format.h>

#include <mutex>
#include <utility>

#include "backend.hpp"
#include "guarded.hpp"

namespace uiovfio {

namespace {

// A list cannot be longer than the space that it lies in: every capability has at least its own header's 4 bytes.
constexpr std::size_t kMostCapabilities = (config::kExtended - 0x40) / 4;
constexpr std::size_t kMostExtendedCapabilities = (4096 - config::kExtended) / 4;

constexpr std::uint32_t kAllOnes = 0xffffffff;

void check_access(detail::Backend& backend, unsigned size, unsigned offset, unsigned width) {
    backend.require_present();
    if (offset >= size || size - offset < width)
        throw Error{Errc::out_of_bounds, backend.object() + " configuration space",
                    fmt::format("{} bytes at {:#x} do not lie within its {:#x} bytes", width, offset, size)};
    if (offset % width != 0)
        throw Error{Errc::misaligned, backend.object() + " configuration space",
                    fmt::format("offset {:#x} is not a multiple of the access's {} bytes", offset, width)};
}

std::optional<Capability> first(const std::vector<Capability>& all, std::uint16_t id) {
    for (const Capability& capability : all)
        if (capability.id == id) return capability;
    return std::nullopt;
}

}  // namespace

ConfigSpace::ConfigSpace(std::shared_ptr<detail::Backend> backend)
    : backend_{std::move(backend)}, size_{backend_->config_size()} {}

std::uint32_t ConfigSpace::read(std::uint16_t offset, unsigned width) const {
    check_access(*backend_, size_, offset, width);
    return backend_->config_read(offset, width);
}

void ConfigSpace::write(std::uint16_t offset, unsigned width, std::uint32_t value) const {
    check_access(*backend_, size_, offset, width);
    backend_->config_write(offset, width, value);
}

std::uint8_t ConfigSpace::read8(std::uint16_t offset) const { return static_cast<std::uint8_t>(read(offset, 1)); }
std::uint16_t ConfigSpace::read16(std::uint16_t offset) const { return static_cast<std::uint16_t>(read(offset, 2)); }
std::uint32_t ConfigSpace::read32(std::uint16_t offset) const { return read(offset, 4); }
void ConfigSpace::write8(std::uint16_t offset, std::uint8_t value) const { write(offset, 1, value); }
void ConfigSpace::write16(std::uint16_t offset, std::uint16_t value) const { write(offset, 2, value); }
void ConfigSpace::write32(std::uint16_t offset, std::uint32_t value) const { write(offset, 4, value); }

std::uint8_t ConfigSpace::read8(std::uint16_t offset, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return read8(offset); });
}
std::uint16_t ConfigSpace::read16(std::uint16_t offset, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return read16(offset); });
}
std::uint32_t ConfigSpace::read32(std::uint16_t offset, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return read32(offset); });
}
void ConfigSpace::write8(std::uint16_t offset, std::uint8_t value, std::error_code& ec) const noexcept {
    detail::guarded(ec, [&] { write8(offset, value); });
}
void ConfigSpace::write16(std::uint16_t offset, std::uint16_t value, std::error_code& ec) const noexcept {
    detail::guarded(ec, [&] { write16(offset, value); });
}
void ConfigSpace::write32(std::uint16_t offset, std::uint32_t value, std::error_code& ec) const noexcept {
    detail::guarded(ec, [&] { write32(offset, value); });
}

std::uint32_t ConfigSpace::class_code() const { return read32(config::kRevision) >> 8; }
std::uint32_t ConfigSpace::class_code(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return class_code(); });
}

void ConfigSpace::set_bus_master(bool enable) const {
    backend_->require_open();  // a forked child may have a copy of the lock that is never released
    const std::lock_guard lock{backend_->command_mutex()};
    const unsigned others = command() & ~unsigned{config::kCommandBusMaster};
    write16(config::kCommand, static_cast<std::uint16_t>(others | (enable ? config::kCommandBusMaster : 0U)));
}

void ConfigSpace::set_bus_master(bool enable, std::error_code& ec) const noexcept {
    detail::guarded(ec, [&] { set_bus_master(enable); });
}

std::vector<Capability> ConfigSpace::capabilities() const {
    std::vector<Capability> found;
    if ((status() & config::kStatusCapabilities) == 0) return found;
    // The two lowest bits of a pointer are reserved (PCI Local Bus 3.0, 6.7).
    unsigned offset = read8(config::kCapabilityPointer) & 0xfcU;
    while (offset >= 0x40 && offset < config::kExtended && found.size() < kMostCapabilities) {
        const std::uint16_t header = read16(static_cast<std::uint16_t>(offset));
        if (header == 0xffff) break;
        found.push_back({.id = static_cast<std::uint16_t>(header & 0xff),
                         .offset = static_cast<std::uint16_t>(offset),
                         .version = 0,
                         .extended = false});
        offset = (header >> 8) & 0xfcU;
        for (const Capability& earlier : found)
            if (earlier.offset == offset) return found;
    }
    return found;
}

std::vector<Capability> ConfigSpace::capabilities(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return capabilities(); });
}

std::vector<Capability> ConfigSpace::extended_capabilities() const {
    std::vector<Capability> found;
    unsigned offset = size_ > config::kExtended ? config::kExtended : 0;
    while (offset >= config::kExtended && offset + 4 <= size_ && found.size() < kMostExtendedCapabilities) {
        const std::uint32_t header = read32(static_cast<std::uint16_t>(offset));
        // A header of 0 ends the list where it stands (PCI Express Base 5.0, 7.6.3).
        if (header == 0 || header == kAllOnes) break;
        found.push_back({.id = static_cast<std::uint16_t>(header & 0xffff),
                         .offset = static_cast<std::uint16_t>(offset),
                         .version = static_cast<std::uint8_t>((header >> 16) & 0xf),
                         .extended = true});
        offset = (header >> 20) & 0xffcU;
        for (const Capability& earlier : found)
            if (earlier.offset == offset) return found;
    }
    return found;
}

std::vector<Capability> ConfigSpace::extended_capabilities(std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return extended_capabilities(); });
}

std::optional<Capability> ConfigSpace::find(std::uint16_t id) const { return first(capabilities(), id); }
std::optional<Capability> ConfigSpace::find(std::uint16_t id, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return find(id); });
}
std::optional<Capability> ConfigSpace::find_extended(std::uint16_t id) const {
    return first(extended_capabilities(), id);
}
std::optional<Capability> ConfigSpace::find_extended(std::uint16_t id, std::error_code& ec) const noexcept {
    return detail::guarded(ec, [&] { return find_extended(id); });
}

}  // namespace uiovfio
