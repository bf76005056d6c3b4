// SPDX-License-Identifier: GPL-2.0-or-later
// pcienic-ls against the real lspci, in a machine with every device of ours and three of QEMU's own.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "lspci_fields.hpp"

namespace {

using pcienic::test::known_differences;
using pcienic::test::missing_fields;
using pcienic::test::parse_listing;

struct Outcome {
    std::string output;
    int status = -1;
};

Outcome run(const std::string& command) {
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return outcome;
    char buffer[4096];
    for (std::size_t got = 0; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;) outcome.output.append(buffer, got);
    const int status = pclose(pipe);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return outcome;
}

/// The devices of the suite, in the order in which tests/guest/ls/CMakeLists.txt gives them to the machine.
constexpr std::array kDevices = {"basic",   "mmio", "msi",    "msix", "dma",       "caps",
                                 "pcienic", "edu",  "e1000e", "nvme", "virtio_net"};

std::string address_of(const std::string& device) {
    const char* all = std::getenv("PCIENIC_BDFS");
    std::istringstream addresses(all != nullptr ? all : "");
    std::string address;
    for (const char* name : kDevices) {
        addresses >> address;
        if (device == name) return address;
    }
    return {};
}

/// Both listings of the functions that `selection` names. The configuration space of a function nobody drives stands
/// still, so that both read the same.
void expect_agreement(const std::string& selection, std::size_t functions_at_least) {
    const Outcome theirs = run("lspci -D -vvv -nn -xxxx " + selection + " 2>/dev/null");
    const Outcome ours = run("pcienic-ls -D -vvv -nn -xxxx " + selection);
    ASSERT_EQ(theirs.status, 0);
    ASSERT_EQ(ours.status, 0);
    const auto reference = parse_listing(theirs.output);
    const auto listing = parse_listing(ours.output);
    constexpr std::string_view kBefore = "lspci version ";
    const auto known = known_differences(run("lspci --version").output.substr(kBefore.size()));
    EXPECT_GE(reference.size(), functions_at_least);
    EXPECT_EQ(reference.size(), listing.size());
    for (const auto& [address, fields] : reference) {
        EXPECT_GT(fields.size(), 20U) << address << " is not a whole listing";
        const auto found = listing.find(address);
        ASSERT_NE(found, listing.end()) << address;
        for (const std::string& difference : missing_fields(fields, found->second, known))
            ADD_FAILURE() << address << " " << difference;
    }
}

class LsAgainstLspci : public testing::TestWithParam<const char*> {};

TEST_P(LsAgainstLspci, SaysEveryFieldThatLspciSays) {
    const std::string address = address_of(GetParam());
    ASSERT_FALSE(address.empty()) << "PCIENIC_BDFS has fewer devices than the suite";
    expect_agreement("-s " + address, 1);
}

INSTANTIATE_TEST_SUITE_P(Device, LsAgainstLspci, testing::ValuesIn(kDevices),
                         [](const auto& device) { return std::string(device.param); });

TEST(LsInGuest, AgreesWithLspciOnEveryFunctionOfTheMachine) { expect_agreement("", kDevices.size()); }

TEST(LsInGuest, DrawsTheTreeThatLspciDraws) {
    EXPECT_EQ(run("pcienic-ls -tv").output, run("lspci -tv").output);
    EXPECT_EQ(run("pcienic-ls -tn").output, run("lspci -tn").output);
}

TEST(LsInGuest, ListsAsLspciDoes) {
    for (const char* options : {"", "-n", "-nn", "-D", "-d 1af4:", "-d ::0200", "-s 00:", "-x", "-xxx", "-xxxx"})
        EXPECT_EQ(run(std::string("pcienic-ls ") + options).output, run(std::string("lspci ") + options).output)
            << options;
}

TEST(LsInGuest, SaysThatVfioHasADeviceThatIsBoundToIt) {
    const Outcome listing = run("pcienic-ls -k -s " + address_of("pcienic"));
    EXPECT_NE(listing.output.find("Kernel driver in use: vfio-pci\n"), std::string::npos) << listing.output;
    EXPECT_NE(listing.output.find("VFIO: yes\n"), std::string::npos) << listing.output;
}

TEST(LsInGuest, SaysWhatKeepsVfioFromAnUnboundDevice) {
    const std::string address = address_of("caps");
    ASSERT_EQ(run("echo " + address + " > /sys/bus/pci/drivers/vfio-pci/unbind").status, 0);
    const Outcome listing = run("pcienic-ls -k -s " + address);
    EXPECT_EQ(run("echo " + address + " > /sys/bus/pci/drivers/vfio-pci/bind").status, 0);
    EXPECT_EQ(listing.output.find("Kernel driver in use"), std::string::npos) << listing.output;
    EXPECT_NE(listing.output.find("VFIO: no: "), std::string::npos) << listing.output;
    EXPECT_NE(listing.output.find("bind"), std::string::npos) << listing.output;
}

TEST(LsInGuest, GivesJsonOfEveryFunction) {
    const Outcome document = run("pcienic-ls --json -xxxx");
    ASSERT_EQ(document.status, 0);
    const auto json = nlohmann::json::parse(document.output);
    EXPECT_EQ(json["schema"], "pcienic.ls/1");
    EXPECT_GE(json["data"].size(), kDevices.size());
    bool found = false;
    for (const auto& function : json["data"])
        if (function["address"] == address_of("pcienic")) {
            found = true;
            EXPECT_EQ(function["vendor"]["id"], 0x1af4);
            EXPECT_EQ(function["device"]["id"], 0x10f2);
            EXPECT_EQ(function["driver"], "vfio-pci");
            EXPECT_EQ(function["vfio"]["usable"], true);
            EXPECT_FALSE(function["iommu_group"].is_null());
            EXPECT_EQ(function["config"].get<std::string>().size(), 8192U);
        }
    EXPECT_TRUE(found);
}

TEST(LsInGuest, EndsWithTheDocumentedCodes) {
    EXPECT_EQ(run("pcienic-ls -s " + address_of("pcienic")).status, 0);
    EXPECT_EQ(run("pcienic-ls -s ee:1f.7 2>/dev/null").status, 3);
    EXPECT_EQ(run("pcienic-ls -d ffff:ffff 2>/dev/null").status, 3);
    EXPECT_EQ(run("pcienic-ls -s 'x:y' 2>/dev/null").status, 2);
    EXPECT_EQ(run("pcienic-ls --no-such-option 2>/dev/null").status, 2);
    EXPECT_EQ(run("pcienic-ls -F /nonexistent 2>/dev/null").status, 2);
}

TEST(LsInGuest, ReadsItsOwnDump) {
    const std::string address = address_of("pcienic");
    const Outcome direct = run("pcienic-ls -n -vvv -s " + address);
    const Outcome dumped = run("pcienic-ls -n -xxxx -s " + address + " | pcienic-ls -n -vvv -F -");
    // A dump knows neither sizes nor the system; its capabilities are the same.
    const auto capabilities = [](const std::string& text) {
        return text.substr(text.find("\tCapabilities:"), text.rfind("\tKernel") - text.find("\tCapabilities:"));
    };
    ASSERT_NE(dumped.output.find("\tCapabilities:"), std::string::npos) << dumped.output;
    EXPECT_EQ(capabilities(direct.output).substr(0, 400), capabilities(dumped.output).substr(0, 400));
}

}  // namespace
