// SPDX-License-Identifier: MIT
/// Files that are traces, that once were, and that never have been.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <limits>

#include "builder.hpp"
#include "temporary.hpp"

namespace uiovfio {
namespace {

using test::RecordHead;
using test::TraceBuilder;
using testing::AllOf;
using testing::HasSubstr;

/// What is wrong with these bytes, as the reader says it.
std::string refusal(const std::vector<std::byte>& bytes) {
    std::error_code ec;
    (void)Trace::parse(bytes, "some.trace", ec);
    try {
        (void)Trace::parse(bytes, "some.trace");
    } catch (const Error& error) {
        EXPECT_EQ(error.errc(), Errc::bad_trace) << error.what();
        EXPECT_EQ(error.object(), "some.trace");
        EXPECT_EQ(ec, Errc::bad_trace);
        return error.what();
    }
    EXPECT_FALSE(ec);
    return {};
}

TEST(TraceReader, ReadsWhatTheHeaderSays) {
    TraceHeader written = test::sim_header();
    written.bdf = {0x10000, 0xfe, 0x1f, 7};
    written.bars[4].is_64bit = true;
    written.bars[5] = {.size = 32, .is_io = true};
    written.started = std::chrono::system_clock::time_point{std::chrono::seconds{1'700'000'000}};
    const Trace trace = TraceBuilder{written}.trace();
    const TraceHeader& header = trace.header();
    EXPECT_EQ(header.bdf, written.bdf);
    EXPECT_EQ(header.backend, "vfio");
    EXPECT_EQ(header.kernel, "Linux");
    EXPECT_EQ(header.library, "0.1.0");
    EXPECT_EQ(header.started, written.started);
    EXPECT_EQ(header.bars, written.bars);
    EXPECT_EQ(header.config, written.config);
    EXPECT_EQ(header.vendor(), 0x1af4);
    EXPECT_TRUE(trace.records().empty());
    EXPECT_EQ(trace.end(), TraceEnd::open);
}

TEST(TraceReader, TellsHowATraceEnds) {
    EXPECT_EQ(TraceBuilder{}.store(0x10, 1).trace().end(), TraceEnd::open);
    EXPECT_EQ(TraceBuilder{}.store(0x10, 1).close().trace().end(), TraceEnd::closed);
    const Trace stopped = TraceBuilder{}.store(0x10, 1).count(TraceKind::stopped, 0, 77).trace();
    EXPECT_EQ(stopped.end(), TraceEnd::stopped);
    EXPECT_EQ(stopped.missing(), 77u);
}

TEST(TraceReader, ToleratesATailThatIsCutAndTells) {
    const auto whole = TraceBuilder{}.store(0x10, 1).memory(0x1000, "sixteen bytes it").close();
    const std::size_t first = whole.trace().position(0);
    for (std::size_t size = first; size < whole.bytes().size(); ++size) {
        auto bytes = whole.bytes();
        bytes.resize(size);
        const Trace trace = Trace::parse(bytes);
        const std::size_t complete = trace.records().size();
        EXPECT_LT(complete, 3u);
        EXPECT_LE(trace.position(complete), size);
        EXPECT_EQ(trace.end(), trace.position(complete) == size ? TraceEnd::open : TraceEnd::cut) << size;
    }
}

TEST(TraceReader, RefusesWhatIsNoTrace) {
    EXPECT_THAT(refusal({}), HasSubstr("0 bytes are too few"));
    EXPECT_THAT(refusal(std::vector<std::byte>(1000)), HasSubstr("does not begin as a trace does"));
    auto bytes = TraceBuilder{}.bytes();
    bytes[8] = std::byte{2};
    EXPECT_THAT(refusal(bytes), HasSubstr("it has version 2, this library reads 1"));
}

TEST(TraceReader, RefusesAHeaderWhoseLengthsAreWrong) {
    const auto whole = TraceBuilder{}.bytes();
    for (const std::uint32_t length : {0U, 8U, 55U, 57U, 0xffffffffU, static_cast<std::uint32_t>(whole.size() + 8)}) {
        auto bytes = whole;
        std::memcpy(&bytes[12], &length, sizeof length);
        EXPECT_THAT(refusal(bytes), AllOf(HasSubstr("header of"), HasSubstr("bytes"))) << length;
    }
    constexpr std::size_t kFirstSection = sizeof(detail::trace::FileHead);
    for (const std::uint32_t length : {0xffffffffU, 0x10000U, static_cast<std::uint32_t>(whole.size())}) {
        auto bytes = whole;
        std::memcpy(&bytes[kFirstSection + 4], &length, sizeof length);
        EXPECT_THAT(refusal(bytes), HasSubstr("a section of")) << length;
    }
}

TEST(TraceReader, PassesOverSectionsThatItDoesNotKnow) {
    auto bytes = TraceBuilder{}.bytes();
    const std::uint32_t unknown = 99;
    std::memcpy(&bytes[sizeof(detail::trace::FileHead)], &unknown, sizeof unknown);
    EXPECT_EQ(Trace::parse(bytes).header().backend, "");
    EXPECT_EQ(Trace::parse(bytes).header().kernel, "Linux");
}

TEST(TraceReader, RefusesSectionsOfTheWrongSize) {
    TraceHeader header = test::sim_header();
    header.config.resize(5000);
    EXPECT_THAT(refusal(TraceBuilder{header}.bytes()), HasSubstr("configuration space has 5000 bytes"));
    auto bytes = TraceBuilder{}.bytes();
    const auto bars = static_cast<std::uint32_t>(detail::trace::Section::bars);
    std::memcpy(&bytes[sizeof(detail::trace::FileHead)], &bars, sizeof bars);
    EXPECT_THAT(refusal(bytes), HasSubstr("section of BARs has 4 bytes"));
}

struct Damage {
    const char* what;
    RecordHead head;
    std::size_t payload = 0;
};

class TraceReaderDamage : public testing::TestWithParam<Damage> {};

TEST_P(TraceReaderDamage, IsToldWithItsPlace) {
    const auto bytes =
        TraceBuilder{}.store(0x10, 1).add(GetParam().head, std::vector<std::byte>(GetParam().payload)).close().bytes();
    const std::size_t second = TraceBuilder{}.store(0x10, 1).bytes().size();
    EXPECT_THAT(refusal(bytes),
                AllOf(HasSubstr(fmt::format("byte {:#x}", second)), HasSubstr("record 1"), HasSubstr(GetParam().what)));
}

constexpr std::uint64_t kHighest = std::numeric_limits<std::uint64_t>::max();

INSTANTIATE_TEST_SUITE_P(
    Records, TraceReaderDamage,
    testing::Values(
        Damage{"no record of kind 0", {}}, Damage{"no record of kind 200", {.kind = TraceKind{200}}},
        Damage{"an access of 3 bytes", {.kind = TraceKind::load, .detail = 3}},
        Damage{"an access of 0 bytes", {.kind = TraceKind::store, .detail = 0}},
        Damage{"BAR6", {.kind = TraceKind::load, .detail = 4, .index = 6}},
        Damage{"of BAR1, which has 0x0", {.kind = TraceKind::load, .detail = 4, .index = 1}},
        Damage{"4 bytes at 0x2", {.kind = TraceKind::load, .detail = 4, .address = 2}},
        Damage{"8 bytes at 0x10000", {.kind = TraceKind::store, .detail = 8, .address = 0x10000}},
        Damage{"4 bytes at 0xfffffffffffffffc", {.kind = TraceKind::store, .detail = 4, .address = kHighest - 3}},
        Damage{"0x100 in 1 bytes", {.kind = TraceKind::store, .detail = 1, .value = 0x100}},
        Damage{"8 bytes to configuration space", {.kind = TraceKind::config_load, .detail = 8}},
        Damage{"at 0x1000 of configuration space", {.kind = TraceKind::config_load, .detail = 4, .address = 0x1000}},
        Damage{"direction 3", {.kind = TraceKind::dma_map, .detail = 3, .value = 4096}},
        Damage{"0x0 bytes at bus address", {.kind = TraceKind::dma_map}},
        Damage{"0x2 bytes at bus address", {.kind = TraceKind::dma_unmap, .address = kHighest, .value = 2}},
        Damage{"writer 0", {.kind = TraceKind::memory, .value = 8}, 9},
        Damage{"writer 5", {.kind = TraceKind::memory, .detail = 5, .value = 8}, 9},
        Damage{"8 bytes that tell of 8 bytes of memory", {.kind = TraceKind::memory, .detail = 1, .value = 8}, 8},
        Damage{"0x0 bytes of memory", {.kind = TraceKind::memory, .detail = 1}},
        Damage{"0x10000 bytes of memory", {.kind = TraceKind::memory, .detail = 1, .value = 0x10000}},
        Damage{"bytes of memory", {.kind = TraceKind::memory, .detail = 1, .address = kHighest, .value = 8}, 9},
        Damage{"0 vectors", {.kind = TraceKind::arm, .detail = 2}},
        Damage{"2049 vectors", {.kind = TraceKind::arm, .detail = 2, .value = 2049}, 2049},
        Damage{"2 vectors from 2047 on", {.kind = TraceKind::arm, .detail = 2, .index = 2047, .value = 2}, 2},
        Damage{"1 bytes that tell of 2 vectors", {.kind = TraceKind::arm, .detail = 2, .value = 2}, 1},
        Damage{"interrupt mode 3", {.kind = TraceKind::disarm, .detail = 3}},
        Damage{"event 2", {.kind = TraceKind::event_taken, .detail = 2}},
        Damage{"vector 2048", {.kind = TraceKind::taken, .index = 2048, .value = 1}},
        Damage{"vector 2048", {.kind = TraceKind::trigger, .detail = 2, .index = 2048}},
        Damage{"4 bytes behind a record that has none", {.kind = TraceKind::reset}, 4},
        Damage{"36868 bytes behind a record", {.kind = TraceKind::memory}, 36868}));

TEST(TraceReader, RefusesWhatFollowsTheLastRecord) {
    EXPECT_THAT(refusal(TraceBuilder{}.close().store(0x10, 1).bytes()), HasSubstr("40 bytes follow its last record"));
}

TEST(TraceReader, ReadsWhatIsAtTheLimits) {
    TraceBuilder builder;
    builder.add({.kind = TraceKind::load, .detail = 8, .address = 0xfff8, .value = kHighest});
    builder.add({.kind = TraceKind::dma_map, .address = kHighest, .value = 1});
    builder.add({.kind = TraceKind::dma_map, .address = 0, .value = kHighest});
    builder.add({.kind = TraceKind::memory, .detail = 4, .value = detail::trace::kMostBytes},
                std::vector<std::byte>(detail::trace::kMostPayload));
    builder.add({.kind = TraceKind::arm, .detail = 2, .value = 2048}, std::vector<std::byte>(2048));
    builder.add({.kind = TraceKind::config_load, .detail = 4, .at = kHighest, .address = 0xffc});
    EXPECT_EQ(builder.trace().records().size(), 6u);
}

TEST(TraceReader, NamesEverything) {
    for (unsigned kind = 1; kind <= static_cast<unsigned>(TraceKind::stopped); ++kind)
        EXPECT_NE(to_string(TraceKind{static_cast<std::uint8_t>(kind)}), "unknown") << kind;
    EXPECT_EQ(to_string(TraceKind{0}), "unknown");
    for (unsigned writer = 1; writer <= static_cast<unsigned>(MemoryWriter::probably_device); ++writer)
        EXPECT_NE(to_string(MemoryWriter{static_cast<std::uint8_t>(writer)}), "unknown") << writer;
    EXPECT_EQ(to_string(MemoryWriter{0}), "unknown");
}

// --- files ----------------------------------------------------------------------------------------------------------

class TraceFiles : public testing::Test {
  protected:
    Errc errc_of_reading(const std::filesystem::path& path) {
        std::error_code ec;
        (void)Trace::read(path, ec);
        try {
            (void)Trace::read(path);
        } catch (const Error& error) {
            EXPECT_EQ(ec, error.code());
            EXPECT_EQ(error.object(), path.string());
            return error.errc();
        }
        return Errc{};
    }

    test::TemporaryFolder folder;
};

TEST_F(TraceFiles, AreReadFromDisk) {
    const auto bytes = TraceBuilder{}.store(0x10, 1).close().bytes();
    const auto path = folder.file("a.trace");
    std::ofstream{path, std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                                static_cast<std::streamsize>(bytes.size()));
    const Trace trace = Trace::read(path);
    EXPECT_EQ(trace.records().size(), 2u);
    EXPECT_EQ(trace.bytes().size(), bytes.size());
}

TEST_F(TraceFiles, ThatAreNotThereAreToldSo) { EXPECT_EQ(errc_of_reading(folder.file("none")), Errc::system_error); }

TEST_F(TraceFiles, ThatAreNoFilesAreRefusedAtOnce) {
    EXPECT_EQ(errc_of_reading("/dev/zero"), Errc::bad_trace);
    EXPECT_EQ(errc_of_reading(folder.file("")), Errc::bad_trace);
    const auto fifo = folder.file("fifo");
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_EQ(errc_of_reading(fifo), Errc::bad_trace) << "nobody writes to it, and reading would wait for ever";
}

TEST_F(TraceFiles, ThatAreTooLargeAreNotRead) {
    const auto path = folder.file("large");
    std::ofstream{path}.close();
    std::filesystem::resize_file(path, Trace::kLargestFile + 1);
    EXPECT_EQ(errc_of_reading(path), Errc::bad_trace);
}

}  // namespace
}  // namespace uiovfio
