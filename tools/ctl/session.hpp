// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One invocation: the device that was chosen, opened only when an operation first touches it, and where output goes.

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/output.hpp"
#include "cli/selector.hpp"
#include "pcienic/driver.hpp"
#include "place.hpp"
#include "uiovfio/device.hpp"
#include "uiovfio/sim.hpp"

namespace pcienic::ctl {

/// What a program is connected to; tests bring their own.
struct World {
    std::ostream& out;
    std::ostream& err;
    std::istream& in;
    uiovfio::SysfsRoot root{};
    uiovfio::SimOptions sim{};  ///< of --backend sim
};

/// The options before the command.
struct GlobalOptions {
    cli::DeviceSelector selector{};
    std::string backend = "auto";
    std::optional<unsigned> bar{};
    bool dry_run = false;
    bool verbose = false;
    uiovfio::TraceOptions trace{};
    std::vector<std::string> command{};  ///< what follows `with ... --`: another program's command line
};

/// Where accesses go. The seam between this tool's logic and the device.
class Bus {
  public:
    virtual ~Bus() = default;
    virtual std::uint64_t load(const Place& place) = 0;
    virtual void store(const Place& place, std::uint64_t value) = 0;
};

/// The function as the envelope of a JSON document names it, opened by no backend.
cli::Json device_json(const uiovfio::PciFunction& function);

class Session {
  public:
    Session(World& world, const GlobalOptions& options, const cli::Output& output);
    ~Session();

    [[nodiscard]] World& world() const { return world_; }
    [[nodiscard]] const GlobalOptions& options() const { return options_; }
    [[nodiscard]] const cli::Output& output() const { return output_; }

    [[nodiscard]] bool is_sim() const { return options_.backend == "sim"; }
    /// The chosen function, not opened; with the sim backend there is none. Throws Failure(no_device).
    const uiovfio::PciFunction& function();
    /// Has function() be this one, which an operation's own operand names.
    void choose(const uiovfio::PciFunction& function) { function_ = function; }
    /// One for each -s, for what can be done to several. Throws as function() does.
    std::vector<uiovfio::PciFunction> functions();
    [[nodiscard]] bool is_pcienic();
    /// Throws Failure(usage) if it is none.
    void require_pcienic();
    Scope scope(bool force);

    /// Opened on first use. Throws Failure(permission) with the command that binds it, where it is not bound.
    uiovfio::Device& device();
    Bus& bus();
    /// Throws as require_pcienic() does.
    Driver& driver();

    /// The device as the envelope of a JSON document names it.
    cli::Json device_json();
    void emit(cli::Document document);
    /// What --dry-run has to say: steps that would be done, each as "read 32 bits of ID".
    void would(const std::vector<std::string>& steps, cli::Json device = nullptr);
    /// A line on stderr.
    void warn(const std::string& text) const;

    /// With several operations, JSON documents are collected into one.
    void collect() { collecting_ = true; }
    /// Whether what is emitted becomes part of such a document.
    [[nodiscard]] bool is_one_document() const { return collecting_ && output_.format() == cli::Format::json; }
    void flush();
    /// The same after a failure: without a document if none was collected.
    void flush_what_there_is();
    /// Closes the device, and warns where it was traced and the trace is not whole. False where it could not be
    /// written.
    bool finish();

  private:
    std::uint64_t bar_size(unsigned bar);

    World& world_;
    const GlobalOptions& options_;
    const cli::Output& output_;
    std::optional<uiovfio::PciFunction> function_;
    std::optional<uiovfio::Device> device_;
    std::unique_ptr<Bus> bus_;
    std::unique_ptr<Driver> driver_;
    bool collecting_ = false;
    cli::Json collected_ = cli::Json::array();
};

}  // namespace pcienic::ctl
