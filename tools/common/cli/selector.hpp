// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Which device: the options -s and -d, with exactly lspci's grammar, and the device that is meant without them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "uiovfio/bdf.hpp"
#include "uiovfio/sysfs.hpp"

namespace CLI {
class App;
}

namespace pcienic::cli {

/// `[[[[domain]:]bus]:][device][.[function]]`, in hexadecimal; a part that is left out or is `*` matches everything.
struct SlotFilter {
    std::optional<std::uint32_t> domain;
    std::optional<std::uint32_t> bus;
    std::optional<std::uint32_t> device;
    std::optional<std::uint32_t> function;

    /// Throws Failure(usage).
    static SlotFilter parse(std::string_view text);
    [[nodiscard]] bool matches(const uiovfio::Bdf& bdf) const noexcept;
    [[nodiscard]] bool names_one() const noexcept { return bus && device && function; }
};

/// `[vendor]:[device][:class[:interface]]`, in hexadecimal; a part that is left out or is `*` matches everything, and
/// an `x` in the class matches any digit.
struct IdFilter {
    std::optional<std::uint32_t> vendor;
    std::optional<std::uint32_t> device;
    std::optional<std::uint32_t> class_code;  ///< base class and subclass
    std::uint32_t class_mask = 0xffff;
    std::optional<std::uint32_t> interface;

    /// Throws Failure(usage).
    static IdFilter parse(std::string_view text);
    [[nodiscard]] bool matches(const uiovfio::PciFunction& function) const noexcept;
};

/// "enp3s0 is of 0000:03:00.0: write that address", where the text is no address and the kernel has something of that
/// name; else nothing.
std::string address_meant(const std::string& text, const uiovfio::SysfsRoot& root = {});

/// "0000:01:00.0 [1af4:10f2] driver vfio-pci", for lists in messages.
std::string summary(const uiovfio::PciFunction& function);

/// The options -s and -d, and the choice that follows from them.
class DeviceSelector {
  public:
    /// `root`: where the names of interfaces and disks are looked for, which users give in place of an address.
    explicit DeviceSelector(uiovfio::SysfsRoot root = {}) : root_{std::move(root)} {}

    /// What one argument stands for: an address as -s takes it, or, where it has a colon and no dot, vendor and device
    /// as -d takes them. Throws Failure(usage).
    static DeviceSelector named(const std::string& text, uiovfio::SysfsRoot root = {});

    void add_options(CLI::App& app);

    [[nodiscard]] bool given() const noexcept { return !slots_.empty() || id_.has_value(); }
    [[nodiscard]] bool matches(const uiovfio::PciFunction& function) const noexcept;
    /// The functions that match; without options all of them.
    [[nodiscard]] std::vector<uiovfio::PciFunction> filter(std::vector<uiovfio::PciFunction> functions) const;
    /// The one function that is meant; without options the only pcienic. Throws Failure(no_device), which lists the
    /// candidates where there are several and says how to get one where there is none.
    [[nodiscard]] uiovfio::PciFunction choose(const std::vector<uiovfio::PciFunction>& functions) const;
    /// As choose(), one for each -s, in their order, each once.
    [[nodiscard]] std::vector<uiovfio::PciFunction> choose_each(
        const std::vector<uiovfio::PciFunction>& functions) const;

  private:
    struct Slot {
        SlotFilter filter;
        std::string text;  ///< as given, for messages
    };

    void set_id(const std::string& text);
    void add_slot(const std::string& text);
    [[nodiscard]] std::string text() const;
    [[nodiscard]] DeviceSelector only(const Slot& slot) const;

    uiovfio::SysfsRoot root_;
    std::vector<Slot> slots_;  ///< any of these
    std::optional<IdFilter> id_;
    std::string id_text_;
};

}  // namespace pcienic::cli
