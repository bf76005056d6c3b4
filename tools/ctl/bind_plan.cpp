// SPDX-License-Identifier: MIT
// What bind, unbind, restore and with would do, for --dry-run: also what they would refuse for.
#include <fmt/format.h>

#include "binding.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using uiovfio::Bdf;

constexpr const char* kKernelsChoice = "whichever driver the kernel finds";

Json uses_json(const std::vector<uiovfio::Use>& uses) {
    Json rows = Json::array();
    for (const uiovfio::Use& use : uses)
        rows.push_back({{"kind", name(use.kind)},
                        {"through", use.through},
                        {"by", use.by},
                        {"mount_point", use.mount_point.empty() ? Json{} : Json(use.mount_point)},
                        {"text", to_string(use)}});
    return rows;
}

/// What would be refused for. A device that keeps its driver is not taken from anything.
void add_obstacles(Json& row, const Bdf& bdf, bool stays, const std::vector<uiovfio::Use>& uses,
                   const uiovfio::SysfsRoot& root) {
    row["uses"] = uses_json(uses);
    const bool is_held = !stays && uiovfio::is_held(bdf, root);
    row["held"] = is_held;
    row["holders"] = is_held ? holders_json(bdf, root) : Json::array();
}

std::string obstacles_text(const Json& row) {
    std::string text;
    for (const Json& use : row["uses"]) text += fmt::format("\n  {}", use["text"].get<std::string>());
    for (const Json& holder : row["holders"])
        text += fmt::format("\n  {} has it open", holder["text"].get<std::string>());
    if (row["held"].get<bool>() && row["holders"].empty()) text += "\n  it, or its group, is open through VFIO";
    return text;
}

std::string text_of(const Json& driver) { return driver.is_null() ? "no driver" : driver.get<std::string>(); }

std::string plan_text(const Json& row) {
    const std::string bdf = row["bdf"].get<std::string>();
    const std::string back = row["restorable"].get<bool>() ? text_of(row["back"]) : kKernelsChoice;
    std::string text = row["now"] == row["then"]
                           ? fmt::format("{}: has {} already", bdf, text_of(row["now"]))
                           : fmt::format("{}: would go from {} to {}", bdf, text_of(row["now"]), text_of(row["then"]));
    text += fmt::format("; restore would give it to {}", back);
    return text + obstacles_text(row);
}

std::string restore_text(const Json& row) {
    return fmt::format("would take {} from {} and give it to {}{}", row["bdf"].get<std::string>(), text_of(row["now"]),
                       row["by_kernel"].get<bool>() ? kKernelsChoice : text_of(row["then"]), obstacles_text(row));
}

/// As restore() and unbind() look at it: only what keeps its driver may be in use.
Json restore_row(const Bdf& bdf, Givee givee, const uiovfio::SysfsRoot& root) {
    const auto recorded = givee == Givee::former ? uiovfio::recorded_driver(bdf, root) : std::nullopt;
    std::error_code gone;
    const std::string now = uiovfio::describe(bdf, root, gone).driver;
    const bool stays = recorded && *recorded == now;
    Json row{{"bdf", to_string(bdf)},
             {"now", driver_json(now)},
             {"then", driver_json(recorded.value_or(""))},
             {"by_kernel", givee == Givee::former && !recorded}};
    add_obstacles(row, bdf, stays, stays ? std::vector<uiovfio::Use>{} : uiovfio::uses_of(bdf, root), root);
    return row;
}

}  // namespace

Json holders_json(const Bdf& bdf, const uiovfio::SysfsRoot& root) {
    Json holders = Json::array();
    for (const uiovfio::Holder& holder : uiovfio::holders_of(bdf, root))
        holders.push_back({{"process", holder.process}, {"command", holder.command}, {"text", to_string(holder)}});
    return holders;
}

cli::Document plan_document(const std::vector<Bdf>& functions, const std::string& driver,
                            const uiovfio::SysfsRoot& root) {
    Json rows = Json::array();
    for (const Bdf& bdf : functions) {
        const uiovfio::BindPlan plan = uiovfio::plan_bind(bdf, driver, root);
        rows.push_back({{"bdf", to_string(bdf)},
                        {"now", driver_json(plan.now)},
                        {"then", driver_json(plan.then)},
                        {"restorable", plan.back.has_value()},
                        {"back", driver_json(plan.back.value_or(""))}});
        add_obstacles(rows.back(), bdf, plan.now == plan.then, plan.uses, root);
    }
    return {.schema = "pcienic.bind-plan/1",
            .columns = {{.key = "bdf", .title = "BDF"},
                        {.key = "now", .title = "NOW"},
                        {.key = "then", .title = "THEN"},
                        {.key = "back", .title = "BACK"}},
            .rows = std::move(rows),
            .raw_key = "bdf",
            .line = plan_text};
}

cli::Document restore_plan_document(const std::vector<Bdf>& functions, Givee givee, const uiovfio::SysfsRoot& root) {
    Json rows = Json::array();
    for (const Bdf& bdf : functions) rows.push_back(restore_row(bdf, givee, root));
    return {.schema = "pcienic.restore-plan/1",
            .columns = {{.key = "bdf", .title = "BDF"},
                        {.key = "now", .title = "NOW"},
                        {.key = "then", .title = "THEN"},
                        {.key = "by_kernel", .title = "BY_KERNEL"}},
            .rows = std::move(rows),
            .raw_key = "bdf",
            .line = restore_text};
}

}  // namespace pcienic::ctl
