// SPDX-License-Identifier: MIT
// Prints as JSON what the library says of its backends, for tests/docs/backends.py.
#include <iostream>
#include <nlohmann/json.hpp>
#include <uiovfio/backends.hpp>

int main() {
    using uiovfio::Feature;
    auto document = nlohmann::ordered_json::array();
    for (const uiovfio::BackendTraits& backend : uiovfio::backends()) {
        nlohmann::ordered_json features;
        for (const Feature feature : {Feature::mmap, Feature::dma, Feature::intx, Feature::msi, Feature::msix,
                                      Feature::trigger, Feature::reset, Feature::events})
            features[std::string{to_string(feature)}] = backend.can(feature);
        document.push_back({{"name", backend.name},
                            {"summary", backend.summary},
                            {"driver", backend.driver},
                            {"automatic", backend.is_automatic},
                            {"features", features}});
    }
    std::cout << document.dump() << '\n';
}
