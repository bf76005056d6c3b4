// SPDX-License-Identifier: GPL-2.0-or-later
#include "collect.hpp"

#include <fmt/format.h>
#include <optional>

#include "kernel_modules.hpp"
#include "printable.hpp"
#include "topology.hpp"
#include "uiovfio/sysfs.hpp"

namespace pcienic::ls {
namespace {

uiovfio::Bdf bdf_of(const Address& address) {
    return {.domain = address.domain,
            .bus = static_cast<std::uint8_t>(address.bus),
            .device = static_cast<std::uint8_t>(address.device),
            .function = static_cast<std::uint8_t>(address.function)};
}

Binding binding_of(const ScannedFunction& scanned, const std::filesystem::path& sys, const KernelModules& kernel) {
    Binding binding;
    binding.driver = scanned.driver;
    binding.iommu_group = scanned.function.iommu_group;
    binding.modules = kernel.for_alias(scanned.module_alias);
    std::error_code ec;
    const uiovfio::SysfsRoot root{.sys = sys};
    const uiovfio::PciFunction function = uiovfio::describe(bdf_of(scanned.function.address), root, ec);
    if (ec) {
        binding.vfio = "no: " + printable(ec.message());
        return binding;
    }
    for (const uiovfio::Bdf& member : function.group_members) {
        if (member == function.bdf) continue;
        const uiovfio::PciFunction other = uiovfio::describe(member, root, ec);
        binding.group_members.push_back(fmt::format("{} ({})", uiovfio::to_string(member),
                                                    other.driver.empty() ? "no driver" : printable(other.driver)));
    }
    if (const auto obstacle = uiovfio::why_not_vfio(function, root)) {
        binding.vfio =
            printable(fmt::format("no: {}: {}: {}", obstacle->object, obstacle->what_was_wrong, obstacle->remedy));
    } else {
        binding.vfio_usable = true;
        binding.vfio = "yes";
    }
    return binding;
}

}  // namespace

Listing collect(const ScanOptions& options) {
    PciAccess access(options);
    Listing listing;
    std::optional<KernelModules> kernel;  // takes a moment to read: only where it is asked
    for (ScannedFunction& scanned : access.scan()) {
        Function& function = scanned.function;
        DecodeContext context{.has_memory_bar = scanned.system.has_memory_bar(),
                              .first_function = function.address.device == 0 && function.address.function == 0,
                              .from_dump = scanned.system.from_dump,
                              .subsystem_text = [&](unsigned vendor, unsigned device) {
                                  return access.subsystem_text(function.vendor.id, function.device.id, vendor, device);
                              }};
        context.wants_vpd = options.vital_product_data || scanned.system.from_dump;
        if (options.vital_product_data && scanned.selected)
            context.read_vpd = [&](unsigned at, std::uint8_t* to, unsigned count) {
                return access.read_vpd(function.address, at, to, count);
            };
        if (decode_header(scanned.config, scanned.system, function))
            function.capabilities = decode_capabilities(scanned.config, context);
        function.config = scanned.config.bytes();
        if (options.details && options.dump_file.empty() && scanned.selected) {
            if (!kernel) kernel.emplace();
            function.binding = binding_of(scanned, options.sys, *kernel);
        }
        listing.functions.push_back(std::move(function));
        listing.selected.push_back(scanned.selected);
    }
    if (options.topology) {
        const Topology topology(listing.functions);
        for (std::size_t index = 0; index < listing.functions.size(); ++index)
            for (const std::size_t bridge : topology.path_to(index))
                listing.functions[index].path.push_back(listing.functions[bridge].address);
    }
    listing.warnings = access.warnings();
    return listing;
}

}  // namespace pcienic::ls
