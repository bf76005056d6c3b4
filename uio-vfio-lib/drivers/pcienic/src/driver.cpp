// SPDX-License-Identifier: MIT
#include "pcienic/driver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>

#include "pcienic/register_table.hpp"

namespace pcienic {
namespace {

constexpr std::uint32_t reset_value(std::string_view name) {
    for (const RegisterInfo& info : kRegisters)
        if (info.name == name) return static_cast<std::uint32_t>(info.reset);
    return 0;
}
constexpr std::uint32_t kId = reset_value("ID");
static_assert(kId != 0);

// Longer than any device needs, shorter than a user's patience; the PCI Express base specification allows 1 s after a
// reset.
constexpr auto kReadyTimeout = std::chrono::seconds(2);

std::string object_name(uiovfio::Device& device) { return to_string(device.bdf()); }

Layout find_layout(uiovfio::Device& device) {
    namespace cap = vendor_capability;
    const uiovfio::ConfigSpace& config = device.config();
    const auto capability = config.find(uiovfio::capability::kVendorSpecific);
    if (!capability) throw Error(Errc::bad_layout, object_name(device));
    const auto at = [&](unsigned offset) { return static_cast<std::uint16_t>(capability->offset + offset); };
    const Layout layout{.register_bar = config.read8(at(cap::kRegisterBarOffset)),
                        .memory_bar = config.read8(at(cap::kMemoryBarOffset)),
                        .msix_bar = config.read8(at(cap::kMsixBarOffset)),
                        .register_offset = config.read32(at(cap::kRegisterOffsetOffset)),
                        .doorbells = config.read8(at(cap::kDoorbellsOffset)),
                        .doorbell_offset = config.read32(at(cap::kDoorbellOffsetOffset)),
                        .doorbell_stride = config.read32(at(cap::kDoorbellStrideOffset))};
    if (config.read8(at(cap::kVersionOffset)) != cap::kVersion || config.read8(at(cap::kLengthOffset)) < cap::kSize ||
        layout.doorbells == 0 || layout.doorbell_stride < sizeof(std::uint32_t) ||
        layout.doorbell_offset <= layout.register_offset)
        throw Error(Errc::bad_layout, object_name(device));
    return layout;
}

// The register block ends where the doorbells begin.
uiovfio::Window register_window(uiovfio::Device& device, const Layout& layout) {
    return device.bar(layout.register_bar)
        .window(layout.register_offset, layout.doorbell_offset - layout.register_offset);
}

Layout checked_layout(uiovfio::Device& device) {
    if (device.config().vendor_id() != kVendorId || device.config().device_id() != kDeviceId)
        throw Error(Errc::not_a_pcienic, fmt::format("{} ({:04x}:{:04x})", object_name(device),
                                                     device.config().vendor_id(), device.config().device_id()));
    return find_layout(device);
}

struct Bit {
    std::size_t element;
    std::uint32_t mask;
};
constexpr Bit bit_of(unsigned vector) noexcept { return {vector / 32, std::uint32_t{1} << (vector % 32)}; }

}  // namespace

std::string to_string(const Version& version) {
    return fmt::format("{}.{}.{}", version.major, version.minor, version.patch);
}

Driver::Driver(uiovfio::Device& device)
    : device_(device),
      layout_(checked_layout(device)),
      registers_(register_window(device, layout_)),
      doorbell_(device.bar(layout_.register_bar).window(layout_.doorbell_offset, layout_.doorbell_stride)),
      identity_(identify()) {
    // One that opening has not reset may still be at work for another program: quiet first, and a bus master then.
    const bool has_messages = device.can(uiovfio::Feature::msi) || device.can(uiovfio::Feature::msix);
    if (device.was_reset() || !has_messages || device.config().bus_master()) return;
    reset();
    device.config().set_bus_master(true);
}

Identity Driver::identify() {
    if (const std::uint32_t id = regs::Id::read(registers_).raw(); id != kId)
        throw Error(Errc::not_a_pcienic,
                    fmt::format("{} (ID reads {:#010x}, not {:#010x})", object_name(device_), id, kId));
    const auto version = regs::Version::read(registers_);
    const Version found{version.get<regs::Version::Major>(), version.get<regs::Version::Minor>(),
                        version.get<regs::Version::Patch>()};
    if (found.major != kVersionMajor)
        throw Error(Errc::unsupported_version, fmt::format("{} (version {})", object_name(device_), to_string(found)));
    const auto features = regs::Features::read(registers_);
    return {.version = found,
            .dma = features.get<regs::Features::Dma>(),
            .fill = features.get<regs::Features::Fill>(),
            .scatter_gather = features.get<regs::Features::Sg>(),
            .memory = features.get<regs::Features::Memory>(),
            .vectors = regs::Vectors::Count::read(registers_),
            .memory_size = regs::MemorySize::read(registers_).raw()};
}

void Driver::reset() {
    regs::Ctrl::Reset::trigger(registers_);
    wait_ready();
}

void Driver::reset_function() {
    device_.reset();
    wait_ready();
}

void Driver::wait_ready() {
    const auto deadline = std::chrono::steady_clock::now() + kReadyTimeout;
    // A function in reset may answer with all ones, which reads as "ready": CTRL tells the two apart.
    while (!regs::Status::Ready::read(registers_) || regs::Ctrl::Reset::read(registers_)) {
        if (std::chrono::steady_clock::now() >= deadline) throw Error(Errc::reset_failed, object_name(device_));
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::uint32_t Driver::scratch() noexcept { return regs::Scratch::read(registers_).raw(); }
void Driver::set_scratch(std::uint32_t value) noexcept { regs::Scratch::write(registers_, value); }
std::uint64_t Driver::scratch64() noexcept { return regs::Scratch64::read(registers_).raw(); }
void Driver::set_scratch64(std::uint64_t value) noexcept { regs::Scratch64::write(registers_, value); }

std::optional<LatchedError> Driver::peek_error() noexcept {
    const auto status = regs::ErrStatus::read(registers_);
    if (!status.get<regs::ErrStatus::Valid>()) return std::nullopt;
    return LatchedError{.code = regs::ErrCode::Code::read(registers_),
                        .info = regs::ErrInfo::read(registers_).raw(),
                        .overflow = status.get<regs::ErrStatus::Overflow>()};
}

std::optional<LatchedError> Driver::take_error() noexcept {
    const std::optional<LatchedError> error = peek_error();
    if (error)
        regs::ErrStatus::write(
            registers_, static_cast<std::uint32_t>(regs::ErrStatus::Valid::kMask | regs::ErrStatus::Overflow::kMask));
    return error;
}

unsigned enable_granted(uiovfio::Interrupts& interrupts, uiovfio::InterruptMode mode, unsigned at_most) {
    unsigned count = std::min(interrupts.available(mode), at_most);
    for (; count > 1; count /= 2) {
        std::error_code ec;
        interrupts.enable(mode, count, ec);
        if (!ec) return count;
        if (ec != uiovfio::Errc::interrupt_capacity) break;
    }
    interrupts.enable(mode, count);  // the last try, whose exception says more than a code does
    return count;
}

unsigned Driver::enable_interrupts(uiovfio::InterruptMode mode, unsigned count) {
    // With INTx a cause that was left over would hold the line from the start.
    for (std::size_t element = 0; element * 32 < identity_.vectors; ++element)
        regs::IrqCause::write(registers_, element, valid_bits(element));
    if (count == 0) return enable_granted(device_.interrupts(), mode, identity_.vectors);
    device_.interrupts().enable(mode, count);
    return count;
}

void Driver::disable_interrupts() { device_.interrupts().disable(); }

void Driver::fire(unsigned vector) noexcept { regs::IrqTest::write(registers_, vector); }

void Driver::mask(unsigned vector) {
    check_vector(vector);
    regs::IrqMask::modify(registers_, bit_of(vector).element,
                          [&](auto& bits) { bits = bits.raw() | bit_of(vector).mask; });
}

void Driver::unmask(unsigned vector) {
    check_vector(vector);
    regs::IrqMask::modify(registers_, bit_of(vector).element,
                          [&](auto& bits) { bits = bits.raw() & ~bit_of(vector).mask; });
}

bool Driver::cause(unsigned vector) {
    check_vector(vector);
    return (regs::IrqCause::read(registers_, bit_of(vector).element).raw() & bit_of(vector).mask) != 0;
}

void Driver::clear_cause(unsigned vector) {
    check_vector(vector);
    regs::IrqCause::write(registers_, bit_of(vector).element, bit_of(vector).mask);
}

void Driver::ring_doorbell() noexcept {
    uiovfio::write_barrier();
    doorbell_.store<std::uint32_t>(0, 1);
}

const uiovfio::Bar& Driver::memory() { return device_.bar(layout_.memory_bar); }
const uiovfio::Bar& Driver::msix_bar() { return device_.bar(layout_.msix_bar); }

std::uint32_t Driver::valid_bits(std::size_t element) const noexcept {
    const std::size_t left = identity_.vectors - element * 32;
    return left >= 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << left) - 1;
}

void Driver::check_vector(unsigned vector) const {
    if (vector >= identity_.vectors)
        throw Error(Errc::no_such_vector, fmt::format("vector {} of {}", vector, identity_.vectors));
}

}  // namespace pcienic
