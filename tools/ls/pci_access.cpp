// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci_access.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>

#include "cli/exit.hpp"
#include "cli/selector.hpp"
#include "printable.hpp"

// libpci's header is C only until 3.14.
extern "C" {
#include <pci/pci.h>
}

namespace pcienic::ls {
namespace {

// What to do about a fault that libpci reports, and the exit code; its callbacks carry no context.
struct Remedy {
    const char* text = "see lspci -G for what it tried";
    cli::Exit exit = cli::Exit::failure;
};
Remedy error_remedy;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables)

std::string message_of(const char* format, std::va_list arguments) {
    std::array<char, 1024> text{};
    std::vsnprintf(text.data(), text.size(), format, arguments);
    return printable(text.data());
}

// libpci reports a fault through a callback that must not return, from C frames that no exception may cross.
__attribute__((noreturn, format(printf, 1, 2))) void on_error(char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    const std::string message = message_of(format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "pcienic-ls: %s: %s\n", message.c_str(), error_remedy.text);
    std::exit(static_cast<int>(error_remedy.exit));
}

__attribute__((format(printf, 1, 2))) void on_warning(char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    const std::string message = message_of(format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "pcienic-ls: %s\n", message.c_str());
}

// libpci's interfaces take char* where they only read.
char* mutable_text(const std::string& text) { return const_cast<char*>(text.c_str()); }

void set_parameter(pci_access* access, std::string name, const std::string& value) {
    pci_set_param(access, name.data(), mutable_text(value));
}

/// Goes on up to `limit`, as far as it can be read: a read fails as a whole, and the system may refuse any part, or
/// have no more.
void read_config(pci_dev* device, std::size_t limit, std::vector<std::uint8_t>& bytes) {
    for (const std::size_t step : {64U, 16U, 4U, 1U})
        while (bytes.size() + step <= limit) {
            const std::size_t have = bytes.size();
            bytes.resize(have + step);
            if (pci_read_block(device, static_cast<int>(have), bytes.data() + have, static_cast<int>(step)) != 0)
                continue;
            bytes.resize(have);
            break;
        }
}

/// The header, and up to `limit` what follows it.
ConfigImage read_config(pci_dev* device, std::size_t limit) {
    std::vector<std::uint8_t> bytes;
    read_config(device, ConfigImage::kHeaderSize, bytes);
    if (bytes.size() < ConfigImage::kHeaderSize) return ConfigImage(std::move(bytes));
    const bool cardbus = (bytes[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_TYPE_CARDBUS;
    read_config(device, std::max(limit, cardbus ? ConfigImage::kCardBusHeaderSize : ConfigImage::kHeaderSize), bytes);
    return ConfigImage(std::move(bytes));
}

Resource window(const pci_dev* device, std::size_t index) {
    return {device->bridge_base_addr[index], device->bridge_size[index], device->bridge_flags[index]};
}

std::string text_or_empty(const char* text) { return text == nullptr ? std::string() : printable(text); }

Address address_of(const pci_dev* device) {
    return {static_cast<unsigned>(device->domain), device->bus, device->dev, device->func};
}

void check_filter(const std::filesystem::path& sys, const char* option, const std::string& text, const char* complaint,
                  const char* remedy) {
    if (complaint == nullptr) return;
    if (const std::string meant = cli::address_meant(text, {.sys = sys}); !meant.empty())
        throw cli::Failure(cli::Exit::usage, meant);
    throw cli::Failure(cli::Exit::usage, fmt::format("{} {}: {}: {}", option, printable(text), complaint, remedy));
}

[[noreturn]] void cannot_read(const char* option, const std::string& file, int error) {
    throw cli::Failure(cli::Exit::usage,
                       fmt::format("{} {}: cannot be read ({})", option, printable(file), std::strerror(error)));
}

Dump read_dump_file(const std::string& file) {
    const std::string shown = printable(file);
    try {
        if (file == "-") return read_dump(std::cin);
        std::error_code ec;
        if (std::filesystem::is_directory(file, ec)) cannot_read("-F", file, EISDIR);
        std::ifstream in(file);
        if (!in) cannot_read("-F", file, errno);
        return read_dump(in);
    } catch (const DumpError& error) {
        throw cli::Failure(
            cli::Exit::usage,
            fmt::format("{}: {}: the file given with -F must hold the output of lspci -x", shown, error.what()));
    }
}

}  // namespace

void PciAccess::Release::operator()(pci_access* access) const noexcept { pci_cleanup(access); }
void PciAccess::Release::operator()(pci_dev* device) const noexcept { pci_free_dev(device); }

PciAccess::PciAccess(const ScanOptions& options) : options_(options), access_(pci_alloc()) {
    access_->error = on_error;
    access_->warning = on_warning;
    access_->numeric_ids = static_cast<int>(options.naming == Naming::numbers ? 1
                                            : options.naming == Naming::both  ? 2
                                                                              : 0);

    // udev's database holds the same names as pci.ids, and libpci 3.9 leaks a context for each question to it.
    access_->id_lookup_mode |= PCI_LOOKUP_NO_HWDB;

    // The filters are parsed here once for their errors: a bad one should not cost a scan.
    pci_filter filter;
    pci_filter_init(access_.get(), &filter);
    if (!options.slot.empty())
        check_filter(options.sys, "-s", options.slot,
                     pci_filter_parse_slot(&filter, mutable_text(std::string(options.slot))),
                     "write [[[[domain]:]bus]:][device][.[function]], in hexadecimal");
    if (!options.id.empty())
        check_filter(options.sys, "-d", options.id, pci_filter_parse_id(&filter, mutable_text(std::string(options.id))),
                     "write [vendor]:[device][:class[:interface]], in hexadecimal");

    if (!options.ids_file.empty()) {
        std::error_code ec;
        if (std::filesystem::is_directory(options.ids_file, ec)) cannot_read("-i", options.ids_file, EISDIR);
        if (access(options.ids_file.c_str(), R_OK) != 0) cannot_read("-i", options.ids_file, errno);
        pci_set_name_list_path(access_.get(), mutable_text(options_.ids_file), 0);
    }
    if (!options.dump_file.empty()) {
        // Only names and filters are libpci's then: it reads an empty dump.
        access_->method = PCI_ACCESS_DUMP;
        set_parameter(access_.get(), "dump.name", "/dev/null");
    } else if (const std::filesystem::path standard = "/sys"; options.sys != standard) {
        access_->method = PCI_ACCESS_SYS_BUS_PCI;
        set_parameter(access_.get(), "sysfs.path", options.sys / "bus/pci");
    }
    pci_init(access_.get());
    if (!options.ids_file.empty()) {
        // Else the first name that is looked up reads them, and a fault of the file would not be told from others.
        error_remedy = {.text = "give a pci.ids with -i", .exit = cli::Exit::usage};
        if (pci_load_name_list(access_.get()) == 0) cannot_read("-i", options.ids_file, errno);
        error_remedy = {};
    }
}

PciAccess::~PciAccess() = default;

std::string PciAccess::lookup(int flags, unsigned a, unsigned b, unsigned c, unsigned d) {
    std::array<char, 4096> buffer{};  // a line of pci.ids has at most 1024
    const char* text =
        pci_lookup_name(access_.get(), buffer.data(), static_cast<int>(buffer.size()), flags, a, b, c, d);
    return text_or_empty(text);
}

std::string PciAccess::subsystem_text(unsigned vendor, unsigned device, unsigned subsystem_vendor,
                                      unsigned subsystem_device) {
    return lookup(PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, vendor, device, subsystem_vendor,
                  subsystem_device);
}

bool PciAccess::read_vpd(const Address& address, unsigned at, std::uint8_t* to, unsigned count) {
    for (pci_dev* device = access_->devices; device != nullptr; device = device->next)
        if (address == address_of(device))
            return pci_read_vpd(device, static_cast<int>(at), to, static_cast<int>(count)) != 0;
    return false;
}

void PciAccess::name(Function& out, const Identity& identity) {
    const unsigned vendor = identity.vendor, device = identity.device, class_code = identity.device_class;
    const unsigned interface = identity.programming_interface;
    const auto plain = [&](int flags, unsigned a, unsigned b = 0, unsigned c = 0, unsigned d = 0) {
        const int numeric = access_->numeric_ids;
        access_->numeric_ids = 0;
        std::string text = lookup(flags | PCI_LOOKUP_NO_NUMBERS, a, b, c, d);
        access_->numeric_ids = numeric;
        return text;
    };
    out.vendor = {vendor, plain(PCI_LOOKUP_VENDOR, vendor)};
    out.device = {device, plain(PCI_LOOKUP_DEVICE, vendor, device)};
    out.device_class = {class_code, plain(PCI_LOOKUP_CLASS, class_code)};
    out.programming_interface = {interface, plain(PCI_LOOKUP_PROGIF, class_code, interface)};
    out.has_programming_interface = interface != 0 || !out.programming_interface.name.empty();
    out.programming_interface_text = lookup(PCI_LOOKUP_PROGIF | PCI_LOOKUP_NO_NUMBERS, class_code, interface);
    out.class_text = lookup(PCI_LOOKUP_CLASS, class_code);
    out.device_text = lookup(PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, vendor, device);
    out.vendor_alone = lookup(PCI_LOOKUP_VENDOR, vendor);
    out.device_alone = lookup(PCI_LOOKUP_DEVICE, vendor, device);
    out.revision = identity.revision;
    const unsigned subsystem_vendor = identity.subsystem_vendor, subsystem_device = identity.subsystem_device;
    if (subsystem_vendor == 0 || subsystem_vendor == 0xffff) return;
    constexpr int kVendor = PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_VENDOR,
                  kDevice = PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_DEVICE;
    out.subsystem = {Named{subsystem_vendor, plain(kVendor, subsystem_vendor)},
                     Named{subsystem_device, plain(kDevice, vendor, device, subsystem_vendor, subsystem_device)}};
    out.subsystem_text = subsystem_text(vendor, device, subsystem_vendor, subsystem_device);
    out.subsystem_vendor_alone = lookup(kVendor, subsystem_vendor);
    out.subsystem_device_alone = lookup(kDevice, vendor, device, subsystem_vendor, subsystem_device);
}

bool PciAccess::is_selected(pci_dev* device) {
    pci_filter filter;
    pci_filter_init(access_.get(), &filter);
    if (!options_.slot.empty()) pci_filter_parse_slot(&filter, mutable_text(std::string(options_.slot)));
    if (!options_.id.empty()) pci_filter_parse_id(&filter, mutable_text(std::string(options_.id)));
    return pci_filter_match(&filter, device) != 0;
}

bool PciAccess::has(const pci_dev* device, const char* file) const {
    const std::string name = fmt::format("{:04x}:{:02x}:{:02x}.{:x}", static_cast<unsigned>(device->domain),
                                         device->bus, device->dev, device->func);
    std::error_code ec;
    return access_->method != PCI_ACCESS_SYS_BUS_PCI ||
           std::filesystem::exists(options_.sys / "bus/pci/devices" / name / file, ec);
}

int PciAccess::known_of(pci_dev* device, bool selected) {
    int fields = PCI_FILL_IDENT | PCI_FILL_CLASS | PCI_FILL_CLASS_EXT | PCI_FILL_SUBSYS;
    if (selected && options_.details) {
        fields |= PCI_FILL_PHYS_SLOT | PCI_FILL_LABEL | PCI_FILL_NUMA_NODE | PCI_FILL_IOMMU_GROUP | PCI_FILL_DT_NODE |
                  PCI_FILL_DRIVER | PCI_FILL_MODULE_ALIAS;
        if (has(device, "irq")) fields |= PCI_FILL_IRQ;
        if (has(device, "resource")) fields |= PCI_FILL_BASES | PCI_FILL_ROM_BASE | PCI_FILL_SIZES | PCI_FILL_IO_FLAGS;
    }
    return pci_fill_info(device, fields);
}

ScannedFunction PciAccess::read(pci_dev* device) {
    ScannedFunction found{.function = {},
                          .config = ConfigImage({}),
                          .system = {},
                          .module_alias = {},
                          .driver = {},
                          .selected = is_selected(device)};
    found.function.address = address_of(device);
    // To read configuration space wakes a device that sleeps: of those that are not listed only a tree needs anything.
    if (!found.selected && !options_.topology) return found;
    int known = known_of(device, found.selected);
    found.config = read_config(device, found.selected ? options_.config_bytes : ConfigImage::kHeaderSize);
    SystemView& system = found.system;
    system.irq = device->irq;
    system.device_class = device->device_class;
    system.knows_flags = (known & PCI_FILL_IO_FLAGS) != 0;
    for (std::size_t index = 0; index < system.bars.size(); ++index)
        system.bars[index] = {device->base_addr[index], device->size[index], device->flags[index]};
    system.rom = {device->rom_base_addr, device->rom_size, device->rom_flags};
    // Asked for last: few functions have windows.
    known = found.selected && options_.details && has(device, "resource") ? pci_fill_info(device, PCI_FILL_BRIDGE_BASES)
                                                                          : 0;
    system.knows_windows = (known & PCI_FILL_BRIDGE_BASES) != 0;
    for (std::size_t index = 0; index < system.windows.size(); ++index) system.windows[index] = window(device, index);
    found.module_alias = text_or_empty(device->module_alias);
    found.driver = text_or_empty(pci_get_string_property(device, PCI_FILL_DRIVER));

    Function& out = found.function;
    out.numa_node = device->numa_node;
    out.iommu_group = text_or_empty(pci_get_string_property(device, PCI_FILL_IOMMU_GROUP));
    out.device_tree_node = text_or_empty(pci_get_string_property(device, PCI_FILL_DT_NODE));
    out.physical_slot = text_or_empty(device->phy_slot);
    out.label = text_or_empty(device->label);
    if (options_.topology && (pci_fill_info(device, PCI_FILL_PARENT) & PCI_FILL_PARENT) != 0 &&
        device->parent != nullptr)
        out.parent = address_of(device->parent);
    name(out, {.vendor = device->vendor_id,
               .device = device->device_id,
               .device_class = device->device_class,
               .programming_interface = device->prog_if,
               .revision = device->rev_id,
               .subsystem_vendor = device->subsys_vendor_id,
               .subsystem_device = device->subsys_id});
    return found;
}

ScannedFunction PciAccess::take(const DumpedFunction& dumped) {
    ScannedFunction found{.function = {},
                          .config = dumped.config,
                          .system = SystemView::from(dumped.config),
                          .module_alias = {},
                          .driver = {}};
    found.function.address = dumped.address;
    const Identity identity = identity_of(dumped.config);
    name(found.function, identity);

    const Address& at = dumped.address;
    const std::unique_ptr<pci_dev, Release> device(pci_get_dev(access_.get(), static_cast<int>(at.domain),
                                                               static_cast<int>(at.bus), static_cast<int>(at.device),
                                                               static_cast<int>(at.function)));
    device->vendor_id = static_cast<u16>(identity.vendor);
    device->device_id = static_cast<u16>(identity.device);
    device->device_class = static_cast<u16>(identity.device_class);
    device->prog_if = static_cast<u8>(identity.programming_interface);
    device->known_fields = PCI_FILL_IDENT | PCI_FILL_CLASS | PCI_FILL_CLASS_EXT;
    found.selected = is_selected(device.get());
    return found;
}

std::vector<ScannedFunction> PciAccess::scan_machine() {
    pci_scan_bus(access_.get());
    std::vector<ScannedFunction> found;
    for (pci_dev* device = access_->devices; device != nullptr; device = device->next)
        if (has(device, "vendor")) found.push_back(read(device));  // else it has gone meanwhile
    return found;
}

std::vector<ScannedFunction> PciAccess::scan_dump() {
    const Dump dump = read_dump_file(options_.dump_file);
    const std::string shown = printable(options_.dump_file);
    for (const std::string& left_out : dump.left_out) warnings_.push_back(fmt::format("{}: {}", shown, left_out));
    std::vector<ScannedFunction> found;
    found.reserve(dump.functions.size());
    for (const DumpedFunction& dumped : dump.functions) found.push_back(take(dumped));
    if (found.empty())
        throw cli::Failure(cli::Exit::usage,
                           dump.left_out.empty()
                               ? fmt::format("{}: holds no function: give the output of lspci -x", shown)
                               : fmt::format("{}: {}", shown, dump.left_out.front()));
    return found;
}

std::vector<ScannedFunction> PciAccess::scan() {
    std::vector<ScannedFunction> found = options_.dump_file.empty() ? scan_machine() : scan_dump();
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.function.address < b.function.address; });
    return found;
}

}  // namespace pcienic::ls
