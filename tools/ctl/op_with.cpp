// SPDX-License-Identifier: MIT
// with: a program that has the device for as long as it runs
#include <fmt/format.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <ostream>
#include <thread>

#include "binding.hpp"
#include "cli/number.hpp"
#include "cli/shell.hpp"
#include "foreground.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using uiovfio::Bdf;

// A process that ended lets go of its files a moment later.
constexpr std::chrono::seconds kLettingGo{2};
constexpr std::chrono::milliseconds kPause{10};
constexpr int kGenerations = 8;

class With : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("driver", driver_, "The kernel driver; default vfio-pci. The command follows after --")
            .type_name("DRIVER");
        options.add_flag("--group", group_,
                         "Also the other members of the device's IOMMU group, but bridges that can stay");
        options.add_flag("--force", force_,
                         "Also where the machine uses the device: its default route, a mounted disk");
        options
            .add_option("--grace", grace_text_,
                        "After SIGTERM or SIGHUP, kill the command after this time; default 10s")
            .type_name("TIME");
    }

    void prepare(Session& session) override {
        if (session.options().command.empty())
            throw Failure{Exit::usage,
                          "with: no command: put it after '--', as in 'pcienic-ctl with vfio-pci -- ./my-driver'"};
        grace_ = cli::parse_duration(grace_text_);
        functions_ = functions_to_bind(session, group_);
        is_dry_ = session.options().dry_run;
    }

    void explain(Session& session) override {
        session.emit(plan_document(functions_, driver_, session.world().root));
        if (session.output().is_text())
            fmt::print(session.output().stream(), "would run {}\n", cli::shell_words(session.options().command));
    }

    Exit run(Session& session) override {
        Foreground foreground{grace_};
        uiovfio::ScopedBinding binding{functions_, driver_, session.world().root, {.force = force_}};
        tell(session, "bound to");
        const Exit code = run_bound(session, foreground, binding);
        const bool is_back = give_back(session, foreground, binding);
        return code == Exit::ok && !is_back ? Exit::permission : code;  // the command's own failure is the one to tell
    }

    [[nodiscard]] Heeds heeds() const override {
        Heeds heeds = kHeedsFunction;
        heeds.form = is_dry_;  // else what there is to see is the command's
        return heeds;
    }

    [[nodiscard]] bool can_share() const override { return false; }

  private:
    Exit run_bound(Session& session, Foreground& foreground, uiovfio::ScopedBinding& binding) {
        if (const auto signal = foreground.ended_by()) return static_cast<Exit>(128 + *signal);
        session.output().stream().flush();
        try {
            return static_cast<Exit>(foreground.run(session.options().command, environment()));
        } catch (...) {
            give_back(session, foreground, binding);
            throw;
        }
    }

    [[nodiscard]] std::vector<std::pair<std::string, std::string>> environment() const {
        std::vector<std::string> all;
        for (const Bdf& bdf : functions_) all.push_back(to_string(bdf));
        return {{"PCIENIC_BDF", all.front()}, {"PCIENIC_BDFS", fmt::format("{}", fmt::join(all, " "))}};
    }

    /// False, and the reason told, where a device did not go back.
    bool give_back(Session& session, Foreground& foreground, uiovfio::ScopedBinding& binding) {
        end_rest(session, foreground);
        try {
            binding.restore();
        } catch (const uiovfio::Error& error) {
            session.warn(
                fmt::format("{}; once that is mended, 'pcienic-ctl restore --all' gives it back", error.what()));
            return false;
        }
        tell(session, "given back by");
        return true;
    }

    /// The command has ended. What it left running, and has a device open, ends too: the device goes away from it.
    void end_rest(Session& session, const Foreground& foreground) {
        if (is_free_within(session, foreground, kLettingGo)) return;
        if (!foreground.signal_rest(SIGTERM)) return;  // it is somebody else's
        if (is_free_within(session, foreground, grace_)) return;
        // Each that ends leaves its own children to this process.
        for (int generation = 0; generation < kGenerations && foreground.signal_rest(SIGKILL); ++generation)
            if (is_free_within(session, foreground, kLettingGo)) return;
    }

    bool is_free_within(Session& session, const Foreground& foreground, std::chrono::nanoseconds time) const {
        const auto deadline = std::chrono::steady_clock::now() + time;
        const auto is_held = [&](const Bdf& bdf) { return uiovfio::is_held(bdf, session.world().root); };
        while (std::ranges::any_of(functions_, is_held)) {
            if (std::chrono::steady_clock::now() >= deadline) return false;
            std::this_thread::sleep_for(kPause);
            foreground.reap_rest();
        }
        return true;
    }

    void tell(Session& session, std::string_view what) const {
        if (!session.options().verbose) return;
        for (const Bdf& bdf : functions_) session.warn(fmt::format("{}: {} {}", to_string(bdf), what, driver_));
    }

    std::string driver_ = "vfio-pci";
    bool group_ = false;
    bool force_ = false;
    bool is_dry_ = false;
    std::string grace_text_ = "10s";
    std::chrono::nanoseconds grace_{};
    std::vector<Bdf> functions_;
};

}  // namespace

void add_with_operation(cli::Options& line, Chosen& chosen) {
    add_operation<With>(line, chosen, "with", "Run a command that has the device for as long as it runs");
}

}  // namespace pcienic::ctl
