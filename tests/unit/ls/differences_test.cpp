// SPDX-License-Identifier: GPL-2.0-or-later
// The page of differences says what is so: each of its lines has an input here, on which lspci says the words of the
// one column, pcienic-ls those of the other, and neither what the other says.
#include <gmock/gmock.h>

#include <fmt/format.h>

#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "capability_families.hpp"
#include "fake_machine.hpp"
#include "image.hpp"
#include "listing.hpp"
#include "real_lspci.hpp"

namespace {

namespace test = pcienic::test;
namespace ls = pcienic::ls;
using test::CapabilityBytes;
using test::Image;
using testing::HasSubstr;
using testing::Not;

struct Both {
    std::string theirs, ours;
};

/// A dump, given to both programs.
Both on(const std::string& dump, const std::string& options) {
    const test::TemporaryFile file(dump);
    const std::string words = fmt::format("-F '{}' {} 2>&1; echo \"ended with $?\"", file.path().string(), options);
    return {test::output_of(test::lspci_command() + " " + words), test::output_of(PCIENIC_LS_PROGRAM " " + words)};
}

Both on(const Image& image, const std::string& options = "-n -vvv") {
    return on(test::dump_of({image.bytes()}), options);
}

Both on(const test::FakeFunction& function) {
    test::FakeMachine machine;
    machine.add(function);
    return {test::lspci_on_sysfs(machine.sys(), "-n -vvv"),
            test::our_functions({.naming = ls::Naming::numbers, .vital_product_data = true, .sys = machine.sys()},
                                {.verbosity = 3})
                .at(0)};
}

Image bridge() { return Image(64).put(0x0a, {0x04, 0x06}).put(0x0e, {1}); }

Image with_bus(Image image, unsigned secondary) {
    return image.put(0x19, {static_cast<std::uint8_t>(secondary), static_cast<std::uint8_t>(secondary)});
}

Both window_of_bridge(std::size_t line, const test::FakeResource& resource) {
    std::vector<test::FakeResource> resources(17);
    resources.at(line) = resource;
    return on(test::FakeFunction{.address = "0000:00:1c.0", .config = bridge().bytes(), .resources = resources});
}

Image with_extended(std::uint16_t id) {
    Image image;
    return image.first(0x40).express(0x40, 0).extended(0x100, id, 1, 0);
}

CapabilityBytes standard(std::uint8_t id, std::size_t size) { return CapabilityBytes::standard(id, size); }
CapabilityBytes extended(std::uint16_t id, std::size_t size) { return CapabilityBytes::extended(id, 2, size); }

/// A structure of CXL's that says this length.
CapabilityBytes cxl(unsigned id, std::uint32_t length) {
    return extended(0x23, 0x40).put32(4, 0x1e98U | 1U << 16 | length << 20).put(8, {id});
}

Both on_standard(const CapabilityBytes& capability) {
    return on(test::dump_of({test::space_with({}, capability)}), "-n -vvv");
}

Both on_extended(const CapabilityBytes& capability, unsigned express_type = 0) {
    return on(
        test::dump_of({test::space_with({.name = "One", .extended = true, .express_type = express_type}, capability)}),
        "-n -vvv");
}

std::string at_address(const std::string& address, const Image& image) {
    const std::string dump = test::dump_of({image.bytes()});
    return address + dump.substr(dump.find('\n'));
}

Both with_name(const std::string& name) {
    const test::TemporaryFile names("8086  " + name + "\n");
    return on(Image(64).put(0, {0x86, 0x80}).put(6, {0}), fmt::format("-i '{}'", names.path().string()));
}

/// By what stands in the first column.
const std::map<std::string, std::function<Both()>>& inputs() {
    static const std::map<std::string, std::function<Both()>> kInputs = {
        {"a bridge's prefetchable window that the kernel calls 64-bit",
         [] { return window_of_bridge(15, {0x39b000000000, 0x39b0000fffff, 0x102201}); }},
        {"a bridge's I/O window that the kernel has above 64 KiB",
         [] { return window_of_bridge(13, {0x10000, 0x10fff, 0x101}); }},
        {"a prefetchable BAR, as kernels before 2.6.39 flag it",
         [] {
             return on(test::FakeFunction{.address = "0000:00:00.0",
                                          .config = Image(64).put32(0x10, 0xfe000008).bytes(),
                                          .resources = {{0xfe000000, 0xfe000fff, 0x21208}}});
         }},
        {"a 64-bit BAR above 4 GiB, in a dump", [] { return on(Image(64).put32(0x10, 0xc).put32(0x14, 0x640)); }},
        {"a window of 4 PiB and more",
         [] {
             return on(bridge()
                           .put(0x1c, {0xf0, 0x00})
                           .put(0x20, {0xf0, 0xff, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00})
                           .put32(0x2c, 0x80000000));
         }},
        {"`LnkCap2` with 64 GT/s", [] { return on(with_extended(0x03).put32(0x6c, 0x7e)); }},
        {"a reserved scale in Latency Tolerance Reporting",
         [] { return on(with_extended(0x18).put32(0x104, 0x1c011c01)); }},
        {"an interrupt pin above 4", [] { return on(Image(64).put(0x3d, {5})); }},
        {"a 64-bit VF BAR in the last place of SR-IOV",
         [] { return on(with_extended(0x10).put32(0x138, 0xfe000004).put32(0x13c, 0x12)); }},
        {"a capability behind the end of a dump", [] { return on(Image(64).first(0x40)); }},
        {"a CardBus bridge's second half, behind the end of a dump",
         [] { return on(Image(64).put(0x0a, {0x07, 0x06}).put(0x0e, {2})); }},
        {"a dump with less than a header", [] { return on(Image(48)); }},
        {"a header that the system does not give in full",
         [] {
             return on(
                 test::FakeFunction{.address = "0000:00:00.0", .config = {0x86, 0x80, 0x34, 0x12}, .resources = {}});
         }},
        {"`-xxx` of less than 256 bytes, `-xxxx` of less than 4096",
         [] {
             const Both some = on(Image(224), "-xxx"), more = on(Image(320), "-xxxx");
             EXPECT_THAT(some.ours, HasSubstr("\nd0:"));
             EXPECT_THAT(more.ours, HasSubstr("\n130:"));
             EXPECT_THAT(some.theirs, Not(HasSubstr("\n40:")));
             EXPECT_THAT(more.theirs, Not(HasSubstr("\n100:")));
             return some;
         }},
        {"a domain of six digits and more, in a dump",
         [] { return on(at_address("5d0505:01:00.0 X", Image(64)), "-n"); }},
        {"an address without a space behind it, in a dump", [] { return on(at_address("00:00.0", Image(64)), "-n"); }},
        {"a dump of `lspci -PP`",
         [] { return on(at_address("00:00.0 X", Image(64)) + at_address("00:1c.0/02:00.0 X", Image(64)), "-n"); }},
        {"a dump without a newline at its end",
         [] {
             const std::string dump = test::dump_of({Image(64).bytes()});
             return on(dump.substr(0, dump.size() - 2), "-n");
         }},
        {"a line of more than 254 characters in a dump",
         [] { return on(at_address("00:00.0 " + std::string(300, 'X'), Image(64)), "-n"); }},
        {"a name with control characters or bytes that are no UTF-8", [] { return with_name("Evil\x1b\xff"); }},
        {"a name beyond 128 characters", [] { return with_name(std::string(130, 'N')); }},
        {"`-t` with `-s` or `-d`",
         [] {
             return on(at_address("00:1c.0 X", with_bus(bridge(), 1)) + at_address("00:1d.0 X", Image(64)) +
                           at_address("01:00.0 X", Image(64)),
                       "-t -s 1c.0");
         }},
        {"a bus that only leads to itself, with `-t`",
         [] { return on(at_address("00:00.0 X", Image(64)) + at_address("05:00.0 X", with_bus(bridge(), 5)), "-t"); }},
        {"`-q`, `-Q`, `-M`, `-b`, `-p`, `-A`, `-O`, `-H`, `-G`", [] { return on(Image(64), "-b"); }},
        {"HyperTransport's `Link Frequency Capability`",
         [] { return on_standard(standard(0x08, 28).put(12, {0x22}).put(14, {0x01, 0x83}).put(18, {0x01, 0x83})); }},
        {"an entry of Enhanced Allocation that is too short for what it says it has",
         [] {
             return on_standard(standard(0x14, 16).put(2, {1}).put32(4, 0x80000002).put32(8, 0x1002).put32(12, 0xffc));
         }},
        {"`RCiEPBitmap` with a range up to device 31",
         [] { return on_extended(extended(0x07, 12).put32(4, 0xe0000000), 10); }},
        {"Multicast: `McastCap` of anything but a port",
         [] {
             const Both both = on_extended(extended(0x12, 0x30));
             EXPECT_THAT(both.ours, HasSubstr("WindowSz 0 (1 bytes)\n\t\tMcastCtl"));
             if (test::lspci_speaks_3_9()) {
                 EXPECT_THAT(both.theirs, HasSubstr("WindowSz 0 (1 bytes)\t\tMcastCtl"));
             }
             return both;
         }},
        {"Multicast: windows of 2 GiB and more", [] { return on_extended(extended(0x12, 0x30).put(5, {0x3f})); }},
        {"Multicast: overlays of 2 GiB and more",
         [] { return on_extended(extended(0x12, 0x30).put(0x28, {0x20}), 4); }},
        {"an extended capability behind the end of a dump",
         [] {
             Image image(0x148);
             image.put(6, {0x10}).first(0x60).express(0x60, 0).extended(0x100, 0x01, 1, 0x148);
             return on(image, "-n -v");
         }},
        {"`LaneErrStat`", [] { return on_extended(extended(0x19, 0x1c).put32(8, 0x80000001)); }},
        {"Data Object Exchange: `Error`", [] { return on_extended(extended(0x2e, 0x18).put(12, {0x01})); }},
        {"CXL: a range's type, class or interleave that is reserved",
         [] {
             // Not for lspci: what it prints is what lies behind its tables.
             Both both = on_extended(cxl(0, 0x38));
             const test::TemporaryFile file(test::dump_of(
                 {test::space_with({.name = "One", .extended = true}, cxl(0, 0x38).put32(0x1c, 0xffff))}));
             both.ours = test::output_of(fmt::format("{} -F '{}' -n -vvv", PCIENIC_LS_PROGRAM, file.path().string()));
             return both;
         }},
        {"CXL: `FuncMap`", [] { return on_extended(cxl(2, 0x2c).put32(0x0c, 0x12345678)); }},
        {"CXL: `PMComplete` of a port", [] { return on_extended(cxl(3, 0x28).put(10, {0x01})); }},
        {"CXL: a flush time in tens of seconds", [] { return on_extended(cxl(5, 0x10).put(10, {0x03, 0x07})); }},
        {"CXL: a structure whose length is too small for its contents",
         [] {
             const Both both = on_extended(cxl(2, 0x14));
             EXPECT_THAT(both.ours, HasSubstr("FuncMap 1: 00000000\n\n"));
             return both;
         }},
        {"a serial number or a subsystem behind the end of what could be read",
         [] {
             std::vector<std::uint8_t> bytes = with_extended(0x03).bytes();
             bytes.resize(0x104);
             return on(test::dump_of({bytes}), "-n -vvv");
         }},
        {"Vital Product Data: bytes that are no ASCII",
         [] {
             return on(test::FakeFunction{.address = "0000:00:00.0",
                                          .config = Image(256).first(0x40).capability(0x40, 0x03, 0).bytes(),
                                          .resources = {},
                                          .files = {{"vpd", std::string("\x82\x04\x00"
                                                                        "caf\xe9\x78",
                                                                        8)}}});
         }},
        {"an interrupt's number of 2147483648 and more: Linux has it for one that is not connected",
         [] {
             return on(test::FakeFunction{
                 .address = "0000:00:00.0", .config = Image(64).bytes(), .resources = {}, .irq = 0x80000000});
         }},
        {"a row that a dump has twice", [] { return on("00:00.0 X\n00: 86 80 34 12\n00: 86 80 78 56\n", "-n"); }},
        {"a row with two spaces behind its offset, in a dump",
         [] { return on("00:00.0 X\n00:  86 80 34 12\n", "-n"); }},
        {"a device above 1f or a function above 7, in a dump",
         [] { return on(at_address("00:3f.0 X", Image(64)) + at_address("00:01.0 X", Image(64)), "-n"); }},
        {"`-x` of less than 64 bytes", [] { return on(Image(48), "-n -x"); }},
        {"`-s`, `-d`, `-F` or `-i` twice", [] { return on(Image(64), "-n -s 01.0 -s 00.0"); }},
        {"`-s` with nothing", [] { return on(Image(64), "-n -s ''"); }},
        {"`-i` with a file that is not there", [] { return on(Image(64), "-n -i /nonexistent"); }},
        {"`-t` with `-m`", [] { return on(Image(64), "-t -m"); }},
        {"a selection that matches nothing",
         [] {
             const Both both = on(Image(64), "-s 7f:");
             EXPECT_EQ(both.theirs, "ended with 0\n");
             EXPECT_THAT(both.ours, HasSubstr("ended with 3\n"));
             return both;
         }},
    };
    return kInputs;
}

using Row = std::vector<std::string>;

/// The table below a heading of the page, without its head.
std::vector<Row> table_below(const std::string& heading) {
    std::ifstream page(PCIENIC_LS_PAGE);
    EXPECT_TRUE(page.good()) << PCIENIC_LS_PAGE;
    std::vector<Row> rows;
    bool below = false;
    for (std::string line; std::getline(page, line);) {
        if (line.starts_with("## ")) below = line == "## " + heading;
        if (!below || !line.starts_with("| ")) continue;
        Row row;
        std::istringstream cells(line.substr(2));
        for (std::string cell; std::getline(cells, cell, '|');)
            if (!cell.empty()) {
                cell.erase(0, cell.find_first_not_of(' '));
                cell.erase(cell.find_last_not_of(' ') + 1);
                row.push_back(cell);
            }
        rows.push_back(row);
    }
    EXPECT_GT(rows.size(), 1U) << heading;
    if (!rows.empty()) rows.erase(rows.begin());
    return rows;
}

/// What stands in `code`, but for options, which are what was asked.
std::vector<std::string> words_of(const std::string& cell) {
    std::vector<std::string> words;
    for (std::size_t at = cell.find('`'); at != std::string::npos;) {
        std::size_t end = cell.find('`', at + 1);
        if (end == std::string::npos) break;
        std::string word = cell.substr(at + 1, end - at - 1);
        if (word != "-t") words.push_back(word);
        at = cell.find('`', end + 1);
    }
    return words;
}

TEST(LsDifferences, EachLineOfThePageHasAnInput) {
    std::set<std::string> lines, known;
    for (const Row& row : table_below("Where it differs from lspci")) lines.insert(row.at(0));
    for (const auto& [what, input] : inputs()) known.insert(what);
    EXPECT_EQ(lines, known);
}

TEST(LsDifferences, EachLineOfThePageIsSo) {
    if (test::lspci_version().empty()) GTEST_SKIP() << "no lspci here: ./pcienic setup packages installs pciutils";
    for (const Row& row : table_below("Where it differs from lspci")) {
        ASSERT_EQ(row.size(), 3U);
        SCOPED_TRACE(row[0]);
        const auto input = inputs().find(row[0]);
        if (input == inputs().end()) continue;  // EachLineOfThePageHasAnInput says so
        const Both both = input->second();
        for (const std::string& word : words_of(row[2])) EXPECT_THAT(both.ours, HasSubstr(word));
        if (!test::lspci_speaks_3_9()) continue;
        EXPECT_NE(both.theirs, both.ours);
        for (const std::string& word : words_of(row[1])) {
            EXPECT_THAT(both.theirs, HasSubstr(word));
            EXPECT_THAT(both.ours, Not(HasSubstr(word)));
        }
        for (const std::string& word : words_of(row[2])) EXPECT_THAT(both.theirs, Not(HasSubstr(word)));
    }
}

TEST(LsDifferences, EachWordOfALaterReleaseIsIts) {
    if (test::lspci_version().empty()) GTEST_SKIP() << "no lspci here";
    Image image = with_extended(0x01);
    image.put(0x3d, {1});
    const std::string dump = at_address("00:00.0 X", image) + at_address("10000:00:04.0 X", Image(64));
    const Both listings = on(dump, "-n -vvv"), trees = on(dump, "-t");
    const std::string theirs = listings.theirs + trees.theirs, ours = listings.ours + trees.ours;
    const auto minor_of = [](const std::string& version) { return std::stoul(version.substr(version.find('.') + 1)); };
    for (const Row& row : table_below("Later releases of lspci")) {
        ASSERT_EQ(row.size(), 3U);
        SCOPED_TRACE(row[0] + ": " + row[1]);
        const bool is_so = minor_of(test::lspci_version()) >= minor_of(row[0]);
        for (const std::string& word : words_of(row[2])) EXPECT_THAT(ours, HasSubstr(word));
        for (const std::string& word : words_of(is_so ? row[1] : row[2])) EXPECT_THAT(theirs, HasSubstr(word));
    }
}

}  // namespace
