// SPDX-License-Identifier: GPL-2.0-or-later
#include "listing.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "collect.hpp"
#include "lspci_fields.hpp"
#include "real_lspci.hpp"

namespace pcienic::test {

namespace fs = std::filesystem;

TemporaryFile::TemporaryFile(const std::string& contents) {
    std::string name = (fs::temp_directory_path() / "pcienic-ls-XXXXXX").string();
    const int descriptor = mkstemp(name.data());
    EXPECT_GE(descriptor, 0);
    close(descriptor);
    path_ = name;
    std::ofstream(path_, std::ios::binary) << contents;
}

TemporaryFile::~TemporaryFile() { fs::remove(path_); }

std::string dump_of(const std::vector<std::vector<std::uint8_t>>& spaces) {
    std::ostringstream out;
    for (unsigned index = 0; index < spaces.size(); ++index) write_dump(out, index, spaces[index]);
    return out.str();
}

std::vector<std::string> our_functions(const ls::ScanOptions& scan, const ls::TextOptions& text) {
    const ls::Listing listing = ls::collect(scan);
    std::vector<std::string> functions;
    for (std::size_t index = 0; index < listing.functions.size(); ++index) {
        if (!listing.selected[index]) continue;
        std::ostringstream out;
        ls::render_text(out, listing.functions[index], text);
        functions.push_back(out.str());
    }
    return functions;
}

std::string without_own_lines(const std::string& function) {
    std::string kept;
    std::istringstream lines(function);
    for (std::string line; std::getline(lines, line);)
        if (!line.starts_with("\tVFIO: ") && !line.ends_with("] <not in the dump>") &&
            !(line.starts_with("\tIOMMU group ") && line.find(": ") != std::string::npos))
            kept += line + '\n';
    return kept;
}

void expect_same(const std::vector<std::string>& ours, const std::vector<std::string>& theirs,
                 const std::string& what) {
    ASSERT_EQ(ours.size(), theirs.size()) << what;
    const std::string version = lspci_version();
    constexpr int kShown = 5;
    int shown = 0;
    for (std::size_t index = 0; index < ours.size() && shown < kShown; ++index) {
        if (ours[index] == theirs[index]) continue;
        if (lspci_speaks_3_9()) {
            EXPECT_EQ(ours[index], theirs[index]) << what << ", function " << index;
            ++shown;
            continue;
        }
        const auto reference = parse_listing(theirs[index]), listing = parse_listing(ours[index]);
        for (const auto& [address, fields] : reference) {
            ASSERT_TRUE(listing.contains(address)) << what << ": " << address;
            for (const std::string& difference :
                 missing_fields(fields, listing.at(address), known_differences(version))) {
                ADD_FAILURE() << what << ": " << address << " " << difference;
                ++shown;
            }
        }
    }
}

}  // namespace pcienic::test
