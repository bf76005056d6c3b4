// SPDX-License-Identifier: MIT
// What `pcienic-ctl --trace` records, and what `pcienic-ctl trace` makes of it.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "chrome_trace.hpp"
#include "ctl_fixture.hpp"
#include "trace_rows.hpp"
#include "uiovfio/trace.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::StartsWith;

class CtlTrace : public Ctl {
  protected:
    /// What succeeded, without a warning, on any device or none.
    std::string text(const std::vector<std::string>& arguments) {
        const Outcome result = run(arguments);
        EXPECT_EQ(result.code, 0) << result.err;
        EXPECT_THAT(result.err, IsEmpty());
        return result.out;
    }

    std::string path(const std::string& name) { return (sysfs_.root().sys.parent_path() / name).string(); }

    std::string contents(const std::string& name) {
        std::ifstream file{name, std::ios::binary};
        return {std::istreambuf_iterator<char>{file}, {}};
    }

    /// A run on the device in this process.
    std::string recorded(std::vector<std::string> operations) {
        std::string file = path("run.trace");
        operations.insert(operations.begin(), {"--backend", "sim", "--trace", file});
        text(operations);
        return file;
    }

    /// The value of a record, replaced.
    void alter(const std::string& file, std::size_t record, std::uint64_t value) {
        const std::size_t at = uiovfio::Trace::read(file).position(record);
        std::fstream stream{file, std::ios::in | std::ios::out | std::ios::binary};
        stream.seekp(static_cast<std::streamoff>(at + 32));
        stream.write(reinterpret_cast<const char*>(&value), sizeof value);
    }

    std::size_t find(const std::string& file, uiovfio::TraceKind kind, std::uint64_t offset) {
        const auto trace = uiovfio::Trace::read(file);
        for (std::size_t i = 0; i < trace.records().size(); ++i)
            if (trace.records()[i].kind == kind && trace.records()[i].offset == offset) return i;
        ADD_FAILURE() << "no such record";
        return 0;
    }
};

TEST_F(CtlTrace, ShowsWhatWasRecorded) {
    const std::string file = recorded({"write", "SCRATCH=0xdeadbeef"});
    const std::string shown = text({"trace", "show", file});
    EXPECT_THAT(shown, StartsWith("0000:00:01.0 [1af4:10f2] through sim, Linux "));
    EXPECT_THAT(shown, HasSubstr(" store        SCRATCH (BAR0 0x0010) <- 0xdeadbeef\n"));
    EXPECT_THAT(shown, HasSubstr(" load         SCRATCH (BAR0 0x0010) -> 0xdeadbeef\n"));
    EXPECT_THAT(shown, HasSubstr(" config_store 0x0004 <- "));
    EXPECT_THAT(shown, EndsWith(" close\n"));
}

TEST_F(CtlTrace, ReplaysNothingThatWantsMoreMemoryThanIsAllowed) {
    const std::string file = recorded({"write", "SCRATCH=5"});
    // The size of BAR4, 16 MiB, is the first of that value behind the file's head.
    std::string bytes = contents(file);
    constexpr std::size_t kHead = 56;
    std::size_t at = kHead;
    while (at + 8 < bytes.size() && bytes.compare(at, 8, std::string{"\0\0\0\1\0\0\0\0", 8}) != 0) at += 8;
    const auto claim = [&](unsigned log2) {
        bytes.replace(at, 8, 8, '\0');
        bytes[at + log2 / 8] = static_cast<char>(1 << log2 % 8);
        std::ofstream{file, std::ios::binary} << bytes;
    };
    for (const unsigned log2 : {31u, 33u, 62u}) {
        claim(log2);
        EXPECT_REFUSED(run({"trace", "replay", file}), 2, HasSubstr("a replay is allowed 256 MiB"));
    }
    claim(33);
    EXPECT_REFUSED(run({"trace", "replay", "--memory", "8G", file}), 2, HasSubstr("the device has at most 4 GiB"));
    EXPECT_REFUSED(run({"trace", "show", "--memory", "8G", file}), 2, HasSubstr("is for 'trace replay'"));
}

TEST_F(CtlTrace, ShowsInEveryForm) {
    const std::string file = recorded({"write", "SCRATCH=5"});
    const std::size_t records = uiovfio::Trace::read(file).records().size();
    const Json document = Json::parse(text({"--json", "trace", "show", file}));
    EXPECT_EQ(document["schema"], "pcienic.trace/1");
    EXPECT_EQ(document["device"]["vendor"], 0x1af4);
    EXPECT_EQ(document["data"].size(), records);
    const std::string lines = text({"-o", "jsonl", "trace", "show", file});
    EXPECT_EQ(std::ranges::count(lines, '\n'), static_cast<std::ptrdiff_t>(records));
    const std::string table = text({"-o", "tsv", "trace", "show", file});
    EXPECT_THAT(table, StartsWith("record\ttime_ns\t"));
    EXPECT_EQ(std::ranges::count(table, '\n'), static_cast<std::ptrdiff_t>(records + 1));
    EXPECT_THAT(text({"-o", "raw", "trace", "show", file}), HasSubstr("0x00000005\n"));
}

TEST_F(CtlTrace, ExportsJsonLines) {
    const std::string file = recorded({"irq", "3", ":", "dma", "verify", "--size", "4k", "--vector", "2"});
    std::istringstream lines{text({"trace", "export", file})};
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    const Json header = Json::parse(line);
    EXPECT_EQ(header["schema"], "pcienic.trace/1");
    EXPECT_EQ(header["kind"], "header");
    EXPECT_EQ(header["end"], "closed");
    EXPECT_EQ(header["bars"][0]["size"], 0x10000);
    EXPECT_EQ(header["config"].get<std::string>().substr(0, 8), "f41af210");
    std::set<std::string> kinds;
    std::size_t number = 0;
    while (std::getline(lines, line)) {
        const Json row = Json::parse(line);
        EXPECT_EQ(row["record"], number++);
        kinds.insert(row["kind"]);
        if (row["kind"] == "memory") {
            EXPECT_EQ(row["bytes"].get<std::string>().size(), 2 * row["length"].get<std::size_t>());
        }
        if (row["kind"] == "taken") {
            EXPECT_EQ(row["count"], 1);
        }
    }
    EXPECT_EQ(header["records"], number);
    EXPECT_THAT(kinds, testing::IsSupersetOf({"load", "store", "config_load", "config_store", "dma_map", "dma_unmap",
                                              "memory", "arm", "disarm", "taken", "close"}));
}

TEST_F(CtlTrace, ExportsChromeTraceEvents) {
    const std::string file = recorded({"irq", "3", ":", "dma", "verify", "--size", "4k", "--vector", "2"});
    const std::string out = path("run.json");
    EXPECT_THAT(text({"trace", "export", "--format", "chrome", "--out", out, file}), IsEmpty());
    const Json document = Json::parse(contents(out));
    std::map<std::string, int> phases;
    std::map<std::string, int> spans;
    std::set<std::string> tracks;
    for (const Json& event : document["traceEvents"]) {
        const std::string phase = event["ph"];
        ++phases[phase];
        EXPECT_TRUE(event["pid"].is_number() && event["tid"].is_number() && event["name"].is_string()) << event;
        if (phase == "M") {
            tracks.insert(event["args"]["name"]);
            continue;
        }
        EXPECT_GE(event["ts"].get<double>(), 0);
        EXPECT_EQ(event.contains("dur"), phase == "X") << event;
        EXPECT_EQ(event.contains("s"), phase == "i") << event;
        if (phase == "b") ++spans[event["id"]];
        if (phase == "e") --spans[event["id"]];
    }
    EXPECT_GT(phases["X"], 20);
    EXPECT_GT(phases["i"], 2);
    EXPECT_GT(phases["b"], 1);
    for (const auto& [id, open] : spans) EXPECT_EQ(open, 0) << id;
    EXPECT_THAT(tracks,
                testing::IsSupersetOf({"MMIO", "configuration space", "DMA", "control", "vector 2", "vector 3"}));
    EXPECT_EQ(document["otherData"]["schema"], "pcienic.trace/1");
}

TEST_F(CtlTrace, ReplaysWhatWasRecorded) {
    const std::string file = recorded({"write", "SCRATCH=7", ":", "irq", "0-3", ":", "dma", "verify", "--size", "64k"});
    const std::string report = text({"trace", "replay", file});
    EXPECT_THAT(report, MatchesRegex("(.|\n)*records replayed: (.|\n)*all as it was\n"));
    const Json row = Json::parse(text({"--json", "trace", "replay", file}))["data"][0];
    EXPECT_EQ(row["matched"], true);
    EXPECT_EQ(row["interrupts"], 4);
    EXPECT_GT(row["device_bytes"], 1000);
    EXPECT_EQ(row["mismatches"], Json::array());
    EXPECT_EQ(text({"-o", "raw", "trace", "replay", file}), "yes\n");
}

TEST_F(CtlTrace, IsNotWrittenOverByItself) {
    const std::string file = recorded({"write", "SCRATCH=7"});
    const auto size = std::filesystem::file_size(file);
    EXPECT_REFUSED(run({"--trace", file, "trace", "replay", file}), 2, HasSubstr("would be overwritten"));
    EXPECT_REFUSED(run({"trace", "replay", file, "--resolve", file}), 2, HasSubstr("would be overwritten"));
    EXPECT_REFUSED(run({"trace", "export", file, "--out", file}), 2, HasSubstr("would be overwritten"));
    EXPECT_EQ(std::filesystem::file_size(file), size);
}

TEST_F(CtlTrace, EndsWithFiveWhereTheDeviceDoesOtherwise) {
    const std::string file = recorded({"write", "SCRATCH=7"});
    alter(file, find(file, uiovfio::TraceKind::store, 0x10), 8);
    const Outcome result = run({"trace", "replay", file});
    EXPECT_EQ(result.code, 5);
    EXPECT_THAT(result.err, IsEmpty());
    EXPECT_THAT(result.out, AllOf(HasSubstr("SCRATCH (BAR0 0x10): expected 0x00000007, got 0x00000008\n"),
                                  EndsWith("NOT as it was\n")));
    const Outcome json = run({"--json", "trace", "replay", file});
    EXPECT_EQ(json.code, 5);
    EXPECT_EQ(Json::parse(json.out)["data"][0]["mismatches"][0]["place"], "SCRATCH (BAR0 0x10)");
    EXPECT_EQ(run({"trace", "replay", "--may-differ", "SCRATCH", file}).code, 0);
    EXPECT_EQ(run({"trace", "replay", "--may-differ", "BAR0:0x10.w", file}).code, 0);
    EXPECT_EQ(run({"trace", "replay", "--may-differ", "SCRATCH64", file}).code, 5);
}

TEST_F(CtlTrace, ResolvesWhoWroteToMemory) {
    const std::string file = recorded({"dma", "copy", "--direction", "host-to-host", "--size", "4k"});
    const std::string known = path("known.trace");
    EXPECT_THAT(text({"trace", "replay", "--resolve", known, file}), HasSubstr("--resolve settles who wrote them"));
    EXPECT_THAT(text({"trace", "replay", known}), testing::Not(HasSubstr("settles")));
    EXPECT_THAT(text({"trace", "show", known}), testing::Not(HasSubstr("probably")));
}

TEST_F(CtlTrace, RecordsAReplay) {
    const std::string file = recorded({"irq", "1"});
    const std::string again = path("again.trace");
    text({"--trace", again, "trace", "replay", file});
    text({"trace", "replay", again});
}

TEST_F(CtlTrace, WarnsOfARecordingThatIsNotWhole) {
    const std::string file = path("short.trace");
    const Outcome result = run({"--backend", "sim", "--trace", file, "--trace-limit", "6000", "dump"});
    EXPECT_EQ(result.code, 0);
    EXPECT_THAT(result.err, MatchesRegex("pcienic-ctl: .*short.trace: [0-9]+ records are missing: allow it more with "
                                         "--trace-limit\n"));
    const Outcome shown = run({"trace", "show", file});
    EXPECT_EQ(shown.code, 0);
    EXPECT_THAT(shown.err, HasSubstr("then it stopped: "));
    EXPECT_THAT(shown.out, HasSubstr("records are missing\n"));
}

TEST_F(CtlTrace, WarnsOfAFileThatIsCut) {
    const std::string file = recorded({"read", "ID"});
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 10);
    const Outcome shown = run({"trace", "show", file});
    EXPECT_EQ(shown.code, 0);
    EXPECT_THAT(shown.err, HasSubstr("its file ends within the next"));
    EXPECT_EQ(run({"trace", "replay", file}).code, 0) << "what is there, is as it was";
}

TEST_F(CtlTrace, FollowsAsMuchMemoryAsItMay) {
    const std::string file = path("few.trace");
    text({"--backend", "sim", "--trace", file, "--trace-memory", "0", "dma", "verify", "--size", "4k"});
    EXPECT_THAT(text({"trace", "show", file}), HasSubstr("not followed"));
}

TEST_F(CtlTrace, RefusesWhatIsNoTrace) {
    const std::string file = path("text");
    std::ofstream{file} << "this is no trace, but a text of some length, longer than the head of one";
    EXPECT_REFUSED(run({"trace", "show", file}), 2, HasSubstr("does not begin as a trace does"));
    EXPECT_REFUSED(run({"trace", "replay", path("none")}), 1, HasSubstr("cannot be opened"));
    EXPECT_REFUSED(run({"trace", "replay", "/dev/null"}), 2, HasSubstr("no ordinary file"));
}

TEST_F(CtlTrace, RefusesATraceOfAnotherDevice) {
    const std::string file = recorded({"read", "ID"});
    std::fstream stream{file, std::ios::in | std::ios::out | std::ios::binary};
    const std::string bytes = contents(file);
    stream.seekp(static_cast<std::streamoff>(bytes.find("\xf4\x1a\xf2\x10")));
    stream.write("\x86\x80\xd3\x10", 4);
    stream.close();
    EXPECT_REFUSED(run({"trace", "replay", file}), 2, HasSubstr("8086:10d3"), HasSubstr("only a pcienic"));
    EXPECT_THAT(text({"trace", "show", file}), HasSubstr("BAR0 0x0000 -> 0x6e696370\n")) << "and no register's name";
}

TEST_F(CtlTrace, RefusesOptionsThatAreNotForTheAction) {
    const std::string file = recorded({"read", "ID"});
    EXPECT_REFUSED(run({"trace", "show", "--format", "chrome", file}), 2, HasSubstr("--format: is for 'trace export'"));
    EXPECT_REFUSED(run({"trace", "replay", "--out", "x", file}), 2, HasSubstr("--out: is for 'trace export'"));
    EXPECT_REFUSED(run({"trace", "show", "--merged", file}), 2, HasSubstr("--merged: is for 'trace replay'"));
    EXPECT_REFUSED(run({"trace", "export", "--may-differ", "ID", file}), 2, HasSubstr("is for 'trace replay'"));
    EXPECT_REFUSED(run({"trace", "show", "--resolve", "x", file}), 2, HasSubstr("is for 'trace replay'"));
    EXPECT_REFUSED(run({"trace", "replay", "--may-differ", "SCRACH", file}), 2, HasSubstr("did you mean SCRATCH?"));
    EXPECT_REFUSED(run({"trace", "list", file}), 2, HasSubstr("list"));
    EXPECT_REFUSED(run({"trace", "export", "--out", "/none/x", file}), 1, HasSubstr("/none/x: cannot be written"));
    EXPECT_EQ(run({"trace", "replay", "--resolve", "/none/x", file}).code, 1);
}

TEST_F(CtlTrace, RefusesAPlaceWhereItCannotWrite) {
    EXPECT_REFUSED(run({"--backend", "sim", "--trace", "/none/x", "read", "ID"}), 1,
                   HasSubstr("/none/x: the trace cannot be written"));
    EXPECT_REFUSED(run({"--backend", "sim", "--trace", path("x"), "--trace-limit", "100", "read", "ID"}), 2,
                   HasSubstr("has no room for a trace"));
    EXPECT_REFUSED(run({"--trace-limit", "lots", "read", "ID"}), 2, HasSubstr("'lots'"));
}

TEST_F(CtlTrace, SaysWhatItWouldDo) {
    const std::string file = recorded({"read", "ID"});
    EXPECT_THAT(text({"-n", "trace", "show", file}), HasSubstr("and show it"));
    EXPECT_THAT(text({"-n", "trace", "export", file}), HasSubstr("export it as jsonl"));
    EXPECT_THAT(text({"-n", "trace", "replay", file}), HasSubstr("replay it on a simulated device"));
}

TEST_F(CtlTrace, GivesATerminalNothingThatTheFileSmuggles) {
    const std::string file = recorded({"read", "ID"});
    std::string bytes = contents(file);
    const std::size_t at = bytes.find("Linux ");
    bytes.replace(at, 6, "\x1b[2J\xff\n");
    std::ofstream{file, std::ios::binary} << bytes;
    EXPECT_THAT(text({"trace", "show", file}), HasSubstr("through sim, ?[2J??"));
    EXPECT_EQ(Json::parse(text({"trace", "export", "--format", "chrome", file}))["otherData"]["backend"], "sim");
}

}  // namespace
}  // namespace pcienic::ctl
