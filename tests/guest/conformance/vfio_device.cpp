// SPDX-License-Identifier: MIT
#include "vfio_device.hpp"

#include <cstdlib>
#include <sstream>
#include <string>

#include "conformance.hpp"

namespace uiovfio::conformance {

Bdf device_under_test(std::size_t index) {
    const char* all = std::getenv("PCIENIC_BDFS");
    std::istringstream words{all != nullptr ? all : "PCIENIC_BDFS_is_not_set:_run_this_in_the_guest"};
    std::string word;
    for (std::size_t i = 0; i <= index; ++i) words >> word;
    return Bdf::parse(word);
}

Device open_device(bool bus_master) {
    const char* backend = std::getenv("PCIENIC_BACKEND");
    return Device::open(device_under_test(),
                        {.backend = backend != nullptr ? backend : "vfio", .bus_master = bus_master});
}

}  // namespace uiovfio::conformance
