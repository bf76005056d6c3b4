// SPDX-License-Identifier: MIT
#include "session.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <istream>
#include <ostream>
#include <system_error>

#include "binding.hpp"
#include "cli/exit.hpp"
#include "cli/tool.hpp"
#include "uiovfio/trace.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using cli::Json;

class DeviceBus : public Bus {
  public:
    explicit DeviceBus(const uiovfio::Device& device) : device_{device} {}

    std::uint64_t load(const Place& place) override {
        const uiovfio::Bar& bar = device_.bar(place.bar);
        switch (place.width) {
            case 8:
                return bar.read<std::uint8_t>(place.offset);
            case 16:
                return bar.read<std::uint16_t>(place.offset);
            case 32:
                return bar.read<std::uint32_t>(place.offset);
            default:
                return bar.read<std::uint64_t>(place.offset);
        }
    }

    void store(const Place& place, std::uint64_t value) override {
        const uiovfio::Bar& bar = device_.bar(place.bar);
        switch (place.width) {
            case 8:
                return bar.write<std::uint8_t>(place.offset, static_cast<std::uint8_t>(value));
            case 16:
                return bar.write<std::uint16_t>(place.offset, static_cast<std::uint16_t>(value));
            case 32:
                return bar.write<std::uint32_t>(place.offset, static_cast<std::uint32_t>(value));
            default:
                return bar.write<std::uint64_t>(place.offset, value);
        }
    }

  private:
    const uiovfio::Device& device_;
};

/// Tells of each access on stderr, as --verbose promises.
class VerboseBus : public Bus {
  public:
    VerboseBus(std::unique_ptr<Bus> bus, std::ostream& log) : bus_{std::move(bus)}, log_{log} {}

    std::uint64_t load(const Place& place) override {
        const std::uint64_t value = bus_->load(place);
        fmt::print(log_, "read{:<2} BAR{}+{:#05x} -> {}\n", place.width, place.bar, place.offset,
                   cli::hex(value, place.width));
        return value;
    }

    void store(const Place& place, std::uint64_t value) override {
        fmt::print(log_, "write{:<2} BAR{}+{:#05x} <- {}\n", place.width, place.bar, place.offset,
                   cli::hex(value, place.width));
        bus_->store(place, value);
    }

  private:
    std::unique_ptr<Bus> bus_;
    std::ostream& log_;
};

}  // namespace

Session::Session(World& world, const GlobalOptions& options, const cli::Output& output)
    : world_{world}, options_{options}, output_{output} {}

Session::~Session() = default;

namespace {

void refuse_sim(bool is_sim) {
    if (is_sim)
        throw Failure{Exit::usage, "--backend sim: there is no PCI function to do this to: leave the option out"};
}

}  // namespace

std::vector<uiovfio::PciFunction> Session::functions() {
    refuse_sim(is_sim());
    return options_.selector.choose_each(uiovfio::enumerate(world_.root));
}

const uiovfio::PciFunction& Session::function() {
    refuse_sim(is_sim());
    if (!function_) function_ = options_.selector.choose(uiovfio::enumerate(world_.root));
    return *function_;
}

bool Session::is_pcienic() { return is_sim() || (function().vendor == kVendorId && function().device == kDeviceId); }

std::uint64_t Session::bar_size(unsigned bar) {
    if (is_sim()) {
        std::error_code error;
        const uiovfio::Bar* found = device().bar(bar, error);
        return found != nullptr ? found->size() : 0;
    }
    for (const uiovfio::PciResource& resource : function().resources) {
        if (resource.index == bar) return resource.size;
    }
    return 0;
}

Scope Session::scope(bool force) {
    return {.is_pcienic = is_pcienic(),
            .device = is_sim() ? "sim" : fmt::format("{:04x}:{:04x}", function().vendor, function().device),
            .bar = options_.bar,
            .bar_size = [this](unsigned bar) { return bar_size(bar); },
            .force = force};
}

uiovfio::Device& Session::device() {
    if (device_) return *device_;
    if (is_sim()) {
        uiovfio::SimOptions simulated = world_.sim;
        simulated.trace = options_.trace;
        device_ = uiovfio::open_sim(simulated);
        return *device_;
    }
    try {
        device_ = uiovfio::Device::open(function().bdf,
                                        {.backend = options_.backend, .root = world_.root, .trace = options_.trace});
    } catch (const uiovfio::Error& error) {
        const bool wants_vfio = options_.backend == "auto" || options_.backend == "vfio";
        if (error.errc() != uiovfio::Errc::not_bound || !wants_vfio) throw;
        throw Failure{Exit::permission, fmt::format("{}: {}: run 'pcienic-ctl -s {} bind vfio-pci' first",
                                                    error.object(), error.what_was_wrong(), to_string(function().bdf))};
    }
    return *device_;
}

Bus& Session::bus() {
    if (!bus_) {
        bus_ = std::make_unique<DeviceBus>(device());
        if (options_.verbose) bus_ = std::make_unique<VerboseBus>(std::move(bus_), world_.err);
    }
    return *bus_;
}

void Session::require_pcienic() {
    if (is_pcienic()) return;
    throw Failure{Exit::usage, fmt::format("{}: is no pcienic ({:04x}:{:04x}): this command needs one",
                                           to_string(function().bdf), kVendorId, kDeviceId)};
}

Driver& Session::driver() {
    require_pcienic();
    if (!driver_) driver_ = std::make_unique<Driver>(device());
    return *driver_;
}

cli::Json device_json(const uiovfio::PciFunction& function) {
    Json json{{"bdf", to_string(function.bdf)}};
    cli::put_number(json, "vendor", function.vendor, 16);
    cli::put_number(json, "device", function.device, 16);
    json["driver"] = driver_json(function.driver);
    json["backend"] = nullptr;
    return json;
}

cli::Json Session::device_json() {
    if (is_sim()) {
        Json json{{"bdf", nullptr}};
        cli::put_number(json, "vendor", kVendorId, 16);
        cli::put_number(json, "device", kDeviceId, 16);
        json["driver"] = nullptr;
        json["backend"] = "sim";
        return json;
    }
    Json json = ctl::device_json(function());
    if (device_) json["backend"] = device_->backend();
    return json;
}

void Session::emit(cli::Document document) {
    if (is_one_document()) {
        collected_.push_back(output_.envelope(document));
    } else {
        output_.write(document);
    }
}

void Session::would(const std::vector<std::string>& steps, cli::Json device) {
    Json rows = Json::array();
    for (const std::string& step : steps) rows.push_back({{"would", step}});
    emit({.schema = "pcienic.dry-run/1",
          .device = std::move(device),
          .columns = {{.key = "would", .title = "WOULD"}},
          .rows = std::move(rows),
          .raw_key = "would",
          .line = [](const Json& row) { return "would " + row["would"].get<std::string>(); }});
}

void Session::flush() {
    if (!is_one_document()) return;
    output_.write({.schema = "pcienic.batch/1", .rows = collected_});
    collected_ = Json::array();
}

void Session::flush_what_there_is() {
    if (!collected_.empty()) flush();
}

bool Session::finish() {
    if (!device_) return true;
    driver_.reset();
    bus_.reset();
    device_->close();
    const auto status = uiovfio::trace_status(*device_);
    if (!status || status->missing == 0) return true;
    const std::string file = options_.trace.file.string();
    if (status->system_errno != 0) {
        warn(fmt::format("{}: could not be written ({}): {} records are missing", file,
                         std::generic_category().message(status->system_errno), status->missing));
    } else {
        warn(fmt::format("{}: {} records are missing: allow it more with --trace-limit", file, status->missing));
    }
    return status->system_errno == 0;
}

void Session::warn(const std::string& text) const { world_.err << "pcienic-ctl: " << text << '\n'; }

}  // namespace pcienic::ctl
