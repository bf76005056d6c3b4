// SPDX-License-Identifier: MIT
//
// What pcienic-irqtest checks, apart from how it is asked for and shown.
//
// Interrupts come from one of two sources. `device` has the device raise its vector, which proves the whole way: MSI-X
// table, interrupt remapping, interrupt controller, kernel, eventfd. `vfio` has the kernel signal the eventfd by
// itself, which proves the plumbing only, but does so with any device. What fails with the first and holds with the
// second is the device's or the machine's fault.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <uiovfio/device.hpp>
#include <uiovfio/interrupts.hpp>
#include <vector>

#include "latency.hpp"

namespace pcienic {
class Driver;
}

namespace irqtest {

enum class Via { device, vfio };

struct Plan {
    std::vector<unsigned> vectors;  // ascending, none twice, all of them enabled
    std::uint64_t count = 100;      // firings of each vector in each check
    bool masked = false;
    bool parallel = false;
    bool storm = false;
    std::chrono::nanoseconds timeout = std::chrono::seconds(1);
    // Called before each firing, and now and then while one is waited for, with how many of them all are done; where it
    // says false, the rest is left out.
    std::function<bool(std::uint64_t done, std::uint64_t total)> go_on{};
};

struct Verdict {
    bool passed = true;
    std::uint64_t fired = 0;
    std::uint64_t received = 0;
};

struct VectorReport {
    unsigned vector = 0;
    std::uint64_t fired = 0;
    std::uint64_t received = 0;    // interrupts seen on this vector after its own firings
    std::uint64_t duplicates = 0;  // of them, those beyond one a firing
    std::uint64_t cross_talk = 0;  // interrupts seen on other vectors after a firing of this one
    Latencies latencies;           // from the firing to the return of the wait
    std::optional<Verdict> masked;
    std::optional<Verdict> parallel;
    std::optional<Verdict> storm;

    bool passed() const;
};

struct SourceReport {
    Via via = Via::device;
    std::vector<VectorReport> vectors;
    std::vector<std::string> problems;  // what failed, a sentence each, with the vector and what is known of the cause
    bool complete = true;               // false where Plan::go_on ended it: what is told was found until then

    bool held() const { return problems.empty(); }
    bool passed() const { return held() && complete; }
};

// Runs the plan's checks with one source; Via::device needs the driver. Interrupts must be enabled, in the mode that is
// to be tested. With INTx every vector shares the line, and the device's causes tell them apart.
SourceReport run(uiovfio::Device& device, pcienic::Driver* driver, Via via, const Plan& plan);

// The MSI-X pending bit of a vector, where the device has one that can be read.
std::optional<bool> pending_bit(uiovfio::Device& device, unsigned vector);

}  // namespace irqtest
