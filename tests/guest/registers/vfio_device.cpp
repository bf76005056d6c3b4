// SPDX-License-Identifier: MIT
// The register walk in the guest: the device in QEMU, through VFIO.
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "expect.hpp"
#include "walked_device.hpp"

namespace pcienic::walk {

uiovfio::Device open_device() {
    const char* bdf = std::getenv("PCIENIC_BDF");
    if (bdf == nullptr)
        throw std::runtime_error{"PCIENIC_BDF: is not set: run this test through ctest, which boots a guest"};
    return uiovfio::Device::open(uiovfio::Bdf::parse(bdf));
}

void expect_latched(const char* code) {
    static const std::map<std::string_view, std::string> kTexts{
        {"READ_ONLY", "pcienic: write to the read-only register"},
        {"BAD_OFFSET", "pcienic: no register at offset"},
        {"BAD_VALUE", "pcienic: .*reserved bits"}};
    const guest::ExpectGuestError expected{kTexts.at(code)};
}

void expect_refused_access() {
    const guest::ExpectGuestError read{"Invalid read at addr 0x10, size [12]"};
    const guest::ExpectGuestError write{"Invalid write at addr 0x10, size [12]"};
}

}  // namespace pcienic::walk
