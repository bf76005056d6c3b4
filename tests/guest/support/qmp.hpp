// SPDX-License-Identifier: MIT
#pragma once

/// Orders to QEMU from a test in the guest, over the results channel: hot-plug and the like. The runner carries them
/// out in their order; what comes of them a test sees by itself. An order that QEMU refuses makes the suite's HEALTH
/// red.

#include <initializer_list>
#include <string_view>
#include <utility>

namespace pcienic::guest {

/// A QMP command whose arguments are texts: `qmp("device_del", {{"id", "dev0"}})`. Returns at once. A device_del holds
/// back what follows it until the device is gone, so that a device_add may take up its id again.
/// The runner's devices are dev0, dev1, ..., behind the root ports port0, port1, ...
void qmp(std::string_view command, std::initializer_list<std::pair<std::string_view, std::string_view>> arguments);

}  // namespace pcienic::guest
