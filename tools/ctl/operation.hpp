// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What one command of the command line does. All operations of an invocation are prepared, which finds every mistake
/// that can be found without touching the device, before the first one runs.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/exit.hpp"
#include "cli/options.hpp"
#include "place.hpp"
#include "session.hpp"

namespace pcienic::ctl {

/// Which options of the whole invocation mean something to an operation. One that means nothing to any of the
/// operations is refused, rather than ignored.
struct Heeds {
    bool selection = true;  ///< -s, -d
    bool backend = true;    ///< --backend
    bool bar = false;       ///< --bar
    bool trace = true;      ///< --trace
    bool form = true;       ///< -o, --json

    /// What the one or the other heeds.
    friend Heeds operator|(const Heeds& a, const Heeds& b) {
        return {.selection = a.selection || b.selection,
                .backend = a.backend || b.backend,
                .bar = a.bar || b.bar,
                .trace = a.trace || b.trace,
                .form = a.form || b.form};
    }
};

inline constexpr Heeds kHeedsNothing{.selection = false, .backend = false, .bar = false, .trace = false, .form = false};
/// Of an operation that needs no device.
inline constexpr Heeds kHeedsForm{.selection = false, .backend = false, .bar = false, .trace = false, .form = true};
/// Of one that needs a function, and does not open it.
inline constexpr Heeds kHeedsFunction{.selection = true, .backend = false, .bar = false, .trace = false, .form = true};
/// Of one that has these operands, which may be offsets.
inline Heeds heeds_of(const std::vector<std::string>& operands) {
    Heeds heeds;
    heeds.bar = std::ranges::any_of(operands, takes_default_bar);
    return heeds;
}

class Operation {
  public:
    virtual ~Operation() = default;
    /// Checks the operands. Throws Failure(usage).
    virtual void prepare(Session& session) = 0;
    /// Says what run() would do, for --dry-run: by Session::would(), or as a document of its own.
    virtual void explain(Session& session) = 0;
    virtual cli::Exit run(Session& session) = 0;
    /// Asked once it is prepared.
    [[nodiscard]] virtual Heeds heeds() const { return {}; }
    /// Whether it shares an invocation with other operations; false for what leaves the device to another program.
    [[nodiscard]] virtual bool can_share() const { return true; }
};

using Chosen = std::shared_ptr<Operation>;

/// Adds a command whose options Op::add_options binds; `chosen` is the operation once the command was given.
template <class Op>
void add_operation(cli::Options& line, Chosen& chosen, const std::string& name, const std::string& description) {
    auto operation = std::make_shared<Op>();
    cli::Options options = line.add_command(name, description, [operation, &chosen] { chosen = operation; });
    operation->add_options(options);
}

void add_register_operations(cli::Options& line, Chosen& chosen);
void add_dump_operation(cli::Options& line, Chosen& chosen);
void add_observe_operations(cli::Options& line, Chosen& chosen);
void add_diff_operation(cli::Options& line, Chosen& chosen);
void add_device_operations(cli::Options& line, Chosen& chosen);
void add_binding_operations(cli::Options& line, Chosen& chosen);
void add_with_operation(cli::Options& line, Chosen& chosen);
void add_doctor_operation(cli::Options& line, Chosen& chosen);
void add_dma_operation(cli::Options& line, Chosen& chosen);
void add_run_operation(cli::Options& line, Chosen& chosen);
void add_trace_operation(cli::Options& line, Chosen& chosen);
/// The global options --trace, --trace-limit and --trace-memory.
void add_trace_options(cli::Options& line, uiovfio::TraceOptions& options);

}  // namespace pcienic::ctl
