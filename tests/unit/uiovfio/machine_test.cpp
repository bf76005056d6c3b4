// SPDX-License-Identifier: MIT
#include "uiovfio/machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_tree.hpp"

namespace uiovfio {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class Machine : public testing::Test {
  protected:
    [[nodiscard]] MachineCheck about(const std::string& subject) const {
        for (MachineCheck& check : examine_machine(tree.root))
            if (check.subject == subject) return check;
        ADD_FAILURE() << "nothing about " << subject;
        return {};
    }

    void set_kernel(const std::string& release) const {
        test::FakeTree::put(tree.root.proc / "sys/kernel/osrelease", release + "\n");
    }

    void set_pages(const std::string& size, unsigned free) const {
        const auto pool = tree.root.sys / "kernel/mm/hugepages" / ("hugepages-" + size);
        test::FakeTree::put(pool / "nr_hugepages", "8\n");
        test::FakeTree::put(pool / "free_hugepages", std::to_string(free) + "\n");
    }

    test::FakeTree tree;
};

TEST_F(Machine, IsToldWhateverIsThere) {
    for (const MachineCheck& check : examine_machine(tree.root)) {
        EXPECT_THAT(check.what, Not(IsEmpty())) << check.subject;
        EXPECT_EQ(check.state == CheckState::missing, !check.remedy.empty() && !check.backends.empty())
            << check.subject << ": what a backend lacks has a remedy";
    }
}

TEST_F(Machine, AnIommuIsNamedWithItsWidth) {
    EXPECT_EQ(about("IOMMU").state, CheckState::missing);
    test::FakeTree::put(tree.root.sys / "class/iommu/dmar0/intel-iommu/cap", "d2008c222f0606\n");
    test::FakeTree::put(tree.root.sys / "class/iommu/dmar1/intel-iommu/cap", "d2008c22260206\n");
    EXPECT_EQ(about("IOMMU").state, CheckState::ok);
    EXPECT_EQ(about("IOMMU").what, "dmar0, dmar1, bus addresses of 39 bits");
    EXPECT_EQ(iommu_width(tree.root), 39U);
}

// It is no advice to who has an IOMMU: nothing guards memory then.
TEST_F(Machine, AdvisesNoNoIommuModeWhereThereIsAnIommu) {
    EXPECT_THAT(about("no-IOMMU mode").remedy, Not(IsEmpty()));
    std::filesystem::create_directories(tree.root.sys / "class/iommu/dmar0");
    EXPECT_EQ(about("no-IOMMU mode").state, CheckState::missing);
    EXPECT_THAT(about("no-IOMMU mode").remedy, IsEmpty());
}

TEST_F(Machine, TheDevicesOwnIommuCounts) {
    const auto bdf = Bdf::parse("0000:01:00.0");
    test::FakeTree::put(tree.root.sys / "class/iommu/dmar0/intel-iommu/cap", "d2008c222f0606\n");
    test::FakeTree::put(tree.root.sys / "class/iommu/dmar1/intel-iommu/cap", "d2008c22260206\n");
    tree.add_function("0000:01:00.0");
    EXPECT_EQ(iommu_width(bdf, tree.root), 39U) << "which of them is not told: the least";
    std::filesystem::create_directory_symlink(tree.root.sys / "class/iommu/dmar0",
                                              tree.device("0000:01:00.0") / "iommu");
    EXPECT_EQ(iommu_width(bdf, tree.root), 48U);
}

// What cannot help is no advice: a kernel of before has no module to load.
TEST_F(Machine, IommufdIsAdvisedByTheKernelsVersion) {
    for (const char* release : {"6.6.0", "6.12.41-test", "7.0.0-rc1", "no release", "6", ""}) {
        set_kernel(release);
        EXPECT_THAT(about("IOMMUFD").remedy, HasSubstr("modprobe iommufd")) << release;
    }
    for (const char* release : {"6.1.0-28-amd64", "6.5", "5.19.0"}) {
        set_kernel(release);
        EXPECT_THAT(about("IOMMUFD").remedy, StartsWith("use the backend vfio")) << release;
        EXPECT_THAT(about("IOMMUFD").what, HasSubstr("6.6")) << release;
    }
    test::FakeTree::put(tree.root.dev / "iommu", "");
    EXPECT_EQ(about("IOMMUFD").state, CheckState::ok);
}

// Of what keeps a device from being opened, the machine's part is told in the same words.
TEST_F(Machine, SaysWhatWhyNotSays) {
    const auto bdf = Bdf::parse("0000:01:00.0");
    const auto expect_same = [&](const char* backend, const char* subject) {
        const auto obstacle = why_not(bdf, backend, tree.root);
        ASSERT_TRUE(obstacle) << subject;
        EXPECT_EQ(obstacle->what_was_wrong, about(subject).what);
        EXPECT_EQ(obstacle->remedy, about(subject).remedy);
    };
    tree.add_function("0000:01:00.0");
    expect_same("vfio", "VFIO");
    tree.add_vfio_nodes(7);
    expect_same("vfio", "IOMMU");
    for (const char* release : {"6.1.0", "6.12.0"}) {
        set_kernel(release);
        expect_same("iommufd", "IOMMUFD");
    }
    expect_same("vfio-noiommu", "no-IOMMU mode");
    test::FakeTree::put(tree.root.sys / "kernel/security/lockdown", "none [integrity] confidentiality\n");
    expect_same("sysfs", "lockdown");
    expect_same("uio", "lockdown");
}

// VFIO's node is there before its module is, and until then the kernel tells nothing of what VFIO has.
TEST_F(Machine, BlamesNoKernelForWhatIsNotLoaded) {
    tree.add_vfio_nodes(7);
    for (const char* subject : {"VFIO device nodes", "no-IOMMU mode"})
        EXPECT_THAT(about(subject).remedy, HasSubstr("modprobe vfio-pci")) << subject;
    std::filesystem::create_directories(tree.root.sys / "module/vfio");
    EXPECT_THAT(about("VFIO device nodes").remedy, HasSubstr("CONFIG_VFIO_DEVICE_CDEV"));
    EXPECT_THAT(about("no-IOMMU mode").remedy, HasSubstr("CONFIG_VFIO_NOIOMMU"));
}

TEST_F(Machine, TellsOfInterruptRemappingWhereThereIsSuchAThing) {
    const auto told = [&](const char* chips) {
        test::FakeTree::put(tree.root.proc / "interrupts", chips);
        return about("interrupt remapping");
    };
    EXPECT_EQ(told("  9:  0  0  IR-IO-APIC  9-fasteoi acpi\n 24:  0  0  IR-PCI-MSI 1-edge x\n").state, CheckState::ok);
    constexpr const char* kOff = "  9:  0  0  IO-APIC  9-fasteoi acpi\n";
    EXPECT_EQ(told(kOff).state, CheckState::note) << "no IOMMU, which is what is missing";
    std::filesystem::create_directories(tree.root.sys / "class/iommu/dmar0");
    EXPECT_EQ(told(kOff).state, CheckState::missing);
    EXPECT_THAT(told(kOff).backends, testing::ElementsAre("vfio", "iommufd"));
    EXPECT_THAT(told(kOff).remedy, testing::AllOf(HasSubstr("intremap=on"), HasSubstr("vfio_iommu_type1")));
    test::FakeTree::put(tree.root.sys / "module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n");
    EXPECT_THAT(told(kOff).what, HasSubstr("allowed for vfio"));
    EXPECT_THAT(told(kOff).backends, testing::ElementsAre("iommufd"));
    EXPECT_THAT(told(kOff).remedy, HasSubstr("modprobe iommufd"));
    test::FakeTree::put(tree.root.sys / "module/iommufd/parameters/allow_unsafe_interrupts", "Y\n");
    EXPECT_EQ(told(kOff).state, CheckState::note) << "it is dangerous, and as wanted";
    EXPECT_THAT(told(kOff).remedy, IsEmpty());
    EXPECT_THAT(told(" 11:  0  0  GICv3  27 Level  arch_timer\n").remedy, IsEmpty());
}

TEST_F(Machine, AdvisesTheSmallestHugepagesAndOnlyWhereThereAreNone) {
    set_pages("1048576kB", 0);
    set_pages("2048kB", 0);
    set_pages("64kB", 0);
    EXPECT_THAT(about("pages of 64 KiB").remedy, IsEmpty()) << "an IOMMU has no entries of them";
    EXPECT_EQ(about("pages of 2 MiB").state, CheckState::note);
    EXPECT_THAT(about("pages of 2 MiB").remedy, HasSubstr("hugepages-2048kB/nr_hugepages"));
    EXPECT_THAT(about("pages of 1 GiB").remedy, IsEmpty());
    set_pages("1048576kB", 2);
    EXPECT_EQ(about("pages of 1 GiB").state, CheckState::ok);
    EXPECT_THAT(about("pages of 2 MiB").remedy, IsEmpty());
}

TEST(IovaSpans, FillTheGapsAndCutWhatIsBeyond) {
    EXPECT_EQ(iova_spans(12, {}), (std::vector<IovaSpan>{{{Iova{0}, Iova{0xfff}}, "free"}}));
    EXPECT_EQ(iova_spans(12, {{Iova{0}, Iova{0xff}, "direct"}, {Iova{0xf00}, Iova{0x1fff}, "msi"}}),
              (std::vector<IovaSpan>{{{Iova{0}, Iova{0xff}}, "direct"},
                                     {{Iova{0x100}, Iova{0xeff}}, "free"},
                                     {{Iova{0xf00}, Iova{0xfff}}, "msi"}}));
    // Regions that overlap, and one beyond the aperture.
    EXPECT_EQ(iova_spans(12, {{Iova{0x100}, Iova{0x2ff}, "msi"},
                              {Iova{0x200}, Iova{0x2ff}, "direct"},
                              {Iova{0x5000}, Iova{0x5fff}, "msi"}}),
              (std::vector<IovaSpan>{{{Iova{0}, Iova{0xff}}, "free"},
                                     {{Iova{0x100}, Iova{0x2ff}}, "msi"},
                                     {{Iova{0x300}, Iova{0xfff}}, "free"}}));
    EXPECT_EQ(iova_spans(64, {}).back().range.last, Iova{~std::uint64_t{0}});
}

}  // namespace
}  // namespace uiovfio
