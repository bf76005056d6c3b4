// SPDX-License-Identifier: MIT
#include "pcienic/replay.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "pcienic/register_table.hpp"
#include "pcienic/registers.hpp"

namespace pcienic {
namespace {

consteval const RegisterInfo& volatile_register(std::string_view name) {
    for (const RegisterInfo& info : kRegisters)
        if (info.name == name && info.is_volatile) return info;
    throw "no register of that name changes by itself";
}

consteval std::uint64_t mask_of(const RegisterInfo& info, std::string_view name) {
    for (const FieldInfo& field : info.fields)
        if (field.name == name) return field.mask();
    throw "the register has no field of that name";
}

struct Progress {
    const RegisterInfo& info;
    std::uint64_t mask;
};

// The simulated device has always finished when it is looked at; a real one may not have.
constexpr std::array kProgress{
    Progress{volatile_register("STATUS"), mask_of(volatile_register("STATUS"), "DMA_BUSY")},
    Progress{volatile_register("DMA_STATUS"), volatile_register("DMA_STATUS").defined},
    Progress{volatile_register("DMA_COMPLETED"), volatile_register("DMA_COMPLETED").defined},
};

}  // namespace

std::string register_name(unsigned bar, std::uint64_t offset) {
    if (bar != kBarRegisters) return {};
    for (const RegisterInfo& info : kRegisters) {
        if (offset < info.offset || offset - info.offset >= std::uint64_t{info.count} * info.bytes()) continue;
        const std::uint64_t index = (offset - info.offset) / info.bytes();
        return info.count == 1 ? std::string{info.name} : fmt::format("{}{}", info.name, index);
    }
    return {};
}

uiovfio::ReplayOptions replay_options() {
    uiovfio::ReplayOptions options{.name_of = register_name};
    for (const auto& [info, mask] : kProgress)
        options.may_differ.push_back({.bar = kBarRegisters,
                                      .offset = info.offset,
                                      .length = info.bytes(),
                                      .mask = mask,
                                      .why = "it tells how far the DMA engine had come"});
    for (const RegisterInfo& info : kRegisters) {
        if (!info.sticky) continue;
        options.may_differ.push_back({.bar = kBarRegisters,
                                      .offset = info.offset,
                                      .length = std::uint64_t{info.count} * info.bytes(),
                                      .until_stored = true,
                                      .why = "it is kept over the reset with which a trace begins"});
    }
    return options;
}

}  // namespace pcienic
