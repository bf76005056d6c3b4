// SPDX-License-Identifier: MIT
/// A program that uses the library itself, and a plug-in that does.

#include <dlfcn.h>

#include <cstdio>
#include <pcienic/driver.hpp>
#include <system_error>
#include <uiovfio/sim.hpp>
#include <uiovfio/uiovfio.hpp>

int main(int argc, char** argv) {
    auto device = uiovfio::open_sim();
    pcienic::Driver driver{device};
    if (driver.identity().vectors == 0) return 1;

    void* plugin = argc > 1 ? ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (plugin == nullptr) return std::fprintf(stderr, "%s\n", ::dlerror()), 2;
    const auto give_code = reinterpret_cast<void (*)(std::error_code&)>(::dlsym(plugin, "give_code"));
    const auto throw_error = reinterpret_cast<void (*)()>(::dlsym(plugin, "throw_error"));
    if (give_code == nullptr || throw_error == nullptr) return 3;
    std::error_code code;
    give_code(code);
    if (code != uiovfio::Errc::invalid_bdf) return 4;
    try {
        throw_error();
    } catch (const uiovfio::Error& error) {
        return error.errc() == uiovfio::Errc::invalid_bdf ? 0 : 5;
    }
    return 6;
}
