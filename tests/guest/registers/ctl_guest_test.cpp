// SPDX-License-Identifier: MIT
// pcienic-ctl on the real path: what only a device, a kernel and several processes can show.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "ctl.hpp"
#include "expect.hpp"
#include "uiovfio/device.hpp"

namespace {

using namespace pcienic::test;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

/// The devices in the order of CMakeLists.txt: a pcienic, QEMU's edu, an NVMe controller.
std::string address(unsigned index) {
    const char* bdfs = std::getenv("PCIENIC_BDFS");  // not set where the cases are only listed
    std::istringstream all{bdfs != nullptr ? bdfs : ""};
    std::string bdf;
    for (unsigned i = 0; i <= index; ++i) all >> bdf;
    return bdf;
}

const std::string kPcienic = address(0);
const std::string kEdu = address(1);
const std::string kNvme = address(2);

// --- from one process to the next -----------------------------------------------------------------------------------

TEST(CtlProcesses, ScratchLastsFromOneToTheNext) {
    EXPECT_EQ(ctl("write SCRATCH=0xdeadbeef").status, 0);
    EXPECT_OUTPUT(ctl("read SCRATCH"), "0xdeadbeef\n");
    EXPECT_EQ(ctl("write SCRATCH64=0x0123456789abcdef").status, 0);
    EXPECT_OUTPUT(ctl("read SCRATCH64"), "0x0123456789abcdef\n");
}

TEST(CtlProcesses, OtherRegistersAreResetInBetween) {
    EXPECT_EQ(ctl("write DMA_RING_SIZE=5").status, 0);
    EXPECT_OUTPUT(ctl("read DMA_RING_SIZE"), "0x00000000\n");
}

TEST(CtlProcesses, OperationsOfOneInvocationShareTheDevice) {
    EXPECT_OUTPUT(ctl("write DMA_RING_SIZE=5 : read DMA_RING_SIZE"),
                  "DMA_RING_SIZE 0x418 = 0x00000000 := 0x00000005 -> 0x00000005\n0x00000005\n");
}

// The number of a stream that is closed goes to the next file that is opened, and that would be a device's.
TEST(CtlProcesses, ClosedStreamsAreNeverTheDevice) {
    EXPECT_EQ(ctl("write SCRATCH=1").status, 0);
    EXPECT_EQ(ctl("write SCRATCH64=1").status, 0);
    for (const char* closed : {"<&-", ">&-", "2>&-", "<&- >&- 2>&-"})
        shell(std::string{"sh -c 'pcienic-ctl -v read ID VERSION "} + closed + "'");
    EXPECT_OUTPUT(ctl("read SCRATCH"), "0x00000001\n");
    EXPECT_OUTPUT(ctl("read SCRATCH64"), "0x0000000000000001\n");
}

// --- registers ------------------------------------------------------------------------------------------------------

TEST(CtlRegisters, AreReadByNameFieldAndOffset) {
    EXPECT_OUTPUT(ctl("read ID"), "0x6e696370\n");
    EXPECT_OUTPUT(ctl("read VECTORS.COUNT"), "0x020\n");
    EXPECT_OUTPUT(ctl("read BAR0:0x0.w"), "0x6e696370\n");
    EXPECT_OUTPUT(ctl("read BAR4:0x100.q"), "0x0000000000000000\n");
}

TEST(CtlRegisters, AreDumpedAsOneDocument) {
    const Outcome dump = ctl("dump --json");
    EXPECT_EQ(dump.status, 0) << dump.err;
    const auto document = nlohmann::json::parse(dump.out);
    EXPECT_EQ(document["schema"], "pcienic.dump/1");
    EXPECT_EQ(document["device"]["bdf"], kPcienic);
    EXPECT_EQ(document["device"]["backend"], "vfio");
    EXPECT_EQ(document["data"][0]["value"], 0x6e696370);
}

TEST(CtlRegisters, ComeBackFromAReset) {
    EXPECT_OUTPUT(
        ctl("write --no-readback SCRATCH=7 IRQ_MASK0=1 : reset : read SCRATCH : read IRQ_MASK0"),
        "SCRATCH 0x010 := 0x00000007\nIRQ_MASK0 0x300 := 0x00000001\nfunction reset done\n0x00000007\n0x00000000\n");
}

TEST(CtlRegisters, ForcedWritesAreLatchedByTheDevice) {
    const pcienic::guest::ExpectGuestError expected{"pcienic: write to the read-only register at offset 0x0$"};
    EXPECT_OUTPUT(
        ctl("write --force --no-readback ID=1 : read ERR_CODE.CODE : clear ERR_STATUS.VALID : read ERR_STATUS"),
        "ID 0x000 := 0x00000001\n0x02\nERR_STATUS.VALID 0x040 = 0x1 := 0x1 -> 0x0\n0x00000000\n");
}

// --- exit codes -----------------------------------------------------------------------------------------------------

TEST(CtlExitCodes, UsageIs2) {
    EXPECT_REFUSED(ctl("read SCRACH"), 2, HasSubstr("did you mean SCRATCH?"));
    EXPECT_REFUSED(ctl("read 0x11"), 2, HasSubstr("not aligned"));
    EXPECT_REFUSED(ctl("read SCRATCH.q"), 2, HasSubstr("32 bits wide"));
    EXPECT_REFUSED(ctl("write ID=1"), 2, HasSubstr("read-only"));
    EXPECT_REFUSED(ctl("irq 32"), 2, HasSubstr("the device has 32"));
}

TEST(CtlExitCodes, NoDeviceIs3) {
    EXPECT_REFUSED(ctl("-s ff:1f.7 read ID"), 3, HasSubstr("no device matches -s ff:1f.7"));
    EXPECT_REFUSED(ctl("-s '*' read 0"), 3, HasSubstr("devices match"), HasSubstr(kPcienic));
}

/// As shell(), as a user who may nothing. The kernel looks at the file's rights, not at what root once had.
Outcome ctl_as_nobody(const char* command, const char* operand) {
    const pid_t child = fork();
    if (child < 0) return {-1, "", "fork failed"};
    if (child == 0) {
        const bool redirected =
            std::freopen("/tmp/out", "w", stdout) != nullptr && std::freopen("/tmp/err", "w", stderr) != nullptr;
        if (redirected && setgid(65534) == 0 && setuid(65534) == 0)
            execlp("pcienic-ctl", "pcienic-ctl", command, operand, nullptr);
        _exit(126);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child) return {-1, "", "waitpid failed"};
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, contents("/tmp/out"), contents("/tmp/err")};
}

TEST(CtlExitCodes, NoRightsIs4) {
    EXPECT_REFUSED(ctl_as_nobody("read", "ID"), 4, HasSubstr("/dev/vfio"));
    EXPECT_REFUSED(ctl_as_nobody("bind", "nvme"), 4, HasSubstr("Permission denied): run as root"));
    EXPECT_EQ(driver_of(kPcienic), "vfio-pci");
}

TEST(CtlExitCodes, ADeviceInUseIs4) {
    const uiovfio::Device holder = uiovfio::Device::open(uiovfio::Bdf::parse(kPcienic));
    EXPECT_REFUSED(ctl("read ID"), 4, HasSubstr("held by process " + std::to_string(::getpid())));
}

TEST(CtlExitCodes, ATimeoutIs6) {
    EXPECT_REFUSED(ctl("wait STATUS.READY==0 --timeout 10ms"), 6, HasSubstr("not so within 10ms"));
}

TEST(CtlExitCodes, ACheckThatFailsIs5) { EXPECT_EQ(ctl("write --verify IRQ_MASK1=1").status, 5); }

// --- the device at work ---------------------------------------------------------------------------------------------

TEST(CtlDevice, TellsOfItself) {
    const Outcome info = ctl("info");
    EXPECT_EQ(info.status, 0) << info.err;
    EXPECT_THAT(info.out, AllOf(HasSubstr(kPcienic + " [1af4:10f2] through vfio"), HasSubstr("MSI-X 32"),
                                HasSubstr("32 vectors")));
}

TEST(CtlDevice, RaisesVectorsInEveryMode) {
    EXPECT_OUTPUT(ctl("-o raw irq 0-2,31"), "1\n1\n1\n1\n");
    EXPECT_OUTPUT(ctl("-o raw irq --mode msi 3"), "1\n");
    EXPECT_OUTPUT(ctl("-o raw irq --mode intx 3,4"), "1\n1\n");
}

TEST(CtlDevice, MovesBytesByDma) {
    for (const char* arguments :
         {"dma verify --size 4M", "dma verify --size 64k --vector 7", "dma copy --direction host-to-host --size 4M",
          "dma fill --size 1M", "dma fill --direction host --size 1M"}) {
        const Outcome dma = ctl(arguments);
        EXPECT_EQ(dma.status, 0) << arguments << dma.err;
        EXPECT_THAT(dma.out, HasSubstr("verified")) << arguments;
    }
}

// Whoever unbinds the device waits in the kernel until it is closed.
TEST(CtlDevice, IsGivenUpWhenTheKernelWantsItBack) {
    const std::string driver = "/sys/bus/pci/drivers/vfio-pci/";
    const Outcome outcome = shell(
        "mkfifo /tmp/line; pcienic-ctl watch SCRATCH --interval 60m >/tmp/line & "
        "read first </tmp/line; echo " +
        kPcienic + " > " + driver + "unbind; wait $!; echo status $?; echo " + kPcienic + " > " + driver + "bind");
    EXPECT_THAT(outcome.err, HasSubstr("the kernel wants the device back"));
    EXPECT_THAT(outcome.out, HasSubstr("status 1\n"));
    EXPECT_EQ(ctl("read ID").status, 0) << "it is back";
}

// --- other devices --------------------------------------------------------------------------------------------------

TEST(CtlForeign, IsReadByOffset) { EXPECT_OUTPUT(ctl("-s " + kEdu + " read BAR0:0"), "0x010000ed\n"); }

TEST(CtlForeign, IsWrittenByOffset) {
    // edu inverts what is written to offset 4 (docs/specs/edu of QEMU's).
    EXPECT_OUTPUT(ctl("-s " + kEdu + " write 0x4=0x12345678 : read 0x4.w"), "BAR0:0x004 := 0x12345678\n0xedcba987\n");
}

TEST(CtlForeign, HasNoRegisterNames) { EXPECT_REFUSED(ctl("-s " + kEdu + " read ID"), 2, HasSubstr("1234:11e8")); }

// --- doctor ----------------------------------------------------------------------------------------------------------

nlohmann::json doctor(const std::string& arguments, int code) {
    const Outcome told = ctl("--json doctor " + arguments);
    EXPECT_EQ(told.status, code) << told.err;
    return nlohmann::json::parse(told.out)["data"][0];
}

nlohmann::json about(const nlohmann::json& checks, const std::string& subject) {
    for (const auto& check : checks)
        if (check["subject"] == subject) return check;
    ADD_FAILURE() << "nothing about " << subject;
    return {{"state", nullptr}, {"what", nullptr}};
}

TEST(CtlDoctor, TellsWhatTheDeviceIsReadyFor) {
    const auto told = doctor(kPcienic, 0);
    EXPECT_EQ(told["auto"], "vfio");
    EXPECT_EQ(about(told["backends"], "vfio")["state"], "ok");
    EXPECT_EQ(about(told["backends"], "uio")["error"], "not_bound");
    EXPECT_EQ(about(told["machine"], "interrupt remapping")["state"], "ok");
    EXPECT_EQ(about(told["machine"], "IOMMU")["state"], "ok");
    EXPECT_EQ(told["device"]["group"]["members"].size(), 1u);
}

TEST(CtlDoctor, AgreesWithVfioOnTheBusAddresses) {
    std::vector<uiovfio::IovaRange> free;
    const auto told = doctor(kPcienic, 0);
    for (const auto& range : told["addresses"]["ranges"])
        if (range["use"] == "free")
            free.push_back({uiovfio::Iova{range["first"].get<std::uint64_t>()},
                            uiovfio::Iova{range["last"].get<std::uint64_t>()}});
    EXPECT_EQ(free, uiovfio::Device::open(uiovfio::Bdf::parse(kPcienic)).dma().ranges());
}

// The trials are refused by the IOMMU, and the kernel and QEMU tell of each.
TEST(CtlDoctor, ProvesThatTheDeviceIsKeptToItsMemory) {
    const pcienic::guest::ExpectDmarFault fault{"DMA (Read|Write).*fault addr 0x"};
    const pcienic::guest::ExpectGuestError error{"Invalid access to non-RAM device at addr 0x"};
    const auto isolation = doctor("--prove " + kPcienic, 0)["isolation"];
    EXPECT_EQ(isolation["subject"], "isolated") << isolation;
    ASSERT_EQ(isolation["trials"].size(), 6u) << isolation;
    for (const auto& trial : isolation["trials"]) EXPECT_EQ(trial["held"], true) << trial;
    EXPECT_EQ(isolation["trials"][2]["seen"], "refused, and the page kept its bytes");
}

TEST(CtlDoctor, TriesNothingWithoutPhysicalAddressesOrAKnownDevice) {
    EXPECT_REFUSED(ctl("doctor --prove " + kEdu), 2, AllOf(HasSubstr(kEdu), HasSubstr("--prove")));
    const Outcome told = ctl_as_nobody("doctor", "--prove");
    EXPECT_EQ(told.status, 4);
    EXPECT_THAT(told.out, HasSubstr("not tried: "));
}

TEST(CtlDoctor, NeedsNoRights) {
    const Outcome told = ctl_as_nobody("doctor", kPcienic.c_str());
    EXPECT_EQ(told.status, 4);
    EXPECT_THAT(told.out, AllOf(HasSubstr("may not open /dev/vfio"), HasSubstr("IOMMU group")));
}

// --- bind, unbind ---------------------------------------------------------------------------------------------------

TEST(CtlBind, GivesTheDeviceBackToItsDriver) {
    ASSERT_EQ(shell("modprobe nvme").status, 0);
    const std::string select = "-s " + kNvme + " ";
    EXPECT_OUTPUT(ctl(select + "unbind"), kNvme + ": vfio-pci -> nvme\n");
    EXPECT_EQ(driver_of(kNvme), "nvme") << "without a record the kernel finds its own";
    EXPECT_REFUSED(ctl(select + "read 0"), 4, HasSubstr("'pcienic-ctl -s " + kNvme + " bind vfio-pci'"));
    EXPECT_OUTPUT(ctl(select + "bind"), kNvme + ": nvme -> vfio-pci\n");
    EXPECT_EQ(driver_of(kNvme), "vfio-pci");
    EXPECT_EQ(ctl(select + "read 0").status, 0);
    EXPECT_OUTPUT(ctl(select + "unbind"), kNvme + ": vfio-pci -> nvme\n");
    EXPECT_EQ(driver_of(kNvme), "nvme") << "as the record says";
    EXPECT_OUTPUT(ctl(select + "bind"), kNvme + ": nvme -> vfio-pci\n");
}

TEST(CtlBind, RestoresTheFirstDriverAfterSeveral) {
    ASSERT_EQ(shell("modprobe uio_pci_generic").status, 0);
    EXPECT_OUTPUT(ctl("bind uio_pci_generic"), kPcienic + ": vfio-pci -> uio_pci_generic\n");
    EXPECT_OUTPUT(ctl("read ID"), "0x6e696370\n");
    EXPECT_REFUSED(ctl("--backend vfio read ID"), 4, HasSubstr("uio_pci_generic"));
    EXPECT_OUTPUT(ctl("unbind"), kPcienic + ": uio_pci_generic -> vfio-pci\n");
    EXPECT_OUTPUT(ctl("read ID"), "0x6e696370\n");
}

TEST(CtlBind, LeavesTheDeviceAloneWhereTheDriverIsNotThere) {
    EXPECT_REFUSED(ctl("bind nonsense"), 4, HasSubstr("modprobe nonsense"));
    EXPECT_EQ(driver_of(kPcienic), "vfio-pci");
}

TEST(CtlBind, GoesBackWhereTheDriverDoesNotTakeTheDevice) {
    EXPECT_REFUSED(ctl("bind pcieport"), 4, HasSubstr("the driver pcieport did not take the device"));
    EXPECT_EQ(driver_of(kPcienic), "vfio-pci");
    EXPECT_OUTPUT(ctl("read ID"), "0x6e696370\n");
}

TEST(CtlBind, LeavesTheDeviceWithoutADriverWhenAsked) {
    EXPECT_OUTPUT(ctl("unbind --none"), kPcienic + ": vfio-pci -> no driver\n");
    EXPECT_EQ(driver_of(kPcienic), "");
    EXPECT_OUTPUT(ctl("bind"), kPcienic + ": no driver -> vfio-pci\n");
    EXPECT_OUTPUT(ctl("read ID"), "0x6e696370\n");
}

}  // namespace
