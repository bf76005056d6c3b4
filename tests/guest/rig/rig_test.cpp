// SPDX-License-Identifier: MIT
// The guest itself: what every other guest test takes for granted. It runs with QEMU's own edu device, so that a
// failure here is never ours in the device or the library.

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::string contents(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

fs::path device() { return fs::path("/sys/bus/pci/devices") / environment("PCIENIC_BDF"); }

TEST(Rig, NamesTheDevice) {
    EXPECT_EQ(contents(device() / "vendor"), "0x1234\n");
    EXPECT_EQ(contents(device() / "device"), "0x11e8\n");
}

TEST(Rig, NamesEveryDeviceInTheOrderGiven) {
    EXPECT_EQ(environment("PCIENIC_BDFS").substr(0, environment("PCIENIC_BDF").size() + 1),
              environment("PCIENIC_BDF") + " ");
    const auto second = environment("PCIENIC_BDFS").substr(environment("PCIENIC_BDF").size() + 1);
    EXPECT_EQ(contents(fs::path("/sys/bus/pci/devices") / second / "class"), "0x010802\n") << "the NVMe controller";
}

TEST(Rig, BindsTheDeviceToVfioPci) { EXPECT_EQ(fs::read_symlink(device() / "driver").filename(), "vfio-pci"); }

TEST(Rig, PutsTheDeviceAloneIntoAnIommuGroup) {
    const auto group = fs::read_symlink(device() / "iommu_group").filename();
    EXPECT_TRUE(fs::is_character_file(fs::path("/dev/vfio") / group));
    const fs::directory_iterator members(device() / "iommu_group/devices");
    EXPECT_EQ(std::distance(begin(members), end(members)), 1);
}

TEST(Rig, RemapsInterrupts) {
    EXPECT_NE(contents("/proc/interrupts").find("IR-"), std::string::npos)
        << "the interrupt controllers' names begin with IR-";
}

TEST(Rig, HasHugepages) {
    EXPECT_NE(contents("/proc/sys/vm/nr_hugepages"), "0\n");
    EXPECT_TRUE(fs::is_directory("/dev/hugepages"));
}

TEST(Rig, CanLoadUioPciGeneric) {
    EXPECT_EQ(std::system("/usr/bin/modprobe uio_pci_generic"), 0);
    EXPECT_TRUE(fs::is_directory("/sys/bus/pci/drivers/uio_pci_generic"));
}

TEST(Rig, HasTheRealLspci) { EXPECT_EQ(std::system("lspci --version"), 0); }

TEST(Rig, PassesExitStatusesOn) {
    const int status = std::system("exit 7");
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(Rig, SetsTheEnvironmentOfTheSuite) { EXPECT_EQ(environment("RIG_SAYS"), "two words, $HOME 'quoted'"); }

TEST(Rig, HasNoStandardInput) { EXPECT_EQ(fs::read_symlink("/proc/self/fd/0"), "/dev/null"); }

}  // namespace
