// SPDX-License-Identifier: GPL-2.0-or-later
// Trees of every shape. lspci 3.9 must draw the same, letter by letter; a later one, whose roots stand one below the
// other, must lead to each function by the same way.
#include <gmock/gmock.h>

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "collect.hpp"
#include "fake_machine.hpp"
#include "image.hpp"
#include "listing.hpp"
#include "real_lspci.hpp"
#include "render.hpp"

namespace {

using namespace pcienic::ls;
namespace test = pcienic::test;

struct Node {
    std::string address;  ///< as in a dump
    int header_type = 0;  ///< 0, or 1 or 2 of a bridge
    unsigned primary = 0, secondary = 0, subordinate = 0;
    unsigned class_code = 0;  ///< 0: what belongs to the header
};

std::vector<std::uint8_t> space_of(const Node& node) {
    test::Image image(node.header_type == 2 ? 128 : 64);
    const unsigned class_code = node.class_code != 0    ? node.class_code
                                : node.header_type == 1 ? 0x0604
                                : node.header_type == 2 ? 0x0607
                                                        : 0x0200;
    image.put(6, {0}).put(0x0e, {static_cast<std::uint8_t>(node.header_type)});
    image.put(0x0a, {static_cast<std::uint8_t>(class_code), static_cast<std::uint8_t>(class_code >> 8)});
    if (node.header_type != 0)
        image.put(0x18, {static_cast<std::uint8_t>(node.primary), static_cast<std::uint8_t>(node.secondary),
                         static_cast<std::uint8_t>(node.subordinate)});
    return image.bytes();
}

std::string dump_of(const std::vector<Node>& nodes) {
    std::ostringstream out;
    for (const Node& node : nodes) {
        std::ostringstream one;
        test::write_dump(one, 0, space_of(node));
        out << node.address << one.str().substr(one.str().find(' '));
    }
    return out.str();
}

std::string ours(const std::filesystem::path& dump, const std::string& slot = {}, int verbosity = 0) {
    std::ostringstream out;
    render_tree(out, collect({.dump_file = dump, .slot = slot, .details = false, .topology = true}),
                {.verbosity = verbosity});
    return out.str();
}

std::string ours(const std::vector<Node>& nodes, const std::string& slot = {}) {
    const test::TemporaryFile dump(dump_of(nodes));
    return ours(dump.path(), slot);
}

/// The ways that a drawing leads to what stands at a line's end: "[0000:00] 1c.0 [01-02] 00.0".
std::set<std::string> ways_in(const std::string& drawing) {
    std::set<std::string> ways;
    std::vector<std::pair<std::size_t, std::string>> way;  // column and name
    std::istringstream lines(drawing);
    for (std::string line; std::getline(lines, line);) {
        std::vector<std::pair<std::size_t, std::string>> names;
        for (std::size_t at = 0; at < line.size();) {
            const std::size_t begin = line.find_first_not_of(" -+|\\", at);
            if (begin == std::string::npos) break;
            const std::size_t end = line[begin] == '[' ? line.find(']', begin) + 1 : line.find_first_of(" -", begin);
            names.emplace_back(begin, line.substr(begin, end == std::string::npos ? end : end - begin));
            at = end == std::string::npos ? line.size() : end;
        }
        if (names.empty()) continue;
        while (!way.empty() && way.back().first >= names.front().first) way.pop_back();
        way.insert(way.end(), names.begin(), names.end());
        std::string text;
        for (const auto& [column, name] : way) text += name + ' ';
        ways.insert(text);
    }
    // A root with nothing on it is lspci 3.9's alone.
    ways.erase("[0000:00] ");
    return ways;
}

TEST(LsTreeWays, AreReadFromADrawing) {
    EXPECT_EQ(ways_in("-+-[0000:00]-+-00.0\n"
                      " |           \\-1c.0-[01-02]--+-00.0\n"
                      " |                           \\-00.1\n"
                      " \\-[10000:00]---04.0\n"),
              (std::set<std::string>{"[0000:00] 00.0 ", "[0000:00] 1c.0 [01-02] 00.0 ", "[0000:00] 1c.0 [01-02] 00.1 ",
                                     "[10000:00] 04.0 "}));
}

void expect_lspci_draws_dump(const std::filesystem::path& dump, const std::string& what) {
    if (test::lspci_version().empty()) GTEST_SKIP() << "no lspci here: ./pcienic setup packages installs pciutils";
    const std::string theirs = test::lspci_on(dump, "-t");
    if (test::lspci_speaks_3_9()) {
        EXPECT_EQ(ours(dump), theirs) << what;
    } else {
        EXPECT_EQ(ways_in(ours(dump)), ways_in(theirs)) << what << "\n" << theirs;
    }
}

void expect_lspci_draws(const std::vector<Node>& nodes, const std::string& what) {
    const test::TemporaryFile dump(dump_of(nodes));
    expect_lspci_draws_dump(dump.path(), what);
}

TEST(LsTree, ACardBusBridgeIsABridge) {
    const std::vector<Node> nodes = {{"00:1e.0", 1, 0, 2, 6}, {"02:03.0", 2, 2, 3, 6}, {"03:00.0"}};
    EXPECT_EQ(ours(nodes), "-[0000:00]---1e.0-[02-06]----03.0-[03-06]----00.0\n");
    expect_lspci_draws(nodes, "CardBus");
}

TEST(LsTree, SeveralRootsStandSideBySide) {
    const std::vector<Node> nodes = {{"0000:00:00.0"}, {"0000:00:01.0"}, {"0000:80:00.0"}, {"10000:00:04.0"}};
    EXPECT_EQ(ours(nodes),
              "-+-[0000:00]-+-00.0\n"
              " |           \\-01.0\n"
              " +-[0000:80]---00.0\n"
              " \\-[10000:00]---04.0\n");
    expect_lspci_draws(nodes, "roots");
}

TEST(LsTree, ABridgeThatNothingSetUpHasNoNumbers) {
    const std::vector<Node> nodes = {{"00:00.0"}, {"00:1c.0", 1, 0, 0, 0}, {"00:1d.0", 1, 0, 3, 3}};
    EXPECT_EQ(ours(nodes),
              "-[0000:00]-+-00.0\n"
              "           +-1c.0--\n"
              "           \\-1d.0-[03]--\n");
    expect_lspci_draws(nodes, "secondary bus 0");
}

TEST(LsTree, WhatNoBridgeLeadsToIsARoot) {
    expect_lspci_draws({{"00:00.0"}, {"05:00.0"}, {"05:00.1"}}, "no bridge");
    expect_lspci_draws({{"03:00.0"}}, "no bus 0");
    expect_lspci_draws({{"0001:00:00.0"}, {"0001:01:00.0"}}, "no domain 0");
    // A bus within a bridge's range that no bridge leads to itself.
    expect_lspci_draws({{"00:1c.0", 1, 0, 1, 4}, {"01:00.0"}, {"03:00.0"}}, "missing bridge");
    expect_lspci_draws({{"00:1c.0", 1, 0, 1, 4}, {"03:00.0"}, {"04:00.0"}, {"04:00.1"}}, "missing bridges");
    // The class says that it is no bridge.
    expect_lspci_draws({{"00:1c.0", 1, 0, 1, 4, 0x0200}, {"01:00.0"}}, "not a bridge's class");
    expect_lspci_draws({{"00:1c.0", 1, 0, 1, 1, 0x0680}, {"01:00.0"}}, "another bridge's class");
    // Two bridges that claim one bus, and one whose range is upside down.
    expect_lspci_draws({{"00:1c.0", 1, 0, 1, 1}, {"00:1c.1", 1, 0, 1, 1}, {"01:00.0"}}, "two claims");
    expect_lspci_draws({{"00:1c.0", 1, 0, 5, 2}, {"03:00.0"}, {"05:00.0"}}, "upside down");
}

TEST(LsTree, ABusThatOnlyLeadsToItselfIsARoot) {
    EXPECT_EQ(ours({{"00:00.0"}, {"05:00.0", 1, 5, 5, 5}, {"05:01.0"}}),
              "-+-[0000:00]---00.0\n"
              " \\-[0000:05]-+-00.0-[05]--\n"
              "             \\-01.0\n");
    const std::string cycle = ours({{"00:00.0"}, {"05:00.0", 1, 5, 6, 6}, {"06:00.0", 1, 6, 5, 5}, {"06:01.0"}});
    for (const char* name : {"[0000:06]", "00.0-[05]", "00.0-[06]", "01.0"})
        EXPECT_THAT(cycle, testing::HasSubstr(name));
}

class LsTreeRandom : public testing::TestWithParam<int> {};

TEST_P(LsTreeRandom, IsWhatLspciDraws) {
    std::mt19937 random(static_cast<std::uint32_t>(GetParam()));
    for (int round = 0; round < 20; ++round) {
        // Bridges as firmware numbers them, from bus to bus, with some functions, some of them missing.
        std::vector<Node> nodes;
        const unsigned domains = 1 + random() % 2;
        for (unsigned domain = 0; domain < domains; ++domain) {
            unsigned next_bus = 0;
            const auto add_bus = [&](const auto& self, unsigned bus, int depth) -> void {
                next_bus = std::max(next_bus, bus + 1);
                for (unsigned device = 0; device < 4; ++device) {
                    if (random() % 3 == 0) continue;
                    const std::string address =
                        fmt::format("{:04x}:{:02x}:{:02x}.0", domain, bus, device + random() % 2);
                    if (depth < 5 && next_bus < 60 && random() % 2 == 0) {
                        const std::size_t place = nodes.size();
                        const unsigned secondary = next_bus;
                        nodes.push_back({address, random() % 8 == 0 ? 2 : 1, bus, secondary, secondary});
                        self(self, secondary, depth + 1);
                        nodes[place].subordinate = next_bus - 1;
                        if (random() % 10 == 0) nodes[place].address.clear();  // a bridge that the dump has not
                    } else {
                        nodes.push_back({address});
                    }
                }
            };
            add_bus(add_bus, domain * 16, 0);
        }
        std::erase_if(nodes, [](const Node& node) { return node.address.empty(); });
        std::set<std::string> seen;
        std::erase_if(nodes, [&](const Node& node) { return !seen.insert(node.address).second; });
        if (!nodes.empty()) expect_lspci_draws(nodes, dump_of(nodes));
    }
}

INSTANTIATE_TEST_SUITE_P(Seed, LsTreeRandom, testing::Range(1, 6));

const std::vector<Node> kBranches = {
    {"00:00.0"}, {"00:1c.0", 1, 0, 1, 3}, {"01:00.0", 1, 1, 2, 2}, {"02:00.0"}, {"02:00.1"}, {"00:1d.0", 1, 0, 4, 4},
    {"04:00.0"}};

TEST(LsTree, ShowsTheBranchesThatWereAskedForAndWhatIsBehindThem) {
    EXPECT_EQ(ours(kBranches, "02:00.1"), "-[0000:00]---1c.0-[01-03]----00.0-[02]----00.1\n");
    EXPECT_EQ(ours(kBranches, "00:1c.0"),
              "-[0000:00]---1c.0-[01-03]----00.0-[02]--+-00.0\n"
              "                                        \\-00.1\n");
    EXPECT_EQ(ours(kBranches, ":00.0"),
              "-[0000:00]-+-00.0\n"
              "           +-1c.0-[01-03]----00.0-[02]--+-00.0\n"
              "           |                            \\-00.1\n"
              "           \\-1d.0-[04]----00.0\n");
    // That is how lspci draws it since 3.10.
    if (test::lspci_version().empty() || test::lspci_speaks_3_9()) GTEST_SKIP() << "the lspci here is another";
    const test::TemporaryFile dump(dump_of(kBranches));
    for (const char* slot : {"02:00.1", "00:1c.0", ":00.0", "04:00.0", "01:00.0"})
        EXPECT_EQ(ours(dump.path(), slot), test::lspci_on(dump.path(), fmt::format("-t -s {}", slot))) << slot;
}

TEST(LsTree, BelievesTheSystemAboutWhatIsBehindABridge) {
    // Numbers in the registers that nothing set, as some platforms have them: sysfs says what is behind what.
    test::FakeMachine machine;
    machine.add({.address = "0000:00:01.0", .config = space_of({"", 1, 0, 0, 0}), .resources = {}});
    machine.add({.address = "0000:01:00.0", .config = space_of({""}), .resources = {}, .parent = "0000:00:01.0"});
    machine.add({.address = "0000:00:02.0", .config = space_of({""}), .resources = {}});
    machine.add({.address = "0000:02:00.0", .config = space_of({""}), .resources = {}, .parent = "0000:00:02.0"});
    std::ostringstream out;
    render_tree(out, collect({.details = false, .topology = true, .sys = machine.sys()}), {});
    EXPECT_EQ(out.str(),
              "-[0000:00]-+-01.0----00.0\n"
              "           \\-02.0-[02]----00.0\n");
    if (!test::lspci_speaks_3_9()) GTEST_SKIP() << "the lspci here is another";
    EXPECT_EQ(out.str(), test::lspci_on_sysfs(machine.sys(), "-t"));
}

TEST(LsPath, GoesFromTheRootToTheFunction) {
    const test::TemporaryFile dump(dump_of(kBranches));
    const Listing listing = collect({.dump_file = dump.path(), .topology = true});
    const auto place = [&](std::size_t index, int path) {
        return place_text(listing.functions.at(index), {.path = path});
    };
    ASSERT_EQ(listing.functions.at(4).address, (Address{.bus = 2}));
    EXPECT_EQ(place(4, 0), "02:00.0");
    EXPECT_EQ(place(4, 1), "00:1c.0/00.0/00.0");
    EXPECT_EQ(place(4, 2), "00:1c.0/01:00.0/02:00.0");
    EXPECT_EQ(place(0, 2), "00:00.0");
    EXPECT_EQ(render_json(listing.functions.at(4), 0)["path"],
              (std::vector<std::string>{"0000:00:1c.0", "0000:01:00.0"}));
}

}  // namespace
