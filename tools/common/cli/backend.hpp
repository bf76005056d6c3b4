// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The option --backend: how to reach the device.

#include <string>

namespace CLI {
class App;
}

namespace pcienic::cli {

class DeviceSelector;

/// `backend` becomes one of the library's, or "auto".
void add_backend_option(CLI::App& app, std::string& backend);

/// Throws Failure(usage) where a device is chosen, and the one of the backend is another.
void check_backend(const std::string& backend, const DeviceSelector& selector);

}  // namespace pcienic::cli
