// SPDX-License-Identifier: GPL-2.0-or-later
/// Which modules of the kernel could drive a device.
#pragma once

#include <memory>
#include <string>
#include <vector>

struct kmod_ctx;

namespace pcienic::ls {

/// Asks libkmod, as lspci and modprobe do: modules that can be loaded, those that are built in, and the aliases of
/// modprobe.d. Not for several threads at once.
class KernelModules {
  public:
    /// Of the running kernel, by the system's settings. Tests name a directory of modules and one of settings.
    KernelModules();
    KernelModules(const std::string& modules, const std::string& settings);

    /// Their names, for a device's alias ("pci:v00001AF4..."); empty if there are none or if they cannot be read.
    [[nodiscard]] std::vector<std::string> for_alias(const std::string& alias) const;

  private:
    KernelModules(const char* modules, const char* const* settings);

    struct Release {
        void operator()(kmod_ctx* context) const noexcept;
    };
    std::unique_ptr<kmod_ctx, Release> context_;
};

}  // namespace pcienic::ls
