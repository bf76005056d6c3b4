// SPDX-License-Identifier: MIT
// What pcienic-ctl does with a device; binding is in ctl_bind_test.cpp, dump and diff in ctl_dump_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "cli/tool.hpp"
#include "ctl_fixture.hpp"
#include "transfer.hpp"
#include "uiovfio/sim.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// --- read -----------------------------------------------------------------------------------------------------------

TEST_F(Ctl, ReadPrintsOneValueAlone) {
    EXPECT_EQ(text({"read", "ID"}), "0x6e696370\n");
    EXPECT_EQ(text({"read", "STATUS.READY"}), "0x1\n");
    EXPECT_EQ(text({"read", "0x10"}), "0x00000000\n");
    EXPECT_EQ(text({"read", "SCRATCH64"}), "0x0000000000000000\n");
}

TEST_F(Ctl, ReadPrintsATableOfSeveral) {
    EXPECT_EQ(text({"read", "ID", "STATUS", "IRQ_STATUS.MODE"}),
              "REGISTER         OFFSET       VALUE  FIELDS\n"
              "ID               0x000   0x6e696370  \n"
              "STATUS           0x024   0x00000009  READY=1 DMA_BUSY=0 ERROR=0 BUS_MASTER=1\n"
              "IRQ_STATUS.MODE  0x02c          0x0  MODE=INTX\n");
}

TEST_F(Ctl, ReadWritesTheDocumentThatItPromises) {
    EXPECT_EQ(document({"read", "IRQ_STATUS"}), Json::parse(R"({
        "schema": "pcienic.read/1",
        "tool": "pcienic-ctl )" + std::string{cli::version()} +
                                                            R"(",
        "device": {"bdf": null, "vendor": 6900, "vendor_hex": "0x1af4", "device": 4338, "device_hex": "0x10f2",
                   "driver": null, "backend": "sim"},
        "data": [{"name": "IRQ_STATUS", "bar": 0, "offset": 44, "offset_hex": "0x02c", "width": 32,
                  "value": 65536, "value_hex": "0x00010000",
                  "fields": {"MODE": {"value": 0, "name": "INTX"}, "ENABLED": {"value": 1}},
                  "decoded": "MODE=INTX ENABLED=1"}]})"));
}

TEST_F(Ctl, ReadTakesEveryForm) {
    EXPECT_EQ(text({"-o", "raw", "read", "ID", "VERSION"}), "0x6e696370\n0x00010000\n");
    EXPECT_THAT(text({"-o", "tsv", "read", "ID"}), EndsWith("ID\t0x000\t0x6e696370\t\n"));
    EXPECT_EQ(Json::parse(text({"-o", "jsonl", "read", "ID"}))["value"], 0x6e696370);
    EXPECT_THAT(text({"read", "ID", "VERSION", "--color", "always"}), HasSubstr("\x1b[1mREGISTER\x1b[0m"));
}

TEST_F(Ctl, ReadTakesRangesAndOtherBars) {
    EXPECT_THAT(text({"read", "0x0+8"}), AllOf(HasSubstr("ID"), HasSubstr("VERSION")));
    EXPECT_EQ(text({"read", "BAR4:0x100.b"}), "0x00\n");
    EXPECT_EQ(text({"--bar", "4", "read", "0x100.q"}), "0x0000000000000000\n");
}

TEST_F(Ctl, ReadRefusesWriteOnlyRegisters) {
    EXPECT_REFUSED(sim({"read", "IRQ_TEST"}), 2, HasSubstr("write-only"));
    EXPECT_EQ(text({"read", "--force", "IRQ_TEST"}), "0x00000000\n");
}

// --- bad input ------------------------------------------------------------------------------------------------------

TEST_F(Ctl, RefusesAnUnknownRegister) {
    EXPECT_REFUSED(sim({"read", "SCRACH"}), 2, HasSubstr("did you mean SCRATCH?"));
}

TEST_F(Ctl, RefusesAWrongWidth) { EXPECT_REFUSED(sim({"read", "SCRATCH.q"}), 2, HasSubstr("32 bits wide, not 64")); }

TEST_F(Ctl, RefusesAnUnalignedOffset) { EXPECT_REFUSED(sim({"read", "0x11"}), 2, HasSubstr("not aligned to 4 bytes")); }

TEST_F(Ctl, RefusesAnOffsetOutOfBounds) {
    EXPECT_REFUSED(sim({"read", "0x10000"}), 2, HasSubstr("beyond the end of BAR0"));
}

TEST_F(Ctl, RefusesABarThatIsNotThere) { EXPECT_REFUSED(sim({"read", "BAR1:0"}), 2, HasSubstr("no BAR1")); }

TEST_F(Ctl, RefusesAVectorOutOfRange) {
    EXPECT_REFUSED(sim({"irq", "32"}), 2, HasSubstr("vector 32: the device has 32"));
    EXPECT_REFUSED(sim({"irq", "2048"}), 2, HasSubstr("choose from 0-2047"));
}

TEST_F(Ctl, RefusesAMalformedAddress) {
    EXPECT_REFUSED(run({"-s", "0x3:00", "read", "ID"}), 2, HasSubstr("not a PCI address"));
}

TEST_F(Ctl, RefusesAnUnknownCommand) {
    EXPECT_REFUSED(run({"raed", "ID"}), 2, HasSubstr("unknown command (did you mean read?)"));
}

TEST_F(Ctl, RefusesNoCommand) {
    EXPECT_REFUSED(run({}), 2, HasSubstr("no command"));
    EXPECT_REFUSED(sim({"read", "ID", ":"}), 2, HasSubstr("no command"));
}

TEST_F(Ctl, RefusesAnUnknownOption) { EXPECT_REFUSED(sim({"read", "ID", "--frob"}), 2, HasSubstr("--frob")); }

TEST_F(Ctl, RefusesAnUnknownBackend) {
    EXPECT_REFUSED(run({"--backend", "magic", "read", "ID"}), 2, HasSubstr("--help"));
    EXPECT_REFUSED(run({"--backend", "sim", "-s", "04.0", "read", "ID"}), 2, HasSubstr("name one or the other"));
    EXPECT_REFUSED(run({"--backend", "sim", "-d", "1af4:10f2", "read", "ID"}), 2, HasSubstr("name one or the other"));
}

// --- which device ---------------------------------------------------------------------------------------------------

TEST_F(Ctl, EndsWith3WithoutADevice) { EXPECT_REFUSED(run({"read", "ID"}), 3, HasSubstr("no pcienic (1af4:10f2)")); }

TEST_F(Ctl, EndsWith3AndAListWithSeveral) {
    sysfs_.add("0000:00:04.0", 0x1af4, 0x10f2, "vfio-pci");
    sysfs_.add("0000:00:05.0", 0x1af4, 0x10f2, "");
    EXPECT_REFUSED(run({"read", "ID"}), 3, HasSubstr("0000:00:04.0"), HasSubstr("0000:00:05.0"), HasSubstr("-s BDF"));
}

TEST_F(Ctl, EndsWith3WhereNothingMatches) {
    sysfs_.add("0000:00:04.0", 0x1af4, 0x10f2, "vfio-pci");
    EXPECT_REFUSED(run({"-s", "00:07.0", "read", "ID"}), 3, HasSubstr("-s 00:07.0"));
}

TEST_F(Ctl, EndsWith4AndTheCommandWhereVfioDoesNotHaveTheDevice) {
    sysfs_.add("0000:00:04.0", 0x1af4, 0x10f2, "e1000e");
    EXPECT_REFUSED(run({"read", "ID"}), 4, HasSubstr("e1000e"),
                   HasSubstr("'pcienic-ctl -s 0000:00:04.0 bind vfio-pci'"));
}

TEST_F(Ctl, FindsMistakesBeforeItOpensTheDevice) {
    sysfs_.add("0000:00:04.0", 0x1af4, 0x10f2, "e1000e");
    EXPECT_REFUSED(run({"read", "ID", ":", "write", "ID=1"}), 2, HasSubstr("read-only"));
    EXPECT_REFUSED(run({"read", "0x10000"}), 2, HasSubstr("beyond the end"));
}

TEST_F(Ctl, HasNoRegisterNamesForAForeignDevice) {
    sysfs_.add("0000:00:06.0", 0x1234, 0x11e8, "vfio-pci");
    EXPECT_REFUSED(run({"-s", "06.0", "read", "ID"}), 2, HasSubstr("1234:11e8"), HasSubstr("BARn:OFFSET"));
    EXPECT_REFUSED(run({"-s", "06.0", "dump"}), 2, HasSubstr("name a range"));
    EXPECT_REFUSED(run({"-s", "06.0", "irq", "0"}), 2, HasSubstr("is no pcienic"));
}

// --- write ----------------------------------------------------------------------------------------------------------

TEST_F(Ctl, WriteShowsTheTransition) {
    EXPECT_EQ(text({"write", "SCRATCH=0xdeadbeef"}), "SCRATCH 0x010 = 0x00000000 := 0xdeadbeef -> 0xdeadbeef\n");
    EXPECT_EQ(text({"write", "--no-readback", "SCRATCH=1"}), "SCRATCH 0x010 := 0x00000001\n");
    EXPECT_EQ(text({"write", "BAR4:0x10=1"}), "BAR4:0x010 := 0x00000001\n");
    EXPECT_EQ(text({"write", "DMA_RING_SIZE.LOG2=5"}), "DMA_RING_SIZE.LOG2 0x418 = 0x0 := 0x5 -> 0x5\n");
}

TEST_F(Ctl, WriteTellsTheSameInJson) {
    const Json row = document({"write", "SCRATCH=0x12"})["data"][0];
    EXPECT_EQ(row["old"], 0);
    EXPECT_EQ(row["written"], 0x12);
    EXPECT_EQ(row["now_hex"], "0x00000012");
}

TEST_F(Ctl, OperationsOfOneInvocationSeeTheSameDevice) {
    EXPECT_THAT(text({"write", "SCRATCH=0x12", "SCRATCH64=3", ":", "read", "SCRATCH"}), EndsWith("\n0x00000012\n"));
    EXPECT_THAT(text({"write", "IRQ_MASK0=0xf", ":", "clear", "IRQ_MASK0=0x1", ":", "set", "IRQ_MASK0=0x10", ":",
                      "toggle", "IRQ_MASK0=0x3", ":", "read", "IRQ_MASK0"}),
                EndsWith("\n0x0000001d\n"));
}

TEST_F(Ctl, SeveralOperationsAreOneDocument) {
    const Json batch = document({"write", "SCRATCH=1", ":", "read", "SCRATCH"});
    EXPECT_EQ(batch["schema"], "pcienic.batch/1");
    EXPECT_EQ(batch["data"][0]["schema"], "pcienic.write/1");
    EXPECT_EQ(batch["data"][1]["data"][0]["value"], 1);
}

TEST_F(Ctl, ClearFreesTheErrorLatchOnly) {
    const Outcome result =
        sim({"write", "--force", "ID=0", ":", "write", "--force", "ID=0", ":", "clear", "ERR_STATUS.OVERFLOW", ":",
             "read", "ERR_STATUS", ":", "clear", "ERR_STATUS.VALID", ":", "read", "ERR_STATUS"});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("\n0x00000001\n"));
    EXPECT_THAT(result.out, EndsWith("\n0x00000000\n"));
}

TEST_F(Ctl, WriteRefusesReadOnlyRegisters) {
    EXPECT_REFUSED(sim({"write", "ID=1"}), 2, HasSubstr("read-only"), HasSubstr("--force"));
}

TEST_F(Ctl, WriteWarnsOfReservedBits) {
    const Outcome result = sim({"write", "DMA_RING_SIZE=0x105"});
    EXPECT_EQ(result.code, 0);
    EXPECT_THAT(result.err, HasSubstr("reserved bits (0x100)"));
    EXPECT_EQ(result.out, "DMA_RING_SIZE 0x418 = 0x00000000 := 0x00000105 -> 0x00000005\n");
}

TEST_F(Ctl, VerifyEndsWith5WhereTheDeviceKeepsOtherBits) {
    EXPECT_EQ(sim({"write", "--verify", "SCRATCH=7"}).code, 0);
    const Outcome result = sim({"write", "--verify", "DMA_RING_SIZE=0x5", ":", "write", "--verify", "IRQ_MASK1=1"});
    EXPECT_EQ(result.code, 5) << "32 vectors: IRQ_MASK1 has no bits";
    EXPECT_THAT(result.err, HasSubstr("IRQ_MASK1: wrote 0x00000001, reads 0x00000000"));
}

TEST_F(Ctl, VerifyEndsWith5WhereNothingWasWritten) {
    const Outcome forced = sim({"write", "--verify", "--force", "ID=1"});
    EXPECT_EQ(forced.code, 5);
    EXPECT_THAT(forced.err, HasSubstr("ID: wrote 0x00000001, reads 0x6e696370"));
    EXPECT_EQ(sim({"write", "--verify", "DMA_RING_SIZE=0x105"}).code, 5) << "a reserved bit";
    EXPECT_EQ(sim({"write", "--verify", "--force", "0x50=1"}).code, 5) << "no register";
    EXPECT_REFUSED(sim({"write", "--verify", "IRQ_TEST=3"}), 2, HasSubstr("leave out --verify"));
}

TEST_F(Ctl, DryRunTouchesNothing) {
    sysfs_.add("0000:00:04.0", 0x1af4, 0x10f2, "e1000e");  // could not be opened
    const Outcome result = run({"-n", "write", "DMA_RING_SIZE.LOG2=5", ":", "read", "SCRATCH", ":", "reset"});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out,
              "would read 32 bits of DMA_RING_SIZE.LOG2\n"
              "would write 32 bits of DMA_RING_SIZE.LOG2: 0x00000005, the bits 0xfffffff0 as read\n"
              "would read 32 bits of DMA_RING_SIZE.LOG2\n"
              "would read 32 bits of SCRATCH at BAR0+0x010\n"
              "would reset the device by a function-level reset\n");
}

TEST_F(Ctl, VerboseTellsOfEachAccess) {
    const Outcome result = sim({"-v", "write", "DMA_RING_SIZE.LOG2=5"});
    EXPECT_EQ(result.err,
              "read32 BAR0+0x418 -> 0x00000000\n"
              "write32 BAR0+0x418 <- 0x00000005\n"
              "read32 BAR0+0x418 -> 0x00000005\n");
}

// --- regs -----------------------------------------------------------------------------------------------------------

TEST_F(Ctl, RegsNeedsNoDevice) {
    const Outcome result = run({"regs", "SCRATCH*"});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out,
              "REGISTER   OFFSET  WIDTH  ACCESS               RESET  FIELDS\n"
              "SCRATCH    0x010      32  rw              0x00000000  -\n"
              "SCRATCH64  0x018      64  rw      0x0000000000000000  -\n");
}

TEST_F(Ctl, RegsListsFieldsAndMeanings) {
    EXPECT_EQ(run({"regs", "--fields", "-o", "raw", "IRQ_STATUS"}).out, "IRQ_STATUS.MODE\nIRQ_STATUS.ENABLED\n");
    EXPECT_THAT(run({"regs", "--desc", "CTRL"}).out, HasSubstr("Control of the whole function."));
    const Json row = Json::parse(run({"regs", "--json", "IRQ_STATUS"}).out)["data"][0];
    EXPECT_EQ(row["fields"][0]["values"]["MSIX"], 2);
}

TEST_F(Ctl, RegsRefusesAPatternWithoutMatch) {
    EXPECT_REFUSED(run({"regs", "SCRATHC"}), 2, HasSubstr("did you mean SCRATCH?"));
}

// --- wait, watch ----------------------------------------------------------------------------------------------------

TEST_F(Ctl, WaitSucceedsWhenItIsSo) {
    EXPECT_EQ(text({"wait", "STATUS.READY==1"}), "0x1\n");
    EXPECT_EQ(text({"wait", "DMA_STATUS.STATE==DISABLED"}), "0x0\n");
    EXPECT_EQ(text({"wait", "VECTORS.COUNT>=32"}), "0x020\n");
    EXPECT_EQ(text({"wait", "VECTORS.COUNT!=0"}), "0x020\n");
    EXPECT_EQ(document({"wait", "ID<=0x7fffffff"})["data"][0]["condition"], "ID<=0x7fffffff");
}

TEST_F(Ctl, WaitEndsWith6WhenTheTimeIsUp) {
    EXPECT_REFUSED(sim({"wait", "STATUS.READY==0", "--timeout", "10ms"}), 6, HasSubstr("not so within 10ms, it is 0x1"),
                   HasSubstr("--timeout"));
}

TEST_F(Ctl, WaitRefusesWhatIsNoCondition) {
    EXPECT_REFUSED(sim({"wait", "STATUS.READY"}), 2, HasSubstr("NAME==V"));
    EXPECT_REFUSED(sim({"wait", "STATUS.READY==2"}), 2, HasSubstr("does not fit"));
    EXPECT_REFUSED(sim({"wait", "STATUS.READY==1", "--timeout", "5"}), 2, HasSubstr("is not a time"));
}

TEST_F(Ctl, WatchShowsChangesOnly) {
    const std::string out = text({"watch", "ID", "STATUS.READY", "--interval", "1ms", "--count", "3"});
    EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 2) << out;
    EXPECT_THAT(out, AllOf(HasSubstr("ID  0x6e696370"), HasSubstr("STATUS.READY  0x1")));
}

TEST_F(Ctl, WatchStreamsJsonLines) {
    const Json row = Json::parse(text({"--json", "watch", "ID", "--count", "1"}));
    EXPECT_EQ(row["name"], "ID");
    EXPECT_TRUE(row["seconds"].is_number());
}

TEST_F(Ctl, WatchEndsWith130WhenInterrupted) {
    // Signals until the tool, whose handler is there only while it watches, has taken one.
    std::signal(SIGINT, [](int) {});
    std::atomic<bool> done = false;
    std::thread interrupter{[&] {
        while (!done) {
            kill(getpid(), SIGINT);
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
        }
    }};
    const Outcome result = sim({"watch", "ID", "--interval", "10s"});
    done = true;
    interrupter.join();
    std::signal(SIGINT, SIG_DFL);
    EXPECT_EQ(result.code, 130);
}

// --- the device -----------------------------------------------------------------------------------------------------

TEST_F(Ctl, InfoShowsTheDevice) {
    const std::string out = text({"info"});
    EXPECT_THAT(out, AllOf(HasSubstr("1af4:10f2"), HasSubstr("MSI-X 32"), HasSubstr("version 1.0.0, 32 vectors"),
                           HasSubstr("error       none"), HasSubstr("bus master  on\n")));
    const Json row = document({"info"})["data"][0];
    EXPECT_EQ(row["was_reset"], true);
    EXPECT_EQ(row["bus_master"], true);
    EXPECT_EQ(row["pcienic"]["vectors"], 32);
    EXPECT_EQ(row["bars"][0]["size"], 65536);
}

// The tool is then the driver that quietens it.
TEST_F(Ctl, WorksWithADeviceThatOpeningHasNotReset) {
    sim_.can_reset = false;
    EXPECT_THAT(text({"info"}), HasSubstr("bus master  off: opening has not reset the device"));
    EXPECT_EQ(document({"irq", "5"})["data"][0]["count"], 1);
    EXPECT_EQ(document({"dma", "verify"})["data"][0]["verified"], true);
}

TEST_F(Ctl, ResetKeepsStickyRegistersOnly) {
    for (const char* kind : {"", "--software"}) {
        std::vector<std::string> arguments{"write", "SCRATCH=7", "IRQ_MASK0=1", ":", "reset"};
        if (*kind != '\0') arguments.emplace_back(kind);
        for (const char* more : {":", "read", "SCRATCH", ":", "read", "IRQ_MASK0"}) arguments.emplace_back(more);
        EXPECT_THAT(text(arguments), EndsWith("reset done\n0x00000007\n0x00000000\n"));
    }
}

TEST_F(Ctl, IrqCountsWhatArrives) {
    for (const char* mode : {"msix", "msi"}) {
        const Json data = document({"irq", "0-2,31", "--mode", mode})["data"];
        ASSERT_EQ(data.size(), 4u);
        for (const Json& row : data) EXPECT_EQ(row["count"], 1) << mode << row;
    }
    EXPECT_EQ(document({"irq", "5", "--mode", "intx"})["data"][0]["count"], 1);
}

TEST_F(Ctl, DmaMovesBytesBothWays) {
    EXPECT_THAT(text({"dma", "verify", "--size", "3M", "--offset", "4k"}), HasSubstr("3145728 bytes"));
    EXPECT_EQ(document({"dma", "verify"})["data"][0]["verified"], true);
    EXPECT_EQ(document({"dma", "copy", "--direction", "host-to-host"})["data"][0]["verified"], true);
    EXPECT_EQ(document({"dma", "fill", "--size", "100k"})["data"][0]["verified"], true);
    EXPECT_EQ(document({"dma", "fill", "--direction", "host", "--size", "13"})["data"][0]["verified"], true);
    EXPECT_EQ(document({"dma", "verify", "--vector", "3"})["data"][0]["verified"], true);
}

TEST_F(Ctl, DmaCarriesAFile) {
    const std::string in = file("in", "some text that is not a multiple of eight");
    const std::string out = file("out", "");
    text(
        {"dma", "copy", "--in", in, ":", "dma", "copy", "--direction", "device-to-host", "--size", "41", "--out", out});
    std::ifstream stream{out};
    EXPECT_EQ((std::string{std::istreambuf_iterator<char>{stream}, {}}), "some text that is not a multiple of eight");
}

TEST_F(Ctl, DmaRefusesWhatDoesNotFit) {
    EXPECT_REFUSED(sim({"dma", "copy", "--size", "17M"}), 2, HasSubstr("do not fit into the 16777216 bytes"));
    EXPECT_REFUSED(sim({"dma", "copy", "--size", "0"}), 2, HasSubstr("at least 1"));
    EXPECT_REFUSED(sim({"dma", "fill", "--direction", "host-to-host"}), 2, HasSubstr("is not for it"));
    EXPECT_REFUSED(sim({"dma", "copy", "--in", "/nonexistent"}), 2, HasSubstr("cannot be read"));
    EXPECT_REFUSED(sim({"dma", "copy", "--in", "/tmp"}), 2, HasSubstr("/tmp: is a folder"));
    EXPECT_REFUSED(sim({"dma", "copy", "--pattern", "5"}), 2, HasSubstr("has no use for --pattern"));
    EXPECT_REFUSED(sim({"dma", "copy", "--out", "/dev/null"}), 2, HasSubstr("has no use for --out"));
    EXPECT_REFUSED(sim({"dma", "fill", "--in", "/dev/null"}), 2, HasSubstr("has no use for --in"));
    EXPECT_REFUSED(sim({"read", "ID", "--bogus"}), 2,
                   HasSubstr("'--bogus': is no option of it: see pcienic-ctl read --help"));
}

TEST_F(Ctl, DmaRefusesAVectorThatTheDeviceLacks) {
    EXPECT_REFUSED(sim({"dma", "copy", "--vector", "32"}), 2, HasSubstr("--vector 32: the device has 32"),
                   HasSubstr("from 0 to 31"));
}

TEST_F(Ctl, DmaThatFailsLeavesNothingToTheDevice) {
    uiovfio::Device device = uiovfio::open_sim();
    Driver driver{device};
    uiovfio::DmaBuffer buffer = device.dma().allocate(8 << 20);
    DmaEngine engine = driver.make_dma({.entries = 64});
    const auto beyond_the_end = [&](std::uint64_t offset, std::uint32_t length) {
        return copy(buffer.iova() + offset, DeviceOffset{std::uint64_t{1} << 40}, length);
    };
    EXPECT_THROW((Transfer{engine, std::chrono::seconds{60}}.run(buffer.size(), beyond_the_end)), cli::Failure);
    EXPECT_EQ(engine.outstanding(), 0u);

    const auto fails_on_the_way = [&](std::uint64_t offset, std::uint32_t length) {
        if (offset == 4 << 20) throw cli::Failure{cli::Exit::failure, "on the way"};
        return copy(buffer.iova() + offset, DeviceOffset{offset}, length);
    };
    engine.stop();
    engine.restart();
    EXPECT_THROW((Transfer{engine, std::chrono::seconds{60}}.run(buffer.size(), fails_on_the_way)), cli::Failure);
    EXPECT_EQ(engine.outstanding(), 0u) << "commands that nobody waited for";
    EXPECT_FALSE(engine.running());
    engine.unmap(buffer);
    EXPECT_EQ(uiovfio::sim::iommu_faults(device), 0u);
}

// --- run ------------------------------------------------------------------------------------------------------------

TEST_F(Ctl, RunExecutesAScriptOnOneDevice) {
    const Outcome result = sim({"run", "-"}, "# set up\nwrite SCRATCH=0x5  # five\n\nread SCRATCH\n");
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, EndsWith("\n0x00000005\n"));
    EXPECT_EQ(sim({"run", file("script", "read ID\n")}).out, "0x6e696370\n");
}

TEST_F(Ctl, RunFindsMistakesInTheWholeScriptFirst) {
    EXPECT_REFUSED(sim({"run", "-"}, "write SCRATCH=1\nraed SCRATCH\n"), 2, HasSubstr("-:2: 'raed': unknown command"));
    EXPECT_REFUSED(sim({"run", "-"}, "write SCRATCH=1\nread SCRACH\n"), 2, HasSubstr("unknown register"));
    EXPECT_REFUSED(sim({"run", "-"}, "--json read ID\n"), 2, HasSubstr("-:1: --json: "), HasSubstr("before the first"));
    EXPECT_REFUSED(sim({"run", "-"}, "run -\n"), 2, HasSubstr("cannot run another"));
    EXPECT_REFUSED(sim({"run", "/nonexistent"}), 2, HasSubstr("cannot be read"));
}

TEST_F(Ctl, GlobalOptionsBelongBeforeTheFirstOperation) {
    const auto before_the_first = HasSubstr("global options belong before the first operation");
    for (const char* line : {"write SCRATCH=1 -n", "write SCRATCH=1 -s 00:05.0", "read ID --json", "read ID --bar=4",
                             "-v read ID", "read -d 1af4: ID"}) {
        EXPECT_REFUSED(sim({"run", "-"}, line), 2, HasSubstr("-:1: -"), before_the_first);
    }
    EXPECT_REFUSED(sim({"read", "ID", ":", "write", "SCRATCH=1", "-n"}), 2, HasSubstr("--dry-run"), before_the_first);
    EXPECT_REFUSED(sim({"read", "ID", ":", "-s", "00:05.0", "read", "ID"}), 2, HasSubstr("--slot"), before_the_first);
    EXPECT_THAT(text({"write", "SCRATCH=1", "-n", ":", "read", "--force", "ID"}), HasSubstr("would write"));
    EXPECT_THAT(text({"-n", "run", file("script", "write SCRATCH=1\n")}), HasSubstr("would write"));
}

TEST_F(Ctl, RunStopsAtTheFirstFailure) {
    const Outcome result = sim({"run", "-"}, "read ID\nwait STATUS.READY==0 --timeout 1ms\nread VERSION\n");
    EXPECT_EQ(result.code, 6);
    EXPECT_EQ(result.out, "0x6e696370\n");
}

// --- help -----------------------------------------------------------------------------------------------------------

TEST_F(Ctl, HelpHasExamplesExitCodesAndTheReasonForSeveralOperations) {
    const Outcome help = run({"--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out, AllOf(HasSubstr("Examples:"), HasSubstr("Exit codes:"), HasSubstr("VFIO resets the device"),
                                HasSubstr("See also")));
    EXPECT_THAT(help.out, HasSubstr("setpci's .W is 16"));
    EXPECT_EQ(run({"read", "--help"}).code, 0);
    EXPECT_THAT(run({"read", "--help"}).out, Not(HasSubstr("Several operations")));
}

// It would be all that is done, and what was asked for beside it would not be.
TEST_F(Ctl, HelpAndVersionStandAlone) {
    for (const std::string option : {"--help", "-h", "--version"}) {
        const auto alone = AllOf(HasSubstr(option), HasSubstr("leave out the other operations"));
        EXPECT_REFUSED(sim({"write", "SCRATCH=1", ":", "read", "SCRATCH", option}), 2, alone);
        EXPECT_REFUSED(sim({"write", "SCRATCH=1", option, ":", "read", "SCRATCH"}), 2, alone);
        EXPECT_REFUSED(sim({option, "write", "SCRATCH=1", ":", "read", "SCRATCH"}), 2, alone);
        EXPECT_REFUSED(sim({"write", "SCRATCH=1", ":", option}), 2, alone);
        EXPECT_REFUSED(sim({"run", "-"}, "write SCRATCH=1\nread SCRATCH " + option + "\n"), 2, HasSubstr("-:2: "),
                       HasSubstr(option));
    }
    EXPECT_REFUSED(sim({"write", "SCRATCH=1", ":", "raed", "--version"}), 2, testing::Not(IsEmpty()));
}

TEST_F(Ctl, VersionIsThatOfTheProject) {
    EXPECT_EQ(run({"--version"}).out, "pcienic-ctl " + std::string{cli::version()} + "\n");
}

}  // namespace
}  // namespace pcienic::ctl
