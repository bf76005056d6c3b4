// SPDX-License-Identifier: MIT
//
// A register read and written: by type, by hand, and by the calls that others use.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <pcienic/driver.hpp>
#include <pcienic/registers.hpp>

#include "measure/contest.hpp"
#include "measure/other_ways.hpp"
#include "measure/plan.hpp"
#include "measure/register_loops.hpp"
#include "measure/vfio_file.hpp"

namespace pcienic::bench {
namespace {

// Accesses to a sample: long enough for the clock not to matter, short enough for a slow moment to spoil few of them.
constexpr std::size_t kLoads = 256;
constexpr std::size_t kCalls = 32;
constexpr unsigned kRounds = 3000;

volatile std::uint32_t sink;  // what was read, so that the reading is not optimised away

/// The two contests that each way to reach a register takes part in.
struct Registers {
    Contest reads{"registers.read", "Reading a register",
                  fmt::format("one 32-bit load; a sample is the mean of {} of them, {} for a call", kLoads, kCalls)};
    Contest writes{"registers.write", "Writing a register",
                   fmt::format("one 32-bit store; a sample is the mean of {} of them, {} for a call", kLoads, kCalls)};

    template <class Read, class Write>
    void enter(const Entry& entry, std::size_t accesses, Read read, Write write) {
        reads.enter(entry, [=](Recorder& recorder) { recorder.time(accesses, [&] { sink = read(accesses); }); });
        writes.enter(entry, [=](Recorder& recorder) { recorder.time(accesses, [&] { write(accesses); }); });
    }
    void skip(const std::string& name, const std::string& reason) {
        reads.skip(name, reason);
        writes.skip(name, reason);
    }
};

/// Every figure here is compared with this one.
constexpr std::string_view kRaw = "raw pointer";

Entry entry(std::string_view name, bool must_not_allocate = true) {
    return {.name = std::string{name}, .baseline = std::string{kRaw}, .must_not_allocate = must_not_allocate};
}

void enter_mapped(Registers& registers, uiovfio::MappedWindow block) {
    auto* raw = static_cast<volatile std::uint32_t*>(block.data());
    const std::size_t size = block.size();
    registers.enter(
        {.name = std::string{kRaw}, .must_not_allocate = true}, kLoads,
        [=](std::size_t count) { return read_raw(raw, size, count); },
        [=](std::size_t count) { write_raw(raw, size, count); });
    registers.enter(
        entry("typed register"), kLoads, [=](std::size_t count) { return read_typed(block, count); },
        [=](std::size_t count) { write_typed(block, count); });
}

void enter_file(Registers& registers, unsigned bar, std::uint64_t block_offset) {
    constexpr std::string_view kName = "pread and pwrite";
    const auto file = find_vfio_file();
    const auto region = file ? file->region_offset(bar) : std::nullopt;
    if (!region) return registers.skip(std::string{kName}, "this backend has no VFIO file");
    const auto place = static_cast<off_t>(*region + block_offset + regs::Scratch::kOffset);
    registers.enter(
        entry(kName), kCalls,
        [=, descriptor = file->descriptor](std::size_t count) {
            std::uint32_t value = 0;
            std::uint32_t sum = 0;
            for (; count > 0; --count)
                if (::pread(descriptor, &value, sizeof value, place) == sizeof value) sum += value;
            return sum;
        },
        [=, descriptor = file->descriptor](std::size_t count) {
            for (; count > 0; --count) {
                const auto value = static_cast<std::uint32_t>(count);
                [[maybe_unused]] const auto written = ::pwrite(descriptor, &value, sizeof value, place);
            }
        });
}

/// libpciaccess maps what sysfs offers of a device that no driver has: the second one.
class OtherDevice {
  public:
    void enter(const Plan& plan, Registers& registers, unsigned bar, std::uint64_t block_offset) {
        constexpr std::string_view kName = "libpciaccess";
        if (!plan.second) return registers.skip(std::string{kName}, "it needs a second device");
        try {
            unbound_.emplace(*plan.second, "");
            device_.emplace(*plan.second).map_bar(bar);
        } catch (const std::exception& error) {
            return registers.skip(std::string{kName}, error.what());
        }
        auto* raw = reinterpret_cast<volatile std::uint32_t*>(static_cast<std::byte*>(device_->bar()) + block_offset);
        const std::size_t size = device_->bar_size();
        registers.enter(
            entry(kName), kLoads, [=](std::size_t count) { return read_raw(raw, size, count); },
            [=](std::size_t count) { write_raw(raw, size, count); });
    }

  private:
    std::optional<Bound> unbound_;
    std::optional<PciAccessDevice> device_;
};

}  // namespace

std::vector<Group> measure_registers(const Plan& plan) {
    uiovfio::Device device = plan.open();
    const Driver driver{device};
    const unsigned bar = driver.layout().register_bar;
    const std::uint64_t offset = driver.layout().register_offset;
    const std::uint64_t length = driver.layout().doorbell_offset - offset;

    Registers registers;
    std::error_code not_mappable;
    const uiovfio::MappedWindow mapped = device.bar(bar).map(offset, length, not_mappable);
    if (not_mappable) {
        for (const std::string_view name : {kRaw, std::string_view{"typed register"}})
            registers.skip(std::string{name}, not_mappable.message());
    } else {
        enter_mapped(registers, mapped);
    }
    const uiovfio::Window window = device.bar(bar).window(offset, length);
    registers.enter(
        entry("typed register, checked window"), mapped ? kLoads : kCalls,
        [&](std::size_t count) { return read_window(window, count); },
        [&](std::size_t count) { write_window(window, count); });
    OtherDevice other;
    other.enter(plan, registers, bar, offset);
    enter_file(registers, bar, offset);

    registers.reads.run(plan.rounds(kRounds));
    registers.writes.run(plan.rounds(kRounds));
    return {registers.reads.group(), registers.writes.group()};
}

std::vector<Group> measure_config(const Plan& plan) {
    uiovfio::Device device = plan.open();
    Contest contest{"config.read", "Reading configuration space",
                    fmt::format("one 32-bit read; a sample is the mean of {} of them", kCalls)};
    const auto enter = [&](const Entry& entry, auto read) {
        contest.enter(entry, [=](Recorder& recorder) {
            recorder.time(kCalls, [&] {
                std::uint32_t sum = 0;
                for (std::size_t count = 0; count < kCalls; ++count) sum += read();
                sink = sum;
            });
        });
    };
    const auto pread = [](int descriptor, std::uint64_t place) {
        std::uint32_t value = 0;
        return ::pread(descriptor, &value, sizeof value, static_cast<off_t>(place)) == sizeof value ? value : 0;
    };

    constexpr unsigned kConfigRegion = 7;
    const std::string baseline = "pread by hand";
    const auto file = find_vfio_file();
    if (const auto region = file ? file->region_offset(kConfigRegion) : std::nullopt)
        enter({.name = baseline}, [=, descriptor = file->descriptor] { return pread(descriptor, *region); });
    else
        contest.skip(baseline, "this backend has no VFIO file");
    enter({.name = "ConfigSpace::read32", .baseline = baseline, .must_not_allocate = true},
          [&config = device.config()] { return config.read32(0); });

    // Both read the file "config" of a device that need not be open; libpciaccess opens it for each read.
    std::optional<PciAccessDevice> other;
    std::optional<OpenFile> sysfs;
    const auto enter_other = [&](const std::string& name, const auto& open) {
        try {
            if (!plan.second) return contest.skip(name, "it needs a second device");
            enter({.name = name, .baseline = baseline}, open(*plan.second));
        } catch (const std::exception& error) {
            contest.skip(name, error.what());
        }
    };
    enter_other("sysfs, pread of config", [&](const uiovfio::Bdf& bdf) {
        return [&pread, descriptor = sysfs.emplace(sysfs_path(bdf, "config")).descriptor()] {
            return pread(descriptor, 0);
        };
    });
    enter_other("libpciaccess", [&](const uiovfio::Bdf& bdf) {
        return [&device = other.emplace(bdf)] { return device.read_config(0); };
    });
    contest.run(plan.rounds(kRounds));
    return {contest.group()};
}

}  // namespace pcienic::bench
