// SPDX-License-Identifier: MIT
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <pcienic/driver.hpp>
#include <span>
#include <string>
#include <uiovfio/uiovfio.hpp>

#include "expect.hpp"

namespace pcienic::test {

// A watchdog, not a measure: an emulated guest on a busy machine is slow.
inline constexpr auto kPatience = std::chrono::seconds(120);

inline uiovfio::Bdf device_under_test() {
    const char* bdf = std::getenv("PCIENIC_BDF");
    return uiovfio::Bdf::parse(bdf ? bdf : "PCIENIC_BDF is not set: run this in the project's guest");
}

class OnVfio : public testing::Test {
  protected:
    uiovfio::DmaBuffer buffer(std::size_t size) { return device.dma().allocate(size); }

    uiovfio::Device device = uiovfio::Device::open(device_under_test());
    Driver driver{device};
};

inline void put(std::span<std::byte> bytes, unsigned seed) {
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>((i * 31 + seed) ^ (i >> 8));
}

inline bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

inline bool all_are(std::span<const std::byte> bytes, std::byte value) {
    for (const std::byte byte : bytes)
        if (byte != value) return false;
    return true;
}

MATCHER_P(Moved, bytes, "") {
    *result_listener << to_string(arg);
    return !arg.code && arg.detail == static_cast<std::uint64_t>(bytes);
}

MATCHER_P(EndsAs, code, "") {
    *result_listener << to_string(arg);
    return arg.code == code;
}

}  // namespace pcienic::test
