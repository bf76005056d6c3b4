// SPDX-License-Identifier: MIT
// A file that may be a trace: it is refused with a reason, or it is read, and then it can be shown and exported, as
// JSON that parses.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "chrome_trace.hpp"
#include "trace_rows.hpp"
#include "uiovfio/trace.hpp"

namespace {

void check(bool holds) {
    if (!holds) std::abort();
}

void check_positions(const uiovfio::Trace& trace) {
    std::size_t before = 0;
    for (std::size_t i = 0; i <= trace.records().size(); ++i) {
        check(trace.position(i) > before && trace.position(i) <= trace.bytes().size());
        before = trace.position(i);
    }
    const bool is_whole = trace.position(trace.records().size()) == trace.bytes().size();
    check(is_whole == (trace.end() != uiovfio::TraceEnd::cut));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto* bytes = reinterpret_cast<const std::byte*>(data);
    std::error_code ec;
    const auto trace = uiovfio::Trace::parse({bytes, bytes + size}, "input", ec);
    check(!ec || ec == uiovfio::Errc::bad_trace);
    if (ec) return 0;
    check_positions(trace);
    namespace ctl = pcienic::ctl;
    check(!ctl::trace_header_line(ctl::trace_header_row(trace)).empty());
    for (std::size_t i = 0; i < trace.records().size(); ++i) {
        const auto row = ctl::trace_record_row(trace, i);
        check(nlohmann::ordered_json::parse(row.dump()) == row);
        check(!ctl::trace_line(row).empty());
    }
    std::ostringstream chrome;
    ctl::write_chrome_trace(chrome, trace);
    const auto document = nlohmann::json::parse(chrome.str());
    check(document["traceEvents"].size() >= trace.records().size());
    return 0;
}
