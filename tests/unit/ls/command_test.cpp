// SPDX-License-Identifier: GPL-2.0-or-later
// Both programs with the same words, as a script gives them: the forms for scripts, paths, numbers and names.
#include <gmock/gmock.h>

#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "image.hpp"
#include "listing.hpp"
#include "real_lspci.hpp"

namespace {

namespace test = pcienic::test;
namespace fs = std::filesystem;
using testing::HasSubstr;

const std::string kOurs = PCIENIC_LS_PROGRAM;
const fs::path kData = PCIENIC_LS_TEST_DATA;

/// Each form in each combination that scripts use.
constexpr const char* kForms[] = {"-m", "-mm", "-mmm", "-vm", "-vmm", "-vvmm", "-vmmk", "-mmk", "-m -x", "-mmv -xxx"};
constexpr const char* kNames[] = {"", "-n", "-nn", "-D", "-nn -D"};
constexpr const char* kPlain[] = {"", "-k", "-vvvv", "-x", "-xx", "-xxx", "-P", "-PP", "-PPP"};

void expect_same_output(const std::string& of, const std::string& options) {
    EXPECT_EQ(test::output_of(fmt::format("{} {} {}", kOurs, of, options)),
              test::output_of(fmt::format("{} {} {} 2>/dev/null", test::lspci_command(), of, options)))
        << options;
}

class LsCommand : public testing::Test {
  protected:
    void SetUp() override {
        if (test::lspci_version().empty()) GTEST_SKIP() << "no lspci here: ./pcienic setup packages installs pciutils";
    }
};

TEST_F(LsCommand, WritesForScriptsWhatLspciWrites) {
    for (const char* form : kForms)
        for (const char* names : kNames)
            for (const char* path : {"", "-P", "-PP"})
                expect_same_output(fmt::format("-F '{}'", (kData / "q35.hex").string()),
                                   fmt::format("{} {} {}", form, names, path));
}

TEST_F(LsCommand, ListsWhatLspciLists) {
    for (const char* form : kPlain)
        for (const char* names : kNames)
            expect_same_output(fmt::format("-F '{}'", (kData / "q35.hex").string()), fmt::format("{} {}", form, names));
    for (const char* selection : {"-s 00:", "-s 1f.2", "-d 8086:", "-d ::0604", "-s 01: -d 1b36:", "-s .3"})
        for (const char* form : {"", "-vmm", "-mm"})
            expect_same_output(fmt::format("-F '{}'", (kData / "q35.hex").string()),
                               fmt::format("{} {}", form, selection));
}

TEST_F(LsCommand, AgreesAboutThisMachine) {
    if (test::output_of(test::lspci_command() + " 2>/dev/null").empty()) GTEST_SKIP() << "no PCI function here";
    for (const char* form : {"-m", "-mm", "-vmm", "-vm", "", "-P", "-PP"})
        for (const char* names : kNames) expect_same_output("", fmt::format("{} {}", form, names));
}

TEST_F(LsCommand, QuotesNamesAsLspciDoes) {
    const test::TemporaryFile names(
        "8086  A \"quoted\" \\ vendor\n\t1234  Device with \"quotes\" and \\\n\t\t1af4 0001  Sub\"system\n1af4  Red\n"
        "C 02  Net\n\t00  Eth \"er\" net\n");
    test::Image image(64);
    image.put(0, {0x86, 0x80, 0x34, 0x12}).put(6, {0}).put(0x2c, {0xf4, 0x1a, 0x01, 0x00});
    const test::TemporaryFile dump(test::dump_of({image.bytes()}));
    for (const char* form : {"-mm", "-vmm", "-m -nn", "-nn", ""})
        expect_same_output(fmt::format("-F '{}' -i '{}'", dump.path().string(), names.path().string()), form);
    EXPECT_THAT(
        test::output_of(fmt::format("{} -F '{}' -i '{}' -mm", kOurs, dump.path().string(), names.path().string())),
        HasSubstr(R"(00:00.0 "Eth \"er\" net" "A \"quoted\" \\ vendor" "Device with \"quotes\" and \\")"));
}

struct Outcome {
    std::string text;
    int status = -1;
};

/// Standard output and standard error together.
Outcome run(const std::string& options) {
    FILE* pipe = popen((kOurs + " " + options + " 2>&1").c_str(), "r");
    Outcome outcome;
    char buffer[4096];
    for (std::size_t got = 0; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.text.append(buffer, got);
    const int status = pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

TEST(LsProgram, WritesForeignNamesOnOneLine) {
    const test::TemporaryFile names(
        "8086  Evil\x1b[31m\xff\n\t1234  De\xc2\x9bvice\r\nC 02  N\x07"
        "et\n");
    test::Image image(64);
    image.put(0, {0x86, 0x80, 0x34, 0x12}).put(6, {0});
    const test::TemporaryFile dump(test::dump_of({image.bytes()}));
    for (const char* form : {"", "-nn", "-v", "-mm", "-vmm", "-tv", "--json", "-o jsonl", "-o tsv"}) {
        const Outcome outcome =
            run(fmt::format("-F '{}' -i '{}' {}", dump.path().string(), names.path().string(), form));
        EXPECT_EQ(outcome.status, 0) << form << outcome.text;
        for (const char c : {'\x1b', '\xff', '\x07', '\xc2', '\r'})
            EXPECT_EQ(outcome.text.find(c), std::string::npos) << form << ": " << outcome.text;
    }
}

TEST(LsProgram, WritesForeignWordsOfItsCommandLineOnOneLine) {
    // printf makes the characters, since the shell is any.
    for (const char* option : {"-F", "-s", "-d", "-i"}) {
        const Outcome outcome = run(fmt::format("{} \"$(printf 'no\\nsuch\\033\\377thing')\"", option));
        EXPECT_EQ(outcome.status, 2) << option;
        EXPECT_THAT(outcome.text, HasSubstr("no\\nsuch\\x1b\\xffthing")) << option;
        EXPECT_EQ(outcome.text.find('\n'), outcome.text.size() - 1) << option << ": " << outcome.text;
    }
}

TEST(LsProgram, SaysWhichOptionsAreNotItsOwn) {
    for (const char* option : {"-q", "-qq", "-Q", "-M", "-b", "-G", "-p /tmp/x", "-A dump", "-O a=b", "-H 1"}) {
        const Outcome outcome = run(option);
        EXPECT_EQ(outcome.status, 2) << option;
        EXPECT_THAT(outcome.text, testing::AnyOf(HasSubstr("lspci -"), HasSubstr("update-pciids"))) << option;
        EXPECT_THAT(outcome.text, testing::StartsWith("pcienic-ls: -")) << option;
    }
}

TEST(LsProgram, RefusesTwoFormsAtOnce) {
    for (const char* options : {"-t --json", "-mm --json", "-t -mm", "-vmm -o tsv", "-t -o jsonl"}) {
        const Outcome outcome = run(options);
        EXPECT_EQ(outcome.status, 2) << options;
        EXPECT_THAT(outcome.text, HasSubstr("choose one")) << options;
    }
}

TEST(LsProgram, SaysWhichFunctionsADumpDoesNotGive) {
    test::Image image(64);
    const std::string good = test::dump_of({image.bytes()});
    const test::TemporaryFile dump(good + "80000001:01:00.0 X\n00: ff ff\n");
    const Outcome outcome = run(fmt::format("-n -F '{}'", dump.path().string()));
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.text, HasSubstr("00:00.0 0200: 1af4:10f2\n"));
    EXPECT_THAT(outcome.text, HasSubstr(": line 7: 80000001:01:00.0 is left out: domains end at 7fffffff\n"));
}

TEST(LsProgram, ReadsSixDigitsOfADomain) {
    test::Image image(64);
    std::string text = test::dump_of({image.bytes()});
    const std::string rows = text.substr(text.find('\n'));
    const test::TemporaryFile dump("07:00.0 X" + rows + "5d0505:01:00.0 X" + rows);
    EXPECT_EQ(run(fmt::format("-n -F '{}'", dump.path().string())).text,
              "0000:07:00.0 0200: 1af4:10f2\n5d0505:01:00.0 0200: 1af4:10f2\n");
    EXPECT_EQ(run(fmt::format("-n -s 5d0505:: -F - < '{}'", dump.path().string())).text,
              "5d0505:01:00.0 0200: 1af4:10f2\n");
}

TEST(LsProgram, ShowsAtVvvvWhatItShowsAtVvv) {
    const std::string dump = (kData / "q35.hex").string();
    const Outcome most = run(fmt::format("-F '{}' -vvv", dump));
    EXPECT_THAT(most.text, HasSubstr("Control:"));
    for (const char* more : {"-vvvv", "-vvvvvvvv"})
        EXPECT_EQ(run(fmt::format("-F '{}' {}", dump, more)).text, most.text) << more;
}

TEST(LsProgram, ShowsAFileThatWasCutInTheMiddleOfAByte) {
    test::Image image(64);
    const std::string good = test::dump_of({image.bytes()});
    const test::TemporaryFile dump(good.substr(0, good.rfind("20:") + 8));
    const Outcome outcome = run(fmt::format("-n -F '{}'", dump.path().string()));
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.text, HasSubstr("00:00.0 0200: 1af4:10f2\n"));
    EXPECT_THAT(outcome.text, HasSubstr(": line 4: ends in the middle of a byte: the file was cut off\n"));
}

TEST(LsProgram, RefusesAFileOfNamesThatIsNone) {
    const test::TemporaryFile words("this is no list of names\n");
    for (const std::string& file : {std::string("/tmp"), words.path().string()}) {
        const Outcome outcome = run(fmt::format("-i '{}'", file));
        EXPECT_EQ(outcome.status, 2) << outcome.text;
        EXPECT_THAT(outcome.text, testing::StartsWith("pcienic-ls: ")) << outcome.text;
        EXPECT_THAT(outcome.text, testing::AnyOf(HasSubstr("give a pci.ids with -i"), HasSubstr("cannot be read")));
        EXPECT_THAT(outcome.text, testing::Not(HasSubstr("lspci -G")));
    }
}

TEST(LsProgram, RefusesAFileOfNamesThatIsNotThere) {
    const Outcome outcome = run("-i /nonexistent/pci.ids");
    EXPECT_EQ(outcome.status, 2);
    EXPECT_THAT(outcome.text, HasSubstr("-i /nonexistent/pci.ids: cannot be read (No such file or directory)"));
}

}  // namespace
