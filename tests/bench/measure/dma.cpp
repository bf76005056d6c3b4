// SPDX-License-Identifier: MIT
//
// Memory copied by the device, through drivers/pcienic.
#include <fmt/format.h>

#include <cstring>
#include <pcienic/driver.hpp>

#include "cli/exit.hpp"
#include "measure/contest.hpp"
#include "measure/plan.hpp"
#include "report/text.hpp"

namespace pcienic::bench {
namespace {

constexpr unsigned kRounds = 200;
constexpr std::array<std::size_t, 6> kSizes{64, 1024, 4096, 65536, 1U << 20, 4U << 20};
constexpr std::array<std::size_t, 6> kBatches{1, 4, 16, 64, 128, 256};
constexpr std::uint32_t kBatchCopy = 256;
constexpr auto kPatience = std::chrono::seconds{60};  // a watchdog

void require(const Result& result) {
    if (result.code) throw cli::Failure(cli::Exit::failure, fmt::format("DMA: {}", to_string(result)));
}

/// One command, and how its completion is awaited.
void run(DmaEngine& engine, const Command& command) { require(engine.run(command, kPatience)); }

void run_batch(DmaEngine& engine, const Command& command, std::size_t count) {
    Ticket last{};
    for (std::size_t number = 0; number < count; ++number) last = engine.post(command);
    engine.ring();
    require(engine.wait(last, kPatience));
}

Contest by_size(DmaEngine& engine, const uiovfio::DmaBuffer& from, const uiovfio::DmaBuffer& to) {
    Contest contest{"dma.copy", "The device copies host memory",
                    "one command, from the doorbell to its completion, which is polled for"};
    for (const std::size_t size : kSizes) {
        const std::string processor = "the processor's memcpy";
        contest.enter({.name = processor, .parameter = format_size(size), .bytes = size},
                      [&, size](Recorder& recorder) {
                          recorder.time(1, [&] { std::memcpy(to.bytes().data(), from.bytes().data(), size); });
                      });
        const Command command = copy(from.iova(), to.iova(), static_cast<std::uint32_t>(size));
        contest.enter({.name = "the device",
                       .parameter = format_size(size),
                       .baseline = processor,
                       .bytes = size,
                       .must_not_allocate = true},
                      [&, command](Recorder& recorder) { recorder.time(1, [&] { run(engine, command); }); });
    }
    return contest;
}

Contest by_batch(DmaEngine& engine, const uiovfio::DmaBuffer& from, const uiovfio::DmaBuffer& to) {
    Contest contest{"dma.batch", "Commands that share a doorbell",
                    fmt::format("one copy of {} bytes: a batch's time over its commands", kBatchCopy)};
    const auto name = [](std::size_t count) { return fmt::format("{} to a doorbell", count); };
    const Command command = copy(from.iova(), to.iova(), kBatchCopy);
    for (const std::size_t count : kBatches)
        contest.enter({.name = name(count),
                       .baseline = count == 1 ? "" : name(1),
                       .bytes = kBatchCopy,
                       .must_not_allocate = true},
                      [&, command, count](Recorder& recorder) {
                          recorder.time(count, [&] { run_batch(engine, command, count); });
                      });
    return contest;
}

}  // namespace

std::vector<Group> measure_dma(const Plan& plan) {
    uiovfio::Device device = plan.open();
    Driver driver{device};
    const uiovfio::DmaBuffer from = device.dma().allocate(kSizes.back());
    const uiovfio::DmaBuffer to = device.dma().allocate(kSizes.back());
    DmaEngine engine = driver.make_dma({.entries = kBatches.back()});
    Contest sizes = by_size(engine, from, to);
    Contest batches = by_batch(engine, from, to);
    sizes.run(plan.rounds(kRounds));
    batches.run(plan.rounds(kRounds));
    return {sizes.group(), batches.group()};
}

}  // namespace pcienic::bench
