// SPDX-License-Identifier: MIT
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <pcienic/driver.hpp>
#include <span>
#include <uiovfio/sim.hpp>

namespace pcienic::test {

// A watchdog, not a measure: nothing here takes long unless it hangs.
inline constexpr auto kPatience = std::chrono::seconds(60);

class OnSim : public testing::Test {
  protected:
    explicit OnSim(const uiovfio::SimOptions& options = {}) : device(uiovfio::open_sim(options)), driver(device) {}

    uiovfio::DmaBuffer buffer(std::size_t size) { return device.dma().allocate(size); }

    // An address that no mapping covers: beyond everything the IOMMU translates for us, and within its aperture.
    uiovfio::Iova unmapped() {
        uiovfio::DmaBuffer gone = buffer(4096);
        return gone.iova();  // given back when this returns
    }

    uiovfio::Device device;
    Driver driver;
};

inline void put(std::span<std::byte> bytes, unsigned seed) {
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>((i * 31 + seed) ^ (i >> 8));
}

inline bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

MATCHER_P(Moved, bytes, "") {
    *result_listener << to_string(arg);
    return !arg.code && arg.detail == static_cast<std::uint64_t>(bytes);
}

MATCHER_P(EndsAs, code, "") {
    *result_listener << to_string(arg);
    return arg.code == code;
}

// Runs `action` and checks that it throws the Errc.
template <typename Action>
void expect_error(Errc errc, Action&& action) {
    try {
        action();
        ADD_FAILURE() << "no error where '" << make_error_code(errc).message() << "' was due";
    } catch (const Error& error) {
        EXPECT_EQ(error.errc(), errc) << error.what();
    }
}

}  // namespace pcienic::test
