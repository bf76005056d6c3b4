// SPDX-License-Identifier: MIT
#include "uiovfio/error.hpp"

#include <array>
#include <utility>

#include "backend_list.hpp"

namespace uiovfio {

namespace {

struct Description {
    Errc errc;
    std::string_view name;
    std::string_view message;
    std::string_view remedy;
};

// In the order of the enumeration, which starts at 1; a test walks it.
constexpr std::array kDescriptions{
    Description{Errc::invalid_bdf, "invalid_bdf", "not a PCI address",
                "write it as DOMAIN:BUS:DEVICE.FUNCTION in hexadecimal, for instance 0000:01:00.0"},
    Description{Errc::invalid_argument, "invalid_argument", "invalid argument", "see the function's description"},
    Description{Errc::no_such_device, "no_such_device", "no such PCI function", "list what there is with `lspci -D`"},
    Description{Errc::ambiguous_device, "ambiguous_device", "several PCI functions match",
                "name one of them by its address"},
    Description{Errc::no_such_driver, "no_such_driver", "the kernel has no such driver",
                "load its module with `modprobe`"},
    Description{Errc::bind_failed, "bind_failed", "the driver did not take the device",
                "see the end of `dmesg` for the driver's reason"},
    Description{Errc::not_bound, "not_bound", "not bound to vfio-pci", "bind it with `pcienic-ctl bind`"},
    Description{Errc::group_not_viable, "group_not_viable", "the IOMMU group is shared with a kernel driver",
                "bind every device of the group to vfio-pci, or take its driver away"},
    Description{Errc::group_busy, "group_busy", "the IOMMU group is held by another process",
                "end that process; `fuser -v /dev/vfio/*` names it"},
    Description{Errc::device_busy, "device_busy", "the device is open elsewhere",
                "end the process that has it, or close it there"},
    Description{Errc::device_in_use, "device_in_use", "the machine uses the device",
                "take it out of use first, or insist: BindOptions::force, --force"},
    Description{Errc::no_iommu, "no_iommu", "no IOMMU is in use",
                "turn it on in the firmware and boot with intel_iommu=on or amd_iommu=on"},
    Description{Errc::no_vfio, "no_vfio", "the kernel has no VFIO", "load it with `modprobe vfio-pci`"},
    Description{Errc::permission_denied, "permission_denied", "permission denied",
                "run as root, or give the device node to this user"},
    Description{Errc::memory_lock_limit, "memory_lock_limit", "the memory lock limit is too small",
                "raise it with `ulimit -l`, or grant CAP_IPC_LOCK"},
    Description{Errc::iova_exhausted, "iova_exhausted", "no free bus addresses",
                "unmap what is no longer needed, or map less at a time"},
    Description{Errc::iova_out_of_aperture, "iova_out_of_aperture", "the bus address cannot be mapped",
                "let the library choose the address, or take one from DmaSpace::ranges()"},
    Description{Errc::mapping_overlap, "mapping_overlap", "the bus addresses are mapped already",
                "unmap them first, or let the library choose the address"},
    Description{Errc::mapping_limit, "mapping_limit", "too many mappings",
                "map fewer, larger pieces, or raise vfio_iommu_type1's dma_entry_limit"},
    Description{Errc::short_unmap, "short_unmap", "less was unmapped than asked for",
                "report it: the library's record and the kernel's differ"},
    Description{Errc::buffer_leased, "buffer_leased", "the memory is leased to the device",
                "wait until the device is done with it, or reset the device, and give the leases back"},
    Description{Errc::hugepages_unavailable, "hugepages_unavailable", "no huge pages are free",
                "reserve some through /proc/sys/vm/nr_hugepages, or use HugePages::prefer"},
    Description{Errc::no_such_bar, "no_such_bar", "the device has no such BAR", "use one that Device::bars() gives"},
    Description{Errc::out_of_bounds, "out_of_bounds", "out of bounds", "stay within the object's size"},
    Description{Errc::misaligned, "misaligned", "misaligned", "use a multiple of the access's width"},
    Description{Errc::not_mappable, "not_mappable", "cannot be mapped into the process",
                "use Bar::window(), which goes through the kernel where it has to"},
    Description{Errc::unsupported, "unsupported", "not supported", "use what the device and its backend offer"},
    Description{Errc::interrupt_capacity, "interrupt_capacity", "not enough interrupt vectors",
                "ask for no more than Interrupts::available() gives"},
    Description{Errc::interrupt_mode_busy, "interrupt_mode_busy", "interrupts are enabled already",
                "disable them first; only one mode can be in force"},
    Description{Errc::interrupts_not_enabled, "interrupts_not_enabled", "interrupts are not enabled",
                "call Interrupts::enable() first"},
    Description{Errc::no_such_vector, "no_such_vector", "no such vector", "use a number below Interrupts::count()"},
    Description{Errc::timed_out, "timed_out", "the time is up",
                "see whether the device had cause to answer, and whether its interrupts and bus mastering are enabled"},
    Description{Errc::device_gone, "device_gone", "the device is gone", "see that it is still in its slot"},
    Description{Errc::device_reset, "device_reset", "the device was reset while waiting",
                "set the device up again, then wait anew"},
    Description{Errc::closed, "closed", "closed", "open the device first, and do not use what was moved from"},
    Description{Errc::forked, "forked", "the device belongs to the parent process",
                "open the device after the fork(), in the process that is to use it"},
    Description{Errc::unknown_backend, "unknown_backend", "no such backend", detail::kUseOneOfThem},
    Description{Errc::bad_trace, "bad_trace", "not a trace, or a damaged one",
                "record it anew, or see whether it was copied whole"},
    Description{Errc::device_error, "device_error", "the device reported an error",
                "see the device's description of that error"},
    Description{Errc::system_error, "system_error", "a system call failed", "see the system's own message"},
};

const Description* find(int value) noexcept {
    const auto index = static_cast<std::size_t>(value) - 1;
    return index < kDescriptions.size() ? &kDescriptions[index] : nullptr;
}

class Category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "uiovfio"; }
    std::string message(int value) const override {
        const Description* description = find(value);
        return description != nullptr ? std::string{description->message} : "unknown error " + std::to_string(value);
    }
};

}  // namespace

const std::error_category& category() noexcept {
    static const Category instance;
    return instance;
}

std::string_view remedy(Errc errc) noexcept {
    const Description* description = find(static_cast<int>(errc));
    return description != nullptr ? description->remedy : "report it: this error has no description";
}

std::string_view name(Errc errc) noexcept {
    const Description* description = find(static_cast<int>(errc));
    return description != nullptr ? description->name : "unknown";
}

struct Error::Details {
    std::string object;
    std::string what_was_wrong;
    std::string remedy;
    int system_errno;
    std::string what;
};

Error::Error(Errc errc, std::string object, std::string what_was_wrong, int system_errno, std::string remedy)
    : std::system_error{make_error_code(errc)} {
    if (what_was_wrong.empty()) what_was_wrong = category().message(static_cast<int>(errc));
    if (system_errno != 0) what_was_wrong += " (" + std::generic_category().message(system_errno) + ")";
    if (remedy.empty()) remedy = uiovfio::remedy(errc);
    auto details = std::make_shared<Details>();
    details->what = (object.empty() ? std::string{} : object + ": ") + what_was_wrong + ": " + remedy;
    details->object = std::move(object);
    details->what_was_wrong = std::move(what_was_wrong);
    details->remedy = std::move(remedy);
    details->system_errno = system_errno;
    details_ = std::move(details);
}

std::string_view Error::object() const noexcept { return details_->object; }
std::string_view Error::what_was_wrong() const noexcept { return details_->what_was_wrong; }
std::string_view Error::remedy() const noexcept { return details_->remedy; }
int Error::system_errno() const noexcept { return details_->system_errno; }
const char* Error::what() const noexcept { return details_->what.c_str(); }

}  // namespace uiovfio
