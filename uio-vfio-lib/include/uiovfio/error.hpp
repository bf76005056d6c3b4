// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Errors: what was wrong, with which object, and what to do about it.
///
///     try {
///         auto device = uiovfio::Device::open(uiovfio::Bdf::parse("0000:01:00.0"));
///     } catch (const uiovfio::Error& error) {
///         std::cerr << error.what() << '\n';   // "0000:01:00.0: bound to e1000e, not to vfio-pci: bind it with ..."
///         if (error.errc() == uiovfio::Errc::not_bound) ...
///     }
///
/// Every function that can fail for a reason outside the program has a twin with a trailing `std::error_code&`. The
/// twin is noexcept, clears the code on success, and on failure sets it to an Errc and returns an empty value. Without
/// one are constructors, and what throws only for a mistake of the caller's, such as an accessor of an empty Device.

#include <memory>
#include <string>
#include <string_view>
#include <system_error>

namespace uiovfio {

/// What went wrong, as a user can act on it. The operating system's own number, where there is one, is in
/// Error::system_errno().
enum class Errc {
    invalid_bdf = 1,         ///< text is not a PCI address
    invalid_argument,        ///< an argument that no device could accept: an empty buffer, a zero length
    no_such_device,          ///< no function at that address, or none that matches
    ambiguous_device,        ///< several functions match
    no_such_driver,          ///< the kernel knows no driver of that name
    bind_failed,             ///< the driver did not take the device
    not_bound,               ///< the device is not bound to the driver that the backend needs
    group_not_viable,        ///< another function of the IOMMU group is in the hands of a kernel driver
    group_busy,              ///< another process holds the IOMMU group
    device_busy,             ///< another process, or this one, has the device open
    device_in_use,           ///< the machine needs the device where it is, or another process has bound it
    no_iommu,                ///< the machine has no IOMMU in use
    no_vfio,                 ///< the kernel's VFIO modules are not there
    permission_denied,       ///< the process may not open the node
    memory_lock_limit,       ///< RLIMIT_MEMLOCK is too small for the mapping
    iova_exhausted,          ///< no free run of bus addresses is long enough
    iova_out_of_aperture,    ///< the IOMMU cannot translate that bus address, or the platform reserves it
    mapping_overlap,         ///< the bus addresses are already mapped
    mapping_limit,           ///< the kernel's number of mappings per container is used up
    short_unmap,             ///< the kernel removed less than was asked for
    buffer_leased,           ///< the memory is leased: the device may still use it
    hugepages_unavailable,   ///< huge pages were required and there are none
    no_such_bar,             ///< the device does not implement that BAR
    out_of_bounds,           ///< offset and width do not lie within the object
    misaligned,              ///< an offset, address or length that is not a multiple of what the access needs
    not_mappable,            ///< this part of the BAR cannot be mapped into the process
    unsupported,             ///< the device or the backend cannot do this
    interrupt_capacity,      ///< fewer vectors are available than were asked for
    interrupt_mode_busy,     ///< interrupts are already enabled; only one mode at a time
    interrupts_not_enabled,  ///< no interrupts are enabled
    no_such_vector,          ///< the vector is not among those enabled
    timed_out,               ///< the time was up before anything happened
    device_gone,             ///< the device was removed, or answers with all ones
    device_reset,            ///< the device was reset while the operation was waiting
    closed,                  ///< the object was closed or moved from
    forked,                  ///< the device was opened or bound before a fork(), by the parent process
    unknown_backend,         ///< no backend of that name
    bad_trace,               ///< a file is not a trace, or a damaged one
    device_error,            ///< the device reported an error of its own
    system_error,            ///< a system call failed in a way that none of the above describes
};

/// The category of Errc; its name is "uiovfio".
const std::error_category& category() noexcept;

/// So that an Errc is an error_code by itself.
inline std::error_code make_error_code(Errc errc) noexcept { return {static_cast<int>(errc), category()}; }

/// What to do about an error, in general terms, as one sentence without a full stop; never empty. An Error carries a
/// remedy that fits its own case, where more is known.
std::string_view remedy(Errc errc) noexcept;

/// The name of the enumerator ("group_not_viable"), for machine-readable output.
std::string_view name(Errc errc) noexcept;

/// The exception of this library. what() reads "OBJECT: what was wrong: remedy". Copying never throws.
class Error : public std::system_error {
  public:
    /// \param errc          what went wrong
    /// \param object        what it happened to: a BDF, a device node, "BAR2", "vector 7"
    /// \param what_was_wrong one clause, with the figures; empty means the category's message
    /// \param system_errno  errno of the failed system call, or 0
    /// \param remedy        what to do; empty means remedy(errc)
    Error(Errc errc, std::string object, std::string what_was_wrong = {}, int system_errno = 0,
          std::string remedy = {});

    /// What went wrong, and the parts of what(); system_errno() is 0 where no system call failed.
    [[nodiscard]] Errc errc() const noexcept { return static_cast<Errc>(code().value()); }
    [[nodiscard]] std::string_view object() const noexcept;
    [[nodiscard]] std::string_view what_was_wrong() const noexcept;
    [[nodiscard]] std::string_view remedy() const noexcept;
    [[nodiscard]] int system_errno() const noexcept;
    /// The whole: OBJECT: what was wrong: remedy.
    [[nodiscard]] const char* what() const noexcept override;

  private:
    struct Details;
    std::shared_ptr<const Details> details_;
};

}  // namespace uiovfio

template <>
struct std::is_error_code_enum<uiovfio::Errc> : std::true_type {};
