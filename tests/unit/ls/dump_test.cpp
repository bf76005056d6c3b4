// SPDX-License-Identifier: GPL-2.0-or-later
// What pcienic-ls makes of dumps: of a real machine's, whose listing the real lspci gave us, and of machines that never
// were, where the lspci of this machine is asked.
#include <gmock/gmock.h>

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "cli/exit.hpp"
#include "collect.hpp"
#include "image.hpp"
#include "kernel_modules.hpp"
#include "lspci_fields.hpp"
#include "real_lspci.hpp"
#include "render.hpp"

namespace {

using namespace pcienic::ls;
namespace fs = std::filesystem;
namespace test = pcienic::test;

const fs::path kData = PCIENIC_LS_TEST_DATA;

std::string contents(const fs::path& path) {
    std::ifstream file(path);
    EXPECT_TRUE(file.good()) << path;
    return {std::istreambuf_iterator<char>(file), {}};
}

Listing listing_of(const fs::path& dump, const std::string& slot = {}, const std::string& id = {}) {
    return collect({.dump_file = dump, .slot = slot, .id = id, .naming = Naming::numbers});
}

std::string text_of(const Listing& listing, const TextOptions& options) {
    std::ostringstream out;
    for (std::size_t index = 0; index < listing.functions.size(); ++index)
        if (listing.selected[index]) render_text(out, listing.functions[index], options);
    return out.str();
}

TEST(LsDump, SaysWhatLspciSaysAtVvv) {
    EXPECT_EQ(text_of(listing_of(kData / "q35.hex"), {.verbosity = 3}), contents(kData / "q35.vvv.txt"));
}

TEST(LsDump, SaysWhatLspciSaysAtV) {
    EXPECT_EQ(text_of(listing_of(kData / "q35.hex"), {.verbosity = 1}), contents(kData / "q35.v.txt"));
}

TEST(LsDump, DrawsTheTreeThatLspciDraws) {
    std::ostringstream out;
    render_tree(out, listing_of(kData / "q35.hex"), {});
    EXPECT_EQ(out.str(), contents(kData / "q35.tree.txt"));
}

TEST(LsDump, ShowsOnlyTheBranchesThatWereAskedFor) {
    std::ostringstream out;
    render_tree(out, listing_of(kData / "q35.hex", "01:00.0"), {});
    EXPECT_EQ(out.str(), "-[0000:00]---03.0-[01]----00.0\n");
}

TEST(LsDump, DumpsWhatItRead) {
    const std::string dump = text_of(listing_of(kData / "q35.hex", "00:04.0"), {.hex = 4});
    EXPECT_THAT(dump, testing::HasSubstr("\n00: 34 12 e8 11 "));
    EXPECT_THAT(contents(kData / "q35.hex"), testing::HasSubstr(dump.substr(dump.find('\n') + 1)));
}

TEST(LsDump, SelectsBySlotAndId) {
    const auto count = [](const Listing& listing) {
        return std::count(listing.selected.begin(), listing.selected.end(), true);
    };
    EXPECT_EQ(count(listing_of(kData / "q35.hex", "01:")), 1);
    EXPECT_EQ(count(listing_of(kData / "q35.hex", ".2")), 1);
    EXPECT_EQ(count(listing_of(kData / "q35.hex", "", "1b36:000c")), 2);
    EXPECT_EQ(count(listing_of(kData / "q35.hex", "", "::0604")), 6);
    EXPECT_EQ(count(listing_of(kData / "q35.hex", "7f:")), 0);
}

TEST(LsDump, RefusesAFilterThatIsNone) {
    for (const char* slot : {"zz", "100:00.0", "00:20.0", "00:00.8"}) try {
            listing_of(kData / "q35.hex", slot);
            ADD_FAILURE() << slot << " was taken";
        } catch (const pcienic::cli::Failure& failure) {
            EXPECT_EQ(failure.code(), pcienic::cli::Exit::usage);
            EXPECT_THAT(failure.what(), testing::HasSubstr(slot));
        }
    EXPECT_THROW(listing_of(kData / "q35.hex", "", "12345:1"), pcienic::cli::Failure);
}

TEST(LsDump, RefusesAFileThatIsNotThere) { EXPECT_THROW(listing_of("/nonexistent/dump"), pcienic::cli::Failure); }

TEST(LsDump, RefusesAFileThatIsNoDump) {
    const fs::path file = fs::temp_directory_path() / fmt::format("pcienic-no-dump-{}", getpid());
    std::ofstream(file) << "nothing of the kind\n";
    EXPECT_THROW(listing_of(file), pcienic::cli::Failure);
    std::ofstream(file) << "00:00.0 X\n00: " << std::string(9000, 'f') << "\n";
    EXPECT_THROW(listing_of(file), pcienic::cli::Failure) << "a line that is no row of bytes";
    fs::remove(file);
}

TEST(LsDump, SaysNothingOfTheSystemItRunsOn) {
    EXPECT_FALSE(listing_of(kData / "q35.hex").functions.at(0).binding.has_value());
}

TEST(LsModules, MatchesAliasesAsModprobeDoes) {
    const fs::path folder = fs::temp_directory_path() / fmt::format("pcienic-alias-{}", getpid());
    fs::create_directories(folder);
    std::ofstream(folder / "settings.conf") << "# a comment\n"
                                               "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n"
                                               "alias pci:v00008086d000010D3sv*sd*bc*sc*i* e1000e\n"
                                               "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio-pci\n";
    const KernelModules kernel(folder, folder);
    EXPECT_THAT(kernel.for_alias("pci:v00001AF4d000010F2sv00001AF4sd00005043bc02sc00i00"),
                testing::ElementsAre("virtio_pci"));
    EXPECT_THAT(kernel.for_alias("pci:v00001234d000011E8sv0sd0bc02sc00i00"), testing::IsEmpty());
    EXPECT_THAT(kernel.for_alias(""), testing::IsEmpty());
    fs::remove_all(folder);
    EXPECT_THAT(KernelModules(folder, folder).for_alias("pci:v1"), testing::IsEmpty()) << "nothing is there";
}

// --- against the lspci of this machine, on images that no machine has ---------------------------------------------

struct Shape {
    unsigned id;
    unsigned size;
};

/// The capabilities that pcienic-ls decodes, and some that it names only.
constexpr Shape kStandard[] = {{0x10, 0x3c}, {0x01, 8}, {0x05, 24}, {0x09, 20}, {0x11, 12}, {0x04, 4},
                               {0x0a, 4},    {0x0d, 8}, {0x12, 12}, {0x13, 8},  {0x0c, 4},  {0x77, 4}};
constexpr Shape kExtended[] = {{0x01, 0x38}, {0x03, 12}, {0x0b, 12},   {0x23, 16}, {0x0d, 8},  {0x0e, 8},  {0x0f, 8},
                               {0x13, 16},   {0x1b, 8},  {0x10, 0x40}, {0x18, 8},  {0x1f, 12}, {0x1d, 12}, {0x345, 4}};

class Generator {
  public:
    explicit Generator(std::uint32_t seed) : random_(seed) {}

    test::Image image() {
        test::Image out;
        for (std::size_t at = 4; at < 6; ++at) out.put(at, {byte()});
        out.put(0x08, {byte()});
        if (one_in(2)) out.put(0x0f, {byte()});
        for (std::size_t bar = 0; bar < 6; ++bar) out.put32(0x10 + 4 * bar, base_address(bar));
        for (const unsigned at :
             {0x0cU, 0x0dU, 0x2cU, 0x2dU, 0x2eU, 0x30U, 0x31U, 0x32U, 0x33U, 0x3cU, 0x3dU, 0x3eU, 0x3fU})
            if (one_in(2)) out.put(at, {byte()});
        out.put(0x3d, {static_cast<std::uint8_t>(random_() % 5)});
        standard(out);
        extended(out);
        return out;
    }

  private:
    std::uint8_t byte() { return static_cast<std::uint8_t>(random_()); }
    bool one_in(unsigned n) { return random_() % n == 0; }

    std::uint32_t base_address(std::size_t bar) {
        // No 64-bit BARs: lspci 3.9 reads a dump's upper halves as BARs of their own.
        constexpr std::uint32_t kTypes[] = {0, 8, 1, 2};
        return bar % 2 == 0 || one_in(2) ? (static_cast<std::uint32_t>(random_()) & 0xfffffff0U) | kTypes[random_() % 4]
                                         : 0;
    }

    void fill(test::Image& out, std::size_t at, unsigned size) {
        const bool zero = one_in(3);
        for (unsigned byte_index = 0; byte_index < size; ++byte_index)
            out.put(at + byte_index, {zero ? std::uint8_t{0} : byte()});
    }

    void standard(test::Image& out) {
        std::uint8_t at = 0x40;
        out.first(at);
        for (const Shape& shape : kStandard) {
            fill(out, at, shape.size);
            const auto next = static_cast<std::uint8_t>(at + shape.size);
            out.capability(at, static_cast<std::uint8_t>(shape.id), &shape == std::end(kStandard) - 1 ? 0 : next);
            if (shape.id == 0x10) {
                constexpr std::uint8_t kTypes[] = {0, 1, 4, 5, 6, 7, 8, 9, 10};
                out.put(at + 2U,
                        {static_cast<std::uint8_t>(random_() % 3 | static_cast<unsigned>(kTypes[random_() % 9]) << 4)});
                out.put(at + 0x2cU, {static_cast<std::uint8_t>(byte() & 0x3f)});  // speeds that lspci 3.9 knows
                out.put(at + 0x26U, {static_cast<std::uint8_t>(byte() & 0xdf)});
            }
            at = next;
        }
    }

    void extended(test::Image& out) {
        std::size_t at = 0x100;
        for (const Shape& shape : kExtended) {
            fill(out, at, shape.size);
            const std::size_t next = at + shape.size;
            out.extended(at, static_cast<std::uint16_t>(shape.id), static_cast<unsigned>(random_() % 16),
                         &shape == std::end(kExtended) - 1 ? 0 : static_cast<std::uint32_t>(next));
            if (shape.id == 0x23) out.put(at + 4, {0xf4, 0x1a});
            if (shape.id == 0x18)  // scales above 5 are reserved: lspci shifts them out of an int
                for (const std::size_t high : {at + 5, at + 7})
                    out.put(high, {static_cast<std::uint8_t>(byte() & 0x0f)});
            if (shape.id == 0x10)
                for (std::size_t bar = 0; bar < 6; ++bar)
                    out.put(at + 0x24 + 4 * bar, {static_cast<std::uint8_t>(byte() & 0xf9)});
            at = next;
        }
    }

    std::mt19937 random_;
};

class LsAgainstLspci : public testing::TestWithParam<int> {};

TEST_P(LsAgainstLspci, SaysEveryFieldThatLspciSays) {
    const std::string version = test::lspci_version();
    if (version.empty()) GTEST_SKIP() << "no lspci here: ./pcienic setup packages installs pciutils";
    const fs::path file = fs::temp_directory_path() / fmt::format("pcienic-ls-{}-{}.hex", getpid(), GetParam());
    constexpr std::size_t kFunctions = 100;
    {
        Generator generator(static_cast<std::uint32_t>(GetParam()));
        std::ofstream out(file);
        for (unsigned index = 0; index < kFunctions; ++index) {
            std::vector<std::uint8_t> bytes = generator.image().bytes();
            constexpr std::size_t kSizes[] = {4096, 4096, 4096, 256, 64};
            bytes.resize(kSizes[index % 5]);
            test::write_dump(out, index, bytes);
        }
    }
    const auto theirs = test::parse_listing(test::lspci_on(file, "-n -vvv -xxxx"));
    const auto ours = test::parse_listing(text_of(listing_of(file), {.verbosity = 3, .hex = 4}));
    fs::remove(file);
    ASSERT_EQ(theirs.size(), kFunctions);
    std::size_t compared = 0;
    for (const auto& [address, fields] : theirs) {
        ASSERT_TRUE(ours.contains(address)) << address;
        for (const std::string& difference :
             test::missing_fields(fields, ours.at(address), test::known_differences(version)))
            ADD_FAILURE() << address << " " << difference;
        compared += fields.size();
    }
    EXPECT_GT(compared, 100 * kFunctions);
}

INSTANTIATE_TEST_SUITE_P(Seed, LsAgainstLspci, testing::Range(1, 5));

}  // namespace
