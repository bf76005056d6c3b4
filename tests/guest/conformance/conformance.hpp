// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What every backend has to do alike: one suite, linked into a unit test on the simulated device and into a guest test
/// on the real one. What a backend cannot do it says with Errc, and the cases that need it are skipped.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <pcienic/registers.hpp>
#include <string_view>
#include <uiovfio/uiovfio.hpp>

namespace uiovfio::conformance {

/// Opens the pcienic under test, as it is out of the box: 32 vectors, 16 MiB of memory. Defined by each program.
Device open_device(bool bus_master = true);

// A watchdog, not a measure: an emulated guest on a busy machine is slow.
// Shorter only where a wait is expected to end with it.
inline const std::chrono::seconds kPatience{[] {
    const char* given = std::getenv("PCIENIC_PATIENCE");
    return given != nullptr ? std::atoi(given) : 120;  // NOLINT(cert-err34-c): it is this suite's own
}()};
inline constexpr std::chrono::nanoseconds kAtOnce{0};
inline constexpr unsigned kVectors = 32;
inline constexpr std::size_t kPage = 4096;

/// The Errc that `action` ends with, or nothing.
template <class Action>
std::optional<Errc> errc_of(Action&& action) {
    try {
        std::forward<Action>(action)();
        return std::nullopt;
    } catch (const Error& error) {
        // Whatever went wrong, the message names the object and the remedy.
        EXPECT_FALSE(error.object().empty()) << error.what();
        EXPECT_FALSE(error.remedy().empty()) << error.what();
        return error.errc();
    }
}

constexpr Feature feature_of(InterruptMode mode) {
    if (mode == InterruptMode::intx) return Feature::intx;
    return mode == InterruptMode::msi ? Feature::msi : Feature::msix;
}

/// Ends a case that needs what the backend says that it cannot do.
#define NEEDS_FEATURE(feature) \
    if (!device.can(feature)) GTEST_SKIP() << "the backend " << device.backend() << " has no " << to_string(feature)
#define NEEDS(feature) NEEDS_FEATURE(Feature::feature)

class Conformance : public testing::Test {
  protected:
    // VFIO resets a device when it opens it; elsewhere it is as the case before has left it.
    Conformance() {
        if (!device.can(Feature::dma)) device.reset();
    }

    Window registers() const { return device.bar(pcienic::kBarRegisters).window(); }
    /// Makes the device raise a vector, by its own logic.
    void fire(unsigned vector) const {
        const auto window = registers();
        pcienic::regs::IrqTest::write(window, vector);
    }

    Device device = open_device();
};

class ConformanceBars : public Conformance {};

}  // namespace uiovfio::conformance
