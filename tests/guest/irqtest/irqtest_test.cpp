// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <sstream>

#include "tool.hpp"

namespace pcienic::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Irqtest, EveryVectorPassesEveryCheckFromBothSources) {
    const Outcome outcome = irqtest("--json --via both --masked --parallel --storm --count 20");
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    const auto json = parse(outcome);
    EXPECT_EQ(json["schema"], "pcienic.irqtest/1");
    EXPECT_THAT(json["tool"].get<std::string>(), StartsWith("pcienic-irqtest "));
    EXPECT_EQ(json["device"]["backend"], "vfio");
    EXPECT_EQ(json["mode"], "msix");
    EXPECT_EQ(json["passed"], true);
    ASSERT_EQ(json["data"].size(), 2u);
    EXPECT_EQ(json["data"][0]["via"], "device");
    EXPECT_EQ(json["data"][1]["via"], "vfio");
    for (const auto& source : json["data"]) {
        ASSERT_EQ(source["vectors"].size(), 32u);
        EXPECT_TRUE(source["problems"].empty());
        EXPECT_EQ(source["latency_ns"]["count"], 32 * 20);
        for (const auto& vector : source["vectors"]) {
            EXPECT_EQ(vector["fired"], 20);
            EXPECT_EQ(vector["received"], 20);
            EXPECT_EQ(vector["duplicates"], 0);
            EXPECT_EQ(vector["cross_talk"], 0);
            EXPECT_EQ(vector["parallel"]["received"], 20);
            EXPECT_LE(vector["latency_ns"]["min"], vector["latency_ns"]["p50"]);
            EXPECT_LE(vector["latency_ns"]["p50"], vector["latency_ns"]["max"]);
        }
    }
    EXPECT_EQ(json["data"][0]["vectors"][31]["masked"]["received"], 1);
    EXPECT_FALSE(json["data"][1]["vectors"][31].contains("masked"));
}

TEST(Irqtest, TenThousandInterruptsAreReceivedAsFired) {
    const Outcome outcome = irqtest("--json --count 313");
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    std::uint64_t fired = 0, received = 0;
    const auto json = parse(outcome);
    for (const auto& vector : json["data"][0]["vectors"]) {
        fired += vector["fired"].get<std::uint64_t>();
        received += vector["received"].get<std::uint64_t>();
    }
    EXPECT_EQ(fired, 32u * 313u);
    EXPECT_EQ(received, fired);
}

// The kernel's loopback knows the one line, and none of the device's vectors behind it.
TEST(Irqtest, TheIntxLineIsOneWhereTheKernelFires) {
    const auto json = parse(irqtest("--json --mode intx --via both --count 5"));
    ASSERT_EQ(json["data"].size(), 2u);
    EXPECT_EQ(json["data"][0]["vectors"].size(), 32u);
    EXPECT_EQ(json["data"][1]["vectors"].size(), 1u);
    EXPECT_EQ(json["passed"], true);
}

TEST(Irqtest, ACheckThatWouldNotBeMadeIsRefused) {
    const Outcome outcome = irqtest("--via vfio --masked");
    EXPECT_EQ(outcome.status, 2);
    EXPECT_THAT(outcome.text, HasSubstr("--masked: only the device masks its vectors"));
}

TEST(Irqtest, Msi) {
    const Outcome outcome = irqtest("--json --mode msi --via both --masked --parallel --storm --count 10");
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    EXPECT_EQ(parse(outcome)["passed"], true);
}

TEST(Irqtest, TheSharedLine) {
    const Outcome outcome = irqtest("--json --mode intx --via both --masked --parallel --storm --count 5");
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    const auto json = parse(outcome);
    EXPECT_EQ(json["data"][0]["vectors"].size(), 32u);
    EXPECT_EQ(json["passed"], true);
}

TEST(Irqtest, TheTableShowsTheVectorsThatWereAskedForAndAHistogram) {
    const Outcome outcome = irqtest("--vectors 0-2,9 --count 10 --latency");
    EXPECT_EQ(outcome.status, 0);
    EXPECT_THAT(outcome.text, HasSubstr("4 vectors, 10 firings each"));
    EXPECT_THAT(outcome.text, HasSubstr("     9       10        10          0          0"));
    EXPECT_THAT(outcome.text, HasSubstr("latency of 40 interrupts: min"));
    EXPECT_THAT(outcome.text, HasSubstr("█"));
    EXPECT_THAT(outcome.text, HasSubstr("\nPASS\n"));
}

TEST(Irqtest, Tap) {
    const Outcome outcome = irqtest("-o tap --vectors 3 --count 1");
    EXPECT_EQ(outcome.status, 0);
    EXPECT_EQ(outcome.text,
              "TAP version 13\n1..1\nok 1 - device: vector 3, fired 1, received 1, duplicates 0, cross-talk 0\n");
}

TEST(Irqtest, ThereIsAnExitCodeForEachWayToGoWrong) {
    struct Case {
        const char* arguments;
        int status;
        const char* says;
    };
    const Case cases[] = {
        {"--vectors 32", 2, "32"},           {"--vectors 3-x", 2, "'x'"},
        {"--count 0", 2, "nothing to fire"}, {"--mode msi-y", 2, "msi-y"},
        {"--timeout soon", 2, "soon"},       {"--no-such-option", 2, "--help"},
        {"-s 7f:00.0", 3, "7f:00.0"},        {"-s 00:00.0 --via vfio", 4, "00:00.0"},
    };
    for (const Case& c : cases) {
        const Outcome outcome = shell(std::string("pcienic-irqtest ") + c.arguments);
        EXPECT_EQ(outcome.status, c.status) << c.arguments << ": " << outcome.text;
        EXPECT_THAT(outcome.text, StartsWith("pcienic-irqtest: ")) << c.arguments;
        EXPECT_THAT(outcome.text, HasSubstr(c.says)) << c.arguments;
    }
}

TEST(Irqtest, OtherDevicesAreTestedByTheLoopback) {
    std::istringstream bdfs(std::getenv("PCIENIC_BDFS"));
    std::string pcienic, edu, nvme;
    ASSERT_TRUE(bdfs >> pcienic >> edu >> nvme);
    const Outcome message = irqtest("--json --via vfio --mode msi --parallel --storm --count 5 -s " + edu);
    EXPECT_EQ(message.status, 0) << message.text;
    EXPECT_EQ(parse(message)["data"][0]["vectors"].size(), 1u);
    const Outcome messages = irqtest("--json --via vfio --mode msix --parallel --storm --count 5 -s " + nvme);
    EXPECT_EQ(messages.status, 0) << messages.text;
    EXPECT_GT(parse(messages)["data"][0]["vectors"].size(), 1u);

    const auto best = parse(irqtest("--json --via vfio --count 5 -s " + edu));
    EXPECT_EQ(best["mode"], "msi") << "the best that it has";
    const Outcome cannot_fire = irqtest("-s " + edu);
    EXPECT_EQ(cannot_fire.status, 2);
    EXPECT_THAT(cannot_fire.text, HasSubstr("--via vfio"));
    const Outcome has_none = irqtest("--via vfio --mode msix -s " + edu);
    EXPECT_EQ(has_none.status, 77) << "skipped, for harnesses that try every mode on every device";
    EXPECT_THAT(has_none.text, HasSubstr("there is MSI 1, INTx 1"));
}

// Whoever unbinds the device waits in the kernel until it is closed. That another process has opened it no event tells:
// its files are looked at until they show it.
TEST(Irqtest, EndsWhenTheKernelWantsTheDeviceBack) {
    const std::string bdf = std::string{std::getenv("PCIENIC_BDFS")}.substr(0, 12);
    const std::string driver = "/sys/bus/pci/drivers/vfio-pci/";
    const Outcome outcome =
        shell("{ pcienic-irqtest -s " + bdf +
              " --count 100000000 & tool=$!; "
              "until ls -l /proc/$tool/fd | grep -q vfio-device || ! kill -0 $tool; do sleep 0.1; done; "
              "echo " +
              bdf + " > " + driver + "unbind; wait $tool; echo status $?; echo " + bdf + " > " + driver + "bind; }");
    EXPECT_THAT(outcome.text, HasSubstr("INTERRUPTED"));
    EXPECT_THAT(outcome.text, HasSubstr("the kernel wants the device back"));
    EXPECT_THAT(outcome.text, HasSubstr("status 1\n"));
    EXPECT_EQ(irqtest("--count 1").status, 0) << "it is back";
}

TEST(Irqtest, HelpNamesExamplesOptionsAndExitCodes) {
    const Outcome outcome = shell("pcienic-irqtest --help");
    EXPECT_EQ(outcome.status, 0);
    for (const char* text : {"Examples:", "--masked", "--storm", "Exit codes:"})
        EXPECT_THAT(outcome.text, HasSubstr(text));
}

TEST(Demo, EverythingHolds) {
    const Outcome outcome = shell("pcienic-demo");
    EXPECT_EQ(outcome.status, 0) << outcome.text;
    for (const char* text : {"1af4:10f2", "-> 0xdeadbeef", "32 of 32 arrived exactly once", "67108864 bytes", "CRC-32",
                             "1 MiB came back as it went", "Everything held."})
        EXPECT_THAT(outcome.text, HasSubstr(text));
    EXPECT_THAT(outcome.text, testing::Not(HasSubstr("✘")));
}

TEST(Demo, SaysWhatIsWrongWithItsArgument) {
    const Outcome outcome = shell("pcienic-demo nonsense");
    EXPECT_EQ(outcome.status, 2);
    EXPECT_THAT(outcome.text, StartsWith("pcienic-demo: "));
}

}  // namespace
}  // namespace pcienic::test
