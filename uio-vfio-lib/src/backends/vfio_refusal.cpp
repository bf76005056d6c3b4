// SPDX-License-Identifier: MIT
#include "backends/vfio_refusal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace uiovfio::detail {

namespace {

constexpr const char* kSeeLog = "see the end of `dmesg` for the kernel's reason";

struct Meaning {
    Errc errc = Errc::system_error;
    std::string what;
    std::string remedy;
};

/// Memory that the firmware wants to have mapped one to one for the device, always: an RMRR of Intel's, a unity mapping
/// of AMD's. No userspace may then have the device.
bool has_firmware_memory(const PciFunction& function) {
    return std::ranges::any_of(function.reserved_regions,
                               [](const ReservedRegion& region) { return region.type == "direct"; });
}

Meaning firmware_memory() {
    return {.errc = Errc::no_iommu,
            .what =
                "the firmware keeps memory of its own mapped for the device, and the kernel refuses to hand "
                "out such a device",
            .remedy =
                "turn off what the firmware uses the device for (USB legacy support, a management controller's "
                "shared memory), or take another device: sysfs's iommu_group/reserved_regions has it as \"direct\""};
}

Meaning not_remapped(const SysfsRoot& root, UnsafeInterrupts parameter) {
    Lack lack = no_interrupt_remapping(root, parameter);
    return {.errc = Errc::no_iommu, .what = std::move(lack.what), .remedy = std::move(lack.remedy)};
}

Meaning held_elsewhere(const PciFunction& function) {
    return {.errc = Errc::group_busy,
            .what = fmt::format("IOMMU group {} is in use by another process or a kernel driver",
                                function.iommu_group.value_or(0)),
            .remedy = "end that process; `fuser -v /dev/vfio/* /dev/vfio/devices/*` names it"};
}

Meaning of_iommu(int error, const PciFunction& function, UnsafeInterrupts parameter, const SysfsRoot& root) {
    switch (error) {
        case EPERM:
            if (has_firmware_memory(function)) return firmware_memory();
            // Of a group that another iommufd has, the kernel says the same.
            if (may_pass_interrupts(root, parameter)) return held_elsewhere(function);
            return not_remapped(root, parameter);
        case EINVAL:
            if (has_firmware_memory(function)) return firmware_memory();
            return {.what = "the IOMMU does not take the device", .remedy = kSeeLog};
        case EBUSY:
            return held_elsewhere(function);
        case ENODEV:
        case EIO:
            return {.errc = Errc::no_iommu, .what = "the IOMMU has no address space for the device", .remedy = kSeeLog};
        case EADDRINUSE:
            return {.what = "what another device of the group has mapped lies where this one cannot reach",
                    .remedy = "open all devices of the group before memory is mapped for one of them"};
        default:
            return {};
    }
}

Meaning of_device(int error) {
    switch (error) {
        case EACCES:
            return {.errc = Errc::permission_denied,
                    .what = "the kernel gives the device only with its VF token",
                    .remedy =
                        "a virtual function whose physical function vfio-pci has needs the token that was set "
                        "there, which this library cannot give: have the PF's own driver make the VFs"};
        case EAGAIN:
            return {.errc = Errc::device_busy,
                    .what = "the kernel is at work on the device (it is being bound, reset or removed)",
                    .remedy = "try again, or longer with OpenOptions::busy_timeout"};
        case EINVAL:
        case EIO:
        case ENOTTY:
            return {.what = "the kernel could not enable the device", .remedy = kSeeLog};
        case ENODEV:
        case ENXIO:
            return {.errc = Errc::device_gone,
                    .what = {},
                    .remedy = "see that the device is still in its slot and bound to vfio-pci"};
        default:
            return {};
    }
}

Meaning of_anything(int error) {
    switch (error) {
        case ENODEV:
        case ENXIO:
            return of_device(error);
        case EMFILE:
            return {.what = {}, .remedy = "raise the limit of open files with `ulimit -n`"};
        case ENOMEM:
            return {.what = "the kernel is out of memory", .remedy = "free memory"};
        default:
            return {.what = {}, .remedy = kSeeLog};
    }
}

}  // namespace

Error vfio_refusal(VfioStep step, std::string_view call, int error, const PciFunction& function,
                   UnsafeInterrupts parameter, const SysfsRoot& root) {
    Meaning meaning;
    if (step == VfioStep::claim_group && (error == EPERM || error == EBUSY)) meaning = held_elsewhere(function);
    if (step == VfioStep::take_iommu) meaning = of_iommu(error, function, parameter, root);
    if (step == VfioStep::open_device) meaning = of_device(error);
    if (meaning.remedy.empty()) meaning = of_anything(error);
    std::string what = fmt::format("{} failed", call);
    if (!meaning.what.empty()) what += ": " + meaning.what;
    return Error{meaning.errc, to_string(function.bdf), std::move(what), error, std::move(meaning.remedy)};
}

}  // namespace uiovfio::detail
