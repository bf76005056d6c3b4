// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What one command of the command line does. All operations of an invocation are prepared, which finds every mistake
/// that can be found without touching the device, before the first one runs.

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "cli/exit.hpp"
#include "session.hpp"

namespace pcienic::ctl {

class Operation {
  public:
    virtual ~Operation() = default;
    /// Checks the operands. Throws Failure(usage).
    virtual void prepare(Session& session) = 0;
    /// Says what run() would do, for --dry-run.
    virtual void explain(Session& session) = 0;
    virtual cli::Exit run(Session& session) = 0;
    /// Whether it shares an invocation with other operations; false for what leaves the device to another program.
    [[nodiscard]] virtual bool can_share() const { return true; }
};

using Chosen = std::shared_ptr<Operation>;

/// Adds a command whose options Op::add_options binds; `chosen` is the operation once the command was given.
template <class Op>
void add_operation(CLI::App& app, Chosen& chosen, const std::string& name, const std::string& description) {
    auto operation = std::make_shared<Op>();
    CLI::App* command = app.add_subcommand(name, description);
    command->fallthrough();
    operation->add_options(*command);
    command->callback([operation, &chosen] { chosen = operation; });
}

void add_register_operations(CLI::App& app, Chosen& chosen);
void add_observe_operations(CLI::App& app, Chosen& chosen);
void add_device_operations(CLI::App& app, Chosen& chosen);
void add_binding_operations(CLI::App& app, Chosen& chosen);
void add_with_operation(CLI::App& app, Chosen& chosen);
void add_doctor_operation(CLI::App& app, Chosen& chosen);
void add_dma_operation(CLI::App& app, Chosen& chosen);
void add_run_operation(CLI::App& app, Chosen& chosen);
void add_trace_operation(CLI::App& app, Chosen& chosen);
/// The global options --trace, --trace-limit and --trace-memory.
void add_trace_options(CLI::App& app, uiovfio::TraceOptions& options);

}  // namespace pcienic::ctl
