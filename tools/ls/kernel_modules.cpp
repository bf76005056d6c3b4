// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_modules.hpp"

#include <libkmod.h>

#include <algorithm>
#include <array>

#include "printable.hpp"

namespace pcienic::ls {

KernelModules::KernelModules() : KernelModules(nullptr, nullptr) {}

KernelModules::KernelModules(const std::string& modules, const std::string& settings)
    : KernelModules(modules.c_str(), std::array<const char*, 2>{settings.c_str(), nullptr}.data()) {}

KernelModules::KernelModules(const char* modules, const char* const* settings) : context_(kmod_new(modules, settings)) {
    if (!context_) return;
    kmod_set_log_priority(context_.get(), 0);  // that there are no modules is no fault
    kmod_load_resources(context_.get());
}

void KernelModules::Release::operator()(kmod_ctx* context) const noexcept { kmod_unref(context); }

std::vector<std::string> KernelModules::for_alias(const std::string& alias) const {
    std::vector<std::string> names;
    kmod_list* list = nullptr;
    if (!context_ || alias.empty() || kmod_module_new_from_lookup(context_.get(), alias.c_str(), &list) < 0)
        return names;
    for (const kmod_list* entry = list; entry != nullptr; entry = kmod_list_next(list, entry)) {
        kmod_module* module = kmod_module_get_module(entry);
        std::string name = printable(kmod_module_get_name(module));
        kmod_module_unref(module);
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
    }
    kmod_module_unref_list(list);
    return names;
}

}  // namespace pcienic::ls
