// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one list of backends: what is told about them anywhere is made from it.

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "uiovfio/backends.hpp"

namespace uiovfio::detail {

constexpr std::uint32_t features(std::initializer_list<Feature> all) noexcept {
    std::uint32_t bits = 0;
    for (const Feature feature : all) bits |= std::uint32_t{1} << static_cast<unsigned>(feature);
    return bits;
}

// In the order in which "auto" tries.
inline constexpr std::array kBackends{
    BackendTraits{.name = "vfio",
                  .summary = "VFIO's group and container, DMA through the type 1 IOMMU interface",
                  .driver = "vfio-pci",
                  .is_automatic = true,
                  .features = features({Feature::mmap, Feature::dma, Feature::intx, Feature::msi, Feature::msix,
                                        Feature::trigger, Feature::reset, Feature::events})},
    BackendTraits{.name = "iommufd",
                  .summary = "VFIO's device node, DMA through IOMMUFD",
                  .driver = "vfio-pci",
                  .is_automatic = true,
                  .features = features({Feature::mmap, Feature::dma, Feature::intx, Feature::msi, Feature::msix,
                                        Feature::trigger, Feature::reset, Feature::events})},
    BackendTraits{.name = "uio",
                  .summary = "sysfs and the interrupt of uio_pci_generic, without an IOMMU",
                  .driver = "uio_pci_generic",
                  .is_automatic = true,
                  .features = features({Feature::mmap, Feature::intx, Feature::reset})},
    BackendTraits{.name = "sysfs",
                  .summary = "the files that sysfs has of a device, no driver needed",
                  .driver = {},
                  .features = features({Feature::mmap, Feature::reset})},
    BackendTraits{.name = "vfio-noiommu",
                  .summary = "VFIO without an IOMMU: nothing guards memory from the device",
                  .driver = "vfio-pci",
                  .features = features({Feature::mmap, Feature::intx, Feature::msi, Feature::msix, Feature::trigger,
                                        Feature::reset, Feature::events})},
    BackendTraits{.name = "sim",
                  .summary = "a pcienic inside this process, whatever the address",
                  .driver = {},
                  .features = features({Feature::dma, Feature::intx, Feature::msi, Feature::msix, Feature::trigger,
                                        Feature::reset, Feature::events})},
};

/// The traits of a backend of this library. A name that is not in the list does not compile.
consteval const BackendTraits& traits_of(std::string_view name) {
    for (const BackendTraits& traits : kBackends)
        if (traits.name == name) return traits;
    throw "no such backend";
}

namespace backend_list_detail {

constexpr std::string_view kFirst = "use auto, ";
constexpr std::string_view kBetween = ", ";
constexpr std::string_view kLast = " or ";

constexpr std::size_t text_size() noexcept {
    std::size_t size = kFirst.size();
    for (std::size_t i = 0; i < kBackends.size(); ++i)
        size += kBackends[i].name.size() + (i == 0 ? 0 : i + 1 == kBackends.size() ? kLast.size() : kBetween.size());
    return size;
}

constexpr std::array<char, text_size()> make_text() noexcept {
    std::array<char, text_size()> text{};
    auto* end = std::copy(kFirst.begin(), kFirst.end(), text.data());
    for (std::size_t i = 0; i < kBackends.size(); ++i) {
        const std::string_view before = i == 0 ? "" : i + 1 == kBackends.size() ? kLast : kBetween;
        end = std::copy(before.begin(), before.end(), end);
        end = std::copy(kBackends[i].name.begin(), kBackends[i].name.end(), end);
    }
    return text;
}

inline constexpr auto kText = make_text();

}  // namespace backend_list_detail

/// "use auto, A, B or C": the remedy for a name that is none of them.
inline constexpr std::string_view kUseOneOfThem{backend_list_detail::kText.data(), backend_list_detail::kText.size()};

/// The names of those that can do it: "vfio, sim".
std::string backends_that_can(Feature feature);

}  // namespace uiovfio::detail
