// SPDX-License-Identifier: MIT
// doctor
#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <uiovfio/backends.hpp>
#include <uiovfio/machine.hpp>
#include <uiovfio/use.hpp>
#include <utility>

#include "binding.hpp"
#include "cli/backend.hpp"
#include "cli/number.hpp"
#include "isolation.hpp"
#include "operation.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Json;
using cli::Style;
using uiovfio::CheckState;
using uiovfio::MachineCheck;
using uiovfio::PciFunction;

Json line(std::string_view subject, CheckState state, const std::string& what, const std::string& remedy) {
    return {{"subject", subject},
            {"state", to_string(state)},
            {"what", what},
            {"remedy", remedy.empty() ? Json{} : Json(remedy)}};
}

Json machine_json(const std::vector<MachineCheck>& checks) {
    Json rows = Json::array();
    for (const MachineCheck& check : checks) rows.push_back(line(check.subject, check.state, check.what, check.remedy));
    return rows;
}

bool is_real(const uiovfio::BackendTraits& backend) { return backend.name != "sim"; }

/// What of each backend's needs the machine lacks.
Json backends_of_machine(const std::vector<MachineCheck>& checks) {
    Json rows = Json::array();
    for (const uiovfio::BackendTraits& backend : uiovfio::backends()) {
        if (!is_real(backend)) continue;
        std::string missing;
        for (const MachineCheck& check : checks)
            if (check.state == CheckState::missing &&
                std::ranges::find(check.backends, backend.name) != check.backends.end())
                missing += (missing.empty() ? "" : ", ") + check.subject;
        rows.push_back(line(backend.name, missing.empty() ? CheckState::ok : CheckState::missing,
                            missing.empty() ? "has what it needs of the machine" : "lacks " + missing, ""));
    }
    return rows;
}

Json backends_of(const PciFunction& function, const uiovfio::SysfsRoot& root) {
    Json rows = Json::array();
    for (const uiovfio::BackendTraits& backend : uiovfio::backends()) {
        if (!is_real(backend)) continue;
        const auto obstacle = uiovfio::why_not(function, backend.name, root);
        rows.push_back(obstacle ? line(backend.name, CheckState::missing, obstacle->what_was_wrong, obstacle->remedy)
                                : line(backend.name, CheckState::ok, "ready", ""));
        rows.back()["error"] = obstacle ? Json(name(obstacle->errc)) : Json{};
    }
    return rows;
}

/// The first of those that "auto" may choose and that are ready; null where none is.
Json automatic(const Json& backends) {
    for (const Json& backend : backends)
        if (backend["state"] == "ok" && uiovfio::find_backend(backend["subject"].get<std::string>())->is_automatic)
            return backend["subject"];
    return nullptr;
}

Json group_json(const PciFunction& function, const uiovfio::SysfsRoot& root) {
    if (!function.iommu_group) return nullptr;
    Json members = Json::array();
    for (const uiovfio::Bdf& member : function.group_members) {
        std::error_code gone;
        members.push_back(
            {{"bdf", to_string(member)}, {"driver", driver_json(uiovfio::describe(member, root, gone).driver)}});
    }
    return {{"number", *function.iommu_group}, {"members", members}};
}

Json addresses_json(const PciFunction& function, const uiovfio::SysfsRoot& root) {
    const auto width = uiovfio::iommu_width(function.bdf, root);
    Json rows = Json::array();
    // Where the IOMMU does not say how wide it is, what is reserved is known all the same.
    constexpr unsigned kAll = 64;
    if (function.is_behind_iommu)
        for (const uiovfio::IovaSpan& span : uiovfio::iova_spans(width.value_or(kAll), function.reserved_regions)) {
            Json row{{"use", span.use}};
            cli::put_number(row, "first", to_integer(span.range.first), kAll);
            cli::put_number(row, "last", to_integer(span.range.last), kAll);
            rows.push_back(std::move(row));
        }
    return {{"width", width ? Json(*width) : Json{}}, {"ranges", rows}};
}

Json isolation_json(const Proof& proof) {
    Json trials = Json::array();
    for (const Trial& trial : proof.trials) {
        Json row{{"what", trial.what}, {"seen", trial.seen}, {"held", trial.held}};
        cli::put_number(row, "address", trial.address, 64);
        trials.push_back(std::move(row));
    }
    const auto state = proof.outcome == Proof::Outcome::isolated  ? CheckState::ok
                       : proof.outcome == Proof::Outcome::exposed ? CheckState::missing
                                                                  : CheckState::note;
    Json row = line(to_string(proof.outcome), state, proof.what, proof.remedy);
    row["trials"] = std::move(trials);
    return row;
}

/// The text that a person reads, from the same row as the JSON.
class Report {
  public:
    explicit Report(bool colour) : colour_{colour} {}

    std::string operator()(const Json& row) const {
        std::string text = cli::paint("machine", Style::bold, colour_) + lines(row["machine"]);
        const Json& device = row["device"];
        if (device.is_null())
            return text + "\n\n" + cli::paint("backends", Style::bold, colour_) + lines(row["backends"]) +
                   isolation(row["isolation"]);
        text +=
            "\n\n" + cli::paint(fmt::format("backends for {} (driver {})", device["bdf"].get<std::string>(),
                                            device["driver"].is_null() ? "none" : device["driver"].get<std::string>()),
                                Style::bold, colour_);
        text += lines(row["backends"]);
        text += "\n  auto takes " + automatic_text(row);
        for (const Json& holder : device["holders"]) text += "\n  held by " + holder["text"].get<std::string>();
        text += group(device["group"]);
        return text + addresses(row["addresses"]) + isolation(row["isolation"]);
    }

  private:
    /// Each trial, as it was tried and as it came out.
    [[nodiscard]] std::string isolation(const Json& isolation) const {
        if (isolation.is_null()) return {};
        std::string text = "\n\n" + cli::paint("isolation", Style::bold, colour_) + lines(Json::array({isolation}));
        for (const Json& trial : isolation["trials"])
            text += fmt::format("\n  {} {} ({}): {}", mark(trial["held"].get<bool>() ? "ok" : "missing"),
                                trial["what"].get<std::string>(), trial["address_hex"].get<std::string>(),
                                trial["seen"].get<std::string>());
        if (!isolation["trials"].empty()) text += "\n  (what was refused stands in the kernel's log, as IOMMU faults)";
        return text;
    }

    [[nodiscard]] std::string mark(const std::string& state) const {
        if (state == "ok") return cli::paint("✔", Style::green, colour_);
        return state == "missing" ? cli::paint("✘", Style::red, colour_) : cli::paint("·", Style::yellow, colour_);
    }

    static std::string automatic_text(const Json& row) {
        if (!row["auto"].is_null()) return row["auto"].get<std::string>();
        for (const Json& backend : row["backends"])
            if (backend["state"] == "ok")
                return fmt::format("none: what is ready has to be named, as --backend {}",
                                   backend["subject"].get<std::string>());
        return "none: nothing is ready";
    }

    [[nodiscard]] std::string lines(const Json& checks) const {
        std::string text;
        for (const Json& check : checks) {
            text += fmt::format("\n  {} {:20} {}", mark(check["state"].get<std::string>()),
                                check["subject"].get<std::string>(), check["what"].get<std::string>());
            if (!check["remedy"].is_null())
                text += "\n" + std::string(25, ' ') +
                        cli::paint("→ " + check["remedy"].get<std::string>(), Style::dim, colour_);
        }
        return text;
    }

    [[nodiscard]] std::string group(const Json& group) const {
        if (group.is_null()) return "\n\n" + cli::paint("IOMMU group", Style::bold, colour_) + "\n  none";
        std::string text = "\n\n" + cli::paint("IOMMU group " + group["number"].dump(), Style::bold, colour_);
        for (const Json& member : group["members"])
            text += fmt::format("\n  {}  {}", member["bdf"].get<std::string>(),
                                member["driver"].is_null() ? "no driver" : member["driver"].get<std::string>());
        return text;
    }

    /// A cell for each factor of four: next to each other, a megabyte and half a terabyte can be seen no other way.
    [[nodiscard]] std::string addresses(const Json& addresses) const {
        if (addresses["ranges"].empty())
            return "\n\n" + cli::paint("bus addresses", Style::bold, colour_) + "\n  none: no IOMMU translates for it";
        std::string text = "\n\n" + cli::paint(addresses["width"].is_null()
                                                   ? "bus addresses (the IOMMU does not say how many)"
                                                   : "bus addresses of " + addresses["width"].dump() + " bits",
                                               Style::bold, colour_);
        for (const Json& range : addresses["ranges"]) {
            const auto first = range["first"].get<std::uint64_t>();
            const auto last = range["last"].get<std::uint64_t>();
            const bool is_free = range["use"] == "free";
            std::string bar;
            for (std::uint64_t left = last - first; left != 0; left >>= 2) bar += is_free ? "█" : "░";
            const std::string size = last - first == ~std::uint64_t{0} ? "16 EiB" : cli::size_text(last - first + 1);
            text += fmt::format("\n  {:#018x} – {:#018x}  {:>9}  {:16} {}", first, last, size,
                                range["use"].get<std::string>(),
                                cli::paint(bar, is_free ? Style::green : Style::yellow, colour_));
        }
        return text;
    }

    bool colour_;
};

class Doctor : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("device", text_, "Its address, or vendor and device as 1af4:10f2; as -s and -d choose it")
            .type_name("BDF");
        options.add_flag(
            "--prove", prove_,
            "Have a pcienic's DMA engine try to reach memory that is not mapped for it, which an IOMMU has to "
            "prevent: a kernel takes mappings, and does not say whether they are enforced. As root; opens the "
            "device. Exit code 5 where it is not kept out");
    }

    void prepare(Session& session) override {
        const uiovfio::SysfsRoot& root = session.world().root;
        const bool is_chosen = session.options().selector.given();
        if (!text_.empty()) {
            const auto named = cli::DeviceSelector::named(text_, root);
            cli::check_backend(session.options().backend, named);
            if (is_chosen)
                throw cli::Failure{Exit::usage,
                                   fmt::format("{}: -s and -d choose a device already: leave out one", text_)};
            function_ = named.choose(uiovfio::enumerate(root));
        } else if (is_chosen) {
            function_ = session.function();
        }
        if (!prove_ || session.is_sim()) return;
        if (!function_) function_ = session.function();
        session.choose(*function_);
        if (!session.is_pcienic())
            throw cli::Failure{
                Exit::usage,
                fmt::format("{}: is no pcienic ({:04x}:{:04x}): --prove needs one, since of other devices it "
                            "is not known here how they are made to read and write memory",
                            to_string(function_->bdf), kVendorId, kDeviceId)};
    }

    void explain(Session& session) override {
        const Json device = function_ ? device_json(*function_) : session.is_sim() ? session.device_json() : Json{};
        session.would({prove_ ? "look at the machine's files, open the device, and have it try to reach memory that is "
                                "not mapped for it"
                              : "look at the machine's files, and open no device"},
                      device);
    }

    [[nodiscard]] Heeds heeds() const override {
        Heeds heeds = kHeedsFunction;
        heeds.backend = heeds.trace = prove_;  // which opens the device
        return heeds;
    }

    Exit run(Session& session) override {
        const uiovfio::SysfsRoot& root = session.world().root;
        const std::vector<MachineCheck> checks = uiovfio::examine_machine(root);
        Json row{{"machine", machine_json(checks)},
                 {"backends", function_ ? backends_of(*function_, root) : backends_of_machine(checks)},
                 {"auto", nullptr},
                 {"device", nullptr},
                 {"addresses", nullptr},
                 {"isolation", nullptr}};
        row["auto"] = automatic(row["backends"]);
        if (function_) {
            row["device"] = device_json(*function_);
            row["device"]["group"] = group_json(*function_, root);
            // A device that another process has open is ready, and cannot be opened all the same.
            row["device"]["holders"] = holders_json(function_->bdf, root);
            row["addresses"] = addresses_json(*function_, root);
        }
        Exit not_tried = Exit::ok;
        const Proof proof = prove_ ? prove(session, not_tried) : Proof{};
        if (prove_) row["isolation"] = isolation_json(proof);
        const bool is_reached =
            std::ranges::any_of(row["backends"], [](const Json& backend) { return backend["state"] == "ok"; });
        session.emit({.schema = "pcienic.doctor/1",
                      .device = row["device"],
                      .rows = Json::array({row}),
                      .raw_key = "auto",
                      .line = Report{session.output().colour()}});
        if (not_tried != Exit::ok) return not_tried;
        if (!prove_) return is_reached ? Exit::ok : Exit::permission;
        return proof.outcome == Proof::Outcome::isolated  ? Exit::ok
               : proof.outcome == Proof::Outcome::exposed ? Exit::check_failed
                                                          : Exit::failure;
    }

  private:
    /// A device that cannot be opened, or fails, is no reason to keep what else was found.
    static Proof prove(Session& session, Exit& not_tried) {
        try {
            Driver& driver = session.driver();
            return prove_isolation(driver, session.is_sim() ? physical_addresses(session.device())
                                                            : physical_addresses(session.world().root));
        } catch (const std::exception& error) {
            not_tried = cli::exit_for(error);
            return {.what = fmt::format("not tried: {}", error.what()), .remedy = {}};
        }
    }

    std::string text_;
    std::optional<PciFunction> function_;
    bool prove_ = false;
};

}  // namespace

void add_doctor_operation(cli::Options& line, Chosen& chosen) {
    add_operation<Doctor>(line, chosen, "doctor", "Show what each backend needs, what is missing, and what to do");
}

}  // namespace pcienic::ctl
