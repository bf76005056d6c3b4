// SPDX-License-Identifier: MIT
// No word of a command line is dropped: it is done, or refused.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "ctl_fixture.hpp"

namespace pcienic::ctl {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

using Line = std::vector<std::string>;

Line operator+(Line left, const Line& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

class CtlWords : public Ctl {
  protected:
    CtlWords() { sysfs_.add("0000:00:04.0", 0x1af4, 0x10f2, "e1000e"), sysfs_.add_driver("vfio-pci"); }

    /// Each operation as it is used, with operands and options.
    const std::map<std::string, std::vector<Line>> operations_{
        {"regs", {{"regs"}, {"regs", "--desc", "SCRATCH"}}},
        {"read", {{"read", "SCRATCH"}, {"read", "--force", "SCRATCH", "ID"}}},
        {"write", {{"write", "SCRATCH=1"}, {"write", "SCRATCH=1", "--verify"}}},
        {"set", {{"set", "IRQ_MASK0=1"}}},
        {"clear", {{"clear", "IRQ_MASK0=1"}}},
        {"toggle", {{"toggle", "IRQ_MASK0=1"}}},
        {"dump", {{"dump"}, {"dump", "ID", "--all"}}},
        {"wait", {{"wait", "SCRATCH==0"}, {"wait", "SCRATCH==0", "--timeout", "1s"}}},
        {"watch", {{"watch", "SCRATCH", "--count", "1"}}},
        {"diff", {{"diff", "a.json", "b.json"}, {"diff", "--live", "a.json"}}},
        {"info", {{"info"}}},
        {"reset", {{"reset"}, {"reset", "--software"}}},
        {"irq", {{"irq", "0"}, {"irq", "0-3", "--mode", "msi"}}},
        {"bind", {{"bind"}, {"bind", "vfio-pci"}, {"bind", "--group", "vfio-pci", "--force"}}},
        {"unbind", {{"unbind"}, {"unbind", "--none"}}},
        {"restore", {{"restore"}, {"restore", "--all"}}},
        {"with", {{"with"}, {"with", "vfio-pci", "--grace", "1s"}}},
        {"doctor", {{"doctor"}, {"doctor", "00:04.0"}}},
        {"dma", {{"dma", "copy"}, {"dma", "verify", "--size", "4k"}}},
        {"run", {{"run", "-"}, {"run", "script"}}},
        {"trace", {{"trace", "show", "a.trace"}, {"trace", "export", "a.trace", "--format", "jsonl"}}},
    };
};

/// That the words were refused before anything was done, and how.
#define EXPECT_JOINED(result, first, second)                                                                     \
    EXPECT_REFUSED(result, 2,                                                                                    \
                   AnyOf(HasSubstr(fmt::format("'{}': is no operand of {}", (second).front(), (first).front())), \
                         HasSubstr(fmt::format("is no operand of {}", (first).front()))),                        \
                   HasSubstr("separate operations with ' : '"),                                                  \
                   HasSubstr(fmt::format(" : {}", fmt::join(second, " "))))

TEST_F(CtlWords, EveryOperationIsTriedHere) {
    const std::string help = run({"--help"}).out;
    std::istringstream lines{help.substr(help.find("Subcommands:"))};
    std::string line;
    std::getline(lines, line);
    std::size_t count = 0;
    for (; std::getline(lines, line) && line.starts_with("  "); ++count) {
        const std::string name = line.substr(2, line.find(' ', 2) - 2);
        EXPECT_TRUE(operations_.contains(name)) << name << " is an operation that this test does not know";
    }
    EXPECT_EQ(count, operations_.size());
}

TEST_F(CtlWords, TwoOperationsWithoutAColonAreRefused) {
    for (const auto& [name, firsts] : operations_)
        for (const auto& [other, seconds] : operations_)
            for (const Line& first : firsts)
                for (const Line& second : seconds) {
                    SCOPED_TRACE(fmt::format("{} {}", fmt::join(first, " "), fmt::join(second, " ")));
                    EXPECT_JOINED(sim(first + second), first, second);
                    EXPECT_JOINED(run(Line{"-n"} + first + second), first, second);
                }
}

TEST_F(CtlWords, OtherSeparatorsAreRefused) {
    const Line second{"read", "ID"};
    for (const auto& [name, firsts] : operations_)
        for (const char* separator : {";", "&&", "||", "|", "&", ",", "::", ";;"})
            for (const Line& first : firsts) {
                SCOPED_TRACE(fmt::format("{} {}", fmt::join(first, " "), separator));
                EXPECT_JOINED(sim(first + Line{separator} + second), first, second);
                EXPECT_REFUSED(sim(first + Line{separator}), 2, HasSubstr(fmt::format("'{}'", separator)));
            }
}

// What is suggested is what one types next.
TEST_F(CtlWords, TheSuggestedLineWorks) {
    for (const Line& line :
         {Line{"write", "SCRATCH=1:", "read", "ID"}, Line{"write", "SCRATCH=1;", "read", "ID"},
          Line{"write", "SCRATCH=1", ":read", "ID"}, Line{"write", "SCRATCH=1", ";", "read", "ID"}}) {
        EXPECT_REFUSED(sim(line), 2, HasSubstr("as in `pcienic-ctl --backend sim write SCRATCH=1 : read ID`"));
    }
    EXPECT_REFUSED(sim({"dump", "IRQ_M*", "read", "ID"}), 2,
                   HasSubstr("as in `pcienic-ctl --backend sim dump 'IRQ_M*' : read ID`"));
    EXPECT_REFUSED(run({"diff", "/no/such file", "/no/such file"}), 2, HasSubstr("/no/such file"));
    const std::string odd = file("no dump", "{}");
    EXPECT_REFUSED(run({"diff", odd, odd}), 2, HasSubstr("pcienic-ctl dump --json > '" + odd + "'"));
}

TEST_F(CtlWords, EveryMistakeInAScriptHasItsLine) {
    EXPECT_REFUSED(sim({"run", "-"}, "read ID\n\nread SCRACH\n"), 2, HasSubstr("-:3: 'SCRACH': unknown register"));
    EXPECT_REFUSED(sim({"-n", "run", "-"}, "read ID\nwrite ID=1 : read ID\n"), 2, HasSubstr("-:2: ID: is read-only"));
    EXPECT_REFUSED(sim({"run", "-"}, "# wait for it\nwait STATUS.READY==0 --timeout 1ms\n"), 6,
                   HasSubstr("-:2: STATUS.READY==0: not so within 1ms"));
    EXPECT_REFUSED(sim({"run", "-"}, "irq 99\n"), 2, HasSubstr("-:1: vector 99: the device has 32"));
    EXPECT_REFUSED(run({"run", "-"}, "# not bound\n\nread ID\n"), 4, HasSubstr("-:3: 0000:00:04.0: "));
}

TEST_F(CtlWords, HelpNamesOptionsAsTheyAreTyped) {
    for (const auto& [name, lines] : operations_)
        EXPECT_THAT(run({name, "--help"}).out, testing::Not(HasSubstr("{false}"))) << name;
    EXPECT_EQ(sim({"write", "--no-readback", "SCRATCH=1"}).out, "SCRATCH 0x010 := 0x00000001\n");
}

TEST_F(CtlWords, AScriptsLineIsAsACommandLine) {
    for (const auto& [name, firsts] : operations_)
        for (const Line& first : firsts) {
            const std::string line = fmt::format("{}", fmt::join(first, " "));
            SCOPED_TRACE(line);
            EXPECT_REFUSED(sim({"run", "-"}, "read ID\n" + line + " read ID\n"), 2, HasSubstr("-:2: 'read'"),
                           HasSubstr("separate operations with ' : '"));
            EXPECT_REFUSED(sim({"run", "-"}, line + " ; read ID\n"), 2, HasSubstr("-:1: ';'"));
        }
    EXPECT_EQ(sim({"run", "-"}, "write --no-readback SCRATCH=7 : read SCRATCH\n").out,
              "SCRATCH 0x010 := 0x00000007\n0x00000007\n");
    EXPECT_REFUSED(sim({"run", "-"}, "read ID :\n"), 2, HasSubstr("-:1: no command"));
    EXPECT_REFUSED(sim({"run", "-"}, "read ID : run -\n"), 2, HasSubstr("cannot run another"));
    EXPECT_REFUSED(sim({"run", "-"}, "with vfio-pci -- true\n"), 2, HasSubstr("another program"));
}

TEST_F(CtlWords, AnOptionsValueMayBeAnOperationsName) {
    const std::filesystem::path here = std::filesystem::current_path();
    std::filesystem::current_path(sysfs_.root().sys.parent_path());
    EXPECT_EQ(sim({"dump", "ID", "--bin", "read"}).code, 0);
    EXPECT_TRUE(std::filesystem::exists("read"));
    EXPECT_EQ(sim({"--trace", "with", "read", "--", "ID"}).out, "0x6e696370\n");
    EXPECT_TRUE(std::filesystem::exists("with"));
    file("write", "read ID\n");
    EXPECT_EQ(sim({"run", "./write"}).out, "0x6e696370\n");
    EXPECT_REFUSED(sim({"run", "write"}), 2, HasSubstr("a file of that name is ./write"));
    EXPECT_REFUSED(sim({"-vo", "tsv", "trace", "show", "read"}), 2, HasSubstr("a file of that name is ./read"));
    std::filesystem::current_path(here);
}

TEST_F(CtlWords, EmptyWordsAreRefused) {
    for (const auto& [name, lines] : operations_)
        for (const Line& line : lines)
            for (std::size_t at = 0; at <= line.size(); ++at) {
                Line words = line;
                words.insert(words.begin() + static_cast<std::ptrdiff_t>(at), "");
                SCOPED_TRACE(fmt::format("{}", fmt::join(words, "·")));
                EXPECT_REFUSED(sim(words), 2, HasSubstr("an empty word"));
            }
    for (const Line& line : {Line{"-s", "", "bind"}, Line{"-d", "", "bind"}, Line{"--trace", "", "read", "ID"},
                             Line{"dump", "--bin", "", "ID"}, Line{"watch", "ID", "--count", ""}})
        EXPECT_REFUSED(run(line), 2, HasSubstr("is a variable not set?"));
    for (const Line& line : {Line{"--slot=", "bind"}, Line{"--trace=", "read", "ID"}, Line{"dump", "--bin=", "ID"}})
        EXPECT_REFUSED(run(line), 2, HasSubstr("=: no value follows"));
}

TEST_F(CtlWords, WhatTheParserWouldTakeForItsOwnIsRefused) {
    for (const char* word : {"++", "[]", "[ID,VERSION]", "{}", "[", "]", "{ID}", "%%"}) {
        EXPECT_EQ(sim({"read", word}).code, 2) << word;
        EXPECT_EQ(sim({"read", "ID", word}).code, 2) << word;
        EXPECT_EQ(sim({"dump", word}).code, 2) << word;
        EXPECT_EQ(sim({"info", word}).code, 2) << word;
        EXPECT_EQ(sim({word, "info"}).code, 2) << word;
    }
}

TEST_F(CtlWords, BehindTwoDashesAreOperands) {
    EXPECT_EQ(sim({"read", "--", "ID"}).out, "0x6e696370\n");
    EXPECT_REFUSED(sim({"read", "ID", "--", "--force"}), 2, HasSubstr("--force"));
    EXPECT_REFUSED(sim({"read", "ID", "--", "write", "SCRATCH=1"}), 2, HasSubstr("separate operations"));
    EXPECT_REFUSED(sim({"reset", "--", "--software"}), 2, HasSubstr("--software"));
    EXPECT_REFUSED(sim({"reset", "--", "-n"}), 2, HasSubstr("-n"));
    EXPECT_REFUSED(sim({"--", "--json", "read", "ID"}), 2, HasSubstr("--json"));
    EXPECT_REFUSED(sim({"info", "--", "true"}), 2, HasSubstr("true"));
    EXPECT_REFUSED(run({"with", ":", "read", "ID", "--", "true"}), 2, HasSubstr("pcienic-ctl: "));
}

TEST_F(CtlWords, WhatIsGivenTwiceIsRefused) {
    for (const Line& line :
         {Line{"--bar", "0", "--bar", "4", "read", "0"}, Line{"--json", "-o", "tsv", "read", "ID"},
          Line{"-o", "json", "-o", "tsv", "read", "ID"}, Line{"--backend", "sim", "read", "ID"},
          Line{"--color", "always", "--color", "never", "read", "ID"}, Line{"-d", "1:", "-d", "2:", "read", "ID"},
          Line{"--trace", "a", "--trace", "b", "read", "ID"},
          Line{"wait", "ID==0", "--timeout", "1s", "--timeout", "2s"},
          Line{"wait", "ID==0", "--interval", "1s", "--interval=2s"}, Line{"dump", "--bin", "a", "--bin", "b"},
          Line{"dma", "copy", "--size", "1", "--size", "2"}, Line{"irq", "0", "--mode", "msi", "--mode", "msix"}})
        EXPECT_REFUSED(sim(line), 2, HasSubstr("--help"));
}

TEST_F(CtlWords, OneNumberIsNotTheFirstOfSeveral) {
    EXPECT_REFUSED(sim({"--bar", "0-4", "read", "0"}), 2, HasSubstr("give one number from 0-5"));
    EXPECT_REFUSED(sim({"--bar", "4,0", "read", "0"}), 2, HasSubstr("give one number"));
    EXPECT_REFUSED(sim({"dma", "copy", "--vector", "1,2"}), 2, HasSubstr("give one number"));
}

TEST_F(CtlWords, OptionsWithoutEffectAreRefused) {
    const std::string trace = (sysfs_.root().sys.parent_path() / "trace").string();
    const std::string dump = file("dump.json", sim({"--json", "dump"}).out);
    const std::string at = "00:04.0";
    EXPECT_EQ(sim({"--trace", trace, "read", "ID"}).code, 0);
    for (const Line& line :
         {Line{"-s", at, "regs"}, Line{"--backend", "sim", "regs"}, Line{"--bar", "4", "regs"},
          Line{"--trace", "t", "regs"}, Line{"-d", "1af4:", "diff", dump, dump}, Line{"--backend", "uio", "-n", "bind"},
          Line{"--trace", "t", "-n", "bind"}, Line{"--bar", "0", "-n", "unbind"},
          Line{"--backend", "vfio", "doctor", at}, Line{"--trace", "t", "doctor"},
          Line{"-s", at, "trace", "show", trace}, Line{"--backend", "sim", "trace", "replay", trace},
          Line{"--json", "trace", "export", trace}, Line{"--trace", "t", "trace", "show", trace},
          Line{"--backend", "sim", "--json", "dump", "--bin", "f"}, Line{"--backend", "sim", "--bar", "4", "irq", "0"},
          Line{"--backend", "sim", "--bar", "4", "info"}, Line{"--json", "with", "--", "true"}})
        EXPECT_REFUSED(run(line), 2, HasSubstr("has no effect here"));
    EXPECT_REFUSED(sim({"--trace-limit", "1M", "read", "ID"}), 2, HasSubstr("--trace-limit requires --trace"));
    EXPECT_REFUSED(sim({"dma", "verify", "--direction", "host-to-host"}), 2, HasSubstr("has no use for --direction"));
    EXPECT_REFUSED(sim({"dma", "copy", "--size", "8", "--in", dump}), 2,
                   HasSubstr("has no use for --size beside --in"));
    EXPECT_REFUSED(sim({"dma", "fill", "--direction", "host", "--offset", "8"}), 2,
                   HasSubstr("has no use for --offset"));
    // One operation that heeds it is enough.
    EXPECT_EQ(sim({"--bar", "4", "info", ":", "read", "0"}).code, 0);
    EXPECT_EQ(sim({"regs", "ID", ":", "read", "ID"}).code, 0);
}

TEST_F(CtlWords, AScriptOfAnySystemIsRead) {
    const std::string mark = "\xef\xbb\xbf";
    EXPECT_EQ(sim({"run", "-"}, mark + "read ID\r\nread VERSION\r\n").out, "0x6e696370\n0x00010000\n");
    EXPECT_EQ(sim({"run", "-"}, "# old\rread ID\r#\rread VERSION\r").out, "0x6e696370\n0x00010000\n");
    EXPECT_REFUSED(sim({"run", "-"}, "read ID\r\n\rraed ID\n"), 2, HasSubstr("-:3: 'raed'"));
    EXPECT_REFUSED(sim({"run", "-"}, std::string("\xff\xfer\0e\0a\0d\0", 10)), 2, HasSubstr("in UTF-8 or ASCII"));
    EXPECT_REFUSED(sim({"run", "-"}, std::string("read ID\0read VERSION", 20)), 2, HasSubstr("zero bytes"));
    EXPECT_EQ(sim({"run", file("marked", mark + "read ID")}).out, "0x6e696370\n");
}

TEST_F(CtlWords, OnlyAWordBeginsAComment) {
    EXPECT_REFUSED(sim({"run", "-"}, "write SCRATCH=1#2\n"), 2, HasSubstr("1#2"));
    EXPECT_EQ(sim({"run", "-"}, "read ID#\n").code, 2);
    EXPECT_EQ(sim({"run", "-"}, "read ID # one\n#read ID\n").out, "0x6e696370\n");
}

TEST_F(CtlWords, ALastOperandTooManyIsNamed) {
    EXPECT_REFUSED(sim({"info", "ID"}), 2, HasSubstr("'ID': is one too many"));
    EXPECT_REFUSED(sim({"irq", "0", "1"}), 2, HasSubstr("'1': is one too many"));
    EXPECT_REFUSED(sim({"wait", "ID==0", "ID==1"}), 2, HasSubstr("one too many"));
    EXPECT_REFUSED(run({"-n", "bind", "vfio-pci", "e1000e"}), 2, HasSubstr("'e1000e': is one too many"));
    EXPECT_REFUSED(run({"doctor", "00:04.0", "00:05.0"}), 2, HasSubstr("one too many"));
    EXPECT_REFUSED(run({"regs", "ID", "VERSION"}), 2, HasSubstr("one too many"));
}

}  // namespace
}  // namespace pcienic::ctl
