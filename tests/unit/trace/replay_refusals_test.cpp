// SPDX-License-Identifier: MIT
/// Traces and devices that a replay refuses, and the limits within which it works.

#include <array>
#include <fstream>

#include "replay_fixture.hpp"

namespace uiovfio {
namespace {

using test::error_of;
using test::kPatience;
using test::replayed;
using test::texts;
using test::TraceBuilder;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ReplayRefusals, OfADeviceThatIsAnother) {
    TraceHeader header = test::sim_header();
    Device device = open_sim();
    const auto refused = [&](const Trace& trace) { return error_of([&] { (void)replay(trace, device); }); };
    header.config[2] = std::byte{0x11};
    auto error = refused(TraceBuilder{header}.trace());
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::invalid_argument);
    EXPECT_THAT(error->what(), HasSubstr("it is 1af4:10f2, the trace is of 1af4:1011"));
    error = error_of([&] { (void)sim_options(header); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::invalid_argument);
    std::error_code ec;
    (void)sim_options(header, ec);
    EXPECT_EQ(ec, Errc::invalid_argument);

    error = refused(TraceBuilder{test::sim_header(8192)}.trace());
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), HasSubstr("its BAR4 has 0x1000000 bytes, in the trace it has 0x2000"));
}

TEST(ReplayRefusals, OfADeviceThatIsInUse) {
    Device device = open_sim();
    device.interrupts().enable(InterruptMode::msix, 1);
    std::error_code ec;
    (void)replay(TraceBuilder{}.trace(), device, {}, ec);
    EXPECT_EQ(ec, Errc::interrupt_mode_busy);
    device.close();
    (void)replay(TraceBuilder{}.trace(), device, {}, ec);
    EXPECT_EQ(ec, Errc::closed);
    Device none;
    (void)replay(TraceBuilder{}.trace(), none, {}, ec);
    EXPECT_EQ(ec, Errc::closed);
}

// A header of a few bytes says how much memory the device has.
TEST(ReplayRefusals, OfADeviceWithMoreMemoryThanIsAllowed) {
    for (const std::uint64_t size : {std::uint64_t{2} << 30, std::uint64_t{1} << 62}) {
        const TraceHeader header = test::sim_header(size);
        const auto error = error_of([&] { (void)sim_options(header); });
        ASSERT_TRUE(error);
        EXPECT_EQ(error->errc(), Errc::invalid_argument);
        EXPECT_THAT(error->what(), HasSubstr("a replay is allowed 256 MiB"));
        EXPECT_THAT(error->what(), HasSubstr("--memory"));
        EXPECT_EQ(sim_options(header, {.memory_limit = size}).memory_size, size) << "if that is what the caller wants";
        std::error_code ec;
        (void)sim_options(header, {.memory_limit = size - 1}, ec);
        EXPECT_EQ(ec, Errc::invalid_argument);
    }
    EXPECT_EQ(sim_options(test::sim_header(std::uint64_t{256} << 20)).memory_size, std::size_t{256} << 20);
}

TEST(ReplayRefusals, OfNothingThatIsOnlyLarge) {
    // Within the limit, and none of it is written to.
    const auto resident = [] {
        std::ifstream statm{"/proc/self/statm"};
        std::size_t size = 0;
        std::size_t pages = 0;
        statm >> size >> pages;
        return pages * 4096;
    };
    constexpr std::uint64_t kLength = std::uint64_t{2} << 30;
    constexpr std::uint64_t kPlace = std::uint64_t{4} << 30;
    const Trace trace = TraceBuilder{}
                            .config_store(4, 6)
                            .map(kPlace, kLength)
                            .memory(kPlace + kLength - 4, "text")
                            .load(0x10, 0x1234)
                            .trace();
    Device device = open_sim();
    const std::size_t before = resident();
    std::size_t during = 0;
    ReplayOptions options{.memory_limit = kLength};
    // It is asked in the middle of the replay: the load does not give what it gave.
    options.name_of = [&](unsigned, std::uint64_t) {
        during = resident();
        return std::string{};
    };
    EXPECT_EQ(replay(trace, device, options).mismatch_count, 1u);
    ASSERT_NE(during, 0u);
    EXPECT_LT(during, before + (std::size_t{256} << 20));
}

class ReplayContradictions : public testing::TestWithParam<std::pair<const char*, TraceBuilder>> {};

TEST_P(ReplayContradictions, AreBadTraces) {
    const Trace trace = GetParam().second.trace();
    Device device = open_sim();
    const auto error = error_of([&] { (void)replay(trace, device); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::bad_trace);
    EXPECT_THAT(error->what(), HasSubstr("record 1: ")) << "where";
    EXPECT_THAT(error->what(), HasSubstr(GetParam().first));
    EXPECT_EQ(sim::iommu_faults(device), 0u);
    device.close();
}

TraceBuilder enabled() { return TraceBuilder{}.config_store(4, 6); }
TraceBuilder mapped(std::uint64_t length = 4096) { return TraceBuilder{}.map(0x10000, length); }

INSTANTIATE_TEST_SUITE_P(
    All, ReplayContradictions,
    testing::Values(
        std::pair{"unmap of what is not mapped", mapped().unmap(0x20000, 4096)},
        std::pair{"unmap of what is not mapped", mapped(8192).unmap(0x10000, 4096)},
        std::pair{"are mapped already", mapped().map(0x10000, 4096)},
        std::pair{"more memory than", mapped().map(0x40000000, std::uint64_t{1} << 40)},
        std::pair{"no multiple of a page", enabled().map(0x10000, 5)},
        std::pair{"memory that is not mapped", mapped().memory(0x20000, "text")},
        std::pair{"memory that is not mapped", mapped().memory(0x10ffe, "text")},
        std::pair{"memory that is not mapped, or not followed",
                  TraceBuilder{}.map(0x10000, 4096, false).memory(0x10000, "text")},
        std::pair{"armed in two modes", TraceBuilder{}.arm(InterruptMode::msix, 1).arm(InterruptMode::msi, 1)},
        std::pair{"not among those armed", enabled().add({.kind = TraceKind::arm, .detail = 2, .index = 1, .value = 1},
                                                         std::vector<std::byte>(1))},
        std::pair{"more vectors than there are", enabled().arm(InterruptMode::msix, 33)},
        std::pair{"not armed", TraceBuilder{}.arm(InterruptMode::msix, 1).disarm(InterruptMode::msi)},
        std::pair{"not armed", enabled().disarm(InterruptMode::msix)},
        std::pair{"vector that was not armed", enabled().count(TraceKind::taken, 0, 1)},
        std::pair{"vector that was not armed", TraceBuilder{}.arm(InterruptMode::msix, 1).count(TraceKind::left, 1, 1)},
        std::pair{"vector that is not armed", enabled().add({.kind = TraceKind::trigger, .detail = 2})},
        std::pair{"INTx masked", enabled().add({.kind = TraceKind::mask_intx})},
        std::pair{"INTx masked", enabled().add({.kind = TraceKind::unmask_intx})}));

TEST(ReplayContradiction, OfAMappingThatTheDeviceRefuses) {
    EXPECT_THAT(texts(replayed(TraceBuilder{}.map(0xfee00000, 4096).trace())),
                ElementsAre(HasSubstr("memory at 0xfee00000: expected mapped, got bus addresses")));
}

/// A descriptor of the DMA engine (pcienic.yaml).
std::array<char, 32> descriptor(unsigned opcode, bool phase, std::uint64_t source = 0, std::uint64_t destination = 0,
                                std::uint32_t length = 0) {
    std::array<char, 32> bytes{};
    const std::uint32_t control = opcode | (phase ? 0x80000000U : 0U);
    std::memcpy(&bytes[0], &source, 8);
    std::memcpy(&bytes[8], &destination, 8);
    std::memcpy(&bytes[16], &length, 4);
    std::memcpy(&bytes[28], &control, 4);
    return bytes;
}

TEST(ReplayWatchdog, TellsOfADeviceThatNeverRests) {
    // A ring of two, whose first descriptor copies over both of them what makes them valid in the next lap.
    constexpr std::uint64_t kRing = 0x10000;
    const auto table = [](bool phase) { return kRing + (phase ? 0x200U : 0x100U); };
    const auto again = [&](bool phase) { return descriptor(3, phase, table(phase), kRing, 64); };
    const auto pair = [](const std::array<char, 32>& first, const std::array<char, 32>& second) {
        return std::string{first.begin(), first.end()} + std::string{second.begin(), second.end()};
    };
    TraceBuilder builder;
    builder.config_store(4, 6).map(kRing, 4096);
    builder.memory(kRing, pair(again(true), descriptor(0, true)));
    builder.memory(table(true), pair(again(false), descriptor(0, true)));
    builder.memory(table(false), pair(again(true), descriptor(0, false)));
    builder.store(0x408, kRing, 8).store(0x410, kRing + 0x800, 8).store(0x418, 1).store(0x400, 1).store(0x1000, 1);
    const Trace trace = builder.trace();
    Device device = open_sim();
    const auto error = error_of([&] { (void)replay(trace, device, {.patience = std::chrono::milliseconds{20}}); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::timed_out);
    EXPECT_THAT(error->what(), HasSubstr("still at work"));
    EXPECT_TRUE(sim::settle(device, kPatience)) << "what is left of the replay lets the device rest";
}

TEST(ReplayLimits, MemoryIsGivenBackWhenItIsUnmapped) {
    TraceBuilder builder;
    for (int i = 0; i < 10; ++i) builder.map(0x10000, 1 << 20).unmap(0x10000, 1 << 20);
    ReplayOptions options;
    options.memory_limit = 1 << 20;
    EXPECT_TRUE(replayed(builder.trace(), options).matched());
}

}  // namespace
}  // namespace uiovfio
