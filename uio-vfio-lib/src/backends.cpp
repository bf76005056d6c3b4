// SPDX-License-Identifier: MIT
#include "uiovfio/backends.hpp"

#include <fmt/format.h>

#include "backend.hpp"
#include "backend_list.hpp"

namespace uiovfio {

std::string_view to_string(Feature feature) noexcept {
    switch (feature) {
        case Feature::mmap:
            return "mapped BARs";
        case Feature::dma:
            return "DMA";
        case Feature::intx:
            return "INTx";
        case Feature::msi:
            return "MSI";
        case Feature::msix:
            return "MSI-X";
        case Feature::trigger:
            return "triggering of interrupts by software";
        case Feature::reset:
            return "reset";
        case Feature::events:
            return "error and request events";
    }
    return "unknown";
}

std::span<const BackendTraits> backends() noexcept { return detail::kBackends; }

const BackendTraits* find_backend(std::string_view name) noexcept {
    for (const BackendTraits& traits : detail::kBackends)
        if (traits.name == name) return &traits;
    return nullptr;
}

namespace detail {

std::string backends_that_can(Feature feature) {
    std::string names;
    for (const BackendTraits& traits : kBackends)
        if (traits.can(feature)) names += (names.empty() ? "" : ", ") + std::string{traits.name};
    return names;
}

void Backend::require(Feature feature) const {
    if (traits().can(feature)) return;
    const std::string_view reason = why_not(feature);
    throw Error{
        Errc::unsupported, object_,
        fmt::format("the backend {} has no {}{}{}", name(), to_string(feature), reason.empty() ? "" : ": ", reason), 0,
        fmt::format("open the device with a backend that has: {}", backends_that_can(feature))};
}

}  // namespace detail

}  // namespace uiovfio
