// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci_access.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <tuple>

#include "cli/exit.hpp"

// libpci's header is C only until 3.14.
extern "C" {
#include <pci/pci.h>
}

namespace pcienic::ls {
namespace {

// What to do about a fault of libpci's; its callbacks carry no context.
const char* error_remedy = "see lspci -G for what it tried";

// libpci reports a fault through a callback that must not return, from C frames that no exception may cross.
__attribute__((noreturn, format(printf, 1, 2))) void on_error(char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::fputs("pcienic-ls: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fprintf(stderr, ": %s\n", error_remedy);
    va_end(arguments);
    std::exit(static_cast<int>(cli::Exit::failure));
}

__attribute__((format(printf, 1, 2))) void on_warning(char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::fputs("pcienic-ls: ", stderr);
    std::vfprintf(stderr, format, arguments);
    std::fputc('\n', stderr);
    va_end(arguments);
}

// libpci's interfaces take char* where they only read.
char* mutable_text(const std::string& text) { return const_cast<char*>(text.c_str()); }

std::string dump_path(const std::string& file) { return file == "-" ? "/proc/self/fd/0" : file; }

ConfigImage read_config(pci_dev* device, bool whole) {
    // A read fails as a whole, so ask for the parts that may be refused or missing one after the other.
    constexpr std::array<int, 4> kEnds = {64, 128, 256, 4096};
    std::vector<std::uint8_t> bytes;
    int begin = 0;
    for (const int end : kEnds) {
        if (begin > 0 && !whole) break;
        bytes.resize(static_cast<std::size_t>(end));
        if (pci_read_block(device, begin, bytes.data() + begin, end - begin) == 0) {
            bytes.resize(static_cast<std::size_t>(begin));
            break;
        }
        begin = end;
    }
    return ConfigImage(std::move(bytes));
}

Resource window(const pci_dev* device, int index) {
    return {device->bridge_base_addr[index], device->bridge_size[index], device->bridge_flags[index]};
}

std::string text_or_empty(const char* text) { return text == nullptr ? std::string() : std::string(text); }

void check_filter(const char* option, const std::string& text, const char* complaint, const char* remedy) {
    if (complaint != nullptr)
        throw cli::Failure(cli::Exit::usage, fmt::format("{} {}: {}: {}", option, text, complaint, remedy));
}

}  // namespace

void PciAccess::Release::operator()(pci_access* access) const noexcept { pci_cleanup(access); }

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
        check_filter("-s", options.slot, pci_filter_parse_slot(&filter, mutable_text(std::string(options.slot))),
                     "write [[[[domain]:]bus]:][device][.[function]], in hexadecimal");
    if (!options.id.empty())
        check_filter("-d", options.id, pci_filter_parse_id(&filter, mutable_text(std::string(options.id))),
                     "write [vendor]:[device][:class[:interface]], in hexadecimal");

    if (!options.dump_file.empty()) {
        const std::string path = dump_path(options.dump_file);
        if (access(path.c_str(), R_OK) != 0)
            throw cli::Failure(
                cli::Exit::usage,
                fmt::format("{}: cannot be read: give a file with the output of lspci -x", options.dump_file));
        error_remedy = "the file given with -F must hold the output of lspci -x";
        access_->method = PCI_ACCESS_DUMP;
        std::string name = "dump.name";
        pci_set_param(access_.get(), name.data(), mutable_text(path));
    }
    pci_init(access_.get());
}

PciAccess::~PciAccess() = default;

std::string PciAccess::lookup(int flags, unsigned a, unsigned b, unsigned c, unsigned d) {
    std::array<char, 256> buffer{};
    const char* text =
        pci_lookup_name(access_.get(), buffer.data(), static_cast<int>(buffer.size()), flags, a, b, c, d);
    return text_or_empty(text);
}

std::string PciAccess::subsystem_text(unsigned vendor, unsigned device, unsigned subsystem_vendor,
                                      unsigned subsystem_device) {
    return lookup(PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, vendor, device, subsystem_vendor,
                  subsystem_device);
}

ScannedFunction PciAccess::read(pci_dev* device) {
    pci_fill_info(device, PCI_FILL_IDENT | PCI_FILL_IRQ | PCI_FILL_BASES | PCI_FILL_ROM_BASE | PCI_FILL_SIZES |
                              PCI_FILL_CLASS | PCI_FILL_CLASS_EXT | PCI_FILL_SUBSYS | PCI_FILL_PHYS_SLOT |
                              PCI_FILL_LABEL | PCI_FILL_NUMA_NODE | PCI_FILL_IO_FLAGS | PCI_FILL_IOMMU_GROUP |
                              PCI_FILL_DRIVER | PCI_FILL_MODULE_ALIAS);
    ScannedFunction found{.function = {},
                          .config = read_config(device, options_.details),
                          .system = {},
                          .module_alias = {},
                          .driver = {}};
    SystemView& system = found.system;
    system.irq = device->irq;
    system.numa_node = device->numa_node;
    system.iommu_group = text_or_empty(pci_get_string_property(device, PCI_FILL_IOMMU_GROUP));
    for (std::size_t index = 0; index < system.bars.size(); ++index)
        system.bars[index] = {device->base_addr[index], device->size[index], device->flags[index]};
    system.rom = {device->rom_base_addr, device->rom_size, device->rom_flags};
    // Asked for last: only the system knows windows, and a dump has none.
    system.knows_windows =
        (pci_fill_info(device, PCI_FILL_BRIDGE_BASES) & PCI_FILL_BRIDGE_BASES) != 0 && options_.dump_file.empty();
    for (int index = 0; index < 3; ++index) system.windows[static_cast<std::size_t>(index)] = window(device, index);
    found.module_alias = text_or_empty(device->module_alias);
    found.driver = text_or_empty(pci_get_string_property(device, PCI_FILL_DRIVER));

    Function& out = found.function;
    out.address = {static_cast<unsigned>(device->domain), device->bus, device->dev, device->func};
    const unsigned vendor = device->vendor_id;
    const unsigned id = device->device_id;
    const unsigned class_code = device->device_class;
    const auto name = [&](int flags, unsigned a, unsigned b = 0, unsigned c = 0, unsigned d = 0) {
        const int numeric = access_->numeric_ids;
        access_->numeric_ids = 0;
        std::string text = lookup(flags | PCI_LOOKUP_NO_NUMBERS, a, b, c, d);
        access_->numeric_ids = numeric;
        return text;
    };
    out.vendor = {vendor, name(PCI_LOOKUP_VENDOR, vendor)};
    out.device = {id, name(PCI_LOOKUP_DEVICE, vendor, id)};
    out.device_class = {class_code, name(PCI_LOOKUP_CLASS, class_code)};
    out.programming_interface = {device->prog_if, name(PCI_LOOKUP_PROGIF, class_code, device->prog_if)};
    out.has_programming_interface = device->prog_if != 0 || !out.programming_interface.name.empty();
    out.programming_interface_text = lookup(PCI_LOOKUP_PROGIF | PCI_LOOKUP_NO_NUMBERS, class_code, device->prog_if);
    out.class_text = lookup(PCI_LOOKUP_CLASS, class_code);
    out.device_text = lookup(PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, vendor, id);
    out.revision = device->rev_id;
    const unsigned subsystem_vendor = device->subsys_vendor_id;
    const unsigned subsystem_device = device->subsys_id;
    if (subsystem_vendor != 0 && subsystem_vendor != 0xffff) {
        out.subsystem = {Named{subsystem_vendor, name(PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_VENDOR, subsystem_vendor)},
                         Named{subsystem_device, name(PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_DEVICE, vendor, id,
                                                      subsystem_vendor, subsystem_device)}};
        out.subsystem_text = subsystem_text(vendor, id, subsystem_vendor, subsystem_device);
    }
    out.physical_slot = text_or_empty(device->phy_slot);
    out.label = text_or_empty(device->label);

    pci_filter filter;
    pci_filter_init(access_.get(), &filter);
    if (!options_.slot.empty()) pci_filter_parse_slot(&filter, mutable_text(std::string(options_.slot)));
    if (!options_.id.empty()) pci_filter_parse_id(&filter, mutable_text(std::string(options_.id)));
    found.selected = pci_filter_match(&filter, device) != 0;
    return found;
}

std::vector<ScannedFunction> PciAccess::scan() {
    pci_scan_bus(access_.get());
    std::vector<ScannedFunction> found;
    for (pci_dev* device = access_->devices; device != nullptr; device = device->next) found.push_back(read(device));
    if (found.empty() && !options_.dump_file.empty())
        throw cli::Failure(cli::Exit::usage,
                           fmt::format("{}: holds no function: give the output of lspci -x", options_.dump_file));
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return a.function.address < b.function.address; });
    return found;
}

}  // namespace pcienic::ls
