// SPDX-License-Identifier: MIT
// bind, unbind, restore
#include <fmt/format.h>
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ostream>

#include "binding.hpp"
#include "cli/exit.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using cli::Json;
using uiovfio::Bdf;

std::string text_of(const Json& driver) { return driver.is_null() ? "no driver" : driver.get<std::string>(); }

class Rebind : public Operation {
  public:
    void prepare(Session& session) override { functions_ = choose(session); }

    [[nodiscard]] Heeds heeds() const override { return kHeedsFunction; }

  protected:
    void add_force(cli::Options& options) {
        options.add_flag("--force", force_,
                         "Also if the machine uses the device: an interface that is up, a mounted disk");
    }

    virtual std::vector<Bdf> choose(Session& session) { return functions_to_bind(session, false); }

    static Json row(const Bdf& bdf, const std::string& before, const std::string& after) {
        return {{"bdf", to_string(bdf)}, {"previous", driver_json(before)}, {"driver", driver_json(after)}};
    }

    static Exit report(Session& session, Json rows) {
        session.emit({.schema = "pcienic.bind/1",
                      .columns = {{.key = "bdf", .title = "BDF"},
                                  {.key = "previous", .title = "PREVIOUS"},
                                  {.key = "driver", .title = "DRIVER"}},
                      .rows = std::move(rows),
                      .raw_key = "driver",
                      .line = [](const Json& line) {
                          return fmt::format("{}: {} -> {}", line["bdf"].get<std::string>(), text_of(line["previous"]),
                                             text_of(line["driver"]));
                      }});
        return Exit::ok;
    }

    static std::string driver_of(const Bdf& bdf, Session& session) {
        std::error_code gone;
        return uiovfio::describe(bdf, session.world().root, gone).driver;
    }

    std::vector<Bdf> functions_;
    bool force_ = false;
};

class Bind : public Rebind {
  public:
    void add_options(cli::Options& options) {
        options.add_option("driver", driver_, "The kernel driver; default vfio-pci").type_name("DRIVER");
        options.add_flag("--group", group_,
                         "Also the other members of the device's IOMMU group, all or none; not bridges that can stay");
        add_force(options);
    }

    void explain(Session& session) override { session.emit(plan_document(functions_, driver_, session.world().root)); }

    Exit run(Session& session) override {
        const uiovfio::SysfsRoot& root = session.world().root;
        const auto previous = uiovfio::bind_all(functions_, driver_, root, {.force = force_});
        Json rows = Json::array();
        for (std::size_t i = 0; i < functions_.size(); ++i) {
            rows.push_back(row(functions_[i], previous[i], driver_));
            rows.back()["obstacle"] = obstacle(session, functions_[i]);
        }
        return report(session, std::move(rows));
    }

  private:
    std::vector<Bdf> choose(Session& session) override { return functions_to_bind(session, group_); }

    /// A device whose group is shared is bound, and still cannot be opened.
    static Json obstacle(Session& session, const Bdf& bdf) {
        const auto found = uiovfio::why_not_vfio(bdf, session.world().root);
        if (!found || found->errc != uiovfio::Errc::group_not_viable) return nullptr;
        session.warn(fmt::format("{}: is bound, but cannot be opened yet: {}: {}", found->object, found->what_was_wrong,
                                 found->remedy));
        return {{"error", name(found->errc)}, {"what", found->what_was_wrong}, {"remedy", found->remedy}};
    }

    std::string driver_ = "vfio-pci";
    bool group_ = false;
};

class Unbind : public Rebind {
  public:
    void add_options(cli::Options& options) {
        options.add_flag("--none", none_, "Leave the device without a driver instead");
        add_force(options);
    }

    void explain(Session& session) override {
        const uiovfio::SysfsRoot& root = session.world().root;
        session.emit(restore_plan_document(functions_, none_ ? Givee::none : Givee::former, root));
    }

    Exit run(Session& session) override {
        const uiovfio::SysfsRoot& root = session.world().root;
        Json rows = Json::array();
        for (const Bdf& bdf : functions_) {
            const std::string before = driver_of(bdf, session);
            if (none_) uiovfio::unbind(bdf, root, {.force = force_});
            const std::string after = none_ ? "" : uiovfio::restore(bdf, root, {.force = force_});
            if (!after.empty() && after == before)
                session.warn(
                    fmt::format("{}: {} has it again, for it is the kernel's own: leave it without a driver "
                                "with 'unbind --none'",
                                to_string(bdf), after));
            rows.push_back(row(bdf, before, after));
        }
        return report(session, std::move(rows));
    }

  private:
    bool none_ = false;
};

class Restore : public Rebind {
  public:
    void add_options(cli::Options& options) {
        options.add_flag("--all", all_, "Every device that bind or with, also one that was killed, has on record");
        add_force(options);
    }

    void explain(Session& session) override {
        session.emit(restore_plan_document(functions_, Givee::former, session.world().root));
    }

    Exit run(Session& session) override {
        Json rows = Json::array();
        Exit code = Exit::ok;
        for (const Bdf& bdf : functions_) {
            const std::string before = driver_of(bdf, session);
            try {
                rows.push_back(row(bdf, before, uiovfio::restore(bdf, session.world().root, {.force = force_})));
            } catch (const uiovfio::Error& error) {
                if (!all_) throw;
                session.warn(error.what());
                // A device that is gone had its record dropped: there is nothing left to do for it.
                if (error.errc() != uiovfio::Errc::no_such_device) code = cli::exit_for(error.errc());
            }
        }
        report(session, std::move(rows));
        return code;
    }

  private:
    std::vector<Bdf> choose(Session& session) override {
        const bool is_named = session.options().selector.given();
        if (all_ && is_named) throw Failure{Exit::usage, "--all: is for every device: leave out -s and -d"};
        std::vector<Bdf> recorded = is_named ? std::vector<Bdf>{} : uiovfio::recorded_functions(session.world().root);
        if (all_ || recorded.size() == 1) return recorded;
        if (recorded.size() > 1)
            throw Failure{Exit::no_device, fmt::format("{} devices are on record: {}: name one with -s, or all of them "
                                                       "with --all",
                                                       recorded.size(), texts_of(recorded))};
        return functions_to_bind(session, false);
    }

    static std::string texts_of(const std::vector<Bdf>& functions) {
        std::string text;
        for (const Bdf& bdf : functions) text += (text.empty() ? "" : ", ") + to_string(bdf);
        return text;
    }

    bool all_ = false;
};

/// The members of the functions' groups that are none of them.
std::vector<Bdf> members_left(const std::vector<Bdf>& functions, const uiovfio::SysfsRoot& root) {
    std::vector<Bdf> left;
    for (const Bdf& bdf : functions) {
        std::error_code gone;
        for (const Bdf& member : uiovfio::describe(bdf, root, gone).group_members)
            if (std::ranges::find(functions, member) == functions.end() &&
                std::ranges::find(left, member) == left.end())
                left.push_back(member);
    }
    return left;
}

/// Only bridges are left, and what has been taken out of its slot meanwhile.
std::string why_left(const Bdf& bdf, const uiovfio::SysfsRoot& root) {
    std::error_code gone;
    const std::string driver = uiovfio::describe(bdf, root, gone).driver;
    if (gone) return fmt::format("{}: is gone, and is not bound with the others", to_string(bdf));
    if (uiovfio::may_stay_in_group(driver))
        return fmt::format("{}: stays with {}: it is a bridge, and may stay", to_string(bdf), driver_text(driver));
    return fmt::format(
        "{}: stays with {}, and is in the way: it is a bridge, which vfio-pci does not take: "
        "'pcienic-ctl -s {} unbind --none' leaves it without a driver",
        to_string(bdf), driver, to_string(bdf));
}

}  // namespace

std::vector<Bdf> functions_to_bind(Session& session, bool group) {
    std::vector<Bdf> functions;
    for (const uiovfio::PciFunction& function : session.functions()) functions.push_back(function.bdf);
    if (!group) return functions;
    const uiovfio::SysfsRoot& root = session.world().root;
    for (std::size_t i = 0, named = functions.size(); i < named; ++i) {
        for (const Bdf& member : uiovfio::bindable_group(functions[i], root))
            if (std::ranges::find(functions, member) == functions.end()) functions.push_back(member);
    }
    for (const Bdf& bdf : members_left(functions, root)) session.warn(why_left(bdf, root));
    return functions;
}

std::string driver_text(const std::string& driver) { return driver.empty() ? "no driver" : driver; }

Json driver_json(const std::string& driver) { return driver.empty() ? Json{} : Json(driver); }

void add_binding_operations(cli::Options& line, Chosen& chosen) {
    add_operation<Bind>(line, chosen, "bind", "Give the device to a kernel driver, vfio-pci by default");
    add_operation<Unbind>(line, chosen, "unbind", "Give the device back to the driver that it had before bind");
    add_operation<Restore>(line, chosen, "restore", "Give back what bind and with have on record; --all of it");
}

}  // namespace pcienic::ctl
