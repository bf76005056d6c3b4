// SPDX-License-Identifier: MIT
// The records of a trace, behind a header that fits: the replay ends, with a report or with a reason, and leaves the
// device in a state in which it can be closed. Where it matched, its resolved form matches as well.
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "builder.hpp"
#include "pcienic/replay.hpp"
#include "uiovfio/replay.hpp"

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

constexpr std::uint64_t kDeviceMemory = 4096;

uiovfio::ReplayReport replayed(const uiovfio::Trace& trace, std::error_code& ec) {
    auto device = uiovfio::open_sim({.memory_size = kDeviceMemory});
    uiovfio::ReplayOptions options = pcienic::replay_options();
    options.memory_limit = std::uint64_t{1} << 20;
    options.patience = std::chrono::milliseconds{50};
    options.most_mismatches = 10;
    return uiovfio::replay(trace, device, options, ec);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<std::byte> bytes = uiovfio::test::TraceBuilder{uiovfio::test::sim_header(kDeviceMemory)}.bytes();
    const auto* records = reinterpret_cast<const std::byte*>(data);
    bytes.insert(bytes.end(), records, records + size);
    std::error_code ec;
    const auto trace = uiovfio::Trace::parse(std::move(bytes), "input", ec);
    if (ec) return 0;
    const auto report = replayed(trace, ec);
    if (ec) {
        using uiovfio::Errc;
        check(ec == Errc::bad_trace || ec == Errc::timed_out || ec == Errc::system_error);
        return 0;
    }
    check(report.records + report.skipped <= trace.records().size());
    check(report.mismatches.size() <= 10 && report.mismatches.size() <= report.mismatch_count);
    if (!report.matched()) return 0;
    const auto known = uiovfio::Trace::parse(uiovfio::resolved(trace, report), "resolved");
    const auto again = replayed(known, ec);
    check(ec == uiovfio::Errc::timed_out || (!ec && again.matched() && again.assumed_bytes == 0));
    return 0;
}
