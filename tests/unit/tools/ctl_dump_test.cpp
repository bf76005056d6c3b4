// SPDX-License-Identifier: MIT
// dump and diff: what is shown of the registers, and what a comparison with it finds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "ctl_fixture.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

std::ptrdiff_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

TEST_F(Ctl, DumpShowsEveryReadableRegister) {
    const Json data = document({"dump"})["data"];
    EXPECT_EQ(data.size(), 19u + 2 * 64) << "all elements of the arrays, too: what is left out cannot be compared";
    for (const Json& row : data) EXPECT_NE(row["name"], "IRQ_TEST") << "write-only";
    for (const char* form : {"jsonl", "raw"})
        EXPECT_EQ(lines(text({"-o", form, "dump"})), 19 + 2 * 64) << form << ": its lines are counted";
    EXPECT_EQ(lines(text({"dump"})), 1 + 19) << "arrays that are 0 are left out";
    EXPECT_EQ(lines(text({"dump", "--all"})), 1 + 19 + 2 * 64);
    EXPECT_EQ(document({"dump", "IRQ_MASK", "--all"})["data"].size(), 64u);
    EXPECT_EQ(document({"dump", "BAR4:0+64"})["data"].size(), 16u);
    EXPECT_REFUSED(sim({"dump", "NOTHING*"}), 2, HasSubstr("no register matches"));
}

TEST_F(Ctl, DumpShowsNonzeroElementsOfArrays) {
    EXPECT_THAT(text({"write", "IRQ_MASK0=5", ":", "dump", "IRQ_*"}), HasSubstr("IRQ_MASK0   0x300   0x00000005"));
}

TEST_F(Ctl, DumpWritesBytes) {
    const std::string path = file("bytes", "");
    EXPECT_EQ(text({"dump", "ID", "--bin", path}), "");
    std::ifstream stream{path};
    EXPECT_EQ((std::string{std::istreambuf_iterator<char>{stream}, {}}), "pcin");
    EXPECT_EQ(sim({"dump", "ID", "--bin", "/nonexistent/x"}).code, 1);
}

TEST_F(Ctl, DumpListsOnlySoMuchButSavesAny) {
    EXPECT_REFUSED(sim({"dump", "BAR4:0+16M"}), 2, HasSubstr("4194304 accesses, and at most 65536"),
                   HasSubstr("'dump --bin FILE BAR4:0+16M'"));
    EXPECT_REFUSED(sim({"--json", "dump", "BAR4:0+256k", "BAR4:0+4"}), 2, HasSubstr("65537 accesses"));
    EXPECT_REFUSED(sim({"read", "BAR4:0+257k"}), 2, HasSubstr("dump --bin"));
    const std::string path = file("bytes", "");
    text({"write", "BAR4:0x10=0x04030201", "BAR4:0xfffffc=0xdeadbeef", ":", "dump", "ID", "BAR4:0+16M", "--bin", path});
    std::ifstream stream{path};
    const std::string bytes{std::istreambuf_iterator<char>{stream}, {}};
    ASSERT_EQ(bytes.size(), 4u + (16u << 20)) << "in order: the register, then the range";
    EXPECT_EQ(bytes.substr(0, 4), "pcin");
    EXPECT_EQ(bytes.substr(4 + 0x10, 4), "\x01\x02\x03\x04");
    EXPECT_EQ(bytes.substr(bytes.size() - 4), "\xef\xbe\xad\xde");
    EXPECT_EQ(text({"-n", "dump", "BAR4:0+16M", "--bin", path}),
              "would read 32 bits of BAR4:0x000, and 4194303 more behind it\n");
}

TEST_F(Ctl, DiffComparesDumps) {
    const std::string a = file("a.json", text({"dump", "--json"}));
    const std::string b = file("b.json", text({"--json", "dump"}));
    EXPECT_EQ(run({"diff", a, b}).code, 0);
    EXPECT_EQ(run({"diff", a, b}).out, "");
    Json changed = Json::parse(std::ifstream{a});
    for (Json& row : changed["data"])
        if (row["name"] == "SCRATCH") row["value"] = 42;
    const Outcome result = run({"diff", a, file("c.json", changed.dump())});
    EXPECT_EQ(result.code, 5);
    EXPECT_EQ(result.out,
              "REGISTER           A           B\n"
              "SCRATCH   0x00000000  0x0000002a\n");
}

TEST_F(Ctl, DiffComparesADumpWithTheDevice) {
    const std::string a = file("a.json", text({"dump", "--json"}));
    EXPECT_EQ(sim({"diff", "--live", a}).code, 0);
    const Outcome result = sim({"write", "--no-readback", "SCRATCH=9", ":", "diff", "--live", a});
    EXPECT_EQ(result.code, 5);
    EXPECT_THAT(result.out, HasSubstr("SCRATCH   0x00000000  0x00000009"));
}

TEST_F(Ctl, DiffRefusesWhatIsNoDump) {
    EXPECT_REFUSED(run({"diff", "/nonexistent", "/nonexistent"}), 2, HasSubstr("cannot be read"));
    EXPECT_REFUSED(run({"diff", "/tmp", "/tmp"}), 2, HasSubstr("is a folder"));
    EXPECT_REFUSED(run({"run", "/tmp"}), 2, HasSubstr("is a folder"));
    const std::string hollow = file("z.json", R"({"schema": "pcienic.dump/1", "data": [{"name": 1}]})");
    EXPECT_REFUSED(run({"diff", hollow, hollow}), 2, AllOf(HasSubstr("is not a dump"), HasSubstr("dump --json")));
    EXPECT_REFUSED(run({"diff", file("x.json", "[]"), file("y.json", "{")}), 2, HasSubstr("is not a dump"));
    EXPECT_REFUSED(run({"diff", "a"}), 2, HasSubstr("two files"));
}

// The dump of a device in which they are 0.
TEST_F(Ctl, DiffFindsElementsThatWereZero) {
    const std::string dump = file("dump.json", text({"dump", "--json"}));
    const Outcome result = sim({"write", "--no-readback", "IRQ_MASK0=8", ":", "diff", "--live", dump});
    EXPECT_EQ(result.code, 5) << result.err;
    EXPECT_THAT(result.out, HasSubstr("IRQ_MASK0  0x00000000  0x00000008"));
    EXPECT_EQ(run({"diff", dump, dump}).code, 0);
    const Json batch = document({"write", "--no-readback", "IRQ_MASK0=8", ":", "dump"});
    const Outcome files = run({"diff", dump, file("second.json", batch["data"][1].dump())});
    EXPECT_EQ(files.code, 5) << files.err;
    EXPECT_THAT(files.out, HasSubstr("IRQ_MASK0  0x00000000  0x00000008"));
}

TEST_F(Ctl, DiffReadsAsWideAsTheDumpDid) {
    const std::string wide = file("q.json", text({"dump", "--json", "BAR4:0.q+16"}));
    EXPECT_EQ(sim({"diff", "--live", wide}).code, 0);
    const Outcome result = sim({"write", "--no-readback", "BAR4:4=5", ":", "diff", "--live", wide});
    EXPECT_EQ(result.code, 5) << result.err;
    EXPECT_THAT(result.out, HasSubstr("BAR4:0x000  0x0000000000000000  0x0000000500000000"));

    const std::string bytes = file("b.json", text({"dump", "--json", "BAR4:0.b+4"}));
    const Outcome byte = sim({"write", "--no-readback", "BAR4:0=0x500", ":", "diff", "--live", bytes});
    EXPECT_EQ(byte.code, 5) << byte.err;
    EXPECT_THAT(byte.out, HasSubstr("BAR4:0x001  0x00  0x05"));

    const std::string half = file("w.json", text({"dump", "--json", "0x18.w"}));
    EXPECT_EQ(sim({"diff", "--live", half}).code, 0) << "half of a register of 64 bits";
}

// The same bytes as one access and as two are two questions to a device.
TEST_F(Ctl, DiffOfOneOffsetInTwoWidths) {
    const std::string words = file("w.json", text({"dump", "--json", "BAR4:0.w+4"}));
    const std::string bytes = file("b.json", text({"dump", "--json", "BAR4:0.b"}));
    const Json rows = Json::parse(run({"--json", "diff", words, bytes}).out)["data"];
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0]["width"], 8);
    EXPECT_EQ(rows[0]["b_hex"], "0x00");
    EXPECT_EQ(rows[1]["a_hex"], "0x00000000");
}

TEST_F(Ctl, DiffRefusesAnotherDevicesDump) {
    Json dump = document({"dump", "BAR0:0+8"});
    dump["device"]["vendor"] = 0x8086;
    dump["device"]["device"] = 0x10d3;
    EXPECT_REFUSED(sim({"diff", "--live", file("other.json", dump.dump())}), 2,
                   HasSubstr("is a dump of a device 8086:10d3, and this one is 1af4:10f2"), HasSubstr("-s"));
    dump["device"] = nullptr;
    EXPECT_EQ(sim({"diff", "--live", file("any.json", dump.dump())}).code, 0);
}

// Before the first operation runs.
TEST_F(Ctl, DiffRefusesPlacesThatTheDeviceLacks) {
    Json dump = document({"dump", "BAR0:0+8"});
    dump["data"][1]["bar"] = 1;
    EXPECT_REFUSED(sim({"read", "ID", ":", "diff", "--live", file("bar.json", dump.dump())}), 2,
                   HasSubstr("has no BAR1"));
    dump["data"][1]["width"] = 24;
    EXPECT_REFUSED(sim({"diff", "--live", file("width.json", dump.dump())}), 2, HasSubstr("is not a dump"));
    dump["data"][1].erase("width");
    const std::string hollow = file("hollow.json", dump.dump());
    EXPECT_REFUSED(run({"diff", hollow, hollow}), 2, HasSubstr("is not a dump"));
}

// --- what was named by itself ---

TEST_F(Ctl, DumpShowsTheElementThatIsNamed) {
    const std::string table = text({"dump", "SCRATCH", "IRQ_MASK3"});
    EXPECT_THAT(table, AllOf(HasSubstr("SCRATCH"), HasSubstr("IRQ_MASK3  0x30c   0x00000000")));
    EXPECT_THAT(text({"dump", "0x30c"}), HasSubstr("IRQ_MASK3"));
    EXPECT_EQ(lines(text({"dump", "0x300+16"})), 1 + 4) << "the range was named";
    EXPECT_EQ(lines(text({"dump", "IRQ_MASK*"})), 1) << "a pattern names none by itself";
}

TEST_F(Ctl, DumpRefusesWriteOnlyRegistersThatAreNamed) {
    const std::string path = file("bytes", "");
    for (const std::vector<std::string>& what :
         std::vector<std::vector<std::string>>{{"dump", "SCRATCH", "IRQ_TEST"},
                                               {"dump", "IRQ_TES*"},
                                               {"dump", "0x100"},
                                               {"dump", "IRQ_TEST", "--bin", path}})
        EXPECT_REFUSED(sim(what), 2, HasSubstr("IRQ_TEST: is write-only and reads as 0"),
                       HasSubstr("leave it out, or use 'read --force IRQ_TEST'"));
    EXPECT_REFUSED(sim({"dump", "DMA_DOORBELL", "--bin", path}), 2, HasSubstr("DMA_DOORBELL: is write-only"));
    EXPECT_EQ(text({"read", "--force", "IRQ_TEST"}), "0x00000000\n");
    EXPECT_EQ(lines(text({"dump", "IRQ_[TS]*"})), 1 + 1) << "IRQ_STATUS is left";
}

}  // namespace
}  // namespace pcienic::ctl
