// SPDX-License-Identifier: MIT
/// What is recorded of a device's use, and what becomes of it at the limits.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <pcienic/registers.hpp>
#include <thread>
#include <uiovfio/sim.hpp>
#include <uiovfio/uiovfio.hpp>

#include "backend.hpp"
#include "backends/traced.hpp"
#include "in_child.hpp"
#include "temporary.hpp"

namespace uiovfio {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::chrono::seconds kPatience{60};

template <class Action>
std::optional<Error> error_of(Action&& action) {
    try {
        std::forward<Action>(action)();
        return std::nullopt;
    } catch (const Error& error) {
        return error;
    }
}

class Recorder : public testing::Test {
  protected:
    Device open(const TraceOptions& more = {}, SimOptions options = {}) {
        options.trace = more;
        options.trace.file = file;
        return open_sim(options);
    }

    static std::string contents(const std::filesystem::path& path) {
        std::ifstream in{path, std::ios::binary};
        return {std::istreambuf_iterator<char>{in}, {}};
    }
    /// Of all files there are.
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (const auto& entry : std::filesystem::directory_iterator{file.parent_path()})
            all.push_back(entry.path().filename());
        return all;
    }

    /// The records of a kind, of a trace that was just closed.
    std::vector<TraceRecord> records(TraceKind kind) {
        trace = Trace::read(file);
        std::vector<TraceRecord> found;
        std::ranges::copy_if(trace.records(), std::back_inserter(found),
                             [&](const TraceRecord& record) { return record.kind == kind; });
        return found;
    }

    test::TemporaryFolder folder;
    std::filesystem::path file = folder.file("run.trace");
    Trace trace;
};

TEST_F(Recorder, WritesDownEveryAccess) {
    {
        const auto device = open();
        const auto window = device.bar(0).window();
        window.store<std::uint32_t>(0x10, 0xdeadbeef);
        EXPECT_EQ(window.load<std::uint32_t>(0x10), 0xdeadbeef);
        device.bar(0).write<std::uint64_t>(0x18, 0x0123456789abcdef);
        EXPECT_EQ(device.bar(4).read<std::uint16_t>(0x1000), 0);
    }
    const auto stores = records(TraceKind::store);
    ASSERT_EQ(stores.size(), 2u);
    EXPECT_EQ(stores[0].bar, 0u);
    EXPECT_EQ(stores[0].offset, 0x10u);
    EXPECT_EQ(stores[0].width, 4u);
    EXPECT_EQ(stores[0].value, 0xdeadbeefu);
    EXPECT_EQ(stores[1].width, 8u);
    EXPECT_EQ(stores[1].value, 0x0123456789abcdefu);
    const auto loads = records(TraceKind::load);
    ASSERT_EQ(loads.size(), 2u);
    EXPECT_EQ(loads[0].value, 0xdeadbeefu);
    EXPECT_EQ(loads[1].bar, 4u);
    EXPECT_EQ(loads[1].width, 2u);
    EXPECT_EQ(trace.end(), TraceEnd::closed);
}

TEST_F(Recorder, WritesDownConfigurationSpace) {
    {
        const auto device = open();
        EXPECT_EQ(device.config().read16(config::kVendorId), pcienic::kVendorId);
        device.config().write32(0x160 + 16, 0x1234);
    }
    const auto loads = records(TraceKind::config_load);
    EXPECT_TRUE(std::ranges::any_of(loads, [](const auto& load) {
        return load.offset == 0 && load.width == 2 && load.value == pcienic::kVendorId;
    }));
    const auto stores = records(TraceKind::config_store);
    // The one that enables the device when it is opened, this one, and the one that stops it when it is closed.
    ASSERT_EQ(stores.size(), 3u);
    EXPECT_EQ(stores[0].offset, config::kCommand);
    EXPECT_EQ(stores[1].offset, 0x170u);
    EXPECT_EQ(stores[1].value, 0x1234u);
    EXPECT_EQ(stores[2].value & config::kCommandBusMaster, 0u);
}

TEST_F(Recorder, TellsWhereTheTraceComesFrom) {
    const auto before = std::chrono::system_clock::now();
    open({.memory_limit = 12345}, {.bdf = {1, 2, 3, 4}, .memory_size = 8192}).close();
    trace = Trace::read(file);
    const TraceHeader& header = trace.header();
    EXPECT_EQ(to_string(header.bdf), "0001:02:03.4");
    EXPECT_EQ(header.backend, "sim");
    EXPECT_THAT(header.kernel, testing::StartsWith("Linux "));
    EXPECT_THAT(header.library, testing::MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
    EXPECT_GE(header.started, before);
    EXPECT_LE(header.started, std::chrono::system_clock::now());
    EXPECT_EQ(header.vendor(), pcienic::kVendorId);
    EXPECT_EQ(header.device(), pcienic::kDeviceId);
    EXPECT_EQ(header.config.size(), 4096u);
    EXPECT_EQ(header.config_value(4096, 4), 0xffffffff);
    EXPECT_EQ(header.bars[4], (TraceBar{.size = 8192, .is_64bit = true, .is_prefetchable = true}));
    EXPECT_EQ(header.bars[1], TraceBar{});
    EXPECT_EQ(header.granule, 4096u);
    EXPECT_EQ(header.memory_limit, 12345u);
}

TEST_F(Recorder, IsReadableByItsOwnerOnly) {
    open().close();
    struct stat status{};
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(Recorder, ReplacesAFileThatOthersMayRead) {
    std::ofstream{file} << "of before";
    std::filesystem::permissions(file, std::filesystem::perms{0666});
    const auto other_name = folder.file("other.trace");
    std::filesystem::create_hard_link(file, other_name);
    open().close();
    struct stat status{};
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    EXPECT_EQ(Trace::read(file).end(), TraceEnd::closed);
    EXPECT_EQ(contents(other_name), "of before") << "the file by its other name";
    EXPECT_THAT(names(), testing::UnorderedElementsAre("run.trace", "other.trace"));
}

TEST_F(Recorder, DoesNotFollowLinks) {
    const auto precious = folder.file("precious");
    std::ofstream{precious} << "precious";
    std::filesystem::create_symlink(precious, file);
    auto error = error_of([&] { (void)open(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::invalid_argument);
    EXPECT_THAT(error->what(), HasSubstr("it is a link"));
    EXPECT_EQ(contents(precious), "precious");
    std::filesystem::remove(precious);
    ASSERT_TRUE(error_of([&] { (void)open(); })) << "nor to where there is nothing";
    EXPECT_FALSE(std::filesystem::exists(precious));
}

TEST_F(Recorder, NeedsAnOrdinaryFile) {
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
    const auto refused = [&](const std::filesystem::path& path) {
        file = path;
        const auto error = error_of([&] { (void)open(); });
        return error && error->errc() == Errc::invalid_argument &&
               std::string_view{error->what()}.find("no ordinary file") != std::string_view::npos;
    };
    EXPECT_TRUE(refused(file)) << "a pipe, which would wait for its reader";
    EXPECT_TRUE(refused("/dev/null"));
    EXPECT_TRUE(refused("/dev/zero"));
    EXPECT_TRUE(refused(folder.file("")));
}

TEST_F(Recorder, LeavesTheFilesOfOthers) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
    std::ofstream{file} << "another's";
    ASSERT_EQ(::chown(file.c_str(), 65534, 65534), 0);
    const auto error = error_of([&] { (void)open(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::permission_denied);
    EXPECT_THAT(error->what(), HasSubstr("another user"));
    EXPECT_EQ(contents(file), "another's");
}

TEST_F(Recorder, LeavesTheTraceOfBeforeWhereItCannotBegin) {
    open().close();
    const std::string before = contents(file);
    ASSERT_TRUE(error_of([&] { (void)open({.file_limit = 100}); }));
    std::filesystem::permissions(folder.file(""), std::filesystem::perms{0500});
    if (::geteuid() != 0) {
        EXPECT_TRUE(error_of([&] { (void)open(); }));
    }
    std::filesystem::permissions(folder.file(""), std::filesystem::perms{0700});
    EXPECT_EQ(contents(file), before);
    EXPECT_THAT(names(), ElementsAre("run.trace"));
}

TEST_F(Recorder, TracesAreWrittenAgainAsPrivately) {
    std::ofstream{file} << "of before";
    std::filesystem::permissions(file, std::filesystem::perms{0666});
    write_trace(file, std::as_bytes(std::span{"a trace", 7}));
    EXPECT_EQ(contents(file), "a trace");
    EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms{0600});
    std::filesystem::remove(file);
    std::filesystem::create_symlink(folder.file("elsewhere"), file);
    std::error_code ec;
    write_trace(file, {}, ec);
    EXPECT_EQ(ec, Errc::invalid_argument);
    write_trace("/dev/full/x", {}, ec);
    EXPECT_EQ(ec, Errc::system_error);
}

TEST_F(Recorder, KeepsBarsFromBeingMapped) {
    const auto device = open();
    EXPECT_FALSE(device.can(Feature::mmap));
    EXPECT_FALSE(device.bar(0).is_mappable());
    const auto error = error_of([&] { (void)device.bar(0).map(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::not_mappable);
    EXPECT_THAT(error->what(), HasSubstr("it is traced to " + file.string()));
}

TEST_F(Recorder, KeepsTheRestOfWhatABackendCanDo) {
    auto device = open();
    EXPECT_EQ(device.backend(), "sim");
    EXPECT_TRUE(device.can(Feature::msix));
    EXPECT_EQ(sim::iommu_faults(device), 0u);
    const auto window = device.bar(0).window();
    const FaultGuard guard{window};
    sim::surprise_remove(device);
    EXPECT_EQ(window.load<std::uint32_t>(0x10), 0xffffffff);
    EXPECT_EQ(guard.status(), Errc::device_gone);
    EXPECT_FALSE(device.is_present());
}

TEST_F(Recorder, WritesDownInterrupts) {
    {
        auto device = open();
        auto& interrupts = device.interrupts();
        interrupts.enable(InterruptMode::msix, 3);
        interrupts.trigger(2);
        EXPECT_EQ(interrupts.wait(2, kPatience), 1u);
        interrupts.trigger(1);
        interrupts.trigger(1);
        EXPECT_EQ(interrupts.try_take(1), 2u);
        EXPECT_EQ(interrupts.try_take(1), 0u);
        interrupts.trigger(0);
        interrupts.disable();
    }
    const auto armed = records(TraceKind::arm);
    ASSERT_EQ(armed.size(), 1u);
    EXPECT_EQ(armed[0].mode, InterruptMode::msix);
    EXPECT_EQ(armed[0].vectors, 3u);
    EXPECT_THAT(armed[0].connected, ElementsAre(std::byte{1}, std::byte{1}, std::byte{1}));
    EXPECT_EQ(records(TraceKind::trigger).size(), 4u);
    const auto taken = records(TraceKind::taken);
    ASSERT_EQ(taken.size(), 2u);
    EXPECT_EQ(taken[0].vector, 2u);
    EXPECT_EQ(taken[0].count, 1u);
    EXPECT_EQ(taken[1].vector, 1u);
    EXPECT_EQ(taken[1].count, 2u);
    const auto left = records(TraceKind::left);
    ASSERT_EQ(left.size(), 1u);
    EXPECT_EQ(left[0].vector, 0u);
    EXPECT_EQ(left[0].count, 1u);
    EXPECT_EQ(records(TraceKind::disarm).size(), 1u);
}

TEST_F(Recorder, KnowsWhatWasLeftFromWhatIsKept) {
    {
        auto device = open();
        auto& interrupts = device.interrupts();
        interrupts.enable(InterruptMode::msix, 2);
        interrupts.trigger(0);
        interrupts.trigger(1);
        device.reset();  // arms the same eventfds again
        EXPECT_EQ(interrupts.try_take(0), 1u);
        interrupts.disable();
        interrupts.enable(InterruptMode::msix, 2);  // new ones
    }
    const auto armed = records(TraceKind::arm);
    ASSERT_EQ(armed.size(), 3u);
    EXPECT_FALSE(armed[0].keeps_counts);
    EXPECT_TRUE(armed[1].keeps_counts);
    EXPECT_FALSE(armed[2].keeps_counts);
    const auto left = records(TraceKind::left);
    ASSERT_EQ(left.size(), 1u);
    EXPECT_EQ(left[0].vector, 1u);
    EXPECT_EQ(left[0].count, 1u);
}

TEST_F(Recorder, WritesDownSingleVectors) {
    {
        auto device = open();
        auto& interrupts = device.interrupts();
        interrupts.enable(InterruptMode::msix, 2);
        EXPECT_EQ(interrupts.grow(4), Growth::in_place);
        interrupts.disarm(3);
        interrupts.arm(3);
        const std::array<unsigned, 2> both{1, 3};
        interrupts.trigger(both);
        EXPECT_EQ(interrupts.try_take(3), 1u);
    }
    const auto armed = records(TraceKind::arm);
    ASSERT_EQ(armed.size(), 4u);
    EXPECT_EQ(armed[1].vector, 2u);
    EXPECT_EQ(armed[1].vectors, 2u);
    EXPECT_EQ(armed[2].vector, 3u);
    EXPECT_THAT(armed[2].connected, ElementsAre(std::byte{0}));
    EXPECT_THAT(armed[3].connected, ElementsAre(std::byte{1}));
    const auto fired = records(TraceKind::trigger);
    ASSERT_EQ(fired.size(), 2u);
    EXPECT_EQ(fired[0].vector, 1u);
    EXPECT_EQ(fired[1].vector, 3u);
}

TEST_F(Recorder, WritesDownEvents) {
    {
        auto device = open();
        device.events().trigger(DeviceEvent::error);
        EXPECT_EQ(device.events().try_take(DeviceEvent::error), 1u);
        sim::request_removal(device);
        EXPECT_EQ(device.events().wait(DeviceEvent::removal_request, kPatience), 1u);
    }
    const auto raised = records(TraceKind::event_trigger);
    ASSERT_EQ(raised.size(), 1u) << "by software, and not what the kernel does";
    EXPECT_EQ(raised[0].event, DeviceEvent::error);
    const auto taken = records(TraceKind::event_taken);
    ASSERT_EQ(taken.size(), 2u);
    EXPECT_EQ(taken[0].event, DeviceEvent::error);
    EXPECT_EQ(taken[1].event, DeviceEvent::removal_request);
    EXPECT_EQ(taken[1].count, 1u);
}

TEST_F(Recorder, WritesDownMaskingAndReset) {
    {
        auto device = open();
        device.interrupts().enable(InterruptMode::intx, 1);
        device.interrupts().mask();
        device.interrupts().unmask();
        device.reset();
    }
    EXPECT_EQ(records(TraceKind::mask_intx).size(), 1u);
    EXPECT_EQ(records(TraceKind::unmask_intx).size(), 1u);
    EXPECT_EQ(records(TraceKind::reset).size(), 1u);
    EXPECT_EQ(records(TraceKind::arm).size(), 2u) << "the reset's own disarming and arming";
}

TEST_F(Recorder, WritesDownMappingsAndWhatTheyHold) {
    std::uint64_t iova = 0;
    {
        const auto device = open();
        DmaBuffer buffer = device.dma().allocate(8192);
        iova = to_integer(buffer.iova());
        std::ranges::fill(buffer.bytes().subspan(100, 3), std::byte{0x5a});
        device.bar(0).write<std::uint32_t>(0x10, 1);
    }
    const auto maps = records(TraceKind::dma_map);
    ASSERT_EQ(maps.size(), 1u);
    EXPECT_EQ(to_integer(maps[0].iova), iova);
    EXPECT_EQ(maps[0].length, 8192u);
    EXPECT_EQ(maps[0].direction, DmaDirection::bidirectional);
    EXPECT_TRUE(maps[0].has_contents);
    EXPECT_EQ(records(TraceKind::dma_unmap).size(), 1u);
    const auto memory = records(TraceKind::memory);
    ASSERT_EQ(memory.size(), 1u);
    EXPECT_EQ(memory[0].writer, MemoryWriter::probably_driver);
    EXPECT_EQ(to_integer(memory[0].iova), iova + 96);
    ASSERT_EQ(memory[0].bytes.size(), 8u);
    for (std::size_t i = 0; i < 8; ++i) {
        const bool is_written = i >= 4 && i < 7;
        EXPECT_EQ(memory[0].is_changed(i), is_written) << i;
        EXPECT_EQ(memory[0].bytes[i], is_written ? std::byte{0x5a} : std::byte{0});
    }
}

TEST_F(Recorder, WritesDownWhatMemoryHeldWhenItWasMapped) {
    {
        const auto device = open();
        alignas(4096) static std::array<std::byte, 4096> memory;
        memory.fill(std::byte{0});
        memory[4095] = std::byte{7};
        const auto mapping = device.dma().map(memory, {.direction = DmaDirection::to_device});
        memory[0] = std::byte{8};
        (void)device.bar(0).read<std::uint32_t>(0x10);
    }
    const auto memory = records(TraceKind::memory);
    ASSERT_EQ(memory.size(), 2u);
    EXPECT_EQ(memory[0].writer, MemoryWriter::driver);
    EXPECT_EQ(memory[0].bytes.back(), std::byte{7});
    EXPECT_EQ(memory[1].writer, MemoryWriter::driver) << "the device may not write there";
    EXPECT_EQ(memory[1].bytes.front(), std::byte{8});
}

TEST_F(Recorder, TellsWhatFails) {
    {
        const auto device = open();
        (void)error_of([&] { (void)device.dma().allocate(4096, {}); });
        alignas(4096) static std::array<std::byte, 4096> memory{};
        const auto error = error_of([&] { (void)device.dma().map(memory, {.iova = Iova{0xfee00000}}); });
        ASSERT_TRUE(error);
        EXPECT_EQ(error->errc(), Errc::iova_out_of_aperture);
    }
    const auto maps = records(TraceKind::dma_map);
    ASSERT_EQ(maps.size(), 2u);
    EXPECT_FALSE(maps[0].error);
    EXPECT_EQ(maps[1].error, Errc::iova_out_of_aperture);
    EXPECT_EQ(to_integer(maps[1].iova), 0xfee00000u);
}

TEST_F(Recorder, FollowsNoMoreMemoryThanItMay) {
    {
        const auto device = open({.memory_limit = 8192});
        const auto first = device.dma().allocate(8192);
        const auto second = device.dma().allocate(4096);
        second.bytes()[0] = std::byte{1};
        first.bytes()[0] = std::byte{2};
        device.bar(0).write<std::uint32_t>(0x10, 1);
    }
    const auto maps = records(TraceKind::dma_map);
    ASSERT_EQ(maps.size(), 2u);
    EXPECT_TRUE(maps[0].has_contents);
    EXPECT_FALSE(maps[1].has_contents);
    EXPECT_EQ(records(TraceKind::memory).size(), 1u);
}

TEST_F(Recorder, FollowsMoreOnceAMappingIsGone) {
    {
        const auto device = open({.memory_limit = 8192});
        (void)device.dma().allocate(8192);
        (void)device.dma().allocate(8192);
    }
    for (const TraceRecord& map : records(TraceKind::dma_map)) EXPECT_TRUE(map.has_contents);
}

TEST_F(Recorder, StopsAtItsLimitAndCounts) {
    constexpr std::uint64_t kLimit = 8192;
    constexpr unsigned kStores = 1000;
    {
        auto device = open({.file_limit = kLimit});
        const auto window = device.bar(0).window();
        for (unsigned i = 0; i < kStores; ++i) window.store<std::uint32_t>(0x10, i);
        const auto status = trace_status(device);
        ASSERT_TRUE(status);
        EXPECT_GT(status->missing, 0u);
        EXPECT_EQ(status->system_errno, 0);
        EXPECT_LE(status->bytes, kLimit);
    }
    EXPECT_LE(std::filesystem::file_size(file), kLimit);
    const auto stores = records(TraceKind::store);
    EXPECT_EQ(trace.end(), TraceEnd::stopped);
    EXPECT_GT(stores.size(), 10u);
    for (std::size_t i = 0; i < stores.size(); ++i) EXPECT_EQ(stores[i].value, i) << "the beginning is whole";
    // After the stores: the two accesses that stop the device, and the closing itself.
    EXPECT_EQ(stores.size() + trace.missing(), kStores + 3);
}

TEST_F(Recorder, KeepsItsLimitWhereMuchMemoryChanges) {
    constexpr std::uint64_t kLimit = 100'000;
    constexpr std::size_t kMemory = std::size_t{1} << 20;
    {
        const auto device = open({.file_limit = kLimit});
        const auto buffer = device.dma().allocate(kMemory);
        for (unsigned round = 1; round < 4; ++round) {
            std::ranges::fill(buffer.bytes(), static_cast<std::byte>(round));
            device.bar(0).write<std::uint32_t>(0x10, round);
        }
        EXPECT_EQ(device.bar(0).read<std::uint32_t>(0x10), 3u) << "the device does not notice";
    }
    EXPECT_LE(std::filesystem::file_size(file), kLimit);
    const auto memory = records(TraceKind::memory);
    EXPECT_EQ(trace.end(), TraceEnd::stopped);
    EXPECT_GT(trace.missing(), 0u);
    ASSERT_EQ(memory.size(), 2u) << "as many as there was room for";
    for (const TraceRecord& record : memory) EXPECT_EQ(record.bytes.front(), std::byte{1});
}

TEST_F(Recorder, RefusesALimitThatHasNoRoomForAHeader) {
    const auto error = error_of([&] { (void)open({.file_limit = 100}); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::invalid_argument);
    EXPECT_THAT(error->what(), HasSubstr(file.string()));
    std::error_code ec;
    EXPECT_FALSE(open_sim({.trace = {.file = file, .file_limit = 100}}, ec));
    EXPECT_EQ(ec, Errc::invalid_argument);
}

TEST_F(Recorder, RefusesAFileThatCannotBeWritten) {
    file = folder.file("none/run.trace");
    const auto error = error_of([&] { (void)open(); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->errc(), Errc::system_error);
    EXPECT_EQ(error->system_errno(), ENOENT);
    EXPECT_THAT(error->what(), HasSubstr(file.string()));
}

/// While it lives, no file of this process grows beyond so many bytes: as on a full disk, writing fails with EFBIG.
class NoLongerFiles {
  public:
    explicit NoLongerFiles(std::uintmax_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        struct rlimit narrow = before_;
        narrow.rlim_cur = bytes;
        if (::setrlimit(RLIMIT_FSIZE, &narrow) != 0) throw std::runtime_error{"no limit of files' sizes"};
    }
    ~NoLongerFiles() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    NoLongerFiles(const NoLongerFiles&) = delete;
    NoLongerFiles& operator=(const NoLongerFiles&) = delete;

  private:
    void (*handler_)(int) = std::signal(SIGXFSZ, SIG_IGN);
    struct rlimit before_{};
};

TEST_F(Recorder, LeavesTheDeviceAloneWhereTheDiskIsFull) {
    const NoLongerFiles limit{100};
    const auto error = error_of([&] { (void)open(); });
    ASSERT_TRUE(error) << "the header is written at once";
    EXPECT_EQ(error->system_errno(), EFBIG);
    EXPECT_FALSE(std::filesystem::exists(file)) << "half of a trace is none";
}

TEST_F(Recorder, GoesOnWithoutTheFileWhereItCannotGrow) {
    auto device = open();
    std::optional<NoLongerFiles> limit{6000};  // about as long as the header: what follows finds no room
    const auto window = device.bar(0).window();
    for (unsigned i = 0; i < 5000; ++i) window.store<std::uint32_t>(0x10, i);
    EXPECT_EQ(window.load<std::uint32_t>(0x10), 4999u) << "the device does not notice";
    const auto status = trace_status(device);
    device.close();
    limit.reset();
    ASSERT_TRUE(status);
    EXPECT_EQ(status->system_errno, EFBIG);
    EXPECT_GT(status->missing, 0u);
    trace = Trace::read(file);
    EXPECT_NE(trace.end(), TraceEnd::closed);
}

// Few records are written only at the end: what that does not keep is missing, too.
TEST_F(Recorder, TellsWhatTheLastWriteDidNotKeep) {
    auto device = open();
    std::optional<NoLongerFiles> limit{std::filesystem::file_size(file)};
    device.bar(0).window().store<std::uint32_t>(0x10, 1);
    device.close();
    limit.reset();
    const auto status = trace_status(device);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->system_errno, EFBIG);
    EXPECT_GT(status->missing, 0u);
    EXPECT_EQ(status->records, 0u);
}

TEST_F(Recorder, LeavesTheFileToTheParentWhereAChildEndsTheDevice) {
    auto device = open();
    const auto window = device.bar(0).window();
    const auto buffer = device.dma().allocate(4096);
    window.store<std::uint32_t>(0x10, 1);  // waits in the buffer, of which the child has a copy
    EXPECT_EQ(test::in_child([&]() -> std::string {
                  EXPECT_FALSE(trace_status(device));
                  device = Device{};
                  return testing::Test::HasFailure() ? "failed" : "ended";
              }),
              "ended");
    window.store<std::uint32_t>(0x10, 2);
    device.close();
    const auto stores = records(TraceKind::store);
    ASSERT_EQ(stores.size(), 2u);
    EXPECT_EQ(stores[1].value, 2u);
    EXPECT_EQ(trace.end(), TraceEnd::closed);
}

TEST_F(Recorder, LooksAtMemoryForTheLastTimeBeforeItMayBeGone) {
    {
        auto device = open();
        const auto buffer = device.dma().allocate(4096);
        device.bar(0).write<std::uint32_t>(0x10, 1);
        buffer.bytes()[0] = std::byte{1};
        device.close();
    }
    EXPECT_EQ(records(TraceKind::memory).size(), 1u);
    EXPECT_EQ(trace.end(), TraceEnd::closed);
}

TEST_F(Recorder, NumbersThreads) {
    {
        const auto device = open();
        const auto window = device.bar(0).window();
        window.store<std::uint32_t>(0x10, 1);
        std::thread{[&] { window.store<std::uint32_t>(0x10, 2); }}.join();
    }
    const auto stores = records(TraceKind::store);
    ASSERT_EQ(stores.size(), 2u);
    EXPECT_EQ(stores[0].thread, 0u);
    EXPECT_EQ(stores[1].thread, 1u);
    EXPECT_LE(stores[0].at, stores[1].at);
}

TEST_F(Recorder, KeepsAccessesOfSeveralThreadsWhole) {
    constexpr unsigned kThreads = 4;
    constexpr unsigned kAccesses = 200;
    {
        const auto device = open();
        const auto buffer = device.dma().allocate(4096);
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < kThreads; ++i) {
            threads.emplace_back([window = device.bar(0).window(), i] {
                for (unsigned j = 0; j < kAccesses; ++j) {
                    window.store<std::uint32_t>(0x10, i * kAccesses + j);
                    (void)window.load<std::uint32_t>(0x10);
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
    }
    EXPECT_EQ(records(TraceKind::store).size(), kThreads * kAccesses);
    // Every load gives what the store before it in the trace wrote: the order is the device's.
    std::uint64_t last = 0;
    for (const TraceRecord& record : trace.records()) {
        if (record.kind == TraceKind::store) last = record.value;
        if (record.kind == TraceKind::load) {
            EXPECT_EQ(record.value, last);
        }
    }
}

// Without a file there is nothing between the device and its backend: the calls are those that they would be if there
// were no traces at all, and a mapped access is an instruction as ever (unit.uiovfio.ObjectCode).
TEST_F(Recorder, IsNotThereWhereNobodyAsks) {
    const auto device = open_sim();
    const auto backend = DeviceFactory::backend(device);
    EXPECT_EQ(backend->inner(), nullptr);
    EXPECT_EQ(backend->trace().vectors, nullptr);
    EXPECT_EQ(backend->trace().events, nullptr);
    EXPECT_EQ(detail::traced(device.bdf(), backend, {}), backend) << "the very one, whichever it is";
    EXPECT_FALSE(trace_status(device));
    EXPECT_FALSE(trace_status(Device{}));
    EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(Recorder, OpensByNameAsWell) {
    Device::open(Bdf::parse("0000:05:00.0"), {.backend = "sim", .trace = {.file = file}}).close();
    trace = Trace::read(file);
    EXPECT_EQ(trace.end(), TraceEnd::closed);
    EXPECT_EQ(to_string(trace.header().bdf), "0000:05:00.0");
}

TEST_F(Recorder, ReplacesAFileThatIsThere) {
    std::ofstream{file} << std::string(100000, 'x');
    open().close();
    trace = Trace::read(file);
    EXPECT_EQ(trace.end(), TraceEnd::closed);
}

TEST_F(Recorder, KeepsWhatIsWrittenWhenTheDeviceIsNeverClosed) {
    const auto device = open();
    const auto window = device.bar(0).window();
    for (unsigned i = 0; i < 5000; ++i) window.store<std::uint32_t>(0x10, i);
    const auto stores = records(TraceKind::store);  // of the file as it is now, as after a crash
    EXPECT_GT(stores.size(), 1000u);
    EXPECT_TRUE(trace.end() == TraceEnd::cut || trace.end() == TraceEnd::open);
}

}  // namespace
}  // namespace uiovfio
