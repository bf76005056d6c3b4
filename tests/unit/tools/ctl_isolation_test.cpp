// SPDX-License-Identifier: MIT
// doctor --prove: with an IOMMU that translates, with one that does not, and where it cannot be known.
#include "isolation.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <fstream>

#include "ctl_fixture.hpp"
#include "uiovfio/sim.hpp"

namespace pcienic::ctl {
namespace {

using cli::Json;
using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ResultOf;

struct Machine {
    explicit Machine(const uiovfio::SimOptions& options = {}) : device{uiovfio::open_sim(options)} {}

    uiovfio::Device device;
    Driver driver{device};
    PhysicalAddress physical = physical_addresses(device);
};

}  // namespace

TEST(Isolation, IsProvedWhereTheIommuTranslates) {
    Machine machine;
    const Proof proof = prove_isolation(machine.driver, machine.physical);
    EXPECT_EQ(proof.outcome, Proof::Outcome::isolated) << proof.what;
    EXPECT_THAT(proof.remedy, IsEmpty());
    ASSERT_EQ(proof.trials.size(), 6u);
    EXPECT_THAT(proof.trials, Each(ResultOf([](const Trial& trial) { return trial.held; }, true)));
    // Two reads and two writes were refused, and the IOMMU has seen them.
    EXPECT_EQ(uiovfio::sim::iommu_faults(machine.device), 4u);
    EXPECT_EQ(proof.trials[1].seen, "refused, and nothing arrived");
    EXPECT_EQ(proof.trials[2].seen, "refused, and the page kept its bytes");
    // Nothing is left behind: the device is as good as before, and all is unmapped.
    EXPECT_EQ(machine.device.dma().mappings_left(), 65535u);
    EXPECT_EQ(prove_isolation(machine.driver, machine.physical).outcome, Proof::Outcome::isolated);
}

TEST(Isolation, IsRefutedWhereTheIommuTakesMappingsAndTranslatesNothing) {
    Machine machine{{.translates = false}};
    const Proof proof = prove_isolation(machine.driver, machine.physical);
    EXPECT_EQ(proof.outcome, Proof::Outcome::exposed) << proof.what;
    EXPECT_THAT(proof.remedy, HasSubstr("dma-remap=on"));
    ASSERT_EQ(proof.trials.size(), 2u);
    EXPECT_TRUE(proof.trials[0].held) << "the engine does copy: that is what makes the other mean something";
    EXPECT_FALSE(proof.trials[1].held);
    EXPECT_EQ(proof.trials[1].seen, "done, and the device has the page's bytes");
}

// Only its own pages are at stake, whatever the IOMMU does: each address that the device hears of is one of theirs.
TEST(Isolation, NamesNoAddressButThoseOfItsOwnPages) {
    Machine machine{{.translates = false}};
    std::vector<std::uint64_t> told;
    const Proof proof = prove_isolation(machine.driver, [&](std::span<std::byte> page) {
        const auto address = machine.physical(page);
        told.push_back(*address);
        return address;
    });
    for (const Trial& trial : proof.trials) EXPECT_THAT(told, testing::Contains(trial.address)) << trial.what;
    EXPECT_THAT(told, testing::Contains(regs::DmaRingBase::read(machine.driver.registers()).raw()));
}

TEST(Isolation, IsNotTriedWherePhysicalAddressesAreNotTold) {
    Machine machine;
    const Proof proof = prove_isolation(machine.driver, [](std::span<std::byte>) { return std::nullopt; });
    EXPECT_EQ(proof.outcome, Proof::Outcome::unknown);
    EXPECT_THAT(proof.remedy, HasSubstr("run as root"));
    EXPECT_THAT(proof.trials, IsEmpty());
    EXPECT_EQ(regs::DmaRingBase::read(machine.driver.registers()).raw(), 0u) << "the device was told nothing";
}

TEST(Isolation, TakesAnotherPageWhereOneMovedOrLiesElsewhere) {
    Machine machine{{.address_width = 39}};
    int asked = 0;
    const Proof proof = prove_isolation(machine.driver, [&](std::span<std::byte> page) -> std::optional<std::uint64_t> {
        const std::uint64_t address = *machine.physical(page);
        ++asked;
        if (asked == 1) return std::uint64_t{1} << 40;   // beyond what can be mapped
        return asked == 4 ? address + 0x1000 : address;  // moved while it was pinned
    });
    EXPECT_EQ(proof.outcome, Proof::Outcome::isolated) << proof.what;
    const auto never_there = [&](std::span<std::byte>) { return std::optional{std::uint64_t{1} << 40}; };
    EXPECT_EQ(prove_isolation(machine.driver, never_there).outcome, Proof::Outcome::unknown);
}

// What says that it is done, and leaves everything as it was, has shown nothing: neither that it reaches memory nor
// that it is kept out.
TEST(Isolation, IsUnknownWhereTheDeviceIsDoneAndNothingArrived) {
    Machine machine;
    std::optional<std::uint64_t> destination;
    int asked = 0;
    const Proof proof = prove_isolation(machine.driver, [&](std::span<std::byte> page) -> std::optional<std::uint64_t> {
        // Each page is asked for twice: rings, source, destination, and then the one that must not be reached, for
        // which the destination is copied onto itself.
        ++asked;
        if (asked == 5) destination = machine.physical(page);
        return asked == 7 || asked == 8 ? destination : machine.physical(page);
    });
    EXPECT_EQ(proof.outcome, Proof::Outcome::unknown) << proof.what;
    ASSERT_EQ(proof.trials.size(), 2u);
    EXPECT_EQ(proof.trials[1].seen, "done, and nothing arrived");
    EXPECT_FALSE(proof.trials[1].held);
    EXPECT_THAT(proof.remedy, testing::Not(IsEmpty()));
}

// A device that copies nothing at all is kept out of everything.
TEST(Isolation, IsNotTakenForGrantedOfADeviceThatCannotCopy) {
    Machine machine;
    machine.device.config().set_bus_master(false);
    const Proof proof = prove_isolation(machine.driver, machine.physical);
    EXPECT_EQ(proof.outcome, Proof::Outcome::unknown) << proof.what;
    EXPECT_THAT(proof.remedy, testing::Not(IsEmpty()));
}

TEST(Isolation, ReadsThePagemap) {
    FakeSysfs sysfs;
    const auto root = sysfs.root();
    std::filesystem::create_directories(root.proc / "self");
    const auto page_size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* memory = ::mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    const std::span<std::byte> page{static_cast<std::byte*>(memory), page_size};
    const auto told = [&](std::uint64_t entry) {
        std::ofstream file{root.proc / "self/pagemap", std::ios::binary};
        file.seekp(static_cast<std::streamoff>(reinterpret_cast<std::uintptr_t>(memory) / page_size * 8));
        file.write(reinterpret_cast<const char*>(&entry), sizeof entry);
        file.close();
        return physical_addresses(root)(page);
    };
    EXPECT_EQ(physical_addresses(root)(page), std::nullopt) << "no such file";
    constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
    constexpr std::uint64_t kSoftDirty = std::uint64_t{1} << 55;
    EXPECT_EQ(told(kPresent | kSoftDirty | 0x12345), 0x12345 * page_size);
    EXPECT_EQ(told(kPresent), std::nullopt) << "who may not know it is told 0";
    EXPECT_EQ(told(0x12345), std::nullopt) << "swapped out";
    ::munmap(memory, page_size);
}

class CtlProve : public Ctl {
  protected:
    Json told(int code) {
        const Outcome result = sim({"--json", "doctor", "--prove"});
        EXPECT_EQ(result.code, code) << result.err;
        return Json::parse(result.out)["data"][0]["isolation"];
    }
};

TEST_F(CtlProve, EndsWith0WhereItIsProved) {
    const Json isolation = told(0);
    EXPECT_EQ(isolation["state"], "ok");
    EXPECT_EQ(isolation["subject"], "isolated");
    EXPECT_TRUE(isolation["remedy"].is_null());
    ASSERT_EQ(isolation["trials"].size(), 6u);
    EXPECT_EQ(isolation["trials"][1]["what"], "read a page mapped at another address by its physical address");
    EXPECT_EQ(isolation["trials"][1]["held"], true);
    EXPECT_EQ(isolation["trials"][1]["address_hex"].get<std::string>().substr(0, 2), "0x");
    EXPECT_THAT(
        sim({"doctor", "--prove"}).out,
        AllOf(HasSubstr("✔ isolated"), HasSubstr("refused, and the page kept its bytes"), HasSubstr("kernel's log")));
}

TEST_F(CtlProve, EndsWith5WhereTheDeviceReachesOtherMemory) {
    sim_.translates = false;
    const Json isolation = told(5);
    EXPECT_EQ(isolation["state"], "missing");
    EXPECT_EQ(isolation["subject"], "exposed");
    EXPECT_EQ(isolation["trials"].back()["held"], false);
    EXPECT_THAT(sim({"doctor", "--prove"}).out,
                AllOf(HasSubstr("✘ exposed"), HasSubstr("done, and the device has the page's bytes")));
}

// It opens the device, so that what is for open devices is for it, and for no other doctor.
TEST_F(CtlProve, HeedsTheOptionsOfAnOpenDevice) {
    const std::string trace = file("trace", "");
    std::filesystem::remove(trace);
    EXPECT_EQ(sim({"--trace", trace, "doctor", "--prove"}).code, 0);
    EXPECT_GT(std::filesystem::file_size(trace), 0u);
    EXPECT_REFUSED(sim({"doctor"}), 2, HasSubstr("--backend: has no effect here"));
    EXPECT_REFUSED(run({"--trace", trace, "doctor"}), 2, HasSubstr("--trace: has no effect here"));
}

TEST_F(CtlProve, IsAskedForOrNotDone) {
    EXPECT_TRUE(Json::parse(run({"--json", "doctor"}).out)["data"][0]["isolation"].is_null());
    EXPECT_THAT(sim({"-n", "doctor", "--prove"}).out, HasSubstr("would look at the machine's files, open the device"));
}

TEST_F(CtlProve, NeedsADeviceThatItKnows) {
    sysfs_.add("0000:00:05.0", 0x1b36, 0x0010, "vfio-pci");
    EXPECT_REFUSED(run({"doctor", "0000:00:05.0", "--prove"}), 2,
                   AllOf(HasSubstr("1af4:10f2"), HasSubstr("0000:00:05.0")));
    EXPECT_REFUSED(run({"-s", "0000:00:05.0", "doctor", "--prove"}), 2, HasSubstr("1af4:10f2"));
    EXPECT_REFUSED(run({"doctor", "--prove"}), 3, HasSubstr("pcienic"));
}

// What else was found is told all the same.
TEST_F(CtlProve, SaysWhyItWasNotTried) {
    sysfs_.add("0000:00:04.0", 0x1af4, 0x10f2, "");
    const Outcome result = run({"--json", "doctor", "0000:00:04.0", "--prove"});
    EXPECT_EQ(result.code, 4) << result.err;
    const Json row = Json::parse(result.out)["data"][0];
    EXPECT_EQ(row["isolation"]["subject"], "unknown");
    EXPECT_THAT(row["isolation"]["what"].get<std::string>(),
                AllOf(HasSubstr("not tried: "), HasSubstr("bind vfio-pci")));
    EXPECT_EQ(row["device"]["bdf"], "0000:00:04.0");
}

}  // namespace pcienic::ctl
