// SPDX-License-Identifier: GPL-2.0-or-later
// Every capability in the words of lspci 3.9, letter by letter, at each verbosity: the lspci of this machine is asked
// about each form of a capability with each bit turned over, with random contents, and cut off at each byte.
#include <gmock/gmock.h>

#include <fmt/format.h>

#include <filesystem>
#include <random>
#include <set>
#include <sstream>

#include "capability_families.hpp"
#include "decode.hpp"
#include "listing.hpp"
#include "real_lspci.hpp"
#include "render.hpp"

namespace {

using namespace pcienic::ls;
namespace fs = std::filesystem;
namespace test = pcienic::test;
using Bytes = std::vector<std::uint8_t>;

using test::kExtendedAt;
using test::kMargin;
using test::kStandardAt;

std::vector<Bytes> spaces_of(const test::Family& family) {
    const std::size_t header = family.extended ? 4 : 2;
    const std::size_t at = family.extended ? kExtendedAt : kStandardAt;
    std::vector<Bytes> spaces;
    const auto add = [&](test::CapabilityBytes capability) {
        if (family.avoid) family.avoid(capability);
        spaces.push_back(test::space_with(family, capability));
    };
    for (const test::CapabilityBytes& seed : family.seeds) {
        add(seed);
        for (std::size_t bit = 8 * header; bit < 8 * seed.bytes.size(); ++bit) {
            test::CapabilityBytes turned = seed;
            turned.bytes[bit / 8] = static_cast<std::uint8_t>(turned.bytes[bit / 8] ^ 1U << bit % 8);
            add(turned);
        }
        for (std::size_t length = 0; family.cut && length <= seed.bytes.size(); ++length) {
            add(seed);
            spaces.back().resize(at + length);
        }
    }
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        test::CapabilityBytes capability = family.seeds[random() % family.seeds.size()];
        for (std::size_t byte = header; byte < capability.bytes.size(); ++byte)
            if (random() % 4 != 0) capability.bytes[byte] = static_cast<std::uint8_t>(random());
        add(capability);
        if (family.cut && round % 4 == 0) spaces.back().resize(at + random() % (capability.bytes.size() + kMargin));
    }
    return spaces;
}

/// From the first "Capabilities:" on.
std::string capabilities_in(const std::string& listing) {
    const auto at = listing.find("\tCapabilities:");
    return at == std::string::npos ? std::string() : listing.substr(at);
}

std::string ours(const Bytes& space, int verbosity, unsigned index) {
    const ConfigImage config(space);
    const bool first = index % 256 == 0;  // as the address says that a dump gives it
    const DecodeContext context{.first_function = first, .subsystem_text = [](unsigned vendor, unsigned device) {
                                    return fmt::format("{:04x}:{:04x}", vendor, device);
                                }};
    Function function;
    if (decode_header(config, SystemView::from(config), function))
        function.capabilities = decode_capabilities(config, context);
    std::ostringstream out;
    render_text(out, function, {.verbosity = verbosity});
    return capabilities_in(out.str());
}

std::vector<std::string> theirs(const fs::path& dump, int verbosity) {
    std::vector<std::string> functions = test::functions_of(
        test::lspci_on(dump, fmt::format("-n -{}", std::string(static_cast<std::size_t>(verbosity), 'v'))));
    for (std::string& function : functions) function = capabilities_in(function);
    return functions;
}

std::string hex(const Bytes& space, std::size_t from) {
    std::string text;
    for (std::size_t at = from; at < space.size(); ++at) text += fmt::format(" {:02x}", space[at]);
    return text;
}

class LsCapability : public testing::TestWithParam<test::Family> {};

TEST_P(LsCapability, IsWhatLspciSays) {
    if (!test::lspci_speaks_3_9())
        GTEST_SKIP() << "these are the words of lspci 3.9, and here is " << test::lspci_version();
    const test::Family& family = GetParam();
    const std::vector<Bytes> spaces = spaces_of(family);
    const test::TemporaryFile file(test::dump_of(spaces));
    int shown = 0;
    for (int verbosity = 1; verbosity <= kMaxVerbosity; ++verbosity) {
        const std::vector<std::string> expected = theirs(file.path(), verbosity);
        ASSERT_EQ(expected.size(), spaces.size()) << "lspci gave up";
        for (std::size_t index = 0; index < spaces.size() && shown < 5; ++index) {
            const std::string said = ours(spaces[index], verbosity, static_cast<unsigned>(index));
            if (said == expected[index]) continue;
            EXPECT_EQ(said, expected[index]) << "-" << std::string(static_cast<std::size_t>(verbosity), 'v') << " of"
                                             << hex(spaces[index], family.extended ? kExtendedAt : kStandardAt);
            ++shown;
        }
    }
}

TEST_P(LsCapability, HasEachKeyOnceInJson) {
    for (const test::CapabilityBytes& seed : GetParam().seeds) {
        const ConfigImage config(test::space_with(GetParam(), seed));
        for (const Capability& capability :
             decode_capabilities(config, {.subsystem_text = [](unsigned, unsigned) { return std::string(); }})) {
            std::set<std::string> names;
            for (const Register& line : capability.registers) {
                if (line.rows.empty()) continue;  // in text alone
                EXPECT_TRUE(names.insert(line.name).second) << line.name << " twice";
                std::set<std::string> keys;
                for (const Row& row : line.rows)
                    for (const Field& field : row.fields())
                        EXPECT_TRUE(keys.insert(field.key).second) << line.name << " has " << field.key << " twice";
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Each, LsCapability, testing::ValuesIn(test::capability_families()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
