// SPDX-License-Identifier: MIT
#include "cli/exit.hpp"

#include <exception>
#include <new>
#include <ostream>

#include "cli/streams.hpp"

namespace pcienic::cli {

Exit exit_for(uiovfio::Errc errc) noexcept {
    using enum uiovfio::Errc;
    switch (errc) {
        case invalid_bdf:
        case invalid_argument:
        case no_such_bar:
        case out_of_bounds:
        case misaligned:
        case unknown_backend:
        case interrupt_capacity:
        case no_such_vector:
        case bad_trace:
        case device_in_use:
            return Exit::usage;
        case no_such_device:
        case ambiguous_device:
            return Exit::no_device;
        case not_bound:
        case no_such_driver:
        case bind_failed:
        case group_not_viable:
        case group_busy:
        case device_busy:
        case no_iommu:
        case no_vfio:
        case permission_denied:
        case memory_lock_limit:
            return Exit::permission;
        case timed_out:
            return Exit::timeout;
        default:
            return Exit::failure;
    }
}

Exit exit_for(const std::exception& error) noexcept {
    if (const auto* failure = dynamic_cast<const Failure*>(&error)) return failure->code();
    if (const auto* known = dynamic_cast<const uiovfio::Error*>(&error)) return exit_for(known->errc());
    return Exit::failure;
}

int guarded(std::string_view tool, std::ostream& out, std::ostream& err, const std::function<Exit()>& body) {
    const auto end = [&](const std::exception& error, Exit code) {
        err << tool << ": " << error.what() << '\n';
        return static_cast<int>(code);
    };
    occupy_closed_streams();
    try {
        const Exit code = body();
        if (!out.flush())
            throw Failure{Exit::failure, "the output could not be written: is it closed, or the disk full?"};
        return static_cast<int>(code);
    } catch (const std::bad_alloc&) {
        return end(Failure{Exit::failure, "out of memory: ask for less at a time, or allow more with `ulimit -v`"},
                   Exit::failure);
    } catch (const std::exception& error) {
        return end(error, exit_for(error));
    }
}

}  // namespace pcienic::cli
