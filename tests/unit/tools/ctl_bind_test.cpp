// SPDX-License-Identifier: MIT
// bind, unbind, restore and with, on a fake sysfs: what is refused, what is told, how a command runs. No kernel acts on
// what is written there; tests/guest/registers/binding_guest_test.cpp has one.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "ctl_fixture.hpp"
#include "uiovfio/bind.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* kNic = "0000:00:04.0";
constexpr const char* kOther = "0000:00:05.0";

class CtlBind : public Ctl {
  protected:
    CtlBind() {
        sysfs_.add(kNic, 0x1af4, 0x10f2, "e1000e");
        sysfs_.add_driver("vfio-pci");
    }

    void give_it_the_route() {
        sysfs_.add_interface(kNic, "eth7", "up");
        sysfs_.set_default_route("eth7");
    }

    void share_the_group() {
        sysfs_.add(kOther, 0x8086, 0x1234, "snd_hda_intel");
        sysfs_.join_group(kOther, kNic);
    }

    std::string written(const std::string& file) {
        std::ifstream stream{sysfs_.root().sys.parent_path() / file};
        return {std::istreambuf_iterator<char>{stream}, {}};
    }

    /// A command that writes what it was given into the file "seen".
    std::vector<std::string> seeing() {
        const std::string seen = sysfs_.root().sys.parent_path() / "seen";
        return {"/bin/sh", "-c", "echo $PCIENIC_BDF, $PCIENIC_BDFS: \"$@\" >" + seen, "sh"};
    }
};

using Words = std::vector<std::string>;

Words operator+(Words left, const Words& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

// --- bind ---

TEST_F(CtlBind, SaysWhatItWouldDo) {
    EXPECT_EQ(run({"-n", "bind"}).out,
              "0000:00:04.0: would go from e1000e to vfio-pci; restore would give it to e1000e\n");
    EXPECT_EQ(run({"-n", "bind", "e1000e"}).out,
              "0000:00:04.0: has e1000e already; restore would give it to whichever driver the kernel finds\n");
    EXPECT_THAT(run({"-n", "unbind"}).out, HasSubstr("would take 0000:00:04.0 from e1000e"));
    EXPECT_EQ(run({"-n", "unbind", "--none"}).out, "would take 0000:00:04.0 from e1000e and give it to no driver\n");
    EXPECT_EQ(written("run/" + std::string{kNic}), "");
}

TEST_F(CtlBind, SaysWhatItWouldDoInJson) {
    give_it_the_route();
    const Outcome plan = run({"--json", "-n", "bind"});
    EXPECT_EQ(plan.code, 0) << plan.err;
    const Json document = Json::parse(plan.out);
    EXPECT_EQ(document["schema"], "pcienic.bind-plan/1");
    EXPECT_EQ(document["data"], Json::parse(R"([{"bdf": "0000:00:04.0", "now": "e1000e", "then": "vfio-pci",
        "restorable": true, "back": "e1000e",
        "uses": [{"kind": "default_route", "through": "eth7", "by": "eth7", "mount_point": null,
                  "text": "eth7 carries the machine's default route"}],
        "held": false, "holders": []}])"));
    EXPECT_THAT(run({"-n", "bind"}).out, EndsWith("e1000e\n  eth7 carries the machine's default route\n"));
}

// The real ones refuse for it.
TEST_F(CtlBind, SaysWhatUnbindingWouldTakeAway) {
    give_it_the_route();
    const Words verbs[] = {{"unbind"}, {"restore"}, {"unbind", "--none"}};
    for (const Words& verb : verbs)
        EXPECT_THAT(run(Words{"-n"} + verb).out, EndsWith("\n  eth7 carries the machine's default route\n"));
    const Outcome plan = run({"--json", "-n", "unbind"});
    EXPECT_EQ(plan.code, 0) << plan.err;
    const Json document = Json::parse(plan.out);
    EXPECT_EQ(document["schema"], "pcienic.restore-plan/1");
    const Json use = Json::parse(R"({"kind": "default_route", "through": "eth7", "by": "eth7", "mount_point": null,
        "text": "eth7 carries the machine's default route"})");
    const Json expected{{"bdf", kNic},
                        {"now", "e1000e"},
                        {"then", nullptr},
                        {"by_kernel", true},
                        {"uses", Json::array({use})},
                        {"held", false},
                        {"holders", Json::array()}};
    EXPECT_EQ(document["data"], Json::array({expected}));
    const Json none = Json::parse(run({"--json", "-n", "unbind", "--none"}).out)["data"][0];
    EXPECT_EQ(none["by_kernel"], false);
    EXPECT_EQ(none["then"], nullptr);
}

// Nor is a device taken from a process that has it open.
TEST_F(CtlBind, SaysWhichProcessHasTheDevice) {
    sysfs_.add(kOther, 0x8086, 0x10d3, "vfio-pci");
    sysfs_.add_driver("igb");
    const std::filesystem::path device = sysfs_.root().sys / "bus/pci/devices" / kOther;
    const std::filesystem::path files = sysfs_.root().proc / "4711/fd";
    std::filesystem::create_directories(device / "vfio-dev/vfio3");
    std::ofstream{device / "vfio-dev/vfio3/dev"} << "511:0\n";
    std::filesystem::create_directories(files);
    std::ofstream{sysfs_.root().proc / "4711/comm"} << "qemu\n";
    std::filesystem::create_symlink(sysfs_.root().dev / "vfio/devices/vfio3", files / "7");
    for (const Words& verb : {Words{"bind", "igb"}, Words{"unbind"}, Words{"restore"}}) {
        EXPECT_THAT(run(Words{"-n", "-s", "05.0"} + verb).out, EndsWith("\n  process 4711 (qemu) has it open\n"));
        const Json row = Json::parse(run(Words{"-n", "--json", "-s", "05.0"} + verb).out)["data"][0];
        EXPECT_EQ(row["held"], true);
        EXPECT_EQ(row["holders"][0]["process"], 4711);
        EXPECT_EQ(row["holders"][0]["text"], "process 4711 (qemu)");
    }
    EXPECT_EQ(run({"-n", "-s", "05.0", "bind"}).out,
              "0000:00:05.0: has vfio-pci already; restore would give it to whichever driver the kernel finds\n");
}

// Where there is nothing to take away, nothing is refused.
TEST_F(CtlBind, SaysOfNoUsesIfTheDriverStays) {
    sysfs_.add(kOther, 0x8086, 0x10d3, "igb");
    EXPECT_EQ(run({"-s", "05.0", "bind"}).code, 0);  // nothing acts on it: igb still has the device
    sysfs_.add_interface(kOther, "eth8", "up");
    sysfs_.set_default_route("eth8");
    EXPECT_EQ(run({"-n", "restore"}).out, "would take 0000:00:05.0 from igb and give it to igb\n");
    EXPECT_EQ(Json::parse(run({"-n", "--json", "restore", "--all"}).out)["data"][0]["then"], "igb");
}

TEST_F(CtlBind, LeavesTheDefaultRouteAlone) {
    give_it_the_route();
    for (const Words& verb : {Words{"bind"}, Words{"unbind"}, Words{"restore"}, Words{"unbind", "--none"}}) {
        EXPECT_REFUSED(run(verb), 2, HasSubstr("eth7 carries the machine's default route"), HasSubstr("--force"));
    }
    EXPECT_REFUSED(run({"with", "--", "true"}), 2, HasSubstr("eth7 carries the machine's default route"));
    EXPECT_EQ(written("run/" + std::string{kNic}), "");
    EXPECT_EQ(run({"bind", "--force"}).code, 0);
}

TEST_F(CtlBind, LeavesANetworkThatIsUpAlone) {
    sysfs_.add(kOther, 0x8086, 0x10d3, "e1000e");
    sysfs_.add_interface(kOther, "eth7", "up");
    EXPECT_REFUSED(run({"-s", "05.0", "bind"}), 2, HasSubstr("eth7 is up"), HasSubstr("--force"));
    EXPECT_REFUSED(run({"-s", "05.0", "with", "--", "true"}), 2, HasSubstr("eth7 is up"));
    EXPECT_THAT(run({"-n", "-s", "05.0", "bind"}).out, HasSubstr("eth7 is up")) << "the dry run says so, too";
    EXPECT_EQ(run({"-s", "05.0", "bind", "--force"}).code, 0);
}

TEST_F(CtlBind, RefusesADriverThatIsNotThere) {
    EXPECT_REFUSED(run({"bind", "nonsense"}), 4, HasSubstr("nonsense"));
    EXPECT_REFUSED(run({"-n", "bind", "nonsense"}), 4, HasSubstr("modprobe nonsense"));
    EXPECT_REFUSED(run({"with", "nonsense", "--", "true"}), 4, HasSubstr("modprobe nonsense"));
}

TEST_F(CtlBind, NeedsAPciFunction) {
    EXPECT_REFUSED(sim({"bind"}), 2, HasSubstr("--backend sim"));
    EXPECT_REFUSED(sim({"with", "--", "true"}), 2, HasSubstr("--backend sim"));
}

TEST_F(CtlBind, TakesSeveralDevices) {
    sysfs_.add(kOther, 0x8086, 0x10d3, "igb");
    const Outcome bound = run({"-s", "05.0", "-s", "04.0", "-s", "00:05.0", "bind"});
    EXPECT_EQ(bound.code, 0) << bound.err;
    EXPECT_EQ(bound.out, "0000:00:05.0: igb -> vfio-pci\n0000:00:04.0: e1000e -> vfio-pci\n");
    EXPECT_REFUSED(run({"-s", "05.0", "-s", "06.0", "bind"}), 3, HasSubstr("no device matches -s 06.0"));
    EXPECT_REFUSED(run({"-s", "05.0", "-s", "04.0", "read", "0"}), 3,
                   HasSubstr("2 devices match -s 05.0 -s 04.0: name one"));
}

TEST_F(CtlBind, TakesTheWholeGroup) {
    share_the_group();
    EXPECT_EQ(run({"-n", "bind", "--group"}).out,
              "0000:00:04.0: would go from e1000e to vfio-pci; restore would give it to e1000e\n"
              "0000:00:05.0: would go from snd_hda_intel to vfio-pci; restore would give it to snd_hda_intel\n");
    EXPECT_EQ(run({"-o", "raw", "bind", "--group"}).out, "vfio-pci\nvfio-pci\n");
}

// A bridge is not bound with the group. Whether it keeps the group from userspace depends on its driver.
TEST_F(CtlBind, SaysWhatItIsToThoseOfTheGroupThatItLeaves) {
    const auto add_bridge = [&](const std::string& bdf, const std::string& driver, const char* class_code) {
        sysfs_.add(bdf, 0x8086, 0x2448, driver);
        std::ofstream{sysfs_.root().sys / "bus/pci/devices" / bdf / "class"} << class_code;
        sysfs_.join_group(bdf, kNic);
    };
    add_bridge("0000:00:06.0", "pcieport", "0x060400");
    add_bridge("0000:00:07.0", "", "0x060400");
    add_bridge("0000:00:08.0", "yenta_cardbus", "0x060700");
    add_bridge("0000:00:09.0", "shpchp", "0x060400");
    add_bridge("0000:00:0a.0", "", "0x060100");
    add_bridge("0000:00:0c.0", "vfio-pci", "0x060100");  // as an earlier bind --group left it
    add_bridge("0000:00:0b.0", "", "0x060400");
    std::filesystem::remove_all(sysfs_.root().sys / "bus/pci/devices/0000:00:0b.0");
    const Outcome bound = run({"-s", "04.0", "bind", "--group"});
    EXPECT_EQ(bound.code, 0);
    EXPECT_THAT(bound.err, AllOf(HasSubstr("0000:00:06.0: stays with pcieport: it is a bridge, and may stay\n"),
                                 HasSubstr("0000:00:07.0: stays with no driver: it is a bridge, and may stay\n"),
                                 HasSubstr("0000:00:0a.0: stays with no driver: it is a bridge, and may stay\n"),
                                 HasSubstr("0000:00:0c.0: stays with vfio-pci: it is a bridge, and may stay\n")));
    EXPECT_THAT(bound.err, AllOf(HasSubstr("0000:00:08.0: stays with yenta_cardbus, and is in the way: it is a bridge"),
                                 HasSubstr("'pcienic-ctl -s 0000:00:08.0 unbind --none'"),
                                 HasSubstr("0000:00:09.0: stays with shpchp, and is in the way")));
    EXPECT_THAT(bound.err, AllOf(HasSubstr("0000:00:0b.0: is gone"), Not(HasSubstr("0000:00:0b.0: stays"))));
}

// One of them by itself: what is said is what bind --group says of it.
TEST_F(CtlBind, SaysWhatItIsToABridgeThatIsBoundByItself) {
    sysfs_.add("0000:00:09.0", 0x8086, 0x2448, "shpchp");
    const auto bridge = sysfs_.root().sys / "bus/pci/devices/0000:00:09.0";
    std::ofstream{bridge / "config", std::ios::binary} << std::string(0x0e, '\0') << '\x01' << std::string(0x31, '\0');
    const auto agrees = AllOf(HasSubstr("is a bridge, and vfio-pci takes none"), HasSubstr("take a device behind it"),
                              HasSubstr("may stay with pcieport, with pci-stub or without a driver"),
                              HasSubstr("with another it is in the way until `pcienic-ctl -s BRIDGE unbind --none`"));
    EXPECT_REFUSED(run({"-s", "09.0", "bind"}), 4, agrees);
    EXPECT_THAT(run({"doctor", "00:09.0"}).out, agrees);
    EXPECT_EQ(run({"-s", "09.0", "unbind", "--none"}).code, 0) << "the remedy";
}

TEST_F(CtlBind, TellsWhatElseTheGroupNeeds) {
    share_the_group();
    sysfs_.add("0000:00:06.0", 0x1234, 0x11e8, "vfio-pci");  // as if it had been bound: nothing acts on what is written
    sysfs_.join_group("0000:00:06.0", kNic);
    const Outcome bound = run({"--json", "-s", "06.0", "bind"});
    EXPECT_EQ(bound.code, 0);
    EXPECT_THAT(bound.err, AllOf(HasSubstr("0000:00:06.0: is bound, but cannot be opened yet"),
                                 HasSubstr("0000:00:05.0 (driver snd_hda_intel)"),
                                 HasSubstr("pcienic-ctl -s 0000:00:06.0 bind --group")));
    EXPECT_EQ(Json::parse(bound.out)["data"][0]["obstacle"]["error"], "group_not_viable");
}

// --- restore ---

TEST_F(CtlBind, RestoresAllThatIsOnRecord) {
    sysfs_.add(kOther, 0x8086, 0x10d3, "igb");
    EXPECT_EQ(run({"-s", "04.0", "-s", "05.0", "bind"}).code, 0);
    EXPECT_EQ(run({"-n", "restore", "--all"}).out,
              "would take 0000:00:04.0 from e1000e and give it to e1000e\n"
              "would take 0000:00:05.0 from igb and give it to igb\n");
    std::filesystem::remove_all(sysfs_.root().sys / "bus/pci/devices" / kOther);  // unplugged
    const Outcome restored = run({"restore", "--all"});
    EXPECT_EQ(restored.code, 0);
    EXPECT_THAT(restored.out, StartsWith(kNic));
    EXPECT_THAT(restored.err, HasSubstr("0000:00:05.0: there is no PCI function"));
    EXPECT_THAT(uiovfio::recorded_functions(sysfs_.root()), IsEmpty());
    EXPECT_EQ(run({"restore", "--all"}).out, "") << "nothing is left to do";
    EXPECT_REFUSED(run({"-s", "04.0", "restore", "--all"}), 2, HasSubstr("--all"));
}

TEST_F(CtlBind, RestoresTheOneThatIsOnRecord) {
    sysfs_.add(kOther, 0x8086, 0x10d3, "igb");
    EXPECT_EQ(run({"-s", "05.0", "bind"}).code, 0);
    EXPECT_THAT(run({"-n", "restore"}).out, StartsWith("would take 0000:00:05.0"));
    EXPECT_EQ(run({"-s", "04.0", "bind"}).code, 0);
    EXPECT_REFUSED(run({"restore"}), 3, HasSubstr("0000:00:04.0, 0000:00:05.0"), HasSubstr("--all"));
}

TEST_F(CtlBind, RestoreAllGoesOnWhereOneFails) {
    sysfs_.add(kOther, 0x8086, 0x10d3, "igb");
    EXPECT_EQ(run({"-s", "04.0", "-s", "05.0", "bind"}).code, 0);
    const uiovfio::Bdf nic = uiovfio::Bdf::parse(kNic);
    const uiovfio::ScopedBinding other_program{nic, "vfio-pci", sysfs_.root()};
    const Outcome restored = run({"restore", "--all"});
    EXPECT_EQ(restored.code, 2);
    EXPECT_THAT(restored.out, StartsWith(kOther));
    EXPECT_THAT(restored.err, HasSubstr("has bound it for as long as it runs"));
    EXPECT_THAT(uiovfio::recorded_functions(sysfs_.root()), testing::ElementsAre(nic));
}

// --- with ---

TEST_F(CtlBind, WithRunsACommandThatIsNotReadAsOurs) {
    const Outcome result = run(Words{"-v", "with", "--"} + seeing() + Words{"-n", ":", "--json", "--", "with"});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(written("seen"), "0000:00:04.0, 0000:00:04.0: -n : --json -- with\n");
    EXPECT_EQ(result.err,
              "pcienic-ctl: 0000:00:04.0: bound to vfio-pci\npcienic-ctl: 0000:00:04.0: given back by vfio-pci\n");
}

TEST_F(CtlBind, WithNamesAllItsDevices) {
    sysfs_.add(kOther, 0x8086, 0x10d3, "igb");
    EXPECT_EQ(run(Words{"-s", "05.0", "-s", "04.0", "with", "vfio-pci", "--"} + seeing()).code, 0);
    EXPECT_EQ(written("seen"), "0000:00:05.0, 0000:00:05.0 0000:00:04.0:\n");
    sysfs_.join_group(kOther, kNic);
    EXPECT_EQ(run(Words{"with", "--group", "--"} + seeing()).code, 0);
    EXPECT_EQ(written("seen"), "0000:00:04.0, 0000:00:04.0 0000:00:05.0:\n");
}

TEST_F(CtlBind, WithEndsAsTheCommandDoesAndLeavesNothing) {
    const auto record = (sysfs_.root().run / kNic).string();
    EXPECT_EQ(run({"with", "--", "/bin/sh", "-c", "test -f " + record}).code, 0) << "on record while it runs";
    EXPECT_EQ(run({"with", "--", "/bin/sh", "-c", "exit 3"}).code, 3);
    EXPECT_EQ(run({"with", "--", "/bin/sh", "-c", "kill -ABRT $$"}).code, 128 + SIGABRT);
    EXPECT_REFUSED(run({"with", "--", "/nonexistent/program"}), 127, HasSubstr("/nonexistent/program: cannot be run"));
    EXPECT_THAT(uiovfio::recorded_functions(sysfs_.root()), IsEmpty());
}

TEST_F(CtlBind, WithNeedsACommandAndAnInvocationOfItsOwn) {
    for (const Words& line : {Words{"with"}, Words{"with", "vfio-pci"}, Words{"with", "vfio-pci", "--"}}) {
        EXPECT_REFUSED(run(line), 2, HasSubstr("put it after '--'"));
    }
    EXPECT_REFUSED(run({"info", ":", "with", "--", "true"}), 2, HasSubstr("an invocation of its own"));
    EXPECT_REFUSED(run({"run", "-"}, "with vfio-pci\n"), 2, HasSubstr("-:1: a script cannot leave the device"));
    EXPECT_REFUSED(run({"with", "--grace", "soon", "--", "true"}), 2, HasSubstr("soon"));
}

TEST_F(CtlBind, WithSaysWhatItWouldDo) {
    EXPECT_EQ(run({"-n", "with", "--", "./my-driver", "-v"}).out,
              "0000:00:04.0: would go from e1000e to vfio-pci; restore would give it to e1000e\n"
              "would run ./my-driver -v\n");
    EXPECT_THAT(run({"-n", "with", "--", "sh", "-c", "exit 3"}).out, EndsWith("would run sh -c 'exit 3'\n"));
}

TEST_F(CtlBind, WithLeavesARecordToRestoreWhenItIsKilled) {
    const pid_t supervisor = ::fork();
    ASSERT_GE(supervisor, 0);
    if (supervisor == 0) {
        run({"with", "--", "/bin/sh", "-c", "kill -KILL $PPID"});
        ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(supervisor, &status, 0), supervisor);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(uiovfio::recorded_functions(sysfs_.root()).size(), 1u);
    EXPECT_EQ(run({"restore", "--all"}).code, 0);
    EXPECT_THAT(uiovfio::recorded_functions(sysfs_.root()), IsEmpty());
}

TEST_F(CtlBind, AnotherProgramsDeviceIsRefused) {
    const uiovfio::ScopedBinding other{uiovfio::Bdf::parse(kNic), "vfio-pci", sysfs_.root()};
    EXPECT_REFUSED(run({"with", "--", "true"}), 2, HasSubstr(fmt::format("process {}", ::getpid())));
    EXPECT_REFUSED(run({"bind"}), 2, HasSubstr("has bound it for as long as it runs"));
}

// Programs name themselves, and a terminal obeys what it is shown.
TEST_F(CtlBind, AnotherProgramsNameIsShownWithoutItsControlCharacters) {
    const std::filesystem::path process = sysfs_.root().proc / std::to_string(::getpid());
    std::filesystem::create_directories(process);
    std::ofstream{process / "comm"} << "\x1b]0;mine\x07\n";
    const uiovfio::ScopedBinding other{uiovfio::Bdf::parse(kNic), "vfio-pci", sysfs_.root()};
    EXPECT_REFUSED(run({"bind"}), 2, HasSubstr("(?]0;mine?) has bound it"));
}

}  // namespace
}  // namespace pcienic::ctl
