// SPDX-License-Identifier: MIT
#pragma once

#include "report/model.hpp"

namespace pcienic::bench::test {

/// A series whose samples all took that long.
inline Series series(std::string name, double ns, std::string baseline = {}, std::string parameter = {}) {
    return {.name = std::move(name),
            .parameter = std::move(parameter),
            .baseline = std::move(baseline),
            .time = summarise({ns, ns, ns, ns * 10}),
            .bytes = 0,
            .allocations = {},
            .must_not_allocate = false,
            .system_calls = {}};
}

/// One run with the groups of which something is claimed, and one with parameters, throughput and something skipped.
inline Report sample_report() {
    Group reads{"registers.read", "Reading a register", "one load", {}, {{"libpciaccess", "it needs a second device"}}};
    reads.series = {series("raw pointer", 100), series("typed register", 101, "raw pointer")};
    for (Series& one : reads.series) {
        one.allocations = 0;
        one.must_not_allocate = true;
    }
    Group wake{"interrupts.wake", "An interrupt", "from A to B", {}, {}};
    wake.series = {series("blocking read", 50e3), series("Asio coroutine", 75e3, "blocking read")};
    wake.series[1].system_calls = {{"epoll_wait", 1}, {"read", 2.5}};
    Group copy{"dma.copy", "Copies", "one <command> & its \"end\"", {}, {}};
    copy.series = {series("memcpy", 1e6, "", "1 MiB"), series("the device", 2e6, "memcpy", "1 MiB")};
    copy.series[1].bytes = 1 << 20;
    return {{Run{{{"library", "0.1.0"}, {"kernel", "6.1.0"}, {"accelerator", "TCG"}, {"date", "2026-01-01"}},
                 {reads, wake, copy}}}};
}

}  // namespace pcienic::bench::test
