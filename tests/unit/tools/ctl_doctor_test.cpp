// SPDX-License-Identifier: MIT
#include <fstream>

#include "ctl_fixture.hpp"

namespace pcienic::ctl {
namespace {

namespace fs = std::filesystem;
using cli::Json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CtlDoctor : public Ctl {
  protected:
    void put(const fs::path& file, const std::string& text) {
        fs::create_directories(file.parent_path());
        std::ofstream{file} << text << '\n';
    }

    /// A machine that has all of it.
    void equip() {
        const uiovfio::SysfsRoot root = sysfs_.root();
        put(root.sys / "class/iommu/dmar0/intel-iommu/cap", "d2008c222f0606");  // as QEMU's, 48 bits wide
        put(root.proc / "interrupts", " 24: 0 0  IR-PCI-MSI 524288-edge vfio");
        put(root.proc / "devices", "Character devices:\n242 vfio-dev\n");
        put(root.proc / "sys/kernel/osrelease", "6.12.0-test");
        put(root.proc / "self/limits", "Max locked memory         unlimited            unlimited            bytes");
        put(root.dev / "iommu", "");
        put(root.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode", "Y");
        put(root.sys / "kernel/security/lockdown", "[none] integrity confidentiality");
        put(root.sys / "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "8");
        put(root.sys / "kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "6");
        sysfs_.add_driver("uio_pci_generic");
        sysfs_.add_driver("vfio-pci");
    }

    void add_pcienic(const std::string& driver = "vfio-pci") {
        sysfs_.add(kBdf, 0x1af4, 0x10f2, driver);
        put(sysfs_.root().sys / "kernel/iommu_groups/1/reserved_regions", "0x00000000fee00000 0x00000000feefffff msi");
    }

    /// The one row of the document, whatever the exit code.
    Json row(std::vector<std::string> arguments, int code = 0) {
        arguments.insert(arguments.begin(), {"--json", "doctor"});
        const Outcome told = run(arguments);
        EXPECT_EQ(told.code, code) << told.err;
        const Json document = Json::parse(told.out);
        EXPECT_EQ(document["schema"], "pcienic.doctor/1");
        return document["data"][0];
    }

    static Json about(const Json& checks, const std::string& subject) {
        for (const Json& check : checks)
            if (check["subject"] == subject) return check;
        ADD_FAILURE() << "nothing about " << subject;
        return {{"state", nullptr}, {"what", ""}, {"remedy", nullptr}};
    }

    const std::string kBdf = "0000:00:04.0";
};

}  // namespace

TEST_F(CtlDoctor, FindsAMachineThatHasAllOfIt) {
    equip();
    const Json told = row({});
    for (const Json& check : told["machine"]) {
        if (check["subject"] != "kernel" && check["subject"] != "no-IOMMU mode") {
            EXPECT_EQ(check["state"], "ok") << check;
        }
        EXPECT_TRUE(check["remedy"].is_null()) << check;
    }
    for (const Json& backend : told["backends"])
        EXPECT_EQ(backend["state"], backend["subject"] == "vfio-noiommu" ? "missing" : "ok") << backend;
    EXPECT_EQ(about(told["machine"], "IOMMU")["what"], "dmar0, bus addresses of 48 bits");
    EXPECT_EQ(about(told["machine"], "pages of 2 MiB")["what"], "6 free of 8");
    EXPECT_TRUE(told["device"].is_null());
}

TEST_F(CtlDoctor, TellsWhatIsMissingAndWhatToDo) {
    sysfs_.add_driver("vfio-pci");
    const Json told = row({});
    EXPECT_EQ(about(told["machine"], "IOMMU")["state"], "ok") << "the width alone is not told";
    for (const char* subject : {"IOMMUFD", "VFIO device nodes", "uio_pci_generic"}) {
        EXPECT_EQ(about(told["machine"], subject)["state"], "missing") << subject;
        EXPECT_FALSE(about(told["machine"], subject)["remedy"].is_null()) << subject;
    }
    EXPECT_EQ(about(told["backends"], "vfio")["state"], "ok");
    EXPECT_EQ(about(told["backends"], "iommufd")["what"], "lacks IOMMUFD, VFIO device nodes");
    EXPECT_EQ(about(told["backends"], "sysfs")["state"], "ok");
}

TEST_F(CtlDoctor, EndsWith4WhereNothingReachesADevice) {
    fs::remove_all(sysfs_.root().sys / "class/iommu");
    fs::remove(sysfs_.root().dev / "vfio/vfio");
    put(sysfs_.root().sys / "kernel/security/lockdown", "none [integrity] confidentiality");
    const Json told = row({}, 4);
    EXPECT_EQ(about(told["machine"], "IOMMU")["state"], "missing");
    EXPECT_THAT(about(told["machine"], "lockdown")["what"].get<std::string>(), HasSubstr("integrity"));
    EXPECT_TRUE(told["auto"].is_null());
}

TEST_F(CtlDoctor, WantsTheDriverAndNotJustTheNode) {
    const Json told = row({});
    EXPECT_EQ(about(told["machine"], "VFIO")["state"], "ok");
    EXPECT_EQ(about(told["machine"], "vfio-pci")["state"], "missing");
    EXPECT_EQ(about(told["backends"], "vfio")["what"], "lacks vfio-pci");
}

TEST_F(CtlDoctor, FindsOnlyVfioReadyUnderLockdown) {
    equip();
    sysfs_.add(kBdf, 0x1af4, 0x10f2, "");
    put(sysfs_.root().sys / "bus/pci/devices" / kBdf / "config", "");
    EXPECT_EQ(about(row({kBdf})["backends"], "sysfs")["state"], "ok");
    put(sysfs_.root().sys / "kernel/security/lockdown", "none [integrity] confidentiality");
    const Json told = row({kBdf}, 4);
    for (const char* backend : {"sysfs", "uio"}) {
        EXPECT_EQ(about(told["backends"], backend)["error"], "permission_denied") << backend;
        EXPECT_THAT(about(told["backends"], backend)["what"].get<std::string>(), HasSubstr("integrity")) << backend;
    }
}

TEST_F(CtlDoctor, TellsOfEachWayToADevice) {
    equip();
    add_pcienic();
    for (const std::vector<std::string>& choice :
         {std::vector<std::string>{kBdf}, std::vector<std::string>{"1af4:10f2"}, std::vector<std::string>{"04.0"},
          std::vector<std::string>{"-s", "04.0"}}) {
        const Json told = row(choice);
        EXPECT_EQ(told["device"]["vendor"], 0x1af4);
        EXPECT_EQ(told["auto"], "vfio");
        EXPECT_EQ(told["device"]["bdf"], kBdf);
        EXPECT_EQ(about(told["backends"], "vfio")["what"], "ready");
        EXPECT_EQ(about(told["backends"], "uio")["error"], "not_bound");
        EXPECT_THAT(about(told["backends"], "uio")["remedy"].get<std::string>(), HasSubstr("bind uio_pci_generic"));
    }
}

TEST_F(CtlDoctor, ShowsTheGroupsMembersAndTheirDrivers) {
    equip();
    add_pcienic();
    sysfs_.add("0000:00:05.0", 0x1b36, 0x0010, "nvme");
    sysfs_.join_group("0000:00:05.0", kBdf);
    const Json told = row({kBdf}, 4);
    EXPECT_EQ(about(told["backends"], "vfio")["error"], "group_not_viable");
    const Json& members = told["device"]["group"]["members"];
    ASSERT_EQ(members.size(), 2U);
    EXPECT_EQ(members[1]["bdf"], "0000:00:05.0");
    EXPECT_EQ(members[1]["driver"], "nvme");
}

TEST_F(CtlDoctor, DrawsTheBusAddresses) {
    equip();
    add_pcienic();
    const Json addresses = row({kBdf})["addresses"];
    EXPECT_EQ(addresses["width"], 48);
    ASSERT_EQ(addresses["ranges"].size(), 3U);
    EXPECT_EQ(addresses["ranges"][1]["use"], "msi");
    EXPECT_EQ(addresses["ranges"][2]["last_hex"], "0x0000ffffffffffff");
    const Outcome drawn = run({"doctor", kBdf});
    EXPECT_THAT(drawn.out, AllOf(HasSubstr("bus addresses of 48 bits"), HasSubstr("1 MiB"), HasSubstr("░░░░░░░░░░"),
                                 HasSubstr("✔ vfio"), HasSubstr("auto takes vfio")));
}

TEST_F(CtlDoctor, HasNoBusAddressesWhereNoIommuTranslates) {
    add_pcienic();
    put(sysfs_.root().sys / "kernel/iommu_groups/1/name", "vfio-noiommu");
    EXPECT_TRUE(row({kBdf}, 4)["addresses"]["ranges"].empty());
    EXPECT_THAT(run({"doctor", kBdf}).out, HasSubstr("none: no IOMMU translates for it"));
}

TEST_F(CtlDoctor, TellsWhoHasTheDeviceOpen) {
    equip();
    add_pcienic();
    const uiovfio::SysfsRoot root = sysfs_.root();
    put(root.proc / "4711/comm", "my-driver");
    fs::create_directories(root.proc / "4711/fd");
    fs::create_symlink(root.dev / "vfio/1", root.proc / "4711/fd/5");
    const Json told = row({kBdf});
    EXPECT_EQ(told["device"]["holders"][0]["process"], 4711);
    EXPECT_THAT(run({"doctor", kBdf}).out, HasSubstr("held by process 4711 (my-driver)"));
}

TEST_F(CtlDoctor, NamesAHolderWhoseNameTheKernelHasCut) {
    equip();
    add_pcienic();
    const uiovfio::SysfsRoot root = sysfs_.root();
    put(root.proc / "4711/comm", "dr\xc3\xa4hte-am-netz\xc3");
    fs::create_directories(root.proc / "4711/fd");
    fs::create_symlink(root.dev / "vfio/1", root.proc / "4711/fd/5");
    EXPECT_EQ(row({kBdf})["device"]["holders"][0]["command"], "dr??hte-am-netz?");
}

TEST_F(CtlDoctor, SaysWhatIsReadyButNotChosen) {
    equip();
    sysfs_.add(kBdf, 0x1af4, 0x10f2, "");
    put(sysfs_.root().sys / "bus/pci/devices" / kBdf / "config", "");
    EXPECT_THAT(run({"doctor", kBdf}).out,
                HasSubstr("auto takes none: what is ready has to be named, as --backend sysfs"));
}

TEST_F(CtlDoctor, ReadsNonsenseAsNothing) {
    const uiovfio::SysfsRoot root = sysfs_.root();
    put(root.sys / "class/iommu/dmar0/intel-iommu/cap", "no number");
    put(root.proc / "self/limits", "Max locked memory");
    put(root.sys / "kernel/mm/hugepages/hugepages-kB/nr_hugepages", "1");
    put(root.sys / "kernel/mm/hugepages/hugepages-99999999999999999999kB/nr_hugepages", "1");
    put(root.sys / "kernel/security/lockdown", "[never closed");
    const Json told = row({});
    EXPECT_EQ(about(told["machine"], "IOMMU")["what"], "dmar0");
    EXPECT_EQ(about(told["machine"], "memory lock")["state"], "note");
    EXPECT_EQ(about(told["machine"], "lockdown")["what"], "none");
}

TEST_F(CtlDoctor, WarnsOfALittleMemoryLock) {
    put(sysfs_.root().proc / "self/limits",
        "Max locked memory         8388608              8388608              bytes");
    const Json lock = about(row({})["machine"], "memory lock");
    EXPECT_EQ(lock["state"], "note");
    EXPECT_THAT(lock["what"].get<std::string>(), HasSubstr("8 MiB"));
    EXPECT_THAT(lock["remedy"].get<std::string>(), HasSubstr("ulimit -l"));

    put(sysfs_.root().proc / "self/status", "Name:\tdoctor\nCapEff:\t0000000000004000");
    const Json unlimited = about(row({})["machine"], "memory lock");
    EXPECT_EQ(unlimited["state"], "ok");
    EXPECT_TRUE(unlimited["remedy"].is_null());
    EXPECT_THAT(unlimited["what"].get<std::string>(), AllOf(HasSubstr("CAP_IPC_LOCK"), HasSubstr("8 MiB")));
}

TEST_F(CtlDoctor, RefusesADeviceNamedTwiceOrNotThere) {
    add_pcienic();
    EXPECT_REFUSED(run({"-s", "04.0", "doctor", kBdf}), 2, HasSubstr("leave out one"));
    EXPECT_REFUSED(run({"--backend", "sim", "doctor", kBdf}), 2, HasSubstr("name one or the other"));
    EXPECT_REFUSED(run({"doctor", "0000:ff:1f.7"}), 3, HasSubstr("0000:ff:1f.7"));
}

}  // namespace pcienic::ctl
