// SPDX-License-Identifier: GPL-2.0-or-later
// The first bytes of configuration space, and listings of what is there only in part: the lspci of this machine is
// asked about each, at each verbosity.
#include <gmock/gmock.h>

#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

#include "collect.hpp"
#include "decode.hpp"
#include "image.hpp"
#include "listing.hpp"
#include "real_lspci.hpp"

namespace {

using namespace pcienic::ls;
namespace test = pcienic::test;
using Bytes = std::vector<std::uint8_t>;

/// Headers, within what lspci has words for; docs/reference/pcienic-ls.md has the rest.
class Headers {
  public:
    explicit Headers(std::uint32_t seed) : random_(seed) {}

    Bytes next() {
        switch (random_() % 8) {
            case 0:
            case 1:
            case 2:
                return ordinary();
            case 3:
            case 4:
                return bridge();
            case 5:
            case 6:
                return cardbus();
            default:
                return unknown();
        }
    }

  private:
    std::uint8_t byte() { return static_cast<std::uint8_t>(random_()); }
    bool one_in(unsigned n) { return random_() % n == 0; }

    /// Identity, command, status, BIST and interrupt, as they come.
    test::Image common(std::uint8_t header_type) {
        test::Image out(256);
        for (std::size_t at = 0; at < 64; ++at) out.put(at, {one_in(3) ? std::uint8_t{0} : byte()});
        out.put(0x00, {0x86, 0x80, byte(), byte()});
        out.put(0x06, {static_cast<std::uint8_t>(byte() & ~0x10U)});  // capabilities have their own test
        out.put(0x0e, {static_cast<std::uint8_t>(header_type | (one_in(2) ? 0x80 : 0))});
        out.put(0x3d, {static_cast<std::uint8_t>(random_() % 5)});
        return out;
    }

    void bars(test::Image& out, std::size_t count) {
        constexpr std::uint32_t kTypes[] = {0, 8, 1, 2, 4, 12, 6, 3, 9, 5};
        for (std::size_t bar = 0; bar < count; ++bar) {
            const std::uint32_t type = kTypes[random_() % 10];
            std::uint32_t address = static_cast<std::uint32_t>(random_()) & 0xfffffff0U;
            if (one_in(3)) address = 0;  // nothing assigned it
            std::uint32_t value = address | type;
            if (one_in(6)) value = 0;
            if (one_in(12)) value = 0xffffffff;
            const bool wide = value != 0xffffffff && (value & 7) == 4;
            out.put32(0x10 + 4 * bar, value);
            // lspci lists an upper half that is not 0 once more, as a BAR of its own.
            if (wide && bar + 1 < count) out.put32(0x10 + 4 * ++bar, 0);
        }
    }

    Bytes ordinary() {
        test::Image out = common(0);
        bars(out, 6);
        if (one_in(4)) out.put(0x0a, {0x04, 0x06});  // a bridge's class
        if (one_in(3)) out.put32(0x30, one_in(2) ? 0xffffffff : one_in(2) ? 1 : 0xfe000001);
        if (one_in(3)) out.put32(0x30, 0);
        return out.bytes();
    }

    Bytes bridge() {
        test::Image out = common(1);
        bars(out, 2);
        out.put(0x0a, {0x04, static_cast<std::uint8_t>(one_in(5) ? byte() : 6)});
        if (one_in(3)) out.put32(0x38, one_in(2) ? 0 : 0xffffffff);
        // Windows with types that agree, mostly.
        for (const std::size_t at : {0x1cU, 0x24U}) {
            const bool words = at == 0x24;
            const std::uint8_t type = one_in(2) ? 1 : one_in(8) ? 2 : 0;
            for (const std::size_t low : {at, at + (words ? 2 : 1)})
                if (!one_in(10)) out.put(low, {static_cast<std::uint8_t>((byte() & 0xf0U) | type)});
        }
        for (const std::size_t low : {0x20U, 0x22U})
            if (!one_in(10)) out.put(low, {static_cast<std::uint8_t>(byte() & 0xf0U)});
        // lspci cuts a size in units of 4 PiB and more.
        for (const std::size_t high : {0x2aU, 0x2bU, 0x2eU, 0x2fU}) out.put(high, {0});
        return out.bytes();
    }

    Bytes cardbus() {
        test::Image out = common(2);
        out.put(0x0a, {0x07, static_cast<std::uint8_t>(one_in(5) ? byte() : 6)});
        bars(out, 1);
        out.put(0x14, {0});
        for (std::size_t at = 0x1c; at < 0x3c; ++at)
            if (one_in(3)) out.put(at, {0});
        for (std::size_t at = 0x40; at < 0x48; ++at) out.put(at, {one_in(2) ? byte() : std::uint8_t{0}});
        Bytes bytes = out.bytes();
        if (one_in(4)) bytes.resize(128);
        return bytes;
    }

    Bytes unknown() {
        if (one_in(2)) return Bytes(one_in(2) ? 64 : 256, 0xff);
        return common(static_cast<std::uint8_t>(3 + random_() % 125)).bytes();
    }

    std::mt19937 random_;
};

class LsHeader : public testing::TestWithParam<int> {
  protected:
    void SetUp() override {
        if (test::lspci_version().empty()) GTEST_SKIP() << "no lspci here: ./pcienic setup packages installs pciutils";
    }
};

/// Each at each verbosity, with each kind of hex dump.
void expect_words_of_lspci(const std::vector<Bytes>& spaces) {
    const test::TemporaryFile dump(test::dump_of(spaces));
    for (int verbosity = 1; verbosity <= kMaxVerbosity; ++verbosity) {
        const std::string options = fmt::format("-n -{} -x", std::string(static_cast<std::size_t>(verbosity), 'v'));
        std::vector<std::string> ours = test::our_functions({.dump_file = dump.path(), .naming = Naming::numbers},
                                                            {.verbosity = verbosity, .hex = 1});
        for (std::string& function : ours) function = test::without_own_lines(function);
        test::expect_same(ours, test::functions_of(test::lspci_on(dump.path(), options)), options);
    }
}

TEST_P(LsHeader, IsWhatLspciSays) {
    Headers headers(static_cast<std::uint32_t>(GetParam()));
    std::vector<Bytes> spaces;
    for (int index = 0; index < 1000; ++index) spaces.push_back(headers.next());
    expect_words_of_lspci(spaces);
}

INSTANTIATE_TEST_SUITE_P(Seed, LsHeader, testing::Range(1, 4));

/// An endpoint with capabilities at 40, 50 and 60, and three extended ones.
test::Image endpoint() {
    test::Image image(4096);
    image.put(0x04, {0x06, 0x04}).put32(0x10, 0xfe000004).put(0x3d, {1});
    image.first(0x40).capability(0x40, 0x01, 0x50).capability(0x50, 0x05, 0x60).put(0x52, {0x80});
    image.express(0x60, 0).put32(0x64, 0x10008ec0);
    image.extended(0x100, 0x01, 1, 0x148).extended(0x148, 0x03, 1, 0x160).extended(0x160, 0x0b, 1, 0);
    image.put32(0x164, 0x00c10001);
    return image;
}

TEST(LsPartial, EveryLengthIsReadAsFarAsItGoes) {
    if (test::lspci_version().empty()) GTEST_SKIP() << "no lspci here";
    std::vector<Bytes> spaces;
    for (std::size_t length = 64; length <= 400; ++length) {
        Bytes bytes = endpoint().bytes();
        bytes.resize(length);
        // What is behind the end has another reason here than lspci's: see TellsWhatIsNotInTheDump.
        const bool whole_list = length >= 0x60 + 4;
        // lspci then leaves the line of the serial number without an end.
        const bool half_a_number = length >= 0x148 + 4 && length < 0x148 + 12;
        if (whole_list && !half_a_number) spaces.push_back(bytes);
    }
    expect_words_of_lspci(spaces);
}

TEST(LsPartial, TellsWhatIsNotInTheDump) {
    for (const std::size_t length : {64U, 67U, 80U, 99U}) {
        Bytes bytes = endpoint().bytes();
        bytes.resize(length);
        const test::TemporaryFile dump(test::dump_of({bytes}));
        const auto functions = test::our_functions({.dump_file = dump.path()}, {.verbosity = 3});
        EXPECT_THAT(functions.at(0), testing::HasSubstr("\tCapabilities: <not in the dump>\n")) << length;
        EXPECT_THAT(functions.at(0), testing::Not(testing::HasSubstr("denied"))) << length;
        EXPECT_EQ(functions.at(0).find("[50] MSI:") != std::string::npos, length >= 0x54) << length;
    }
}

TEST(LsPartial, ShowsEveryByteThatIsThere) {
    for (const std::size_t length : {1U, 48U, 64U, 100U, 224U, 255U, 256U, 257U, 320U, 4095U, 4096U}) {
        Bytes bytes = endpoint().bytes();
        bytes.resize(length);
        const std::string text = test::dump_of({bytes});
        const std::string rows = text.substr(text.find('\n') + 1);
        const test::TemporaryFile dump(text);
        for (const auto& [hex, most] : {std::pair<int, std::size_t>{1, 64}, {3, 256}, {4, 4096}}) {
            const std::string shown = test::our_functions({.dump_file = dump.path()}, {.hex = hex}).at(0);
            bytes.resize(std::min(length, most));
            const std::string expected = test::dump_of({bytes});
            EXPECT_EQ(shown.substr(shown.find('\n') + 1), expected.substr(expected.find('\n') + 1))
                << length << " bytes, -x " << hex;
            bytes = endpoint().bytes();
            bytes.resize(length);
        }
        // And read again it is the same.
        const std::string once = test::our_functions({.dump_file = dump.path()}, {.hex = 4}).at(0);
        const test::TemporaryFile again(once);
        EXPECT_EQ(test::our_functions({.dump_file = again.path()}, {.hex = 4}).at(0), once) << length;
    }
}

TEST(LsPartial, SaysHowMuchOfAHeaderThereIs) {
    Bytes bytes = endpoint().bytes();
    bytes.resize(48);
    const test::TemporaryFile dump(test::dump_of({bytes}));
    const std::string text =
        test::our_functions({.dump_file = dump.path(), .naming = Naming::numbers}, {.verbosity = 3}).at(0);
    EXPECT_EQ(text, "00:00.0 0200: 1af4:10f2\n\t!!! Only 48 bytes of the header are in the dump\n\n");
}

TEST(LsPartial, ReadsTheFirstHalfOfACardBusBridge) {
    test::Image image(64);
    image.put(0x0a, {0x07, 0x06}).put(0x0e, {2}).put32(0x1c, 0xc0000000).put32(0x20, 0xc0001000).put(0x14, {0x80});
    const test::TemporaryFile dump(test::dump_of({image.bytes()}));
    const std::string text = test::our_functions({.dump_file = dump.path()}, {.verbosity = 2}).at(0);
    EXPECT_THAT(text, testing::HasSubstr("\tMemory window 0: c0000000-c0001fff [disabled]\n"));
    EXPECT_THAT(text, testing::HasSubstr("\t<the rest is not in the dump>\n"));
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("Capabilities")));
}

TEST(LsHeaderJson, HasTheWindowsOfACardBusBridge) {
    test::Image image(128);
    image.put(0x0a, {0x07, 0x06})
        .put(0x0e, {2})
        .put(0x18, {2, 3, 6, 0xb0})
        .put32(0x1c, 0xc0000000)
        .put32(0x20, 0xc0001000);
    image.put32(0x2c, 0x3001).put32(0x30, 0x30fd).put(0x3f, {0x01}).put(0x44, {0xe0, 0x03});
    const test::TemporaryFile dump(test::dump_of({image.bytes()}));
    const Listing listing = collect({.dump_file = dump.path()});
    const auto json = render_json(listing.functions.at(0), 0);
    EXPECT_EQ(json["header"]["Bus"]["secondary"], 3);
    EXPECT_EQ(json["header"]["Memory window 0"]["limit"], 0xc0001fff);
    EXPECT_EQ(json["header"]["Memory window 0"]["prefetchable"], true);
    EXPECT_EQ(json["header"]["I/O window 0"]["base"], 0x3000);
    EXPECT_EQ(json["header"]["16-bit legacy interface ports at"]["ports"], 0x3e0);
    EXPECT_TRUE(listing.functions.at(0).is_bridge);
}

}  // namespace
