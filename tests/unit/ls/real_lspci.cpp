// SPDX-License-Identifier: GPL-2.0-or-later
#include "real_lspci.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ostream>

namespace pcienic::test {

std::string output_of(const std::string& command) {
    std::string output;
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return output;
    char buffer[4096];
    for (std::size_t got = 0; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, got);
    pclose(pipe);
    return output;
}

std::string lspci_command() {
    const char* named = std::getenv("PCIENIC_LSPCI");
    return named != nullptr ? named : "lspci";
}

std::string lspci_version() {
    constexpr std::string_view kBefore = "lspci version ";
    const std::string said = output_of(lspci_command() + " --version 2>&1");
    if (said.compare(0, kBefore.size(), kBefore) != 0) return {};
    return said.substr(kBefore.size(), said.find_last_not_of('\n') + 1 - kBefore.size());
}

std::string dump_address(unsigned index) {
    return fmt::format("{:02x}:{:02x}.{}", index >> 8, index >> 3 & 0x1f, index & 7);
}

void write_dump(std::ostream& out, unsigned index, const std::vector<std::uint8_t>& bytes) {
    out << dump_address(index) << " X\n";
    for (std::size_t at = 0; at < bytes.size(); at += 16) {
        out << fmt::format("{:02x}:", at);
        for (std::size_t byte = at; byte < std::min(at + 16, bytes.size()); ++byte)
            out << fmt::format(" {:02x}", bytes[byte]);
        out << '\n';
    }
    out << '\n';
}

bool lspci_speaks_3_9() { return lspci_version().starts_with("3.9."); }

std::string lspci_on(const std::filesystem::path& dump, const std::string& options) {
    return output_of(fmt::format("{} -F '{}' {} 2>/dev/null", lspci_command(), dump.string(), options));
}

std::string lspci_on_sysfs(const std::filesystem::path& sys, const std::string& options) {
    return output_of(fmt::format("{} -A linux-sysfs -O sysfs.path='{}' {} 2>/dev/null", lspci_command(),
                                 (sys / "bus/pci").string(), options));
}

std::vector<std::string> functions_of(const std::string& listing) {
    std::vector<std::string> functions;
    for (std::size_t begin = 0; begin < listing.size();) {
        std::size_t end = listing.find("\n\n", begin);
        end = end == std::string::npos ? listing.size() : end + 2;
        functions.push_back(listing.substr(begin, end - begin));
        begin = end;
    }
    return functions;
}

}  // namespace pcienic::test
