// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The option --backend: how to reach the device.

#include <string>
#include <uiovfio/backends.hpp>

namespace CLI {
class App;
}

namespace pcienic::cli {

class DeviceSelector;

/// Whether a tool can do with a backend what it is for.
using Usable = bool (*)(const uiovfio::BackendTraits& backend);

/// `backend` becomes one of the library's that is usable, or "auto".
void add_backend_option(
    CLI::App& app, std::string& backend, Usable usable = [](const uiovfio::BackendTraits&) { return true; });

/// Throws Failure(usage) where a device is chosen, and the one of the backend is another.
void check_backend(const std::string& backend, const DeviceSelector& selector);

}  // namespace pcienic::cli
