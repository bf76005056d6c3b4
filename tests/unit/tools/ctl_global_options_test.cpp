// SPDX-License-Identifier: MIT
// Options of the whole invocation: what they do to each operation, and where they are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "ctl_fixture.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

using Words = std::vector<std::string>;

// --- --bar ---

TEST_F(Ctl, BarIsRefusedIfNoOffsetTakesIt) {
    for (const Words& operation : {Words{"dump"}, Words{"dump", "SCRATCH"}, Words{"read", "SCRATCH"},
                                   Words{"read", "BAR0:0x10"}, Words{"write", "SCRATCH=1"}, Words{"set", "BAR4:0=1"},
                                   Words{"watch", "ID", "--count", "1"}, Words{"wait", "STATUS.READY==1"}}) {
        Words line{"--bar", "4"};
        line.insert(line.end(), operation.begin(), operation.end());
        EXPECT_REFUSED(sim(line), 2,
                       HasSubstr("--bar: has no effect here, where no operand is an offset without a BAR"),
                       HasSubstr("leave it out"));
    }
    const std::string dump = file("dump.json", text({"dump", "--json", "BAR4:0+4"}));
    EXPECT_REFUSED(sim({"--bar", "4", "diff", "--live", dump}), 2, HasSubstr("--bar: has no effect here"));
}

TEST_F(Ctl, BarIsThatOfOffsets) {
    EXPECT_THAT(text({"--bar", "4", "dump", "0x10+4"}), HasSubstr("BAR4:0x010"));
    EXPECT_THAT(text({"--bar", "4", "write", "--no-readback", "0x10=1"}), HasSubstr("BAR4:0x010"));
    EXPECT_EQ(text({"--bar", "4", "wait", "0x10==0"}), "0x00000000\n");
    EXPECT_THAT(text({"--bar", "4", "watch", "0x10", "--count", "1"}), HasSubstr("BAR4:0x010"));
    EXPECT_EQ(text({"--bar", "4", "read", "SCRATCH", ":", "read", "0x10"}), "0x00000000\n0x00000000\n")
        << "one of them takes it";
}

// --- --dry-run in every form ---

class CtlDryRun : public Ctl, public testing::WithParamInterface<Words> {
  protected:
    Words words(const Words& before) const {
        Words all = before;
        all.insert(all.end(), GetParam().begin(), GetParam().end());
        return all;
    }
};

TEST_P(CtlDryRun, IsADocument) {
    const Json document = Json::parse(text(words({"-n", "--json"})));
    EXPECT_EQ(document["schema"], "pcienic.dry-run/1");
    EXPECT_EQ(document["device"]["backend"], "sim");
    ASSERT_FALSE(document["data"].empty());
    const std::string first = document["data"][0]["would"];
    EXPECT_THAT(text(words({"-n"})), StartsWith("would " + first + "\n")) << "the same for a person";
    EXPECT_THAT(text(words({"-n", "-o", "raw"})), StartsWith(first + "\n"));
    EXPECT_EQ(Json::parse(text(words({"-n", "--json", "info", ":"})))["data"][1], document);
}

TEST_P(CtlDryRun, RecordsNoTrace) {
    const std::string trace = (sysfs_.root().sys.parent_path() / "trace").string();
    EXPECT_REFUSED(sim(words({"-n", "--trace", trace})), 2, HasSubstr("--trace: has no effect here"));
    EXPECT_FALSE(std::filesystem::exists(trace));
}

INSTANTIATE_TEST_SUITE_P(Operations, CtlDryRun,
                         testing::Values(Words{"read", "ID"}, Words{"write", "SCRATCH=1"}, Words{"set", "SCRATCH=1"},
                                         Words{"dump", "ID"}, Words{"wait", "STATUS.READY==1"}, Words{"info"},
                                         Words{"reset"}, Words{"irq", "0"}, Words{"dma", "verify"}));

TEST_F(Ctl, DryRunIsADocumentWithoutADevice) {
    const auto would = [&](Words words) {
        words.insert(words.begin(), {"-n", "--json"});
        const Outcome result = run(words);
        EXPECT_EQ(result.code, 0) << result.err;
        const Json document = Json::parse(result.out);
        EXPECT_EQ(document["schema"], "pcienic.dry-run/1");
        EXPECT_TRUE(document["device"].is_null());
        return document["data"][0]["would"].get<std::string>();
    };
    EXPECT_THAT(would({"doctor"}), HasSubstr("look at the machine's files"));
    const std::string dump = file("dump.json", text({"dump", "--json"}));
    EXPECT_EQ(would({"diff", dump, dump}), "compare 147 values of " + dump + " with 147 of " + dump);
    EXPECT_THAT(text({"-n", "--json", "diff", "--live", dump}), HasSubstr("read the 147 places of " + dump));
    EXPECT_THAT(text({"-n", "--json", "watch", "ID"}), HasSubstr("read 32 bits of ID every 1s"));
    const std::string trace = (sysfs_.root().sys.parent_path() / "trace").string();
    text({"--trace", trace, "read", "ID"});
    EXPECT_THAT(would({"trace", "show", trace}), AllOf(StartsWith("read " + trace), EndsWith("show it")));
}

// The real run refuses it, and not before the operations in front of it have run.
TEST_F(Ctl, DryRunRefusesWhatNeedsAPcienic) {
    sysfs_.add("0000:00:06.0", 0x1234, 0x11e8, "vfio-pci");
    for (const Words& operation : {Words{"irq", "0"}, Words{"dma", "verify"}, Words{"reset", "--software"}})
        for (const Words& before : {Words{"-n", "-s", "06.0"}, Words{"-s", "06.0"}, Words{"-s", "06.0", "info", ":"}}) {
            Words line = before;
            line.insert(line.end(), operation.begin(), operation.end());
            EXPECT_REFUSED(run(line), 2, HasSubstr("0000:00:06.0: is no pcienic (1af4:10f2)"));
        }
    EXPECT_EQ(run({"-n", "-s", "06.0", "reset"}).code, 0);
}

// --- --json ---

TEST_F(Ctl, NoDocumentIsWrittenIfNoOperationRan) {
    EXPECT_REFUSED(sim({"--json", "read", "ID", ":", "write", "ID=1"}), 2, HasSubstr("read-only"));
    const Outcome later = sim({"--json", "read", "ID", ":", "wait", "STATUS.READY==0", "--timeout", "1ms"});
    EXPECT_EQ(later.code, 6);
    EXPECT_EQ(Json::parse(later.out)["data"].size(), 1u) << "what was read before";
}

// A document ends; watch writes a line whenever something changes.
TEST_F(Ctl, WatchIsNoPartOfADocument) {
    for (const Words& line : {Words{"--json", "irq", "0", ":", "watch", "--count", "2", "SCRATCH"},
                              Words{"--json", "-n", "irq", "0", ":", "watch", "SCRATCH"}})
        EXPECT_REFUSED(sim(line), 2, HasSubstr("watch: writes a line whenever something changes"),
                       HasSubstr("use -o jsonl"));
    EXPECT_REFUSED(sim({"--json", "run", "-"}, "watch --count 1 ID\n"), 2, HasSubstr("use -o jsonl"));
    const std::string out = text({"-o", "jsonl", "irq", "0", ":", "watch", "--count", "2", "SCRATCH"});
    const std::size_t end = out.find('\n');
    EXPECT_EQ(Json::parse(out.substr(0, end))["vector"], 0);
    EXPECT_EQ(Json::parse(out.substr(end + 1))["name"], "SCRATCH");
}

}  // namespace
}  // namespace pcienic::ctl
