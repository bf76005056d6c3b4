// SPDX-License-Identifier: MIT
#include "cli/selector.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "cli/exit.hpp"
#include "cli/options.hpp"
#include "pcienic/registers.hpp"

namespace pcienic::cli {
namespace {

[[noreturn]] void refuse(std::string_view text, std::string_view form) {
    throw Failure{Exit::usage, fmt::format("'{}': is not {}", text, form)};
}

constexpr std::string_view kSlotForm =
    "a PCI address: write [[[domain:]bus:]device][.function] in hexadecimal, as 0000:01:00.0 or 01:00.0";
constexpr std::string_view kIdForm =
    "a PCI identity: write [vendor]:[device][:class[:interface]] in hexadecimal, as 1af4:10f2";

/// One hexadecimal part; nothing for an empty one and for `*`.
std::optional<std::uint32_t> part(std::string_view text, std::uint32_t limit, std::string_view whole,
                                  std::string_view form) {
    if (text.empty() || text == "*") return std::nullopt;
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (error != std::errc{} || end != text.data() + text.size() || value > limit) refuse(whole, form);
    return value;
}

/// Cuts off what follows the last `separator`, and the separator.
std::optional<std::string_view> take_last(std::string_view& text, char separator) {
    const std::size_t at = text.rfind(separator);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view tail = text.substr(at + 1);
    text = text.substr(0, at);
    return tail;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const std::size_t at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

bool agrees(const std::optional<std::uint32_t>& wanted, std::uint32_t actual) { return !wanted || *wanted == actual; }

std::string list(const std::vector<uiovfio::PciFunction>& functions) {
    std::string text;
    for (const auto& function : functions) text += "\n  " + summary(function);
    return text;
}

bool is_pcienic(const uiovfio::PciFunction& function) {
    return function.vendor == kVendorId && function.device == kDeviceId;
}

}  // namespace

SlotFilter SlotFilter::parse(std::string_view text) {
    SlotFilter filter;
    std::string_view rest = text;
    std::string_view slot = rest;
    if (const auto tail = take_last(rest, ':')) {
        slot = *tail;
        const auto bus = take_last(rest, ':');
        filter.bus = part(bus ? *bus : rest, 0xff, text, kSlotForm);
        if (bus) filter.domain = part(rest, 0xffffffff, text, kSlotForm);
    }
    if (const auto function = take_last(slot, '.')) filter.function = part(*function, 7, text, kSlotForm);
    filter.device = part(slot, 0x1f, text, kSlotForm);
    return filter;
}

bool SlotFilter::matches(const uiovfio::Bdf& bdf) const noexcept {
    return agrees(domain, bdf.domain) && agrees(bus, bdf.bus) && agrees(device, bdf.device) &&
           agrees(function, bdf.function);
}

IdFilter IdFilter::parse(std::string_view text) {
    constexpr std::size_t kClassDigits = 4;  // base class and subclass, each digit of which may be an x
    IdFilter filter;
    const auto parts = split(text, ':');
    if (parts.size() < 2 || parts.size() > 4) refuse(text, kIdForm);
    filter.vendor = part(parts[0], 0xffff, text, kIdForm);
    filter.device = part(parts[1], 0xffff, text, kIdForm);
    if (parts.size() > 2) {
        if (parts[2].size() > kClassDigits) refuse(text, kIdForm);
        std::string digits{parts[2]};
        for (std::size_t i = 0; i < digits.size(); ++i) {
            if (digits[i] != 'x' && digits[i] != 'X') continue;
            digits[i] = '0';
            filter.class_mask &= ~(0xfu << 4 * (digits.size() - 1 - i));
        }
        filter.class_code = part(digits, 0xffff, text, kIdForm);
    }
    if (parts.size() > 3) filter.interface = part(parts[3], 0xff, text, kIdForm);
    return filter;
}

bool IdFilter::matches(const uiovfio::PciFunction& function) const noexcept {
    const std::uint32_t base_and_subclass = function.class_code >> 8;
    return agrees(vendor, function.vendor) && agrees(device, function.device) &&
           (!class_code || (*class_code & class_mask) == (base_and_subclass & class_mask)) &&
           agrees(interface, function.class_code & 0xff);
}

std::string summary(const uiovfio::PciFunction& function) {
    return fmt::format("{} [{:04x}:{:04x}] {}", to_string(function.bdf), function.vendor, function.device,
                       function.driver.empty() ? "no driver" : "driver " + function.driver);
}

std::string address_meant(const std::string& text, const uiovfio::SysfsRoot& root) {
    const auto bdf = uiovfio::function_behind(text, root);
    return bdf ? fmt::format("'{}' is of {}: write that address", text, to_string(*bdf)) : std::string{};
}

DeviceSelector DeviceSelector::named(const std::string& text, uiovfio::SysfsRoot root) {
    DeviceSelector selector{std::move(root)};
    if (text.find(':') != std::string::npos && text.find('.') == std::string::npos)
        selector.set_id(text);
    else
        selector.add_slot(text);
    return selector;
}

void DeviceSelector::add_slot(const std::string& text) {
    try {
        slots_.push_back({SlotFilter::parse(text), text});
    } catch (const Failure&) {
        if (const std::string meant = address_meant(text, root_); !meant.empty()) throw Failure{Exit::usage, meant};
        throw;
    }
}

void DeviceSelector::set_id(const std::string& text) {
    id_ = IdFilter::parse(text);
    id_text_ = fmt::format(" -d {}", text);
}

void DeviceSelector::add_options(CLI::App& app) {
    Options options{app};
    options
        .add_option(
            "-s,--slot",
            [this](const std::vector<std::string>& texts) {
                for (const std::string& text : texts) add_slot(text);
            },
            "The device at this address, as lspci takes it: [[[[domain]:]bus]:][device][.[function]]")
        .type_name("BDF")
        .one_value_each();
    options
        .add_option(
            "-d,--device", [this](const std::string& text) { set_id(text); },
            "The device with this identity: [vendor]:[device][:class[:interface]]")
        .type_name("VID:DID");
}

bool DeviceSelector::matches(const uiovfio::PciFunction& function) const noexcept {
    const bool is_at_one = std::ranges::any_of(slots_, [&](const Slot& s) { return s.filter.matches(function.bdf); });
    return (slots_.empty() || is_at_one) && (!id_ || id_->matches(function));
}

std::string DeviceSelector::text() const {
    std::string text;
    for (const Slot& slot : slots_) text += fmt::format(" -s {}", slot.text);
    return text + id_text_;
}

DeviceSelector DeviceSelector::only(const Slot& slot) const {
    DeviceSelector one = *this;
    one.slots_ = {slot};
    return one;
}

std::vector<uiovfio::PciFunction> DeviceSelector::choose_each(
    const std::vector<uiovfio::PciFunction>& functions) const {
    if (slots_.size() < 2) return {choose(functions)};
    std::vector<uiovfio::PciFunction> chosen;
    for (const Slot& slot : slots_) {
        uiovfio::PciFunction one = only(slot).choose(functions);
        if (std::ranges::find(chosen, one.bdf, &uiovfio::PciFunction::bdf) == chosen.end())
            chosen.push_back(std::move(one));
    }
    return chosen;
}

std::vector<uiovfio::PciFunction> DeviceSelector::filter(std::vector<uiovfio::PciFunction> functions) const {
    std::erase_if(functions, [this](const uiovfio::PciFunction& function) { return !matches(function); });
    return functions;
}

uiovfio::PciFunction DeviceSelector::choose(const std::vector<uiovfio::PciFunction>& functions) const {
    std::vector<uiovfio::PciFunction> found = filter(functions);
    if (!given()) std::erase_if(found, [](const uiovfio::PciFunction& function) { return !is_pcienic(function); });
    if (found.size() == 1) return found.front();
    if (found.empty() && given()) {
        throw Failure{Exit::no_device,
                      fmt::format("no device matches{}: pcienic-ls lists those that there are", text())};
    }
    if (found.empty()) {
        throw Failure{Exit::no_device,
                      fmt::format("no pcienic ({:04x}:{:04x}) in this machine: name another device with -s BDF "
                                  "(pcienic-ls lists them), or use --backend sim",
                                  kVendorId, kDeviceId)};
    }
    throw Failure{Exit::no_device, fmt::format("{} devices match{}: name one with -s BDF:{}", found.size(),
                                               given() ? text() : " (pcienic)", list(found))};
}

}  // namespace pcienic::cli
