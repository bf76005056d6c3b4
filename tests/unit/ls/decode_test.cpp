// SPDX-License-Identifier: GPL-2.0-or-later
#include "decode.hpp"

#include <gmock/gmock.h>

#include <fmt/format.h>

#include <set>
#include <sstream>

#include "image.hpp"
#include "render.hpp"

namespace {

using pcienic::test::Image;
using namespace pcienic::ls;
using ::testing::HasSubstr;
using ::testing::Not;

DecodeContext context() {
    return {.subsystem_text = [](unsigned vendor, unsigned device) {
        return fmt::format("{:04x}:{:04x}", vendor, device);
    }};
}

Function decode(const Image& image) {
    const ConfigImage config(image.bytes());
    Function function;
    if (decode_header(config, SystemView::from(config), function))
        function.capabilities = decode_capabilities(config, context());
    function.config = image.bytes();
    return function;
}

std::string text(const Function& function, int verbosity = 3) {
    std::ostringstream out;
    render_text(out, function, {.verbosity = verbosity});
    return out.str();
}

TEST(LsDecode, FollowsTheListInItsOrder) {
    const auto capabilities =
        decode(Image().first(0x80).capability(0x80, 0x01, 0x40).capability(0x40, 0x11, 0)).capabilities;
    ASSERT_EQ(capabilities.size(), 2U);
    EXPECT_EQ(capabilities[0].name, "Power Management");
    EXPECT_EQ(capabilities[0].offset, 0x80U);
    EXPECT_EQ(capabilities[1].name, "MSI-X");
}

TEST(LsDecode, EndsALoopedChainAndSaysSo) {
    const auto capabilities =
        decode(Image().first(0x40).capability(0x40, 0x01, 0x50).capability(0x50, 0x05, 0x40)).capabilities;
    ASSERT_EQ(capabilities.size(), 3U);
    EXPECT_EQ(capabilities.back().fault, "chain looped");
    EXPECT_EQ(capabilities.back().offset, 0x40U);
}

TEST(LsDecode, EndsAListThatPointsAtItself) {
    const auto capabilities = decode(Image().first(0x40).capability(0x40, 0x09, 0x40)).capabilities;
    EXPECT_EQ(capabilities.size(), 2U);
    EXPECT_THAT(text(decode(Image().first(0x40).capability(0x40, 0x09, 0x40))), HasSubstr("[40] <chain looped>"));
}

TEST(LsDecode, EndsALoopedExtendedChainAndSaysSo) {
    Image image;
    image.first(0x40).express(0x40, 0).extended(0x100, 0x03, 1, 0x110).extended(0x110, 0x0e, 1, 0x100);
    const auto capabilities = decode(image).capabilities;
    ASSERT_EQ(capabilities.size(), 4U);
    EXPECT_EQ(capabilities.back().fault, "chain looped");
    EXPECT_TRUE(capabilities.back().extended);
}

TEST(LsDecode, SaysThatAnExtendedChainGoesOnBehindTheEndOfADump) {
    Image image(0x110);
    image.first(0x40).express(0x40, 0).extended(0x100, 0x03, 1, 0x200);
    DecodeContext dumped = context();
    dumped.from_dump = true;
    const auto capabilities = decode_capabilities(ConfigImage(image.bytes()), dumped);
    ASSERT_EQ(capabilities.size(), 3U);
    EXPECT_EQ(capabilities.back().fault, "not in the dump");
    EXPECT_EQ(capabilities.back().offset, 0x200U);
    EXPECT_TRUE(capabilities.back().out_of_reach) << "so that no version is listed";
    EXPECT_EQ(decode_capabilities(ConfigImage(Image(0x100).first(0x40).express(0x40, 0).bytes()), dumped).size(), 1U)
        << "nothing said that there is an extended chain";
}

TEST(LsDecode, StopsAtABrokenPointer) {
    const auto capabilities =
        decode(Image().first(0x40).capability(0x40, 0x01, 0xf0).capability(0xf0, 0xff, 0xff)).capabilities;
    EXPECT_EQ(capabilities.back().fault, "chain broken");
}

TEST(LsDecode, IgnoresTheReservedBitsOfAPointer) {
    const auto capabilities = decode(Image().first(0x43).capability(0x40, 0x01, 0)).capabilities;
    ASSERT_EQ(capabilities.size(), 1U);
    EXPECT_EQ(capabilities[0].offset, 0x40U);
}

TEST(LsDecode, SaysWhatAnOrdinaryUserMayNotRead) {
    EXPECT_THAT(text(decode(Image(64).first(0x40))), HasSubstr("Capabilities: <access denied>"));
}

TEST(LsDecode, SaysInJsonWhereAChainCouldNotBeFollowed) {
    const Function function = decode(Image(64).first(0x50));
    ASSERT_EQ(function.capabilities.size(), 1U);
    EXPECT_EQ(render_json(function, 0)["capabilities"][0]["offset"], 0x50);
}

TEST(LsDecode, SaysInJsonWhatTextHasInSentences) {
    Image image;
    image.first(0x40).express(0x40, 0).extended(0x100, 0x15, 1, 0).put32(0x108, 7U << 5);
    const auto json = render_json(decode(image), 0);
    EXPECT_EQ(json["capabilities"][1]["remarks"][0], "<error in resizable BAR: num_bars=7 is out of specification>");
}

TEST(LsDecode, LeavesOutFieldsBehindTheEndOfATruncatedImage) {
    Image image(256);
    image.first(0xfc).capability(0xfc, 0x05, 0);  // MSI: its address would be at 100h
    const std::string listing = text(decode(image));
    EXPECT_THAT(listing, HasSubstr("[fc] MSI: Enable-"));
    EXPECT_THAT(listing, Not(HasSubstr("Address:")));
}

TEST(LsDecode, LooksForExtendedCapabilitiesOnlyWherePciExpressIs) {
    EXPECT_TRUE(decode(Image().first(0x40).capability(0x40, 0x01, 0).extended(0x100, 0x03, 1, 0)).capabilities.size() ==
                1);
}

TEST(LsDecode, ListsUnknownCapabilitiesByNumber) {
    Image image;
    image.first(0x40).express(0x40, 0x80).capability(0x80, 0x77, 0).extended(0x100, 0x0345, 1, 0);
    const std::string listing = text(decode(image));
    EXPECT_THAT(listing, HasSubstr("[80] Capability ID 0x77 [0000]"));
    EXPECT_THAT(listing, HasSubstr("[100 v1] Extended Capability ID 0x345"));
}

TEST(LsDecode, StopsAtAnUnknownHeaderType) {
    Image image;
    image.put(0x0e, {0x7f}).first(0x40).capability(0x40, 0x01, 0);
    const Function function = decode(image);
    EXPECT_TRUE(function.capabilities.empty());
    EXPECT_THAT(text(function), HasSubstr("!!! Unknown header type 7f"));
}

TEST(LsDecode, SaysWhenClassAndHeaderDisagree) {
    EXPECT_THAT(text(decode(Image().put(0x0e, {0x01}))), HasSubstr("!!! Invalid class 0200 for header type 01"));
}

TEST(LsDecode, DecodesMsi) {
    Image image;
    image.first(0x40).capability(0x40, 0x05, 0).put(0x42, {0x05, 0x01});  // enabled, 4 vectors asked for, maskable
    image.put32(0x44, 0xfee00018).put(0x48, {0x21, 0x40}).put32(0x4c, 0x3).put32(0x50, 0x1);
    const std::string listing = text(decode(image));
    EXPECT_THAT(listing, HasSubstr("[40] MSI: Enable+ Count=1/4 Maskable+ 64bit-\n"));
    EXPECT_THAT(listing, HasSubstr("\t\tAddress: fee00018  Data: 4021\n"));
    EXPECT_THAT(listing, HasSubstr("\t\tMasking: 00000003  Pending: 00000001\n"));
}

TEST(LsDecode, DecodesMsix) {
    Image image;
    image.first(0x40).capability(0x40, 0x11, 0).put(0x42, {0x1f, 0x80}).put32(0x44, 0x2).put32(0x48, 0x802);
    const std::string listing = text(decode(image));
    EXPECT_THAT(listing, HasSubstr("[40] MSI-X: Enable+ Count=32 Masked-\n"));
    EXPECT_THAT(listing, HasSubstr("Vector table: BAR=2 offset=00000000\n"));
    EXPECT_THAT(listing, HasSubstr("PBA: BAR=2 offset=00000800\n"));
}

TEST(LsDecode, DecodesDvsec) {
    Image image;
    image.first(0x40).express(0x40, 0).extended(0x100, 0x23, 1, 0);
    image.put32(0x104, 0x1af4 | 1U << 16 | 20U << 20).put32(0x108, 1);
    EXPECT_THAT(text(decode(image)),
                HasSubstr("[100 v1] Designated Vendor-Specific: Vendor=1af4 ID=0001 Rev=1 Len=20 <?>"));
}

TEST(LsDecode, DecodesTheSerialNumber) {
    Image image;
    image.first(0x40).express(0x40, 0).extended(0x100, 0x03, 1, 0).put32(0x104, 0x04030201).put32(0x108, 0x08070605);
    EXPECT_THAT(text(decode(image)), HasSubstr("Device Serial Number 08-07-06-05-04-03-02-01"));
}

TEST(LsDecode, ShowsLinkControlOfTheFirstFunctionOnly) {
    Image image;
    image.first(0x40).express(0x40, 0);
    DecodeContext first = context(), second = context();
    second.first_function = false;
    const auto has_link_control = [](const std::vector<Capability>& capabilities) {
        for (const Register& line : capabilities.at(0).registers)
            if (line.name == "LnkCtl2") return true;
        return false;
    };
    EXPECT_TRUE(has_link_control(decode_capabilities(ConfigImage(image.bytes()), first)));
    EXPECT_FALSE(has_link_control(decode_capabilities(ConfigImage(image.bytes()), second)));
}

TEST(LsDecode, WritesSizesInUnitsThatDivide) {
    EXPECT_EQ(size_text(4096), "4K");
    EXPECT_EQ(size_text(1536), "1536");
    EXPECT_EQ(size_text(std::uint64_t{3} << 30), "3G");
}

TEST(LsRender, TellsMoreWithEachV) {
    Image image;
    image.first(0x40).capability(0x40, 0x01, 0);
    const Function function = decode(image);
    EXPECT_THAT(text(function, 0), Not(HasSubstr("Capabilities")));
    EXPECT_THAT(text(function, 1), HasSubstr("Flags: fast devsel"));
    EXPECT_THAT(text(function, 1), Not(HasSubstr("Status: D0")));
    EXPECT_THAT(text(function, 2), HasSubstr("Status: D0"));
}

TEST(LsRender, JsonHasEveryFieldThatTextHas) {
    Image image;
    image.first(0x40).capability(0x40, 0x05, 0x60).put(0x42, {0x85, 0x01}).put32(0x44, 0xfee00018).express(0x60, 0);
    image.put32(0x10, 0xfe000000).put32(0x14, 0xd001);
    const auto json = render_json(decode(image), 0);
    EXPECT_EQ(json["capabilities"][0]["name"], "MSI");
    EXPECT_EQ(json["capabilities"][0]["summary"]["Enable"], true);
    EXPECT_EQ(json["capabilities"][0]["summary"]["Requested"], 4);
    EXPECT_EQ(json["capabilities"][0]["registers"]["Address"]["Address"], 0xfee00018);
    EXPECT_EQ(json["capabilities"][0]["registers"]["Address"]["Address_hex"], "0x00000000fee00018");
    EXPECT_EQ(json["capabilities"][1]["registers"]["DevCap"]["MaxPayload"], 128);
    EXPECT_EQ(json["regions"][0]["address"], 0xfe000000);
    EXPECT_EQ(json["regions"][1]["kind"], "I/O ports");
    EXPECT_EQ(json["header"]["Control"]["BusMaster"], false);
}

TEST(LsRender, JsonHasNullForAnAddressThatIsNotAssigned) {
    const auto json = render_json(decode(Image().put32(0x14, 0x4)), 0);
    EXPECT_TRUE(json["regions"][0]["address"].is_null());
}

TEST(LsRender, JsonHasNoKeyTwiceInARegister) {
    // nlohmann's object would keep the last one only: the count of fields tells.
    Image image;
    image.first(0x40).express(0x40, 0, 4).put(0x43, {0x01}).extended(0x100, 0x01, 2, 0x150).extended(0x150, 0x10, 1, 0);
    for (const Capability& capability : decode(image).capabilities)
        for (const Register& line : capability.registers) {
            std::set<std::string> keys;
            for (const Row& row : line.rows)
                for (const Field& field : row.fields())
                    EXPECT_TRUE(keys.insert(field.key).second) << line.name << " has " << field.key << " twice";
        }
}

TEST(LsRender, JsonGivesTheConfigurationSpaceAskedFor) {
    EXPECT_EQ(render_json(decode(Image()), 1)["config"].get<std::string>().size(), 128U);
    EXPECT_FALSE(render_json(decode(Image()), 0).contains("config"));
}

}  // namespace
