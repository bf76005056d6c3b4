// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel says of a function beside its registers: the lspci of this machine is asked about the same tree.
#include <gmock/gmock.h>

#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

#include "collect.hpp"
#include "fake_machine.hpp"
#include "image.hpp"
#include "listing.hpp"
#include "real_lspci.hpp"

namespace {

using namespace pcienic::ls;
namespace test = pcienic::test;
using test::FakeMachine;
using test::FakeResource;
using testing::HasSubstr;
using testing::Not;

constexpr std::uint64_t kIo = 0x100, kMemory = 0x200, kPrefetch = 0x2000, kWide = 0x100000, kEnhanced = 0x20;

/// The whole listing of a function, at -vvv and with numbers.
std::string listed(const FakeMachine& machine, std::size_t index = 0, int verbosity = 3) {
    return test::without_own_lines(
        test::our_functions({.naming = Naming::numbers, .sys = machine.sys()}, {.verbosity = verbosity}).at(index));
}

void expect_words_of_lspci(const FakeMachine& machine, const std::string& what) {
    if (test::lspci_version().empty()) GTEST_SKIP() << "no lspci here: ./pcienic setup packages installs pciutils";
    for (int verbosity = 1; verbosity <= kMaxVerbosity; ++verbosity) {
        const std::string options = fmt::format("-n -{}", std::string(static_cast<std::size_t>(verbosity), 'v'));
        std::vector<std::string> ours =
            test::our_functions({.naming = Naming::numbers, .sys = machine.sys()}, {.verbosity = verbosity});
        for (std::string& function : ours) function = test::without_own_lines(function);
        test::expect_same(ours, test::functions_of(test::lspci_on_sysfs(machine.sys(), options)),
                          fmt::format("{} {}", what, options));
    }
}

TEST(LsSysfs, AnIdeControllerHasIoPortsThatItsRegistersDoNotKnow) {
    FakeMachine machine;
    machine.add({.address = "0000:00:01.1",
                 .config = test::Image(64).put(0x04, {1}).put(0x0a, {0x01, 0x01}).put32(0x20, 0xc001).bytes(),
                 .resources = {{0x1f0, 0x1f7, 0x110},
                               {0x3f6, 0x3f6, 0x110},
                               {0x170, 0x177, 0x110},
                               {0x376, 0x376, 0x110},
                               {0xc000, 0xc00f, 0x40101}}});
    const std::string text = listed(machine);
    EXPECT_THAT(text, HasSubstr("\tRegion 0: I/O ports at 01f0 [size=8]\n"));
    EXPECT_THAT(text, HasSubstr("\tRegion 1: I/O ports at 03f4\n"));
    EXPECT_THAT(text, HasSubstr("\tRegion 4: I/O ports at c000 [size=16]\n"));
    EXPECT_THAT(text, Not(HasSubstr("virtual")));
    expect_words_of_lspci(machine, "IDE");
}

TEST(LsSysfs, TheKernelsClassCounts) {
    FakeMachine machine;
    const auto bridge = [](unsigned char base) {
        return test::Image(64).put(0x0a, {0x04, base}).put(0x0e, {1}).bytes();
    };
    machine.add(
        {.address = "0000:00:00.0", .config = bridge(0x0b), .resources = {}, .files = {{"class", "0x060400\n"}}});
    machine.add(
        {.address = "0000:00:01.0", .config = bridge(0x06), .resources = {}, .files = {{"class", "0x020000\n"}}});
    EXPECT_THAT(listed(machine, 0), Not(HasSubstr("Invalid class")));
    EXPECT_THAT(listed(machine, 1), HasSubstr("!!! Invalid class 0200 for header type 01"));
    expect_words_of_lspci(machine, "corrected classes");
}

// Trees of sandboxes lack files; a virtual function goes while the bus is listed.
TEST(LsSysfs, AFileThatIsNotThereCostsNoListing) {
    FakeMachine machine;
    for (const char* address : {"0000:00:01.0", "0000:00:02.0", "0000:00:03.0"})
        machine.add({.address = address, .config = test::Image(64).bytes(), .resources = {}, .irq = 11});
    std::filesystem::remove(machine.sys() / "bus/pci/devices/0000:00:02.0/irq");
    std::filesystem::remove(machine.sys() / "bus/pci/devices/0000:00:02.0/resource");
    std::filesystem::remove_all(std::filesystem::canonical(machine.sys() / "bus/pci/devices/0000:00:03.0"));
    const auto functions = test::our_functions({.naming = Naming::numbers, .sys = machine.sys()}, {.verbosity = 1});
    ASSERT_EQ(functions.size(), 2U);
    EXPECT_THAT(functions[0], HasSubstr("IRQ 11"));
    EXPECT_THAT(functions[1], Not(HasSubstr("IRQ")));
}

TEST(LsSysfs, WhatIsNotSelectedIsNotRead) {
    FakeMachine machine;
    for (const char* address : {"0000:00:01.0", "0000:00:02.0"})
        machine.add({.address = address, .config = test::Image(64).bytes(), .resources = {}});
    std::filesystem::remove(machine.sys() / "bus/pci/devices/0000:00:02.0/config");
    const auto warnings_about = [&](const std::string& slot, bool topology) {
        testing::internal::CaptureStderr();
        collect({.slot = slot, .naming = Naming::numbers, .topology = topology, .sys = machine.sys()});
        return testing::internal::GetCapturedStderr();
    };
    EXPECT_EQ(warnings_about("1.0", false), "") << "a device that sleeps would be woken";
    EXPECT_THAT(warnings_about("1.0", true), HasSubstr("config")) << "a tree needs the headers of all";
    EXPECT_THAT(warnings_about("2.0", false), HasSubstr("config"));
}

TEST(LsSysfs, AVirtualFunctionsBarsAreVirtual) {
    FakeMachine machine;
    machine.add(
        {.address = "0000:01:10.0",
         .config = test::Image(64).bytes(),
         .resources = {
             {0xfe000000, 0xfe003fff, kMemory | kWide | kPrefetch | 0xc}, {}, {}, {0xfe100000, 0xfe103fff, kMemory}}});
    EXPECT_THAT(listed(machine),
                HasSubstr("\tRegion 0: Memory at fe000000 (64-bit, prefetchable) [virtual] [size=16K]\n"));
    EXPECT_THAT(listed(machine),
                HasSubstr("\tRegion 3: Memory at fe100000 (32-bit, non-prefetchable) [virtual] [size=16K]\n"));
    expect_words_of_lspci(machine, "VF");
}

TEST(LsSysfs, ABridgeHasItsOwnRegistersForAWindowThatIsOff) {
    FakeMachine machine;
    std::vector<FakeResource> resources(17);
    resources[14] = {0x9a000000, 0x9a0fffff, kMemory};
    machine.add({.address = "0000:00:1c.0",
                 .config = test::Image(64)
                               .put(0x0a, {0x04, 0x06})
                               .put(0x0e, {1})
                               .put(0x1c, {0xf1, 0x01})
                               .put(0x20, {0x00, 0x9a, 0x00, 0x9a, 0xf1, 0xff, 0x01, 0x00})
                               .bytes(),
                 .resources = resources});
    EXPECT_THAT(listed(machine), HasSubstr("\tI/O behind bridge: 0000f000-00000fff [disabled] [32-bit]\n"));
    EXPECT_THAT(listed(machine), HasSubstr("\tMemory behind bridge: 9a000000-9a0fffff [size=1M] [32-bit]\n"));
    EXPECT_THAT(
        listed(machine),
        HasSubstr("\tPrefetchable memory behind bridge: 00000000fff00000-00000000000fffff [disabled] [64-bit]\n"));
    expect_words_of_lspci(machine, "bridge");
}

TEST(LsSysfs, AWindowThatTheBridgeDoesNotHaveIsNotListed) {
    FakeMachine machine;
    machine.add({.address = "0000:00:1c.0",
                 .config = test::Image(64).put(0x0a, {0x04, 0x06}).put(0x0e, {1}).bytes(),
                 .resources = std::vector<FakeResource>(17)});
    EXPECT_THAT(listed(machine), Not(HasSubstr("I/O behind bridge")));
    EXPECT_THAT(listed(machine), Not(HasSubstr("Prefetchable memory behind bridge")));
    expect_words_of_lspci(machine, "bridge without windows");
}

/// Functions with registers and resources that have little to do with each other.
class LsSysfsRandom : public testing::TestWithParam<int> {};

TEST_P(LsSysfsRandom, IsWhatLspciSays) {
    std::mt19937 random(static_cast<std::uint32_t>(GetParam()));
    const auto one_in = [&](unsigned n) { return random() % n == 0; };
    FakeMachine machine;
    for (unsigned index = 0; index < 150; ++index) {
        constexpr std::uint8_t kTypes[] = {0, 0, 0, 1, 1, 2, 0x7f};
        const std::uint8_t type = kTypes[random() % 7];
        test::Image image(256);
        for (std::size_t at = 0; at < 64; ++at)
            image.put(at, {one_in(2) ? std::uint8_t{0} : static_cast<std::uint8_t>(random())});
        image.put(0, {0x86, 0x80, 0x34, 0x12})
            .put(6, {0})
            .put(0x0e, {type})
            .put(0x3d, {static_cast<std::uint8_t>(random() % 5)});
        image.put(0x0a, {static_cast<std::uint8_t>(type == 0 ? 0 : 4), static_cast<std::uint8_t>(type == 0 ? 2 : 6)});
        for (std::size_t bar = 0; bar < 6 && type != 1 && type != 2; ++bar) {
            constexpr std::uint32_t kKinds[] = {0, 1, 4, 8, 0xc, 2};
            image.put32(0x10 + 4 * bar, one_in(3) ? 0 : (one_in(2) ? 0U : 0xfd000000U) | kKinds[random() % 6]);
        }
        if (type == 1) image.put(0x1c, {0xf0, 0x00}).put(0x24, {0x11, 0x20, 0x21, 0x30});

        std::vector<FakeResource> resources(type == 0 ? 7 : 17);
        for (std::size_t line = 0; line < resources.size(); ++line) {
            if (one_in(3) || (line > 6 && line < 13)) continue;
            const std::uint64_t size = std::uint64_t{1} << (line == 13 ? 8 : 12 + random() % 20);
            const std::uint64_t first = one_in(5)    ? 0
                                        : line == 13 ? 0x4000
                                                     : std::uint64_t{random() % 0x7ff} << (line == 14 ? 20 : 32);
            std::uint64_t flags = 0x40000;
            if (line == 13 || (line < 6 && one_in(4)))
                flags |= kIo | (one_in(2) ? 1 : 0);
            else if (line == 14)
                flags |= kMemory;
            else if (line == 15)  // 64 bits are [32-bit] to lspci
                flags |= kMemory | kPrefetch;
            else
                flags |= kMemory | (one_in(2) ? kWide | 4 : 0) | (one_in(2) ? kPrefetch | 8 : 0) |
                         (one_in(9) ? kEnhanced : 0);
            resources[line] = {first, one_in(8) ? 0 : first + size - 1, one_in(12) ? 0 : flags};
            if (resources[line].last == 0) resources[line].first = 0;
        }
        test::FakeFunction function{
            .address = fmt::format("0000:{:02x}:{:02x}.{}", index >> 8, index >> 3 & 31, index & 7),
            .config = image.bytes(),
            .resources = resources};
        function.irq = one_in(2) ? 0 : static_cast<unsigned>(random() % 200);
        if (one_in(3)) function.files.emplace_back("numa_node", fmt::format("{}\n", one_in(2) ? -1 : 1));
        if (one_in(4)) {
            function.files.emplace_back("subsystem_vendor", "0x1af4\n");
            function.files.emplace_back("subsystem_device", "0x0001\n");
        }
        machine.add(function);
    }
    machine.add_slot("3-1", "0000:00:05");
    expect_words_of_lspci(machine, "random");
}

INSTANTIATE_TEST_SUITE_P(Seed, LsSysfsRandom, testing::Range(1, 4));

TEST(LsSysfs, ReadsAsFarAsTheKernelLetsIt) {
    FakeMachine machine;
    test::Image image(4096);
    image.first(0x40).capability(0x40, 0x01, 0x70).capability(0x70, 0x11, 0x90).express(0x90, 0);
    image.extended(0x100, 0x03, 1, 0x120).extended(0x120, 0x0b, 1, 0);
    unsigned device = 0;
    for (const std::size_t length : {64U, 72U, 100U, 112U, 128U, 144U, 200U, 255U, 256U, 268U, 300U, 4096U}) {
        std::vector<std::uint8_t> bytes = image.bytes();
        bytes.resize(length);
        machine.add({.address = fmt::format("0000:00:{:02x}.0", device++), .config = bytes, .resources = {}});
    }
    expect_words_of_lspci(machine, "cut");
    const Listing listing = collect({.sys = machine.sys()});
    EXPECT_EQ(listing.functions.at(2).config.size(), 100U);
    EXPECT_EQ(listing.functions.at(10).config.size(), 300U);
    EXPECT_THAT(listed(machine, 0), HasSubstr("Capabilities: <access denied>"));
}

TEST(LsSysfs, ReadsNoMoreThanWasAskedFor) {
    FakeMachine machine;
    for (const char* address : {"0000:00:00.0", "0000:00:01.0"})
        machine.add({.address = address, .config = test::Image(4096).bytes(), .resources = {}});
    machine.add({.address = "0000:00:02.0",
                 .config = test::Image(4096).put(0x0a, {0x07, 0x06}).put(0x0e, {2}).bytes(),
                 .resources = {}});
    const auto sizes = [&](std::size_t asked, const char* slot, bool topology = false) {
        std::vector<std::size_t> read;
        const Listing listing =
            collect({.slot = slot, .config_bytes = asked, .topology = topology, .sys = machine.sys()});
        for (const Function& function : listing.functions) read.push_back(function.config.size());
        return read;
    };
    EXPECT_THAT(sizes(4096, "00:01.0"), testing::ElementsAre(0, 4096, 0));
    EXPECT_THAT(sizes(4096, "00:01.0", true), testing::ElementsAre(64, 4096, 128));
    EXPECT_THAT(sizes(256, ""), testing::ElementsAre(256, 256, 256));
    EXPECT_THAT(sizes(64, ""), testing::ElementsAre(64, 64, 128));
}

TEST(LsSysfs, ReadsVitalProductDataOnlyIfItWasAskedFor) {
    FakeMachine machine;
    machine.add({.address = "0000:00:00.0",
                 .config = test::Image(256).first(0x40).capability(0x40, 0x03, 0).bytes(),
                 .resources = {},
                 .files = {{"vpd", std::string("\x82\x03\x00nic\x78", 7)}}});
    const auto registers = [&](bool asked) {
        const Listing listing = collect({.vital_product_data = asked, .sys = machine.sys()});
        return render_json(listing.functions.at(0), 0)["capabilities"][0]["registers"];
    };
    EXPECT_EQ(registers(true)["Product Name"]["Name"], "nic");
    EXPECT_TRUE(registers(false).empty());
}

TEST(LsSysfs, ABarWithoutAnAddressCountsAsMemory) {
    FakeMachine machine;
    machine.add({.address = "0000:00:00.0",
                 .config = test::Image(4096).first(0x40).express(0x40, 0).put32(0x64, 0x00010000).bytes(),
                 .resources = {{0, 0xfff, kMemory}}});
    expect_words_of_lspci(machine, "a BAR at 0");
}

TEST(LsSysfs, AFunctionWithoutAHeaderIsNoBridge) {
    FakeMachine machine;
    std::vector<std::uint8_t> gone(64, 0xff);
    machine.add({.address = "0000:00:00.0", .config = gone, .resources = {}});
    const Listing listing = collect({.sys = machine.sys()});
    EXPECT_THAT(listing.functions.at(0).binding->vfio, Not(HasSubstr("bridge")));
}

TEST(LsSysfs, SaysThatAHeaderCannotBeRead) {
    FakeMachine machine;
    machine.add({.address = "0000:00:00.0",
                 .config = {0x86, 0x80, 0x34, 0x12},
                 .resources = {{0xfe000000, 0xfe000fff, kMemory}}});
    EXPECT_THAT(listed(machine), HasSubstr("\t!!! Only 4 bytes of the header could be read\n"));
    EXPECT_THAT(listed(machine), HasSubstr("\tRegion 0: Memory at fe000000 (32-bit, non-prefetchable) [size=4K]\n"));
}

TEST(LsSysfs, WritesForeignTextOnOneLine) {
    FakeMachine machine;
    machine.add({.address = "0000:00:02.0",
                 .config = test::Image(64).bytes(),
                 .resources = {},
                 .files = {{"label", "Onboard\nLAN\x1b[31m\xff\n"}},
                 .driver = "evil\n\xfe"});
    machine.add_slot("slot\n1", "0000:00:02");
    for (const bool machine_readable : {false, true}) {
        const Listing listing = collect({.sys = machine.sys()});
        std::ostringstream out;
        const TextOptions options{.verbosity = 1, .kernel = true, .machine_readable = machine_readable ? 2 : 0};
        (machine_readable ? render_machine : render_text)(out, listing.functions.at(0), options);
        const std::string text = out.str();
        EXPECT_EQ(text.find("\n\n"), text.size() - 2) << text;
        EXPECT_EQ(text.find('\x1b'), std::string::npos);
        EXPECT_THAT(text, HasSubstr("evil\\n\\xfe"));
        EXPECT_THAT(text, HasSubstr("slot\\n1"));
        if (!machine_readable) {
            EXPECT_THAT(text, HasSubstr("\tDeviceName: Onboard\\nLAN\\x1b[31m\\xff\n"));
        }
    }
    const auto json = render_json(collect({.sys = machine.sys()}).functions.at(0), 0);
    EXPECT_EQ(json["label"], "Onboard\\nLAN\\x1b[31m\\xff");
    EXPECT_EQ(json["driver"], "evil\\n\\xfe");
    EXPECT_NO_THROW(json.dump());
}

TEST(LsSysfs, ALabelEndsWithItsLine) {
    FakeMachine machine;
    machine.add({.address = "0000:00:02.0",
                 .config = test::Image(64).bytes(),
                 .resources = {},
                 .files = {{"label", "Onboard LAN\n"}}});
    EXPECT_THAT(listed(machine), HasSubstr("\tDeviceName: Onboard LAN\n\tControl:"));
    EXPECT_EQ(render_json(collect({.sys = machine.sys()}).functions.at(0), 0)["label"], "Onboard LAN");
    expect_words_of_lspci(machine, "label");
}

}  // namespace
