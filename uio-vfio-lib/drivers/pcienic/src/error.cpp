// SPDX-License-Identifier: MIT
#include "pcienic/error.hpp"

#include <fmt/format.h>

#include <utility>

#include "pcienic/register_table.hpp"

namespace pcienic {
namespace {

struct Explanation {
    Errc errc;
    std::string_view message;
    std::string_view remedy;
};

constexpr Explanation kExplanations[] = {
    {Errc::bad_opcode, "the device does not know the opcode", "build commands with copy(), fill() and nop()"},
    {Errc::zero_length, "the command moves 0 bytes", "give a length of at least 1"},
    {Errc::device_range, "the command reaches beyond the end of device memory",
     "keep offset + length within Identity::memory_size"},
    {Errc::source_fault, "the source could not be read", "map the whole source, and keep it mapped until the result"},
    {Errc::destination_fault, "the destination could not be written",
     "map the whole destination for writing, and keep it mapped until the result"},
    {Errc::sg_fault, "the scatter-gather list could not be read", "keep the ScatterList alive until the result"},
    {Errc::bad_sg, "the scatter-gather list does not hold the command's length",
     "give 1 to 256 pieces, none of them empty, that together hold at least the command's length"},
    {Errc::bad_flags, "the command's flags contradict its opcode", "use lists only for host memory"},
    {Errc::bad_vector, "the command names an interrupt vector that the device lacks; it was not run",
     "name a vector below Identity::vectors"},
    {Errc::descriptor_fault, "the queue stopped: a descriptor could not be read",
     "keep the rings mapped and the bus master bit set, then restart() the engine"},
    {Errc::completion_fault, "the queue stopped: a completion could not be written",
     "keep the rings mapped and the bus master bit set, then restart() the engine"},
    {Errc::queue_stopped, "the queue stopped", "see the error latch, then restart() the engine"},
    {Errc::bad_completion, "the device completed a command that is not outstanding",
     "reset the device: host memory or the device is corrupt"},
    {Errc::not_a_pcienic, "this is not a pcienic device", "name one that is: pcienic-ls -d 1af4:10f2 lists them"},
    {Errc::unsupported_version, "this driver does not know the device's register interface",
     "build the driver and the device from the same source"},
    {Errc::bad_layout, "the vendor capability does not describe a register block",
     "build the driver and the device from the same source"},
    {Errc::reset_failed, "the device did not come out of reset", "reset the function, or power-cycle the machine"},
    {Errc::bad_ring_size, "the ring cannot have that many entries", "take a power of two from 2 to 4096"},
    {Errc::engine_refused, "the DMA engine refused to be enabled",
     "stop() the engine that runs, or reset the device; where none runs, the error latch names the offending register"},
    {Errc::engine_stuck, "the DMA engine did not stop", "reset the device"},
    {Errc::engine_disabled, "the DMA engine is not running", "restart() it"},
    {Errc::ring_full, "every descriptor of the ring is outstanding", "poll() or wait() before submitting more"},
    {Errc::stale_ticket, "the ticket's result is gone, or there never was such a ticket",
     "take a result before its ring has gone round once more"},
    {Errc::cancelled, "the engine was stopped or reset before the command was done", "submit it again"},
    {Errc::list_too_long, "the scatter-gather list holds more pieces than there is room for",
     "make the ScatterList larger, or split the command"},
    {Errc::buffer_in_use, "the device still owns the memory",
     "wait for the commands that name it, or stop() the engine"},
    {Errc::not_mapped, "the command's memory is no longer mapped for the device",
     "make the command of memory that is mapped, and submit it before that is unmapped"},
    {Errc::no_such_vector, "there is no such interrupt vector", "name a vector below Identity::vectors"},
};

const Explanation* find(int value) noexcept {
    for (const Explanation& e : kExplanations)
        if (static_cast<int>(e.errc) == value) return &e;
    return nullptr;
}

class Category final : public std::error_category {
  public:
    const char* name() const noexcept override { return "pcienic"; }
    std::string message(int value) const override {
        const Explanation* e = find(value);
        return e ? std::string(e->message) : fmt::format("the device gave an unknown completion code, {}", value);
    }
};

std::string latched_clause(const std::optional<LatchedError>& latched) {
    return latched ? fmt::format(" ({})", to_string(*latched)) : "";
}

}  // namespace

const std::error_category& category() noexcept {
    static const Category instance;
    return instance;
}

std::error_code make_error_code(Errc errc) noexcept { return {static_cast<int>(errc), category()}; }

std::string_view remedy(Errc errc) noexcept {
    const Explanation* e = find(static_cast<int>(errc));
    return e ? e->remedy : "build the driver and the device from the same source";
}

Error::Error(Errc errc, std::string object, std::optional<LatchedError> latched)
    : std::system_error(make_error_code(errc)),
      object_(std::move(object)),
      latched_(latched),
      what_(fmt::format("{}: {}{}: {}", object_, code().message(), latched_clause(latched_), pcienic::remedy(errc))) {}

std::uint64_t Result::value() const {
    if (code) throw std::system_error(code, fmt::format("DMA command, at {:#x}", detail));
    return detail;
}

std::string to_string(const Result& result) {
    if (!result.code) return fmt::format("done, {} bytes", result.detail);
    if (result.detail == 0) return result.code.message();
    return fmt::format("{} ({:#x})", result.code.message(), result.detail);
}

std::string to_string(const LatchedError& error) {
    std::string_view name = "unknown code";
    for (const RegisterInfo& info : kRegisters)
        if (info.name == "ERR_CODE")
            for (const EnumInfo& e : info.fields.front().enums)
                if (e.value == static_cast<std::uint64_t>(error.code)) name = e.name;
    return fmt::format("error latch: {} {:#x}{}", name, error.info, error.overflow ? ", then further errors" : "");
}

}  // namespace pcienic
