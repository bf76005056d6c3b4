// SPDX-License-Identifier: MIT
// info, reset, irq
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <ostream>

#include "cli/number.hpp"
#include "operation.hpp"

namespace pcienic::ctl {
namespace {

using cli::Exit;
using cli::Failure;
using cli::Json;
using uiovfio::InterruptMode;

class Info : public Operation {
  public:
    void add_options(cli::Options&) {}
    void prepare(Session& session) override { static_cast<void>(session.is_pcienic()); }
    void explain(Session& session) override {
        session.would({"open the device and read its identity"}, session.device_json());
    }

    Exit run(Session& session) override {
        Json row = session.device_json();
        uiovfio::Device& device = session.device();
        row["backend"] = device.backend();
        if (!session.is_sim()) {
            const uiovfio::PciFunction& function = session.function();
            row["iommu_group"] = function.iommu_group ? Json(*function.iommu_group) : Json{};
        }
        row["can_reset"] = device.can_reset();
        row["was_reset"] = device.was_reset();
        row["bus_master"] = device.config().bus_master();
        row["bars"] = bars(device);
        row["interrupts"] = interrupts(device);
        if (session.is_pcienic()) row["pcienic"] = pcienic_json(session.driver());
        session.emit({.schema = "pcienic.info/1",
                      .device = session.device_json(),
                      .rows = Json::array({row}),
                      .raw_key = "bdf",
                      .line = text});
        return Exit::ok;
    }

  private:
    static Json bars(const uiovfio::Device& device) {
        Json rows = Json::array();
        for (const uiovfio::Bar& bar : device.bars()) {
            rows.push_back({{"index", bar.index()},
                            {"size", bar.size()},
                            {"width", bar.is_64bit() ? 64 : 32},
                            {"prefetchable", bar.is_prefetchable()},
                            {"io", bar.is_io()},
                            {"mappable", bar.is_mappable()}});
        }
        return rows;
    }

    static Json interrupts(const uiovfio::Device& device) {
        const uiovfio::Interrupts& interrupts = device.interrupts();
        return {{"intx", interrupts.available(InterruptMode::intx)},
                {"msi", interrupts.available(InterruptMode::msi)},
                {"msix", interrupts.available(InterruptMode::msix)}};
    }

    static Json pcienic_json(Driver& driver) {
        const Identity identity = driver.identify();
        Json json{{"version", to_string(identity.version)},
                  {"dma", identity.dma},
                  {"fill", identity.fill},
                  {"scatter_gather", identity.scatter_gather},
                  {"vectors", identity.vectors},
                  {"memory_size", identity.memory_size}};
        const auto error = driver.peek_error();
        json["error"] = error ? Json(to_string(*error)) : Json{};
        return json;
    }

    static std::string text(const Json& row) {
        std::string lines = fmt::format(
            "device      {} [{}:{}] through {}", row["bdf"].is_null() ? "sim" : row["bdf"].get<std::string>(),
            row["vendor_hex"].get<std::string>().substr(2), row["device_hex"].get<std::string>().substr(2),
            row["backend"].get<std::string>());
        if (row.contains("iommu_group"))
            lines += fmt::format("\nIOMMU group {}", row["iommu_group"].is_null() ? "none" : row["iommu_group"].dump());
        for (const Json& bar : row["bars"]) {
            lines += fmt::format("\nBAR{}        {} bytes, {}, {} bits{}{}", bar["index"].dump(), bar["size"].dump(),
                                 bar["io"].get<bool>() ? "I/O" : "memory", bar["width"].dump(),
                                 bar["prefetchable"].get<bool>() ? ", prefetchable" : "",
                                 bar["mappable"].get<bool>() ? "" : ", not mappable");
        }
        const Json& interrupts = row["interrupts"];
        lines += fmt::format("\ninterrupts  INTx {}, MSI {}, MSI-X {}", interrupts["intx"].dump(),
                             interrupts["msi"].dump(), interrupts["msix"].dump());
        lines += fmt::format("\nreset       {}", row["can_reset"].get<bool>() ? "possible" : "not possible");
        lines += fmt::format("\nbus master  {}{}", row["bus_master"].get<bool>() ? "on" : "off",
                             row["was_reset"].get<bool>() ? "" : ": opening has not reset the device");
        return row.contains("pcienic") ? lines + pcienic_text(row["pcienic"]) : lines;
    }

    static std::string pcienic_text(const Json& device) {
        return fmt::format(
            "\npcienic     version {}, {} vectors, {} bytes of memory\nfeatures    {}{}{}\nerror       {}",
            device["version"].get<std::string>(), device["vectors"].dump(), device["memory_size"].dump(),
            device["dma"].get<bool>() ? "DMA" : "no DMA", device["fill"].get<bool>() ? ", fill" : "",
            device["scatter_gather"].get<bool>() ? ", scatter-gather" : "",
            device["error"].is_null() ? "none" : device["error"].get<std::string>());
    }
};

class Reset : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_flag("--software", software_, "By the device's own CTRL.RESET, not by the bus");
    }
    void prepare(Session& session) override {
        if (software_) return session.require_pcienic();
        static_cast<void>(session.is_pcienic());  // that there is one to reset
    }

    void explain(Session& session) override {
        session.would({fmt::format("reset the device {}", software_ ? "by CTRL.RESET" : "by a function-level reset")},
                      session.device_json());
    }

    Exit run(Session& session) override {
        if (software_) {
            session.driver().reset();
        } else {
            session.device().reset();
        }
        session.emit(
            {.schema = "pcienic.reset/1",
             .device = session.device_json(),
             .rows = Json::array({{{"reset", software_ ? "software" : "function"}}}),
             .raw_key = "reset",
             .line = [](const Json& row) { return fmt::format("{} reset done", row["reset"].get<std::string>()); }});
        return Exit::ok;
    }

  private:
    bool software_ = false;
};

class Irq : public Operation {
  public:
    void add_options(cli::Options& options) {
        options.add_option("vectors", text_, "Vectors, as 3 or 0-7,9").required().type_name("VECTORS");
        options.add_option("--mode", mode_text_, "msix, msi or intx; default msix")
            .type_name("MODE")
            .one_of({"msix", "msi", "intx"});
        options.add_option("--timeout", timeout_, "Give up after this time (exit code 6); default 5s")
            .type_name("TIME");
    }

    void prepare(Session& session) override {
        static const std::map<std::string, InterruptMode> kModes{
            {"msix", InterruptMode::msix}, {"msi", InterruptMode::msi}, {"intx", InterruptMode::intx}};
        mode_ = kModes.at(mode_text_);
        vectors_ = cli::parse_ranges(text_, kMaxVectors - 1);
        limit_ = cli::parse_duration(timeout_);
        session.require_pcienic();
    }

    void explain(Session& session) override {
        session.would({fmt::format("enable {} and have the device raise the vectors {}", to_string(mode_),
                                   fmt::join(vectors_, ", "))},
                      session.device_json());
    }

    Exit run(Session& session) override {
        Driver& driver = session.driver();
        const unsigned enabled = driver.enable_interrupts(mode_);
        for (const unsigned vector : vectors_) {
            if (vector < driver.identity().vectors && (mode_ == InterruptMode::intx || vector < enabled)) continue;
            throw Failure{Exit::usage, fmt::format("vector {}: the device has {}, {} enabled {}: choose a lower one",
                                                   vector, driver.identity().vectors, to_string(mode_), enabled)};
        }
        cli::Document document{.schema = "pcienic.irq/1",
                               .columns = {{.key = "vector", .title = "VECTOR", .right = true},
                                           {.key = "count", .title = "COUNT", .right = true}},
                               .raw_key = "count"};
        for (const unsigned vector : vectors_) {
            driver.fire(vector);
            document.rows.push_back({{"vector", vector}, {"mode", to_string(mode_)}, {"count", take(session, vector)}});
        }
        driver.disable_interrupts();
        document.device = session.device_json();
        session.emit(document);
        return Exit::ok;
    }

  private:
    /// With INTx all vectors share one line, which stays up until the cause is cleared.
    std::uint64_t take(Session& session, unsigned vector) const {
        uiovfio::Interrupts& interrupts = session.device().interrupts();
        const bool line = mode_ == InterruptMode::intx;
        const std::uint64_t count = interrupts.wait(line ? 0 : vector, limit_);
        if (line) {
            session.driver().clear_cause(vector);
            interrupts.unmask();
        }
        return count;
    }

    std::string text_;
    std::string mode_text_ = "msix";
    std::string timeout_ = "5s";
    InterruptMode mode_ = InterruptMode::msix;
    std::vector<unsigned> vectors_;
    std::chrono::nanoseconds limit_{};
};

}  // namespace

void add_device_operations(cli::Options& line, Chosen& chosen) {
    add_operation<Info>(line, chosen, "info", "Show BARs, interrupts, and what a pcienic says of itself");
    add_operation<Reset>(line, chosen, "reset", "Reset the device");
    add_operation<Irq>(line, chosen, "irq", "Have a pcienic raise vectors, and count what arrives");
}

}  // namespace pcienic::ctl
