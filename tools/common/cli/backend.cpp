// SPDX-License-Identifier: MIT
#include "cli/backend.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "cli/exit.hpp"
#include "cli/options.hpp"
#include "cli/selector.hpp"

namespace pcienic::cli {

void add_backend_option(CLI::App& app, std::string& backend, Usable usable) {
    Options options{app};
    std::vector<std::string> backends{"auto"};
    for (const uiovfio::BackendTraits& traits : uiovfio::backends())
        if (usable(traits)) backends.emplace_back(traits.name);
    options
        .add_option(
            "--backend", backend,
            fmt::format("{}: how to reach the device; sim is a pcienic inside this process", fmt::join(backends, ", ")))
        .type_name("NAME")
        .one_of(backends);
}

void check_backend(const std::string& backend, const DeviceSelector& selector) {
    if (backend == "sim" && selector.given())
        throw Failure{Exit::usage,
                      "--backend sim: its device is in this process, and none of the machine's: name one or "
                      "the other"};
}

}  // namespace pcienic::cli
