// SPDX-License-Identifier: GPL-2.0-or-later
// Vital Product Data, which no dump has: a made-up /sys for the lspci of this machine, and the same bytes for ours.
#include <gmock/gmock.h>

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "decode.hpp"
#include "image.hpp"
#include "real_lspci.hpp"
#include "render.hpp"

namespace {

using namespace pcienic::ls;
using ::testing::HasSubstr;
namespace fs = std::filesystem;
namespace test = pcienic::test;
using Bytes = std::vector<std::uint8_t>;

Bytes config() {
    test::Image image(256);
    return image.first(0x40).capability(0x40, 0x03, 0).bytes();
}

Function decode(const Bytes& vpd) {
    const ConfigImage image(config());
    Function function;
    const DecodeContext context{.subsystem_text = {}, .read_vpd = [&](unsigned at, std::uint8_t* to, unsigned count) {
                                    if (at > vpd.size() || count > vpd.size() - at) return false;
                                    std::memcpy(to, vpd.data() + at, count);
                                    return true;
                                }};
    if (decode_header(image, SystemView::from(image), function))
        function.capabilities = decode_capabilities(image, context);
    return function;
}

std::string capability_text(const std::string& listing) {
    const auto at = listing.find("\tCapabilities:");
    return at == std::string::npos ? std::string() : listing.substr(at);
}

std::string text(const Bytes& vpd) {
    std::ostringstream out;
    render_text(out, decode(vpd), {.verbosity = 2});
    return capability_text(out.str());
}

/// Vital Product Data as a board has it, built resource by resource.
class Builder {
  public:
    Builder& identifier(const std::string& name) { return large(0x82, {name.begin(), name.end()}); }
    Builder& large(std::uint8_t tag, const Bytes& contents) {
        bytes.push_back(tag);
        bytes.push_back(static_cast<std::uint8_t>(contents.size()));
        bytes.push_back(static_cast<std::uint8_t>(contents.size() >> 8));
        bytes.insert(bytes.end(), contents.begin(), contents.end());
        return *this;
    }
    Builder& end() {
        bytes.push_back(0x78);
        return *this;
    }
    static Bytes item(const std::string& keyword, const std::string& value) {
        Bytes made = {static_cast<std::uint8_t>(keyword[0]), static_cast<std::uint8_t>(keyword[1]),
                      static_cast<std::uint8_t>(value.size())};
        made.insert(made.end(), value.begin(), value.end());
        return made;
    }
    Bytes bytes;
};

Bytes joined(std::initializer_list<Bytes> parts) {
    Bytes all;
    for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

/// With a checksum that is right: all bytes up to it sum up to 0.
Bytes whole() {
    Builder vpd;
    vpd.identifier("A network card \\ two ports");
    const Bytes items = joined(
        {Builder::item("PN", "P123"), Builder::item("EC", "E1"), Builder::item("MN", "1028"),
         Builder::item("SN", std::string("S\x01N\x7f\0", 5)), Builder::item("CP", "\x01\x02\x03"),
         Builder::item("VA", "one"), Builder::item("VZ", ""), Builder::item("ZZ", "z"), Builder::item("CC", "cc"),
         Builder::item("FC", "fc"), Builder::item("FN", "fn"), Builder::item("NA", "001122334455"),
         Builder::item("RM", "1.2"), Builder::item("QQ", "\xff\x01"), Builder::item("PN", "again")});
    Bytes read_only = joined({items, {'R', 'V', 4, 0, 1, 2, 3}});
    vpd.large(0x90, read_only);
    const std::size_t sum_at = vpd.bytes.size() - 4;
    std::uint8_t sum = 0;
    for (std::size_t at = 0; at < sum_at; ++at) sum = static_cast<std::uint8_t>(sum + vpd.bytes[at]);
    vpd.bytes[sum_at] = static_cast<std::uint8_t>(-sum);
    vpd.large(0x91, joined({Builder::item("YA", "asset"), Builder::item("Y1", "sys"), Builder::item("RW", "    ")}));
    return vpd.end().bytes;
}

TEST(LsVitalProductData, IsDecoded) {
    const std::string listing = text(whole());
    EXPECT_THAT(listing, HasSubstr("\t\tProduct Name: A network card \\\\ two ports\n"));
    EXPECT_THAT(listing, HasSubstr("\t\tRead-only fields:\n\t\t\t[PN] Part number: P123\n"));
    EXPECT_THAT(listing, HasSubstr("\t\t\t[SN] Serial number: S\\x01N\\x7f\n"));
    EXPECT_THAT(listing, HasSubstr("\t\t\t[RV] Reserved: checksum good, 3 byte(s) reserved\n"));
    EXPECT_THAT(listing, HasSubstr("\t\t\t[RW] Read-write area: 4 byte(s) free\n"));
    EXPECT_THAT(listing, HasSubstr("\t\tEnd\n"));
}

TEST(LsVitalProductData, IsInJsonByKeyword) {
    const auto json = render_json(decode(whole()), 0)["capabilities"][0];
    EXPECT_EQ(json["name"], "Vital Product Data");
    EXPECT_EQ(json["registers"]["Product Name"]["Name"], "A network card \\\\ two ports");
    EXPECT_EQ(json["registers"]["Read-only fields"]["PN"], "P123");
    EXPECT_EQ(json["registers"]["Read-only fields"]["PN (2)"], "again");
    EXPECT_EQ(json["registers"]["Read-only fields"]["ChecksumGood"], true);
    EXPECT_EQ(json["registers"]["Read/write fields"]["Free"], 4);
}

TEST(LsVitalProductData, SaysThatItIsNotReadable) {
    EXPECT_THAT(text({}), HasSubstr("Vital Product Data\n\t\tNot readable\n"));
}

TEST(LsVitalProductData, MayRepeatItselfWithoutEnd) {
    Bytes resources, items;
    while (resources.size() + 3 <= 0x7fff) resources.insert(resources.end(), {0x90, 0, 0});
    for (int index = 0; index < 10900; ++index) items.insert(items.end(), {'P', 'N', 0});
    const auto many = render_json(decode(resources), 0)["capabilities"][0]["registers"];
    EXPECT_EQ(many.size(), resources.size() / 3);
    EXPECT_TRUE(many.contains("Read-only fields (2)"));
    const auto one = render_json(decode(Builder().large(0x90, items).end().bytes), 0)["capabilities"][0]["registers"];
    EXPECT_EQ(one["Read-only fields"].size(), 10900U);
    EXPECT_TRUE(one["Read-only fields"].contains("PN (10900)"));
}

TEST(LsVitalProductData, EscapesWhatIsNoAscii) {
    const std::string listing = text(Builder().identifier("caf\xc3\xa9\x1b[31m\n").end().bytes);
    EXPECT_THAT(listing, HasSubstr("Product Name: caf\\xc3\\xa9\\x1b[31m\\x0a\n"));
}

/// A board's, with each byte turned into another, cut off, and at random.
std::vector<Bytes> variants() {
    std::vector<Bytes> all = {whole(), {}, Builder().end().bytes, Builder().identifier(std::string(600, 'x')).bytes};
    std::mt19937 random(1);
    for (std::size_t at = 0; at < whole().size(); ++at) {
        all.push_back(whole());
        all.back()[at] = static_cast<std::uint8_t>(random());
        all.push_back(whole());
        all.back()[at] = static_cast<std::uint8_t>(all.back()[at] ^ 1U << random() % 8);
        all.push_back(whole());
        all.back().resize(at);
    }
    return all;
}

/// A function of a made-up /sys.
void write_function(const fs::path& root, unsigned index, const Bytes& vpd) {
    const fs::path place = root / "bus/pci/devices" / ("0000:" + test::dump_address(index));
    fs::create_directories(place);
    const auto file = [&](const char* name, const std::string& contents) {
        std::ofstream(place / name, std::ios::binary) << contents;
    };
    const Bytes space = config();
    file("config", std::string(space.begin(), space.end()));
    file("vpd", std::string(vpd.begin(), vpd.end()));
    file("vendor", "0x1af4\n");
    file("device", "0x10f2\n");
    file("class", "0x020000\n");
    file("irq", "0\n");
    std::string resources;
    for (int line = 0; line < 7; ++line) resources += "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
    file("resource", resources);
}

/// lspci prints what is no ASCII as it is.
std::string escaped(const std::string& listing) {
    std::string out;
    for (const char character : listing) {
        const auto byte = static_cast<std::uint8_t>(character);
        out += byte < 0x80 ? std::string(1, character) : fmt::format("\\x{:02x}", byte);
    }
    return out;
}

TEST(LsVitalProductData, IsWhatLspciSays) {
    if (test::lspci_version().compare(0, 4, "3.9.") != 0)
        GTEST_SKIP() << "these are the words of lspci 3.9, and here is " << test::lspci_version();
    const fs::path root = fs::temp_directory_path() / fmt::format("pcienic-ls-vpd-{}", getpid());
    const std::vector<Bytes> all = variants();
    for (unsigned index = 0; index < all.size(); ++index) write_function(root, index, all[index]);
    const std::string listing = test::output_of(
        fmt::format("lspci -A linux-sysfs -O sysfs.path='{}' -n -vv 2>/dev/null", (root / "bus/pci").string()));
    fs::remove_all(root);
    std::size_t begin = 0;
    for (std::size_t index = 0; index < all.size(); ++index) {
        ASSERT_LT(begin, listing.size()) << "lspci gave up";
        const std::size_t end = listing.find("\n\n", begin);
        ASSERT_NE(end, std::string::npos);
        ASSERT_EQ(text(all[index]), escaped(capability_text(listing.substr(begin, end + 2 - begin)))) << index;
        begin = end + 2;
    }
}

}  // namespace
