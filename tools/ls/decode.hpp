// SPDX-License-Identifier: GPL-2.0-or-later
/// From configuration space to the model. No access to hardware, libpci or the system: an image in, data out, so that
/// the whole decoder can be tested and fuzzed on any machine. It ends on every image: chains are walked at most once.
///
/// Names and wording are lspci's, since that is what people know and search for.
#pragma once

#include <pci/header.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "config_image.hpp"
#include "model.hpp"

namespace pcienic::ls {

/// What a decoder must be told because the image alone does not say it.
struct DecodeContext {
    bool has_memory_bar = false;
    bool first_function = true;  ///< device 0, function 0: the one that stands for the link
    bool from_dump = false;      ///< a byte that is not there was not written down; else the system refuses it
    /// Text for a subsystem's vendor and device ID.
    std::function<std::string(unsigned vendor, unsigned device)> subsystem_text;
    /// Copies bytes of Vital Product Data, which lie behind registers; false if they cannot be read. None: nothing can.
    std::function<bool(unsigned at, std::uint8_t* to, unsigned count)> read_vpd = nullptr;
    bool wants_vpd = true;  ///< else it is not asked for, and nothing is said of it
};

/// Both chains of capabilities. The extended one is followed where the function is PCI Express (or PCI-X 2.0).
std::vector<Capability> decode_capabilities(const ConfigImage& config, const DecodeContext& context);

/// One capability's contents. The decoder fills name, summary and registers; offset, id and version are set.
struct CapabilityInput {
    const ConfigImage& config;
    const DecodeContext& context;
    unsigned express_type = ~0U;  ///< device/port type of the PCI Express capability, if there is one

    unsigned header_type() const { return config.u8(PCI_HEADER_TYPE) & 0x7f; }
};
using CapabilityDecoder = void (*)(const CapabilityInput&, Capability&);

/// decode_standard.cpp
void decode_power_management(const CapabilityInput&, Capability&);
void decode_msi(const CapabilityInput&, Capability&);
void decode_msix(const CapabilityInput&, Capability&);
void decode_vendor(const CapabilityInput&, Capability&);
void decode_slot_id(const CapabilityInput&, Capability&);
void decode_debug_port(const CapabilityInput&, Capability&);
void decode_subsystem(const CapabilityInput&, Capability&);
void decode_sata(const CapabilityInput&, Capability&);
void decode_advanced_features(const CapabilityInput&, Capability&);

/// decode_express.cpp
void decode_express(const CapabilityInput&, Capability&);

/// decode_extended.cpp
void decode_aer(const CapabilityInput&, Capability&);
void decode_serial_number(const CapabilityInput&, Capability&);
void decode_extended_vendor(const CapabilityInput&, Capability&);
void decode_acs(const CapabilityInput&, Capability&);
void decode_ari(const CapabilityInput&, Capability&);
void decode_ats(const CapabilityInput&, Capability&);
void decode_pri(const CapabilityInput&, Capability&);
void decode_pasid(const CapabilityInput&, Capability&);
void decode_sriov(const CapabilityInput&, Capability&);
void decode_ltr(const CapabilityInput&, Capability&);
void decode_ptm(const CapabilityInput&, Capability&);
void decode_dpc(const CapabilityInput&, Capability&);

/// decode_agp_pcix.cpp
void decode_agp(const CapabilityInput&, Capability&);
void decode_pcix(const CapabilityInput&, Capability&);

/// decode_hypertransport.cpp
void decode_hypertransport(const CapabilityInput&, Capability&);

/// decode_vital_product_data.cpp
void decode_vital_product_data(const CapabilityInput&, Capability&);

/// decode_enhanced_allocation.cpp
void decode_enhanced_allocation(const CapabilityInput&, Capability&);

/// decode_virtual_channel.cpp
void decode_virtual_channel(const CapabilityInput&, Capability&);

/// decode_root_complex.cpp
void decode_root_complex_link(const CapabilityInput&, Capability&);
void decode_event_collector(const CapabilityInput&, Capability&);

/// decode_multicast.cpp
void decode_multicast(const CapabilityInput&, Capability&);

/// decode_resizable_bar.cpp
void decode_resizable_bar(const CapabilityInput&, Capability&);
void decode_virtual_resizable_bar(const CapabilityInput&, Capability&);

/// decode_processing_hints.cpp
void decode_processing_hints(const CapabilityInput&, Capability&);

/// decode_link.cpp
void decode_secondary_express(const CapabilityInput&, Capability&);
void decode_l1_substates(const CapabilityInput&, Capability&);

/// decode_dvsec.cpp
void decode_dvsec(const CapabilityInput&, Capability&);

/// decode_data_objects.cpp
void decode_data_object_exchange(const CapabilityInput&, Capability&);

/// Where a BAR or a bridge's window is; `flags` are PCI_IORESOURCE_*, `base` of a BAR has its type in the low bits.
struct Resource {
    std::uint64_t base = 0;
    std::uint64_t size = 0;
    std::uint64_t flags = 0;
};

/// What the operating system says about a function's resources. It may differ from what the BARs hold, and only the
/// system knows sizes.
struct SystemView {
    int irq = 0;
    unsigned device_class = 0;  ///< the kernel corrects that of some devices
    std::array<Resource, 6> bars{};
    Resource rom;
    bool knows_flags = false;           ///< of the BARs and the ROM: what kind of addresses they are
    bool knows_windows = false;         ///< of a bridge
    bool from_dump = false;             ///< there is no system to ask
    std::array<Resource, 4> windows{};  ///< I/O, memory, prefetchable memory; of a CardBus bridge two and two

    /// What the image alone says, where there is no system to ask.
    static SystemView from(const ConfigImage& config);
    bool has_memory_bar() const;
};

/// The first 64 bytes: command and status, interrupt, BARs, ROM, and a bridge's registers (decode_header.cpp); the
/// function's NUMA node and IOMMU group are in it already. False if the header is not there or its layout is unknown:
/// then nothing behind it means anything, and only what the system says is listed.
bool decode_header(const ConfigImage& config, const SystemView& system, Function& function);

/// What names a function: the numbers that stand for names.
struct Identity {
    unsigned vendor = 0, device = 0, device_class = 0, programming_interface = 0, revision = 0;
    unsigned subsystem_vendor = 0, subsystem_device = 0;  ///< 0 if it has none
};

/// From configuration space alone; a bridge's subsystem is in a capability.
Identity identity_of(const ConfigImage& config);

/// The text for a small number, or `otherwise` where the list has none.
template <std::size_t N>
std::string choose(const char* const (&names)[N], unsigned index, const char* otherwise) {
    return index < N && names[index] != nullptr ? names[index] : otherwise;
}

}  // namespace pcienic::ls
